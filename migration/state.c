/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/state.h"

#include <glib.h>

#include "ferry/migration.h"

#define BIT(state) (1u << (state))

#define ENDINGS (BIT(MIG_STATE_FAILED) | BIT(MIG_STATE_CANCELLING))

/*
 * A destination goes from active to completed.  A cancelled migration passes
 * through cancelling, until its threads have noticed and the guest runs on; or
 * until they find that the destination had it already.
 */
static const unsigned followers[] = {
    [MIG_STATE_NONE] = BIT(MIG_STATE_SETUP),
    [MIG_STATE_SETUP] = BIT(MIG_STATE_ACTIVE) | ENDINGS,
    [MIG_STATE_ACTIVE] = BIT(MIG_STATE_PRE_SWITCHOVER) |
                         BIT(MIG_STATE_DEVICE) | BIT(MIG_STATE_COMPLETED) |
                         ENDINGS,
    [MIG_STATE_PRE_SWITCHOVER] = BIT(MIG_STATE_DEVICE) | ENDINGS,
    [MIG_STATE_DEVICE] = BIT(MIG_STATE_COMPLETED) | ENDINGS,
    [MIG_STATE_COMPLETED] = 0,
    [MIG_STATE_FAILED] = 0,
    [MIG_STATE_CANCELLING] = BIT(MIG_STATE_CANCELLED) |
                             BIT(MIG_STATE_COMPLETED),
    [MIG_STATE_CANCELLED] = 0,
};

static const char *const names[] = {
    [MIG_STATE_NONE] = "none",
    [MIG_STATE_SETUP] = "setup",
    [MIG_STATE_ACTIVE] = "active",
    [MIG_STATE_PRE_SWITCHOVER] = "pre-switchover",
    [MIG_STATE_DEVICE] = "device",
    [MIG_STATE_COMPLETED] = "completed",
    [MIG_STATE_FAILED] = "failed",
    [MIG_STATE_CANCELLING] = "cancelling",
    [MIG_STATE_CANCELLED] = "cancelled",
};

bool state_may_follow(MigState from, MigState to)
{
    return followers[from] & BIT(to);
}

const char *mig_state_name(MigState state)
{
    g_assert(state < G_N_ELEMENTS(names));
    return names[state];
}

bool mig_state_is_final(MigState state)
{
    return state == MIG_STATE_NONE || state == MIG_STATE_COMPLETED ||
           state == MIG_STATE_FAILED || state == MIG_STATE_CANCELLED;
}
