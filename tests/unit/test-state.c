/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/state.h: every pair of states, against a table written by hand. */
#include "migration/state.h"

#include <glib.h>

#include "ferry/migration.h"

enum { STATES = MIG_STATE_CANCELLED + 1 };

/* In the order of MigState; '+' where the step from the row's state to the
 * column's may be made.
 *                        N S A P D C F c X   */
static const char *const table[STATES] = {
    [MIG_STATE_NONE] =           ". + . . . . . . .",
    [MIG_STATE_SETUP] =          ". . + . . . + + .",
    [MIG_STATE_ACTIVE] =         ". . . + + + + + .",
    [MIG_STATE_PRE_SWITCHOVER] = ". . . . + . + + .",
    [MIG_STATE_DEVICE] =         ". . . . . + + + .",
    [MIG_STATE_COMPLETED] =      ". . . . . . . . .",
    [MIG_STATE_FAILED] =         ". . . . . . . . .",
    [MIG_STATE_CANCELLING] =     ". . . . . + . . +",
    [MIG_STATE_CANCELLED] =      ". . . . . . . . .",
};

static void test_every_pair(void)
{
    for (unsigned from = 0; from < STATES; from++) {
        for (unsigned to = 0; to < STATES; to++) {
            g_assert_cmpint(state_may_follow(from, to), ==,
                            table[from][2 * to] == '+');
        }
    }
}

/* A migration that was started can always be ended, and an end is an end. */
static void test_ends(void)
{
    for (unsigned state = 0; state < STATES; state++) {
        bool has_next = false;

        for (unsigned to = 0; to < STATES; to++) {
            has_next |= state_may_follow(state, to);
        }
        if (state != MIG_STATE_NONE) {
            g_assert_cmpint(mig_state_is_final(state), ==, !has_next);
        }
    }
    g_assert_true(mig_state_is_final(MIG_STATE_NONE));
}

static void test_names(void)
{
    static const char *const names[STATES] = {
        "none", "setup", "active", "pre-switchover", "device", "completed",
        "failed", "cancelling", "cancelled",
    };

    for (unsigned state = 0; state < STATES; state++) {
        g_assert_cmpstr(mig_state_name(state), ==, names[state]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/state/every-pair", test_every_pair);
    g_test_add_func("/state/ends", test_ends);
    g_test_add_func("/state/names", test_names);
    return g_test_run();
}
