/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accelerators: CPU state goes in and comes out, and CPUs run from it. */
#include <string.h>

#include "vmm/accel.h"
#include "vmm/boot.h"

#define RAM_SIZE (4u << 20)
#define ENTRY    0x100000u
#define STACK    0x180000u

typedef struct Fixture {
    GuestRam ram;
    Serial serial;
    GuestClock clock;
    PortBus ports;
    Accel *accel; /* NULL: this machine has no such accelerator */
    CpuState cpu;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool halted; /* lock */
    char *why;   /* lock */
} Fixture;

static void on_halted(void *opaque)
{
    Fixture *f = opaque;

    pthread_mutex_lock(&f->lock);
    f->halted = true;
    pthread_cond_signal(&f->ended);
    pthread_mutex_unlock(&f->lock);
}

static void on_failed(void *opaque, unsigned cpu, const char *why)
{
    Fixture *f = opaque;

    pthread_mutex_lock(&f->lock);
    g_free(f->why);
    f->why = g_strdup(why);
    pthread_cond_signal(&f->ended);
    pthread_mutex_unlock(&f->lock);
}

static bool setup(Fixture *f, const AccelOptions *options)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *why = NULL;
    AccelBoard board = {
        .ram = &f->ram, .ports = &f->ports, .cpu_count = 1, .opaque = f,
        .halted = on_halted, .failed = on_failed,
    };

    memset(f, 0, sizeof(*f));
    g_assert_true(guest_ram_init(&f->ram, RAM_SIZE, NULL));
    port_bus_init(&f->ports, &f->serial, &f->clock);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->ended, NULL);
    f->accel = accel_new(options, &board, &err);
    if (!f->accel) {
        why = g_strconcat(options->kind == ACCEL_KVM ? "this machine has no "
                                                     : "",
                          err->message, NULL);
        g_test_skip(why);
        return false;
    }
    boot_setup_ram(&f->ram, 1, "");
    cpu_state_reset(&f->cpu, f->accel, 0);
    boot_setup_cpu(&f->cpu, ENTRY);
    return true;
}

static void teardown(Fixture *f)
{
    accel_free(f->accel);
    guest_ram_destroy(&f->ram);
    port_bus_destroy(&f->ports);
    pthread_cond_destroy(&f->ended);
    pthread_mutex_destroy(&f->lock);
    g_free(f->why);
}

/* A value in every register, as a 64-bit guest could have it. */
static void fill_state(CpuState *cpu)
{
    unsigned i;

    for (i = 0; i < CPU_GPR_COUNT; i++) {
        cpu->gpr[i] = 0x0123456789abcdefu * (i + 1);
    }
    cpu->rip = ENTRY + 0x123;
    cpu->rflags = 0xcd7; /* all arithmetic flags and DF */
    cpu->seg[CPU_FS].base = 0x7f0012345678;
    cpu->seg[CPU_GS].base = 0xffff800012345678;
    cpu->idt = (CpuTable) { .base = 0x3000, .limit = 0xfff };
    cpu->cr2 = 0xdeadbeef;
    cpu->msrs = (CpuMsrs) {
        .star = 0x0010000800000000, .lstar = 0xffff800000001000,
        .cstar = 0xffff800000002000, .fmask = 0x700,
        .kernel_gs_base = 0x7fff00001000, .sysenter_cs = 8,
        .sysenter_esp = 0x9000, .sysenter_eip = 0xa000,
        .pat = 0x0007040600070401,
    };
    cpu->fpu.control = 0x27f;
    cpu->fpu.status = 5 << 11 | 0x4100; /* three on the stack */
    cpu->fpu.tags = 0xe0;
    cpu->fpu.mxcsr = 0x7fa0;
    for (i = 0; i < 3; i++) {
        cpu->fpu.st[i][0] = i + 1;
        cpu->fpu.st[i][7] = 0x80; /* normal numbers */
        cpu->fpu.st[i][9] = 0x40;
    }
    for (i = 0; i < sizeof(cpu->fpu.xmm); i++) {
        cpu->fpu.xmm[i / 16][i % 16] = i * 7 + 1;
    }
}

