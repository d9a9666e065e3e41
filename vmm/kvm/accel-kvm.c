/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM accelerator: Linux, Documentation/virt/kvm/api.rst.
 *
 * There is one thread per CPU.  The kernel has no interrupt controller here, so
 * HLT comes back to us, and ends the CPU.  To bring a CPU's thread back takes
 * two things: run->immediate_exit, in case it is about to enter the guest, and
 * a signal, in case it is inside.  Both are sent with the gate's lock held, in
 * the moment the gate closes.  So a thread that sees the gate closed has had
 * its kick, and can take immediate_exit back.
 *
 * The kernel finishes a port access only when the CPU is entered again; until
 * then its registers are those from before.  So a thread enters once more, with
 * immediate_exit, before it waits at the gate.
 *
 * A throttled CPU must come out of the guest now and then, so it has a timer
 * that sends its thread the same signal.  If a signal comes too early, before
 * the guest is entered, the next one makes up for it.
 *
 * CPU state is read and written by the thread that migrates, while the CPU's
 * own thread waits; the kernel allows that.
 */
#include "vmm/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ferry/error.h"
#include "ferry/host.h"
#include "util/fail.h"
#include "vmm/kvm/kvm-dirty.h"
#include "vmm/kvm/kvm-state.h"
#include "vmm/vcpu-gate.h"
#include "vmm/vcpu-throttle.h"

#define KICK_SIGNAL SIGUSR1

typedef struct KvmAccel KvmAccel;

/* Fields without a note are set while the CPU is made, then constant. */
typedef struct KvmCpu {
    KvmAccel *accel;
    unsigned index;
    int fd;
    struct kvm_run *run; /* the CPU's thread; immediate_exit is atomic */
    pthread_t thread;
    bool has_thread;
    pid_t tid; /* the CPU's thread sets, before it first waits at the gate */
    timer_t alarm; /* runs while the CPU is throttled */
    bool has_alarm;
    VcpuThrottle throttle; /* see vcpu-throttle.h */
    /* The CPU's thread's; while that waits at the gate, also of the thread that
     * loads or saves the state. */
    bool halted;
} KvmCpu;

struct KvmAccel {
    Accel accel;
    int kvm, vm;
    size_t run_size;
    VcpuGate gate;
    unsigned halted; /* atomic; CPUs' threads: how many CPUs have halted */
    int failed;      /* atomic; CPUs' threads: failed() was called; start()
                      * resets both while the threads wait */
    KvmDirty dirty;  /* the migration's thread, while logging */
    KvmCpu cpus[];
};

static KvmAccel *kvm_of(Accel *accel)
{
    return (KvmAccel *)accel;
}

/* Running */

static void report_failure(KvmCpu *cpu, const char *why)
{
    KvmAccel *kvm = cpu->accel;
    const AccelBoard *board = &kvm->accel.board;

    if (!__atomic_exchange_n(&kvm->failed, 1, __ATOMIC_RELAXED)) {
        board->failed(board->opaque, cpu->index, why);
    }
    vcpu_gate_sleep(&kvm->gate, VCPU_GATE_FOREVER);
}

static void sleep_halted(KvmCpu *cpu)
{
    KvmAccel *kvm = cpu->accel;
    const AccelBoard *board = &kvm->accel.board;

    if (__atomic_add_fetch(&kvm->halted, 1, __ATOMIC_RELAXED) ==
        board->cpu_count) {
        board->halted(board->opaque);
    }
    vcpu_gate_sleep(&kvm->gate, VCPU_GATE_FOREVER);
}

static void transfer_port(KvmCpu *cpu)
{
    PortBus *bus = cpu->accel->accel.board.ports;
    const unsigned size = cpu->run->io.size;
    uint8_t *data = (uint8_t *)cpu->run + cpu->run->io.data_offset;
    uint32_t i, value, idle = 0;

    for (i = 0; i < cpu->run->io.count; i++, data += size) {
        value = 0;
        if (cpu->run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            idle = port_bus_write(bus, cpu->run->io.port, size, value);
        } else {
            value = port_bus_read(bus, cpu->run->io.port, size);
            memcpy(data, &value, size);
        }
    }
    if (idle) {
        vcpu_gate_sleep(&cpu->accel->gate,
                        guest_clock_host_now() + idle * UINT64_C(1000));
    }
}

