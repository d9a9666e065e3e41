/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The throttle of a thread that runs CPUs: how long it has to pause after it
 * has run.
 *
 * After THROTTLE_RUN_NS in the guest the thread pauses until the guest has run
 * for (100 - percent) per cent of the time.  Only the time that the guest has
 * really run counts: a slice that ends late makes the pause longer, and a guest
 * that idles by itself is not slowed further.
 *
 * percent is set while the thread waits at its gate (vcpu-gate.h).  All else is
 * the thread's.
 */
#ifndef VMM_VCPU_THROTTLE_H
#define VMM_VCPU_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_RUN_NS 10000000u

typedef struct VcpuThrottle {
    unsigned percent; /* 0..99; 0: never pause */
    uint64_t ran;     /* ns in the guest since the last pause */
    uint64_t until;   /* host time (guest_clock_host_now()): pause until then */
} VcpuThrottle;

/* Set percent, and end a pause. */
void vcpu_throttle_set(VcpuThrottle *throttle, unsigned percent);

/* The thread was in the guest from host time begin to end. */
void vcpu_throttle_ran(VcpuThrottle *throttle, uint64_t begin, uint64_t end);

static inline bool vcpu_throttle_is_pausing(const VcpuThrottle *throttle,
                                            uint64_t now)
{
    return now < throttle->until;
}

#endif
