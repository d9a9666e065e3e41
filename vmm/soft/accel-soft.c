/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software accelerator: CPUs of the Unicorn library.
 *
 * An atomic instruction of one engine is not atomic for another, so all CPUs
 * share one thread, which runs them in turn, a slice of SLICE_BLOCKS basic
 * blocks each.
 *
 * Slices end, and stops are obeyed, in a hook that Unicorn calls at the start
 * of every basic block.  The hook costs less than can be measured beside
 * Unicorn's own work.  And only there does uc_emu_stop() leave RIP and the
 * flags exact: called from another thread, it lets the engine go on from a
 * stale RIP.  An instruction count (the last argument of uc_emu_start()) would
 * be hooked at every instruction.  A slice ends in the hook or by HLT, and a
 * flag tells which.
 *
 * Unicorn looks accesses up by their virtual address, so a guest must map its
 * memory one to one.  Unicorn delivers no exceptions, so a fault ends in
 * failed().
 *
 * The fall-back for the dirty log is a hook, too, which is called before every
 * store.  The store itself comes later, so the pages are collected while the
 * CPUs' thread waits at the gate.
 */
#include "vmm/accel.h"

#include <string.h>
#include <unicorn/unicorn.h>

#include "ferry/error.h"
#include "ferry/host.h"
#include "vmm/soft/dirty-pagemap.h"
#include "vmm/soft/soft-state.h"
#include "vmm/vcpu-gate.h"
#include "vmm/vcpu-throttle.h"

#define SLICE_BLOCKS 20000

/* A guest never executes here: the address is not canonical. */
#define NO_ADDRESS 0x8000000000000000u

typedef struct SoftAccel SoftAccel;

/* The CPUs' thread's.  While that waits at the gate, also of the thread that
 * loads or saves the state. */
typedef struct SoftCpu {
    SoftAccel *accel;
    unsigned index;
    uc_engine *uc;
    CpuState shadow; /* see soft-state.h */
    bool halted;
    bool interrupted;    /* the slice was ended by the hook, not by HLT */
    int budget;          /* blocks left in this slice */
    uint64_t idle_until; /* host time */
} SoftCpu;

struct SoftAccel {
    Accel accel;
    VcpuGate gate;
    VcpuThrottle throttle; /* see vcpu-throttle.h */
    pthread_t thread;
    bool has_thread;
    bool use_hook; /* for the dirty log, else pagemap */
    DirtyPagemap pagemap;
    /* With use_hook, while logging: the pages written.  The CPUs' thread's.
     * While that waits at the gate, also the migration thread's. */
    uint64_t *written;
    SoftCpu cpus[];
};

static SoftAccel *soft_of(Accel *accel)
{
    return (SoftAccel *)accel;
}

static uint64_t page_count(const SoftAccel *soft)
{
    return soft->accel.board.ram->size >> MIG_PAGE_BITS;
}

static bool fail_uc(const char *what, uc_err err, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "unicorn: %s: %s", what,
                uc_strerror(err));
    return false;
}

/* Hooks */

static void on_block(uc_engine *uc, uint64_t address, uint32_t size,
                     void *opaque)
{
    SoftCpu *cpu = opaque;

    if (--cpu->budget < 0 || !vcpu_gate_looks_open(&cpu->accel->gate)) {
        cpu->interrupted = true;
        uc_emu_stop(uc);
    }
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *opaque)
{
    SoftCpu *cpu = opaque;

    return port_bus_read(cpu->accel->accel.board.ports, port, size);
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value,
                   void *opaque)
{
    SoftCpu *cpu = opaque;
    uint32_t idle =
        port_bus_write(cpu->accel->accel.board.ports, port, size, value);

    if (idle) {
        cpu->idle_until = guest_clock_host_now() + idle * UINT64_C(1000);
        cpu->budget = 0; /* until the next block */
    }
}

static void on_store(uc_engine *uc, uc_mem_type type, uint64_t address,
                     int size, int64_t value, void *opaque)
{
    SoftAccel *soft = opaque;
    uint64_t n, last = (address + size - 1) >> MIG_PAGE_BITS;

    if (!soft->written || last >= page_count(soft)) {
        return;
    }
    for (n = address >> MIG_PAGE_BITS; n <= last; n++) {
        soft->written[n / 64] |= UINT64_C(1) << (n % 64);
    }
}

/* Running */

static void report_failure(SoftCpu *cpu, uc_err err)
{
    SoftAccel *soft = cpu->accel;
    const AccelBoard *board = &soft->accel.board;
    uint64_t rip = 0;
    g_autofree char *why = NULL;

    uc_reg_read(cpu->uc, UC_X86_REG_RIP, &rip);
    why = g_strdup_printf("%s at RIP 0x%" G_GINT64_MODIFIER "x",
                          uc_strerror(err), rip);
    board->failed(board->opaque, cpu->index, why);
    vcpu_gate_sleep(&soft->gate, VCPU_GATE_FOREVER);
}