static void handle_exit(KvmCpu *cpu)
{
    g_autofree char *why = NULL;

    switch (cpu->run->exit_reason) {
    case KVM_EXIT_IO:
        transfer_port(cpu);
        return;
    case KVM_EXIT_HLT:
        cpu->halted = true;
        return;
    case KVM_EXIT_INTR:
        return;
    case KVM_EXIT_SHUTDOWN:
        why = g_strdup("triple fault");
        break;
    case KVM_EXIT_MMIO:
        why = g_strdup_printf("access to 0x%llx, where there is nothing",
                              cpu->run->mmio.phys_addr);
        break;
    case KVM_EXIT_INTERNAL_ERROR: /* mostly: an instruction it cannot emulate */
        why = g_strdup_printf("KVM internal error %u",
                              cpu->run->internal.suberror);
        break;
    default:
        why = g_strdup_printf("KVM exit reason %u", cpu->run->exit_reason);
    }
    report_failure(cpu, why);
}

static void run_once(KvmCpu *cpu, uint64_t now)
{
    int err = ioctl(cpu->fd, KVM_RUN, 0) == 0 ? 0 : errno;

    vcpu_throttle_ran(&cpu->throttle, now, guest_clock_host_now());
    if (err == 0) {
        handle_exit(cpu);
    } else if (err != EINTR && err != EAGAIN) {
        report_failure(cpu, g_strerror(err));
    }
}

static void run_or_wait(KvmCpu *cpu)
{
    uint64_t now = guest_clock_host_now();

    if (cpu->halted) {
        sleep_halted(cpu);
    } else if (vcpu_throttle_is_pausing(&cpu->throttle, now)) {
        vcpu_gate_sleep(&cpu->accel->gate, cpu->throttle.until);
    } else {
        run_once(cpu, now);
    }
}

static void set_immediate_exit(KvmCpu *cpu, uint8_t value)
{
    __atomic_store_n(&cpu->run->immediate_exit, value, __ATOMIC_RELAXED);
}

static void *cpu_thread(void *opaque)
{
    KvmCpu *cpu = opaque;
    VcpuGate *gate = &cpu->accel->gate;

    cpu->tid = gettid();
    while (vcpu_gate_wait(gate)) {
        while (vcpu_gate_is_open(gate)) {
            run_or_wait(cpu);
        }
        /* immediate_exit was set by the kick. */
        while (ioctl(cpu->fd, KVM_RUN, 0) == 0) {
            handle_exit(cpu);
        }
        set_immediate_exit(cpu, 0);
    }
    return NULL;
}

static void kick_all(void *opaque)
{
    KvmAccel *kvm = opaque;
    unsigned i;

    for (i = 0; i < kvm->accel.board.cpu_count; i++) {
        set_immediate_exit(&kvm->cpus[i], 1);
        pthread_kill(kvm->cpus[i].thread, KICK_SIGNAL);
    }
}

static void kvm_start(Accel *accel)
{
    KvmAccel *kvm = kvm_of(accel);

    if (!vcpu_gate_looks_open(&kvm->gate)) {
        kvm->halted = 0;
        kvm->failed = 0;
        vcpu_gate_open(&kvm->gate);
    }
}

static void kvm_stop(Accel *accel)
{
    vcpu_gate_close(&kvm_of(accel)->gate, kick_all, accel);
}

