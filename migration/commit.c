/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A cancel marks the handle and then makes everything that the thread could
 * be blocked in fail: connect and accept, the channel, the rate limit.  The
 * thread gets an error and cleans up as after any failure.  Because of the mark
 * the migration ends as cancelled and not as failed.
 *
 * Past the commit point a cancel would not undo the migration, and is refused.
 */
#include "migration/internal.h"

/* Aborting, and when it is too late */

/* Whoever would end the migration by aborting its channel calls this.  False:
 * too late, and nothing is done. */
static bool abort_locked(Migration *m)
{
    if (m->committed) {
        return false;
    }
    m->aborted = true;
    pthread_cond_broadcast(&m->changed);
    if (m->peer.channel) {
        io_channel_abort(m->peer.channel);
    }
    return true;
}

bool migration_commit(Migration *m, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = !m->aborted;
    m->committed = ok;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        migration_cancelled_error(errp);
    }
    return ok;
}

void migration_mark_handed_over(Migration *m)
{
    pthread_mutex_lock(&m->lock);
    m->handover_time = clock_now(m->clock);
    m->committed = true;
    m->cancelled = false;
    pthread_mutex_unlock(&m->lock);
}

static bool too_late(const Migration *m, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                m->peer.incoming
                    ? "Too late to cancel: everything has come, the source "
                      "may have given the guest up"
                    : "Too late to cancel: the end is being sent or was, and "
                      "the destination may run the guest");
    return false;
}

bool mig_cancel(Migration *m, GError **errp)
{
    bool running, ok = true;

    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    running = m->started && !mig_state_is_final(m->state);
    if (!running || m->committed || m->cancelled) {
        ok = !running || !m->committed || too_late(m, errp);
        pthread_mutex_unlock(&m->lock);
        pthread_mutex_unlock(&m->event_lock);
        return ok;
    }
    m->cancelled = abort_locked(m);
    pthread_cond_broadcast(&m->changed);
    migration_change_state_locked(m, MIG_STATE_CANCELLING);
    pthread_mutex_unlock(&m->event_lock);

    g_cancellable_cancel(m->connecting);
    ratelimit_cancel(m->limit);
    return ok;
}

void migration_stop_waiting(Migration *m)
{
    pthread_mutex_lock(&m->lock);
    if (m->committed && m->peer.channel) {
        io_channel_abort(m->peer.channel);
    }
    pthread_mutex_unlock(&m->lock);
    ratelimit_cancel(m->limit);
}

bool migration_is_cancelled(Migration *m)
{
    bool cancelled;

    pthread_mutex_lock(&m->lock);
    cancelled = m->cancelled;
    pthread_mutex_unlock(&m->lock);
    return cancelled;
}

/* What the threads beside the migration's report */

void migration_peer_alive(void *opaque)
{
    const Migration *m = opaque;

    stall_put_off(m->stall);
}

void migration_peer_failed(void *opaque)
{
    Migration *m = opaque;

    pthread_mutex_lock(&m->lock);
    m->peer_failed = true;
    m->aborted = true;
    /* Also past the commit point: the destination will say no more, and nobody
     * needs what is still being written. */
    io_channel_abort(m->peer.channel);
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    ratelimit_cancel(m->limit);
}

bool migration_stalled(void *opaque)
{
    Migration *m = opaque;
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = abort_locked(m);
    pthread_mutex_unlock(&m->lock);
    if (ok) {
        g_cancellable_cancel(m->connecting);
    }
    return ok;
}

/* Waits that an abort ends */

bool migration_sleep(Migration *m, int64_t until, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    while (!m->aborted && clock_now(m->clock) < until) {
        m->clock->wait(m->clock, &m->changed, &m->lock, until);
    }
    ok = !m->aborted;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        migration_cancelled_error(errp);
    }
    return ok;
}

bool migration_wait_continue(Migration *m, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    while (!m->continued && !m->cancelled && !m->peer_failed) {
        pthread_cond_wait(&m->changed, &m->lock);
    }
    ok = m->continued;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        migration_cancelled_error(errp);
    }
    return ok;
}

bool mig_continue(Migration *m, MigState state, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = m->state == state && state == MIG_STATE_PRE_SWITCHOVER;
    if (ok) {
        m->continued = true;
        pthread_cond_broadcast(&m->changed);
    } else {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                    "Migration not in expected state: %s",
                    mig_state_name(m->state));
    }
    pthread_mutex_unlock(&m->lock);
    return ok;
}
