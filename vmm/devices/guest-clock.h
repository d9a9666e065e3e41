/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest time: the nanoseconds for which the guest has run, here or before it
 * came here, and the ACPI PM timer that shows them.
 */
#ifndef VMM_DEVICES_GUEST_CLOCK_H
#define VMM_DEVICES_GUEST_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "ferry/vmstate.h"

#define GUEST_CLOCK_TIMER_HZ 3579545u

typedef struct GuestClock {
    uint64_t ns; /* guest time when it was last started or stopped */
    uint64_t started; /* host time at which it was started */
    bool running;
} GuestClock;

extern const MigVMState guest_clock_vmstate;

/* Host time, monotonic, in nanoseconds: what the calls below take as now. */
uint64_t guest_clock_host_now(void);

/* Do nothing when the clock is started, or stopped, already. */
void guest_clock_start(GuestClock *clock, uint64_t now);
void guest_clock_stop(GuestClock *clock, uint64_t now);

uint64_t guest_clock_ns(const GuestClock *clock, uint64_t now);
uint32_t guest_clock_timer(const GuestClock *clock, uint64_t now);

#endif