static void kvm_throttle(Accel *accel, unsigned percent)
{
    const struct timespec period = {
        .tv_nsec = percent ? THROTTLE_RUN_NS : 0,
    };
    const struct itimerspec spec = { period, period };
    KvmAccel *kvm = kvm_of(accel);
    unsigned i;

    for (i = 0; i < accel->board.cpu_count; i++) {
        vcpu_throttle_set(&kvm->cpus[i].throttle, percent);
        timer_settime(kvm->cpus[i].alarm, 0, &spec, NULL);
    }
}

static bool kvm_load_cpu(Accel *accel, const CpuState *state, GError **errp)
{
    KvmCpu *cpu = &kvm_of(accel)->cpus[state->index];

    cpu->halted = state->halted;
    return kvm_state_load(cpu->fd, state, errp);
}

static bool kvm_save_cpu(Accel *accel, CpuState *state, GError **errp)
{
    KvmCpu *cpu = &kvm_of(accel)->cpus[state->index];

    state->halted = cpu->halted;
    return kvm_state_save(cpu->fd, state, errp);
}

/* The dirty log */

static bool set_memory(KvmAccel *kvm, uint32_t flags, GError **errp)
{
    const GuestRam *ram = kvm->accel.board.ram;
    struct kvm_userspace_memory_region region = {
        .flags = flags, .memory_size = ram->size,
        .userspace_addr = (uintptr_t)ram->host,
    };

    if (ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
        return fail_errno(errp, "kvm: cannot map the guest's RAM");
    }
    return true;
}

static bool kvm_dirty_start(Accel *accel, GError **errp)
{
    KvmAccel *kvm = kvm_of(accel);

    if (!set_memory(kvm, KVM_MEM_LOG_DIRTY_PAGES, errp)) {
        return false;
    }
    kvm_dirty_init(&kvm->dirty, kvm->vm,
                   accel->board.ram->size >> MIG_PAGE_BITS);
    return true;
}

static bool kvm_dirty_get(Accel *accel, uint64_t first, uint64_t pages,
                          uint64_t *bitmap, GError **errp)
{
    const MigRamPart part = { .first = first, .pages = pages };

    return kvm_dirty_collect(&kvm_of(accel)->dirty, &part,
                             guest_clock_host_now(), bitmap, errp);
}

static void kvm_dirty_stop(Accel *accel)
{
    KvmAccel *kvm = kvm_of(accel);

    /* Takes the flag off the slot.  If that fails, the slot only goes on
     * logging. */
    set_memory(kvm, 0, NULL);
    kvm_dirty_destroy(&kvm->dirty);
}

/* Making and freeing */

static bool make_cpu(KvmAccel *kvm, unsigned index, GError **errp)
{
    KvmCpu *cpu = &kvm->cpus[index];
    g_autofree char *name = g_strdup_printf("vcpu/%u", index);
    void *run;

    cpu->fd = ioctl(kvm->vm, KVM_CREATE_VCPU, (unsigned long)index);
    if (cpu->fd < 0) {
        return fail_errno(errp, "kvm: KVM_CREATE_VCPU");
    }
    run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
               cpu->fd, 0);
    if (run == MAP_FAILED) {
        return fail_errno(errp, "kvm: cannot map a CPU");
    }
    cpu->run = run;
    if (!kvm_state_set_cpuid(kvm->kvm, cpu->fd, errp)) {
        return false;
    }
    cpu->has_thread = vcpu_gate_add_thread(&kvm->gate, &cpu->thread, name,
                                           cpu_thread, cpu, errp);
    return cpu->has_thread;
}

/* An alarm needs its thread's id, which is known once the thread waits. */
static bool make_alarms(KvmAccel *kvm, GError **errp)
{
    unsigned i;

    vcpu_gate_close(&kvm->gate, NULL, NULL);
    for (i = 0; i < kvm->accel.board.cpu_count; i++) {
        KvmCpu *cpu = &kvm->cpus[i];
        struct sigevent event = {
            .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL,
            ._sigev_un._tid = cpu->tid,
        };

        if (timer_create(CLOCK_MONOTONIC, &event, &cpu->alarm) < 0) {
            return fail_errno(errp, "kvm: cannot make a timer");
        }
        cpu->has_alarm = true;
    }
    return true;
}