static void compare_segments(const CpuSegment *a, const CpuSegment *b)
{
    g_assert_cmphex(a->selector, ==, b->selector);
    g_assert_cmphex(a->base, ==, b->base);
    g_assert_cmphex(a->limit, ==, b->limit);
    g_assert_cmphex(a->access, ==, b->access);
}

static void compare_fpus(const CpuFpu *a, const CpuFpu *b)
{
    g_assert_cmphex(a->control, ==, b->control);
    g_assert_cmphex(a->status, ==, b->status);
    g_assert_cmphex(a->tags, ==, b->tags);
    g_assert_cmphex(a->mxcsr, ==, b->mxcsr);
    g_assert_cmpmem(a->st, sizeof(a->st), b->st, sizeof(b->st));
    g_assert_cmpmem(a->xmm, sizeof(a->xmm), b->xmm, sizeof(b->xmm));
}

static void compare_states(const CpuState *a, const CpuState *b)
{
    unsigned i;

    for (i = 0; i < CPU_GPR_COUNT; i++) {
        g_assert_cmphex(a->gpr[i], ==, b->gpr[i]);
    }
    for (i = 0; i < CPU_SEG_COUNT; i++) {
        compare_segments(&a->seg[i], &b->seg[i]);
    }
    compare_segments(&a->tr, &b->tr);
    g_assert_cmphex(a->rip, ==, b->rip);
    g_assert_cmphex(a->rflags, ==, b->rflags);
    g_assert_cmphex(a->gdt.base, ==, b->gdt.base);
    g_assert_cmphex(a->gdt.limit, ==, b->gdt.limit);
    g_assert_cmphex(a->idt.base, ==, b->idt.base);
    g_assert_cmphex(a->idt.limit, ==, b->idt.limit);
    g_assert_cmphex(a->cr0, ==, b->cr0);
    g_assert_cmphex(a->cr2, ==, b->cr2);
    g_assert_cmphex(a->cr3, ==, b->cr3);
    g_assert_cmphex(a->cr4, ==, b->cr4);
    g_assert_cmphex(a->efer, ==, b->efer);
    g_assert_cmpmem(&a->msrs, sizeof(a->msrs), &b->msrs, sizeof(b->msrs));
    compare_fpus(&a->fpu, &b->fpu);
    g_assert_true(a->halted == b->halted);
}

static void test_round_trip(gconstpointer options)
{
    g_autoptr(GError) err = NULL;
    Fixture f;

    if (setup(&f, options)) {
        CpuState saved;

        fill_state(&f.cpu);
        g_assert_true(accel_load_cpu(f.accel, &f.cpu, &err));
        cpu_state_reset(&saved, f.accel, 0);
        g_assert_true(accel_save_cpu(f.accel, &saved, &err));
        compare_states(&f.cpu, &saved);
    }
    teardown(&f);
}