static void run_slice(SoftCpu *cpu)
{
    uint64_t rip = 0;
    uc_err err;

    cpu->budget = SLICE_BLOCKS;
    cpu->interrupted = false;
    uc_reg_read(cpu->uc, UC_X86_REG_RIP, &rip);
    err = uc_emu_start(cpu->uc, rip, NO_ADDRESS, 0, 0);
    if (err != UC_ERR_OK) {
        report_failure(cpu, err);
    } else if (!cpu->interrupted) {
        cpu->halted = true;
    }
}

/* The next CPU after *last that can run now.  NULL, and *wake, when one has to
 * be waited for. */
static SoftCpu *next_cpu(SoftAccel *soft, unsigned *last, uint64_t now,
                         uint64_t *wake)
{
    const unsigned count = soft->accel.board.cpu_count;
    unsigned i;

    if (vcpu_throttle_is_pausing(&soft->throttle, now)) {
        *wake = soft->throttle.until;
        return NULL;
    }
    *wake = VCPU_GATE_FOREVER;
    for (i = 1; i <= count; i++) {
        SoftCpu *cpu = &soft->cpus[(*last + i) % count];

        if (cpu->halted) {
            continue;
        }
        if (cpu->idle_until <= now) {
            *last = cpu->index;
            return cpu;
        }
        *wake = MIN(*wake, cpu->idle_until);
    }
    return NULL;
}

static void run_cpus(SoftAccel *soft)
{
    const AccelBoard *board = &soft->accel.board;
    unsigned last = board->cpu_count - 1;

    while (vcpu_gate_is_open(&soft->gate)) {
        uint64_t wake, now = guest_clock_host_now();
        SoftCpu *cpu = next_cpu(soft, &last, now, &wake);

        if (cpu) {
            run_slice(cpu);
            vcpu_throttle_ran(&soft->throttle, now, guest_clock_host_now());
            continue;
        }
        if (wake == VCPU_GATE_FOREVER) {
            board->halted(board->opaque);
        }
        vcpu_gate_sleep(&soft->gate, wake);
    }
}

static void *soft_thread(void *opaque)
{
    SoftAccel *soft = opaque;

    while (vcpu_gate_wait(&soft->gate)) {
        run_cpus(soft);
    }
    return NULL;
}

static void soft_start(Accel *accel)
{
    vcpu_gate_open(&soft_of(accel)->gate);
}

static void soft_stop(Accel *accel)
{
    vcpu_gate_close(&soft_of(accel)->gate, NULL, NULL);
}

static void soft_throttle(Accel *accel, unsigned percent)
{
    vcpu_throttle_set(&soft_of(accel)->throttle, percent);
}

/* CPU state */

static bool soft_load_cpu(Accel *accel, const CpuState *state, GError **errp)
{
    SoftCpu *cpu = &soft_of(accel)->cpus[state->index];

    cpu->halted = state->halted;
    cpu->idle_until = 0;
    return soft_state_load(cpu->uc, &cpu->shadow, state, errp);
}

static bool soft_save_cpu(Accel *accel, CpuState *state, GError **errp)
{
    SoftCpu *cpu = &soft_of(accel)->cpus[state->index];

    state->halted = cpu->halted;
    soft_state_save(cpu->uc, &cpu->shadow, state);
    return true;
}

/* The dirty log */

/* Let the CPUs' thread wait at the gate.  True when it was running. */
static bool pause_cpus(SoftAccel *soft)
{
    bool open = vcpu_gate_looks_open(&soft->gate);

    vcpu_gate_close(&soft->gate, NULL, NULL);
    return open;
}

static void resume_cpus(SoftAccel *soft, bool open)
{
    if (open) {
        vcpu_gate_open(&soft->gate);
    }
}

static size_t bitmap_words(const SoftAccel *soft)
{
    return (page_count(soft) + 63) / 64;
}

static void hook_set_log(SoftAccel *soft, uint64_t *written)
{
    bool open = pause_cpus(soft);

    g_free(soft->written);
    soft->written = written;
    resume_cpus(soft, open);
}

static void hook_collect(SoftAccel *soft, uint64_t first, uint64_t pages,
                         uint64_t *bitmap)
{
    bool open = pause_cpus(soft);
    uint64_t *written = soft->written + first / 64;

    for (uint64_t i = 0; i < (pages + 63) / 64; i++) {
        bitmap[i] |= written[i];
        written[i] = 0;
    }
    resume_cpus(soft, open);
}

static bool soft_dirty_start(Accel *accel, GError **errp)
{
    SoftAccel *soft = soft_of(accel);

    if (soft->use_hook) {
        hook_set_log(soft, g_new0(uint64_t, bitmap_words(soft)));
        return true;
    }
    return dirty_pagemap_start(&soft->pagemap, accel->board.ram, errp);
}