static bool need_capability(KvmAccel *kvm, int capability, const char *name,
                            GError **errp)
{
    if (ioctl(kvm->vm, KVM_CHECK_EXTENSION, capability) <= 0) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "kvm: the kernel lacks %s", name);
        return false;
    }
    return true;
}

static bool make_vm(KvmAccel *kvm, GError **errp)
{
    struct kvm_enable_cap manual = {
        .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
        .args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    };

    kvm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm->kvm < 0) {
        return fail_errno(errp, "kvm: /dev/kvm");
    }
    kvm->vm = ioctl(kvm->kvm, KVM_CREATE_VM, 0ul);
    if (kvm->vm < 0) {
        return fail_errno(errp, "kvm: KVM_CREATE_VM");
    }
    if (!need_capability(kvm, KVM_CAP_IMMEDIATE_EXIT, "immediate exits",
                         errp) ||
        !need_capability(kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                         "the manual dirty log", errp)) {
        return false;
    }
    if (ioctl(kvm->vm, KVM_ENABLE_CAP, &manual) < 0) {
        return fail_errno(errp, "kvm: cannot enable the manual dirty log");
    }
    kvm->run_size = ioctl(kvm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    return set_memory(kvm, 0, errp);
}

static void ignore_signal(int signal)
{
    /* The signal only has to interrupt system calls. */
}

static void kvm_free(Accel *accel)
{
    KvmAccel *kvm = kvm_of(accel);
    unsigned i;

    vcpu_gate_quit(&kvm->gate);
    for (i = 0; i < accel->board.cpu_count; i++) {
        KvmCpu *cpu = &kvm->cpus[i];

        if (cpu->has_alarm) {
            timer_delete(cpu->alarm);
        }
        if (cpu->has_thread) {
            pthread_join(cpu->thread, NULL);
        }
        if (cpu->run) {
            munmap(cpu->run, kvm->run_size);
        }
        if (cpu->fd >= 0) {
            close(cpu->fd);
        }
    }
    if (kvm->vm >= 0) {
        close(kvm->vm);
    }
    if (kvm->kvm >= 0) {
        close(kvm->kvm);
    }
    vcpu_gate_destroy(&kvm->gate);
    kvm_dirty_destroy(&kvm->dirty);
    g_free(kvm);
}

static Accel *kvm_new(const AccelBoard *board, const AccelOptions *options,
                      GError **errp)
{
    const struct sigaction action = { .sa_handler = ignore_signal };
    KvmAccel *kvm =
        g_malloc0(sizeof(*kvm) + board->cpu_count * sizeof(kvm->cpus[0]));
    unsigned i;

    sigaction(KICK_SIGNAL, &action, NULL);
    kvm->accel = (Accel) { .ops = &accel_kvm_ops, .board = *board };
    kvm->kvm = kvm->vm = -1;
    vcpu_gate_init(&kvm->gate);
    for (i = 0; i < board->cpu_count; i++) {
        kvm->cpus[i] = (KvmCpu) { .accel = kvm, .index = i, .fd = -1 };
    }
    if (!make_vm(kvm, errp)) {
        goto fail;
    }
    for (i = 0; i < board->cpu_count; i++) {
        if (!make_cpu(kvm, i, errp)) {
            goto fail;
        }
    }
    if (!make_alarms(kvm, errp)) {
        goto fail;
    }
    return &kvm->accel;

fail:
    kvm_free(&kvm->accel);
    return NULL;
}

const AccelOps accel_kvm_ops = {
    .name = "kvm",
    .new = kvm_new,
    .free = kvm_free,
    .start = kvm_start,
    .stop = kvm_stop,
    .throttle = kvm_throttle,
    .load_cpu = kvm_load_cpu,
    .save_cpu = kvm_save_cpu,
    .dirty_start = kvm_dirty_start,
    .dirty_collect = kvm_dirty_get,
    .dirty_stop = kvm_dirty_stop,
};