static void run_until_end(Fixture *f)
{
    accel_start(f->accel);
    pthread_mutex_lock(&f->lock);
    while (!f->halted && !f->why) {
        pthread_cond_wait(&f->ended, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    accel_stop(f->accel);
}

/* Registers that were loaded are there for the guest, and what it does with
 * them comes out: x87, SSE and FS. */
static void test_run(gconstpointer options)
{
    static const uint8_t code[] = {
        0xde, 0xc1,                         /* faddp */
        0x66, 0x0f, 0xfe, 0xc1,             /* paddd %xmm1, %xmm0 */
        0x64, 0x48, 0x89, 0x04, 0x25, 0x10, 0, 0, 0, /* mov %rax, %fs:0x10 */
        0x01, 0xc9,                         /* add %ecx, %ecx */
        0xf4,                               /* hlt */
    };
    static const uint8_t one[10] = { [7] = 0x80, [8] = 0xff, [9] = 0x3f };
    static const uint8_t two[10] = { [7] = 0x80, [8] = 0x00, [9] = 0x40 };
    g_autoptr(GError) err = NULL;
    Fixture f;

    if (setup(&f, options)) {
        uint64_t stored;

        memcpy(f.ram.host + ENTRY, code, sizeof(code));
        f.cpu.fpu.status = 6 << 11;
        f.cpu.fpu.tags = 0xc0;
        memcpy(f.cpu.fpu.st[0], one, sizeof(one));
        memcpy(f.cpu.fpu.st[1], one, sizeof(one));
        f.cpu.fpu.xmm[0][0] = 40;
        f.cpu.fpu.xmm[1][0] = 2;
        f.cpu.seg[CPU_FS].base = STACK;
        f.cpu.gpr[CPU_RAX] = 0x1234567890abcdef;
        f.cpu.gpr[CPU_RCX] = 0x80000000;
        g_assert_true(accel_load_cpu(f.accel, &f.cpu, &err));
        run_until_end(&f);
        if (f.why && g_str_has_prefix(f.why, "KVM internal error")) {
            g_test_skip("this machine's KVM has no hardware, and "
                        "emulates no x87");
            teardown(&f);
            return;
        }
        g_assert_cmpstr(f.why, ==, NULL);
        g_assert_true(accel_save_cpu(f.accel, &f.cpu, &err));
        g_assert_true(f.cpu.halted);
        g_assert_cmphex(f.cpu.rip, ==, ENTRY + sizeof(code));
        g_assert_cmphex(f.cpu.rflags & 0x8d5, ==, 0x845); /* OF ZF PF CF */
        g_assert_cmpuint(f.cpu.gpr[CPU_RCX], ==, 0);
        g_assert_cmpuint(f.cpu.fpu.xmm[0][0], ==, 42);
        g_assert_cmphex(f.cpu.fpu.status >> 11 & 7, ==, 7);
        g_assert_cmphex(f.cpu.fpu.tags, ==, 0x80);
        g_assert_cmpmem(f.cpu.fpu.st[0], 10, two, 10);
        memcpy(&stored, f.ram.host + STACK + 0x10, sizeof(stored));
        g_assert_cmphex(stored, ==, 0x1234567890abcdef);
    }
    teardown(&f);
}

/* Let it run for a moment, or until it ends. */
static void run_shortly(Fixture *f)
{
    uint64_t end = guest_clock_host_now() + 100000;
    struct timespec t = {
        .tv_sec = end / 1000000000, .tv_nsec = end % 1000000000,
    };
    int err = 0;

    accel_start(f->accel);
    pthread_mutex_lock(&f->lock);
    while (!f->halted && !f->why && err == 0) {
        err = pthread_cond_clockwait(&f->ended, &f->lock, CLOCK_MONOTONIC, &t);
    }
    pthread_mutex_unlock(&f->lock);
    accel_stop(f->accel);
}

/* Stopped and started again all the time, saved and loaded in between, a
 * loop still counts right.  A KVM without hardware is slow. */
static void test_stops_are_exact(gconstpointer options)
{
    /* 1: inc %rax; test $1, %al; jz 2f; add %rcx, %rbx; 2: adc %rcx, %rdx;
     * push %rdx; pop %r8; dec %rcx; jnz 1b; hlt */
    static const uint8_t code[] = {
        0x48, 0xff, 0xc0, 0xa8, 0x01, 0x74, 0x03, 0x48, 0x01, 0xcb, 0x48,
        0x11, 0xca, 0x52, 0x41, 0x58, 0x48, 0xff, 0xc9, 0x75, 0xeb, 0xf4,
    };
    const AccelOptions *o = options;
    const uint64_t count = o->kind == ACCEL_KVM ? 2000 : 200000;
    g_autoptr(GError) err = NULL;
    uint64_t i, odd = 0, sum = 0;
    Fixture f;

    for (i = count; i > 0; i--) {
        odd += (count - i) % 2 == 0 ? i : 0;
        sum += i;
    }
    if (setup(&f, options)) {
        memcpy(f.ram.host + ENTRY, code, sizeof(code));
        f.cpu.gpr[CPU_RCX] = count;
        f.cpu.gpr[CPU_RSP] = STACK;
        while (!f.cpu.halted) {
            g_assert_true(accel_load_cpu(f.accel, &f.cpu, &err));
            run_shortly(&f);
            g_assert_true(accel_save_cpu(f.accel, &f.cpu, &err));
            g_assert_cmpstr(f.why, ==, NULL);
        }
        g_assert_cmpuint(f.cpu.gpr[CPU_RAX], ==, count);
        g_assert_cmpuint(f.cpu.gpr[CPU_RBX], ==, odd);
        g_assert_cmpuint(f.cpu.gpr[CPU_RDX], ==, sum);
        g_assert_cmpuint(f.cpu.gpr[8], ==, sum);
    }
    teardown(&f);
}

/* How much a guest does in 10^9 ticks of the TSC, throttled by so much. */
static uint64_t work_done(Fixture *f, unsigned percent)
{
    /* Without exits, so that only a kick makes it pause under KVM.
     * rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, %rsi;
     * 1: mov $1000, %ecx; 2: dec %ecx; jnz 2b; inc %rbx;
     * rdtsc; shl $32, %rdx; or %rdx, %rax; sub %rsi, %rax;
     * cmp $1000000000, %rax; jb 1b; hlt */
    static const uint8_t code[] = {
        0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x89, 0xc6,
        0xb9, 0xe8, 0x03, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0x48, 0xff, 0xc3,
        0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x29, 0xf0,
        0x48, 0x3d, 0x00, 0xca, 0x9a, 0x3b, 0x72, 0xe0, 0xf4,
    };

    memcpy(f->ram.host + ENTRY, code, sizeof(code));
    cpu_state_reset(&f->cpu, f->accel, 0);
    boot_setup_cpu(&f->cpu, ENTRY);
    f->halted = false;
    g_assert_true(accel_load_cpu(f->accel, &f->cpu, NULL));
    accel_throttle(f->accel, percent);
    run_until_end(f);
    g_assert_cmpstr(f->why, ==, NULL);
    g_assert_true(accel_save_cpu(f->accel, &f->cpu, NULL));
    return f->cpu.gpr[CPU_RBX];
}

/* At 99 per cent it gets 10 ms out of 200 or more: the TSC makes at most 5
 * ticks a nanosecond.  A half leaves room for a busy host. */
static void test_throttle(gconstpointer options)
{
    Fixture f;

    if (setup(&f, options)) {
        uint64_t before = work_done(&f, 0);
        uint64_t throttled = work_done(&f, 99);
        uint64_t after = work_done(&f, 0);

        g_test_message("%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
                       " at 99 %%, %" G_GUINT64_FORMAT, before, throttled,
                       after);
        g_assert_cmpuint(throttled, <, before / 2);
        g_assert_cmpuint(throttled, <, after / 2);
    }
    teardown(&f);
}

static void test_fault(gconstpointer options)
{
    static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2 */
    Fixture f;

    if (setup(&f, options)) {
        memcpy(f.ram.host + ENTRY, code, sizeof(code));
        g_assert_true(accel_load_cpu(f.accel, &f.cpu, NULL));
        run_until_end(&f);
        g_assert_nonnull(f.why);
        g_assert_false(f.halted);
    }
    teardown(&f);
}

/* Which pages did a store each to pages 512, 515 and across 520/521 write? */
static void test_dirty_log(gconstpointer options)
{
    static const uint8_t code[] = {
        0xc6, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 1,  /* movb to 0x200000 */
        0xf0, 0xff, 0x04, 0x25, 0x10, 0x30, 0x20, 0,  /* lock incl 0x203010 */
        0x48, 0x89, 0x04, 0x25, 0xfc, 0x8f, 0x20, 0,  /* mov to 0x208ffc */
        0xf4,
    };
    const uint64_t pages = RAM_SIZE / 4096;
    uint64_t bitmap[RAM_SIZE / 4096 / 64] = { 0 };
    uint64_t part[2] = { 0 };
    g_autoptr(GError) err = NULL;
    Fixture f;

    if (setup(&f, options)) {
        memcpy(f.ram.host + ENTRY, code, sizeof(code));
        g_assert_true(accel_load_cpu(f.accel, &f.cpu, &err));
        g_assert_true(accel_dirty_start(f.accel, &err));
        g_assert_true(accel_dirty_collect(f.accel, 0, pages, bitmap, &err));
        memset(bitmap, 0, sizeof(bitmap));
        run_until_end(&f);
        g_assert_cmpstr(f.why, ==, NULL);
        g_assert_true(accel_dirty_collect(f.accel, 384, 128, part, &err));
        g_assert_cmphex(part[0] | part[1], ==, 0);
        g_assert_true(accel_dirty_collect(f.accel, 0, pages, bitmap, &err));
        g_assert_cmphex(bitmap[512 / 64], ==, 1 | 1 << 3 | 3 << 8);
        f.halted = false;
        g_assert_true(accel_load_cpu(f.accel, &f.cpu, &err));
        run_until_end(&f);
        g_assert_true(accel_dirty_collect(f.accel, 448, 128, part, &err));
        g_assert_cmphex(part[0], ==, 0);
        g_assert_cmphex(part[1], ==, 1 | 1 << 3 | 3 << 8);
        memset(bitmap, 0, sizeof(bitmap));
        g_assert_true(accel_dirty_collect(f.accel, 0, pages, bitmap, &err));
        g_assert_cmphex(bitmap[512 / 64], ==, 0);
        accel_dirty_stop(f.accel);
    }
    teardown(&f);
}

static void test_soft_refuses(gconstpointer options)
{
    g_autoptr(GError) err = NULL;
    Fixture f;

    if (setup(&f, options)) {
        f.cpu.seg[CPU_CS].access &= ~CPU_AR_L;
        g_assert_false(accel_load_cpu(f.accel, &f.cpu, &err));
        g_assert_cmpstr(err->message, ==,
                        "CPU 0 cannot run on the software CPU, which knows "
                        "only flat 64-bit mode: its code segment is not a "
                        "64-bit one");
    }
    teardown(&f);
}

static void add_tests(const char *name, const AccelOptions *options)
{
    static const struct {
        const char *name;
        void (*run)(gconstpointer options);
    } tests[] = {
        { "round-trip", test_round_trip }, { "run", test_run },
        { "stops-are-exact", test_stops_are_exact }, { "fault", test_fault },
        { "dirty-log", test_dirty_log }, { "throttle", test_throttle },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/%s/%s", name, tests[i].name);

        g_test_add_data_func(path, options, tests[i].run);
    }
}

int main(int argc, char **argv)
{
    static const AccelOptions kvm = { .kind = ACCEL_KVM };
    static const AccelOptions pagemap = {
        .kind = ACCEL_SOFT, .dirty_log = DIRTY_LOG_PAGEMAP,
    };
    static const AccelOptions hook = {
        .kind = ACCEL_SOFT, .dirty_log = DIRTY_LOG_HOOK,
    };

    g_test_init(&argc, &argv, NULL);
    add_tests("kvm", &kvm);
    add_tests("soft-pagemap", &pagemap);
    add_tests("soft-hook", &hook);
    g_test_add_data_func("/soft/refuses", &hook, test_soft_refuses);
    return g_test_run();
}
