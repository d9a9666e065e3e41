/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/devices/guest-clock.h"

#include <glib.h>
#include <time.h>

#define NS_PER_SECOND 1000000000u

/* The clock is stopped when it is saved, and started after it was loaded. */
static const MigVMStateField clock_fields[] = {
    MIG_VMSTATE_U64(GuestClock, ns),
    MIG_VMSTATE_END
};

const MigVMState guest_clock_vmstate = {
    .name = "clock", .version = 1, .minimum_version = 1,
    .fields = clock_fields,
};

uint64_t guest_clock_host_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

void guest_clock_start(GuestClock *clock, uint64_t now)
{
    if (!clock->running) {
        clock->running = true;
        clock->started = now;
    }
}

void guest_clock_stop(GuestClock *clock, uint64_t now)
{
    clock->ns = guest_clock_ns(clock, now);
    clock->running = false;
}

uint64_t guest_clock_ns(const GuestClock *clock, uint64_t now)
{
    return clock->ns + (clock->running ? now - clock->started : 0);
}

/* Converts whole seconds apart from the rest, or the product would overflow
 * after an hour and a half. */
uint32_t guest_clock_timer(const GuestClock *clock, uint64_t now)
{
    uint64_t ns = guest_clock_ns(clock, now);

    return ns / NS_PER_SECOND * GUEST_CLOCK_TIMER_HZ +
           ns % NS_PER_SECOND * GUEST_CLOCK_TIMER_HZ / NS_PER_SECOND;
}
