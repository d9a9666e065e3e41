/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The handle's inside, for the engine's own files. */
#ifndef MIGRATION_INTERNAL_H
#define MIGRATION_INTERNAL_H

#include <gio/gio.h>
#include <pthread.h>

#include "ferry/migration.h"
#include "migration/ram/stats.h"
#include "migration/ratelimit.h"
#include "migration/stall.h"
#include "util/clock.h"

/* Where the stream comes from or goes to.  Of channel, uri and listener one is
 * given when the migration starts, and belongs to it. */
typedef struct Peer {
    bool incoming;        /* constant once the migration has started */
    IoChannel *channel;   /* lock; given, or set by the thread when connected;
                           * cleared by the thread; read by whoever aborts */
    IoUri *uri;           /* to connect to; the thread's */
    IoListener *listener; /* to accept from; the thread's, until a source has
                           * come */
} Peer;

/*
 * "The thread" is the one that start_locked() starts.  It runs source_run() or
 * dest_run().  Any thread may make the other calls.
 */
struct Migration {
    /* Set by migration_new() and constant from then on: any thread reads. */
    const MigHost *host;
    void *opaque;
    const Clock *clock;
    MigOptions options;        /* as they were then; mig_set_live() does not
                                * change them */
    RateLimit *limit;          /* has its own lock */
    Stall *stall;              /* has its own lock; a source starts it */
    Stats *stats;              /* has its own lock */
    GCancellable *connecting;  /* wakes connect and accept; any thread */

    /* Set with lock held before the thread starts; then see Peer. */
    Peer peer;

    /* Held over a change of state and the event that tells the host, so that
     * events come in order and nobody else sees the state before its event.
     * Recursive, because an event may call mig_query().  Taken before lock. */
    pthread_mutex_t event_lock;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* ended, cancelled, continued, peer_failed or
                             * aborted was set */

    /* Everything below is set and read with lock held.  The comments name the
     * setter.  mig_query(), mig_wait() and the functions of commit.c read. */
    MigState state;     /* whoever also holds event_lock */
    bool started;       /* mig_send...(), mig_receive...() */
    pthread_t thread;   /* the same; mig_wait() joins it */
    bool cancelled;     /* mig_cancel(), in time; cleared by the thread when the
                         * guest was handed over all the same */
    bool continued;     /* mig_continue(), in pre-switchover */
    bool peer_failed;   /* the return path's thread */
    bool aborted;       /* whoever aborts the channel: no commit after that */
    bool committed;     /* the thread: an abort is refused after that; see
                         * migration_commit() */
    bool ended;         /* the thread, as the last thing it does */
    bool joined;        /* mig_wait() */
    uint64_t downtime_limit_ms; /* mig_set_live(); the thread reads */
    uint64_t total_bytes; /* of RAM; the thread */
    unsigned throttle;    /* per cent taken from the guest; the thread */
    GError *error;        /* why it failed; the thread, when it concludes */
    /* Clock readings; 0: not yet.  The first by mig_send...() and
     * mig_receive...(), the others by the thread. */
    int64_t start_time;
    int64_t active_time;
    int64_t stop_time;
    int64_t handover_time;
    int64_t end_time;
};

/* migration.c, which stands above all others */

/* For tests: mig_new() with a clock, which must outlive the handle. */
Migration *migration_new(const MigHost *host, void *opaque,
                         const MigOptions *options, const Clock *clock);

/* source.c and dest.c */

/* What the thread does, from the channel to the outcome. */
void source_run(Migration *m);
void dest_run(Migration *m);

/* peer.c */

/* The first thing the thread does: connect or accept, and encrypt the channel
 * if tls-creds is set.  The channel is the migration's. */
IoChannel *migration_open_channel(Migration *m, GError **errp);

/* The last thing: close it, and an fd: URI's descriptor that no channel was
 * made of. */
void migration_close_channel(Migration *m);

/* Free what is left of the three. */
void peer_clear(Peer *peer);

/* commit.c */

/*
 * The commit point.  The thread passes it before it does what lets the other
 * end run the guest, or give it up.  From then on nobody may end the migration
 * by aborting its channel, because that would not undo it.  Whoever wants to
 * abort asks under the same lock.  If the abort comes first, this returns
 * false; if the commit comes first, the abort is refused.
 */
bool migration_commit(Migration *m, GError **errp);

/* The destination has the guest now.  A cancel that has just come was too late
 * and is forgotten. */
void migration_mark_handed_over(Migration *m);

bool migration_is_cancelled(Migration *m);

/*
 * Past the commit point a migration may still wait: a source for SHUT or for a
 * command to end, a destination for GO or for the end of the channel.  This
 * ends the wait, which undoes nothing: a source that has no answer leaves its
 * guest stopped.
 */
void migration_stop_waiting(Migration *m);

/* Sleep until the handle's clock shows that time.  False, at once, when the
 * channel is aborted meanwhile. */
bool migration_sleep(Migration *m, int64_t until, GError **errp);

/* In pre-switchover: wait for mig_continue().  False when the migration is
 * cancelled or the destination fails meanwhile. */
bool migration_wait_continue(Migration *m, GError **errp);

/* The return path's calls.  The first: the destination has said something.  The
 * second: it has failed or is gone, so the thread is woken from whatever it
 * waits for. */
void migration_peer_alive(void *m);
void migration_peer_failed(void *m);

/* The stall's call: the destination does nothing, so the thread's wait for it
 * is made to fail.  False, and nothing is done, past the commit point. */
bool migration_stalled(void *m);

/* live.c */

uint64_t migration_downtime_limit_ms(Migration *m);

/* query.c: what the thread tells a query. */

void migration_set_total(Migration *m, uint64_t bytes);
void migration_set_throttle(Migration *m, unsigned percent);

/* The guest stops now. */
void migration_mark_stopped(Migration *m);

/* state.c */

/* Enter a state, unless the migration has been cancelled; tell the host. */
void migration_set_state(Migration *m, MigState state);

/* The same, also when cancelled.  The caller holds both locks; lock is
 * dropped. */
void migration_change_state_locked(Migration *m, MigState state);

/* Wait until the host has been told of the state that was entered last.  A
 * cancel makes the thread fail before the host knows of cancelling. */
void migration_await_event(Migration *m);

/* Enter the final state.  err is NULL when the migration completed, and is
 * taken over. */
void migration_conclude(Migration *m, GError *err);

/* Errors of GIO and of threads, turned into the library's own domain.  err may
 * be NULL, and is taken over. */
GError *migration_own_error(GError *err);

void migration_cancelled_error(GError **errp);

#endif
