/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls of an accelerator's table, once there is one: accel-choice.c. */
#include "vmm/accel.h"

void accel_free(Accel *accel)
{
    if (accel) {
        accel_stop(accel);
        accel->ops->free(accel);
    }
}

void accel_start(Accel *accel)
{
    accel->ops->start(accel);
}

void accel_stop(Accel *accel)
{
    accel->ops->stop(accel);
}

void accel_throttle(Accel *accel, unsigned percent)
{
    accel->ops->throttle(accel, percent);
}

bool accel_load_cpu(Accel *accel, const CpuState *state, GError **errp)
{
    return accel->ops->load_cpu(accel, state, errp);
}

bool accel_save_cpu(Accel *accel, CpuState *state, GError **errp)
{
    return accel->ops->save_cpu(accel, state, errp);
}

bool accel_dirty_start(Accel *accel, GError **errp)
{
    return accel->ops->dirty_start(accel, errp);
}

bool accel_dirty_collect(Accel *accel, uint64_t first, uint64_t pages,
                         uint64_t *bitmap, GError **errp)
{
    return accel->ops->dirty_collect(accel, first, pages, bitmap, errp);
}

void accel_dirty_stop(Accel *accel)
{
    accel->ops->dirty_stop(accel);
}
