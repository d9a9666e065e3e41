/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/state.h"

#include "migration/internal.h"

#define BIT(state) (1u << (state))

#define ENDINGS (BIT(MIG_STATE_FAILED) | BIT(MIG_STATE_CANCELLING))

/*
 * A destination goes from active to completed.  A cancelled migration stays in
 * cancelling until its threads have noticed and the guest runs on, or until
 * they find that the destination already has the guest.
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

/* Entering one */

static void tell_state(Migration *m, MigState state)
{
    MigEvent event = { .type = MIG_EVENT_STATE, .state = state };

    if (m->host->event) {
        m->host->event(m->opaque, &event);
    }
}

void migration_change_state_locked(Migration *m, MigState state)
{
    g_assert(state_may_follow(m->state, state));
    m->state = state;
    if (state == MIG_STATE_ACTIVE) {
        m->active_time = clock_now(m->clock);
    }
    pthread_mutex_unlock(&m->lock);
    tell_state(m, state);
}

void migration_set_state(Migration *m, MigState state)
{
    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    if (m->cancelled) {
        pthread_mutex_unlock(&m->lock);
    } else {
        migration_change_state_locked(m, state);
    }
    pthread_mutex_unlock(&m->event_lock);
}

/* Whoever is still telling the host holds the lock. */
void migration_await_event(Migration *m)
{
    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_unlock(&m->event_lock);
}

/* The outcome */

void migration_cancelled_error(GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_CANCELLED,
                "the migration was cancelled");
}

GError *migration_own_error(GError *err)
{
    GError *own;

    if (!err || err->domain == MIG_ERROR) {
        return err;
    }
    own = g_error_new_literal(MIG_ERROR, MIG_ERROR_IO, err->message);
    g_error_free(err);
    return own;
}

static MigState final_state(const Migration *m)
{
    return m->cancelled ? MIG_STATE_CANCELLED
           : m->error   ? MIG_STATE_FAILED
                        : MIG_STATE_COMPLETED;
}

void migration_conclude(Migration *m, GError *err)
{
    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    g_assert(!(m->cancelled && !err));
    if (m->cancelled) {
        g_clear_error(&err);
        migration_cancelled_error(&err);
    }
    m->end_time = clock_now(m->clock);
    m->error = migration_own_error(err);
    migration_change_state_locked(m, final_state(m));
    pthread_mutex_unlock(&m->event_lock);
}