static bool soft_dirty_collect(Accel *accel, uint64_t first, uint64_t pages,
                               uint64_t *bitmap, GError **errp)
{
    SoftAccel *soft = soft_of(accel);
    const GuestRam part = {
        .host = accel->board.ram->host + (first << MIG_PAGE_BITS),
        .size = pages << MIG_PAGE_BITS,
    };

    if (soft->use_hook) {
        hook_collect(soft, first, pages, bitmap);
        return true;
    }
    return dirty_pagemap_collect(&soft->pagemap, &part, bitmap, errp);
}

static void soft_dirty_stop(Accel *accel)
{
    SoftAccel *soft = soft_of(accel);

    if (soft->use_hook) {
        hook_set_log(soft, NULL);
    } else {
        dirty_pagemap_stop(&soft->pagemap, accel->board.ram);
    }
}

/* Making and freeing */

typedef struct SoftHook {
    int type;
    void *callback;
    void *opaque;
    int instruction;
} SoftHook;

static bool add_hooks(SoftCpu *cpu, GError **errp)
{
    const SoftHook hooks[] = {
        { UC_HOOK_BLOCK, on_block, cpu, 0 },
        { UC_HOOK_INSN, on_in, cpu, UC_X86_INS_IN },
        { UC_HOOK_INSN, on_out, cpu, UC_X86_INS_OUT },
        { UC_HOOK_MEM_WRITE, on_store, cpu->accel, 0 },
    };
    unsigned i, count = G_N_ELEMENTS(hooks) - (cpu->accel->use_hook ? 0 : 1);

    for (i = 0; i < count; i++) {
        uc_hook unused;
        uc_err err = uc_hook_add(cpu->uc, &unused, hooks[i].type,
                                 hooks[i].callback, hooks[i].opaque, 1, 0,
                                 hooks[i].instruction);

        if (err != UC_ERR_OK) {
            return fail_uc("cannot add a hook", err, errp);
        }
    }
    return true;
}

static bool make_cpu(SoftCpu *cpu, GError **errp)
{
    const GuestRam *ram = cpu->accel->accel.board.ram;
    uc_err err = uc_open(UC_ARCH_X86, UC_MODE_64, &cpu->uc);

    if (err != UC_ERR_OK) {
        cpu->uc = NULL;
        return fail_uc("cannot make a CPU", err, errp);
    }
    err = uc_mem_map_ptr(cpu->uc, 0, ram->size, UC_PROT_ALL, ram->host);
    if (err != UC_ERR_OK) {
        return fail_uc("cannot map the guest's RAM", err, errp);
    }
    return add_hooks(cpu, errp);
}

static bool init_dirty_log(SoftAccel *soft, DirtyLogKind kind, GError **errp)
{
    soft->use_hook = kind == DIRTY_LOG_HOOK;
    if (soft->use_hook || dirty_pagemap_init(&soft->pagemap, errp)) {
        return true;
    }
    if (kind == DIRTY_LOG_DEFAULT) {
        g_clear_error(errp);
        soft->use_hook = true;
    }
    return soft->use_hook;
}

static void soft_free(Accel *accel)
{
    SoftAccel *soft = soft_of(accel);
    unsigned i;

    vcpu_gate_quit(&soft->gate);
    if (soft->has_thread) {
        pthread_join(soft->thread, NULL);
    }
    for (i = 0; i < accel->board.cpu_count; i++) {
        if (soft->cpus[i].uc) {
            uc_close(soft->cpus[i].uc);
        }
    }
    dirty_pagemap_destroy(&soft->pagemap);
    vcpu_gate_destroy(&soft->gate);
    g_free(soft->written);
    g_free(soft);
}

static Accel *soft_new(const AccelBoard *board, const AccelOptions *options,
                       GError **errp)
{
    SoftAccel *soft =
        g_malloc0(sizeof(*soft) + board->cpu_count * sizeof(soft->cpus[0]));
    bool ok;
    unsigned i;

    soft->accel = (Accel) { .ops = &accel_soft_ops, .board = *board };
    soft->pagemap = (DirtyPagemap) { .uffd = -1, .pagemap = -1 };
    vcpu_gate_init(&soft->gate);
    ok = init_dirty_log(soft, options->dirty_log, errp);
    for (i = 0; ok && i < board->cpu_count; i++) {
        soft->cpus[i].accel = soft;
        soft->cpus[i].index = i;
        ok = make_cpu(&soft->cpus[i], errp);
    }
    ok = ok && vcpu_gate_add_thread(&soft->gate, &soft->thread, "vcpu",
                                    soft_thread, soft, errp);
    soft->has_thread = ok;
    if (!ok) {
        soft_free(&soft->accel);
        return NULL;
    }
    return &soft->accel;
}

const AccelOps accel_soft_ops = {
    .name = "soft",
    .new = soft_new,
    .free = soft_free,
    .start = soft_start,
    .stop = soft_stop,
    .throttle = soft_throttle,
    .load_cpu = soft_load_cpu,
    .save_cpu = soft_save_cpu,
    .dirty_start = soft_dirty_start,
    .dirty_collect = soft_dirty_collect,
    .dirty_stop = soft_dirty_stop,
};
