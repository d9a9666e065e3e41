/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The handle owns what several threads look at: the state, the error, the
 * times, and the channel's address.  The work itself is done by one thread,
 * in source_run() or dest_run(), with data of its own.
 *
 * This file is the handle's life, from new to free, and stands above all
 * others: what the thread calls on the handle is below it, in state.c,
 * commit.c, peer.c, live.c and query.c.
 */
#include "ferry/migration.h"

#include "migration/internal.h"
#include "util/thread.h"

Migration *migration_new(const MigHost *host, void *opaque,
                         const MigOptions *options, const Clock *clock)
{
    Migration *m = g_new0(Migration, 1);

    m->host = host;
    m->opaque = opaque;
    m->clock = clock;
    m->options = *options;
    m->limit = ratelimit_new(clock, options->value[MIG_OPT_MAX_BANDWIDTH]);
    /* What a peer takes is real time, also in tests. */
    m->stall = stall_new(&clock_monotonic,
                         options->value[MIG_OPT_STALL_TIMEOUT]);
    m->stats = stats_new(clock);
    m->connecting = g_cancellable_new();
    m->downtime_limit_ms = options->value[MIG_OPT_DOWNTIME_LIMIT];
    thread_mutex_init_recursive(&m->event_lock);
    pthread_mutex_init(&m->lock, NULL);
    thread_cond_init(&m->changed);
    return m;
}

Migration *mig_new(const MigHost *host, void *opaque,
                   const MigOptions *options)
{
    return migration_new(host, opaque, options, &clock_monotonic);
}

/* The thread */

static void *migration_main(void *arg)
{
    Migration *m = arg;

    if (m->peer.incoming) {
        dest_run(m);
    } else {
        source_run(m);
    }
    migration_close_channel(m);

    pthread_mutex_lock(&m->lock);
    m->ended = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static bool start_locked(Migration *m, const Peer *peer, GError **errp)
{
    GError *err = NULL;

    if (m->started) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                    "this migration was already started");
        return false;
    }
    m->peer = *peer;
    m->start_time = clock_now(m->clock);
    m->started = thread_start(&m->thread, peer->incoming ? "mig/dst"
                                                         : "mig/src",
                              migration_main, m, &err);
    if (!m->started) {
        m->peer = (Peer){ 0 };
        g_propagate_error(errp, migration_own_error(err));
    }
    return m->started;
}

static bool migration_start(Migration *m, Peer peer, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    ok = start_locked(m, &peer, errp);
    if (ok) {
        migration_change_state_locked(m, MIG_STATE_SETUP);
    } else {
        pthread_mutex_unlock(&m->lock);
        peer_clear(&peer);
    }
    pthread_mutex_unlock(&m->event_lock);
    return ok;
}

bool mig_send(Migration *m, IoChannel *channel, GError **errp)
{
    return migration_start(m, (Peer){ .channel = channel }, errp);
}

bool mig_send_to(Migration *m, const IoUri *uri, GError **errp)
{
    return migration_start(m, (Peer){ .uri = io_uri_copy(uri) }, errp);
}

bool mig_receive(Migration *m, IoChannel *channel, GError **errp)
{
    return migration_start(m, (Peer){ .incoming = true, .channel = channel },
                           errp);
}

bool mig_receive_from(Migration *m, IoListener *listener, GError **errp)
{
    return migration_start(m,
                           (Peer){ .incoming = true, .listener = listener },
                           errp);
}

/* The end */

bool mig_wait(Migration *m, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    while (m->started && !m->ended) {
        pthread_cond_wait(&m->changed, &m->lock);
    }
    /* The thread takes no lock after it has set ended. */
    if (m->ended && !m->joined) {
        thread_join(m->thread);
        m->joined = true;
    }
    ok = m->state == MIG_STATE_COMPLETED;
    if (m->error && errp) {
        *errp = g_error_copy(m->error);
    } else if (!ok) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE,
                    "this migration was not started");
    }
    pthread_mutex_unlock(&m->lock);
    return ok;
}

void mig_free(Migration *m)
{
    if (!m) {
        return;
    }
    mig_cancel(m, NULL);
    migration_stop_waiting(m);
    mig_wait(m, NULL);
    peer_clear(&m->peer);
    g_clear_error(&m->error);
    g_object_unref(m->connecting);
    stats_free(m->stats);
    stall_free(m->stall);
    ratelimit_free(m->limit);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->event_lock);
    g_free(m);
}

const char *mig_version(void)
{
    return FERRY_VERSION;
}
