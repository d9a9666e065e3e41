/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/vcpu-throttle.h"

#include <glib.h>

void vcpu_throttle_set(VcpuThrottle *throttle, unsigned percent)
{
    g_assert(percent < 100);
    *throttle = (VcpuThrottle) { .percent = percent };
}

void vcpu_throttle_ran(VcpuThrottle *throttle, uint64_t begin, uint64_t end)
{
    const unsigned percent = throttle->percent;

    if (percent == 0) {
        return;
    }
    throttle->ran += end - begin;
    if (throttle->ran >= THROTTLE_RUN_NS) {
        throttle->until = end + throttle->ran * percent / (100 - percent);
        throttle->ran = 0;
    }
}
