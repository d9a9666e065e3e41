/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accelerators: what runs the virtual CPUs.
 *
 * An Accel is made stopped.  accel_start() lets its CPUs run, accel_stop()
 * waits until none runs.  Both may be called in any state, by one thread at a
 * time.  CPU state is moved, and the throttle set, only while the Accel is
 * stopped.  The dirty log may be used at any time, by one thread.
 */
#ifndef VMM_ACCEL_H
#define VMM_ACCEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/cpu.h"
#include "vmm/devices/port-bus.h"
#include "vmm/guest-ram.h"

typedef enum {
    ACCEL_DEFAULT, /* kvm where it works and is fast enough, else soft */
    ACCEL_KVM,
    ACCEL_SOFT,
} AccelKind;

/* How the software CPU finds the pages that the guest wrote. */
typedef enum {
    DIRTY_LOG_DEFAULT, /* pagemap where the kernel has it, else hook */
    DIRTY_LOG_PAGEMAP,
    DIRTY_LOG_HOOK,
} DirtyLogKind;

typedef struct AccelOptions {
    AccelKind kind;
    DirtyLogKind dirty_log;
} AccelOptions;

/*
 * What the CPUs are connected to.  halted and failed are called at most once
 * per accel_start(), by a CPU's thread, which then waits to be stopped.  So
 * they must not call accel_stop().
 */
typedef struct AccelBoard {
    GuestRam *ram;
    PortBus *ports;
    unsigned cpu_count;
    void *opaque;
    void (*halted)(void *opaque); /* every CPU has executed HLT */
    void (*failed)(void *opaque, unsigned cpu, const char *why);
} AccelBoard;

typedef struct AccelOps {
    const char *name;
    Accel *(*new)(const AccelBoard *board, const AccelOptions *options,
                  GError **errp);
    void (*free)(Accel *accel);
    void (*start)(Accel *accel);
    void (*stop)(Accel *accel);
    void (*throttle)(Accel *accel, unsigned percent);
    bool (*load_cpu)(Accel *accel, const CpuState *state, GError **errp);
    bool (*save_cpu)(Accel *accel, CpuState *state, GError **errp);
    bool (*dirty_start)(Accel *accel, GError **errp);
    /* See accel_dirty_collect(). */
    bool (*dirty_collect)(Accel *accel, uint64_t first, uint64_t pages,
                          uint64_t *bitmap, GError **errp);
    void (*dirty_stop)(Accel *accel);
} AccelOps;

/* The first member of every accelerator's own structure. */
struct Accel {
    const AccelOps *ops;
    AccelBoard board;
};

extern const AccelOps accel_kvm_ops;
#ifdef HAVE_UNICORN
extern const AccelOps accel_soft_ops;
#endif

/*
 * accel-choice.c: choose and make the accelerator, see docs/machine.md,
 * "Accelerators".  The board's RAM is not touched.
 */
Accel *accel_new(const AccelOptions *options, const AccelBoard *board,
                 GError **errp);

void accel_free(Accel *accel); /* stops; NULL is fine */
void accel_start(Accel *accel);
void accel_stop(Accel *accel);
/* Let each CPU run (100 - percent) per cent of the time: vcpu-throttle.h. */
void accel_throttle(Accel *accel, unsigned percent);
bool accel_load_cpu(Accel *accel, const CpuState *state, GError **errp);
bool accel_save_cpu(Accel *accel, CpuState *state, GError **errp);
bool accel_dirty_start(Accel *accel, GError **errp);
/* Collect for so many pages from first on, which is a multiple of 64, and bit 0
 * of bitmap; see dirty_log_collect_part in ferry/host.h. */
bool accel_dirty_collect(Accel *accel, uint64_t first, uint64_t pages,
                         uint64_t *bitmap, GError **errp);
void accel_dirty_stop(Accel *accel);

#endif
