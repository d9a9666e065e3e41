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

/* Where the stream comes from or goes to: one of the three is given, and
 * belongs to the migration. */
typedef struct Peer {
    bool incoming;
    IoChannel *channel;
    IoUri *uri;           /* to connect to */
    IoListener *listener; /* to accept from */
} Peer;

struct Migration {
    /* Constant from mig_new() on. */
    const MigHost *host;
    void *opaque;
    const Clock *clock;
    MigOptions options; /* the snapshot; live ones are in limit and below */
    RateLimit *limit;          /* has its own lock */
    Stall *stall;              /* has its own lock; a source starts it */
    Stats *stats;              /* has its own lock */
    GCancellable *connecting;  /* wakes connect and accept; any thread */

    /* Set before the thread starts, then the thread's; but peer.channel is
     * under lock, and freed last, as mig_cancel() aborts it. */
    Peer peer;
    pthread_t thread;

    /* Held over a change of state and its event, so that events come in
     * order, and before anybody else sees the state.  Recursive, as an event
     * may call mig_query().  Taken before lock. */
    pthread_mutex_t event_lock;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* ended, cancelled, continued, peer_failed or
                             * aborted was set */
    /* all below: lock */
    MigState state;
    bool started;
    bool cancelled;     /* mig_cancel() came in time */
    bool continued;     /* mig_continue() was called in pre-switchover */
    bool peer_failed;   /* the return path says so */
    bool aborted;       /* the channel was aborted: no commit after that */
    bool committed;     /* and no abort after this; see migration_commit() */
    bool ended;         /* the thread is about to return */
    bool joined;
    uint64_t downtime_limit_ms;
    uint64_t total_bytes; /* of RAM */
    unsigned throttle;    /* per cent taken from the guest */
    GError *error;      /* failed: why */
    /* clock readings; 0: not yet */
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

/* The first thing a thread does: wait for or open the channel, and encrypt
 * it where that is wanted.  The channel is the migration's. */
IoChannel *migration_open_channel(Migration *m, GError **errp);

/* The last thing. */
void migration_close_channel(Migration *m);

/* Free what is left of it. */
void peer_clear(Peer *peer);

/* commit.c */

/*
 * The commit point.  The thread passes it before it does what lets the other
 * end run the guest, or give it up; from then on nobody may end the migration
 * by aborting its channel, because that would not undo it.  Everything that
 * aborts asks under the same lock, so that either the abort comes first, and
 * this returns false, or the commit does, and the abort is refused.
 */
bool migration_commit(Migration *m, GError **errp);

/* The destination has the guest now, also when somebody has just cancelled:
 * that came too late. */
void migration_mark_handed_over(Migration *m);

bool migration_is_cancelled(Migration *m);

/*
 * A migration that cannot be cancelled any more may still wait: a source for
 * SHUT or for a command to end, a destination for GO or for the end of the
 * channel.  To wait no longer undoes nothing, and the source knows that: where
 * it has no answer the guest stays stopped.
 */
void migration_stop_waiting(Migration *m);

/* Let time pass until the handle's clock shows that; false, at once, when the
 * channel is aborted meanwhile. */
bool migration_sleep(Migration *m, int64_t until, GError **errp);

/* In pre-switchover: wait for mig_continue(); false when cancelled or when
 * the destination has failed meanwhile. */
bool migration_wait_continue(Migration *m, GError **errp);

/* The return path's calls: the destination has said something; it has failed
 * or is gone, so wake the thread from whatever it waits for. */
void migration_peer_alive(void *m);
void migration_peer_failed(void *m);

/* The stall's call: the destination does nothing, so make whatever waits for it
 * fail.  False, and nothing is done, past the commit point. */
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

/* The same, cancelled or not.  Both locks are held; lock is dropped. */
void migration_change_state_locked(Migration *m, MigState state);

/* Wait until the host has been told of the state that was entered last: a
 * cancel makes the thread fail before it has. */
void migration_await_event(Migration *m);

/* The outcome: err is NULL when the migration completed, and is taken over. */
void migration_conclude(Migration *m, GError *err);

/* What GIO and the threads report, in the library's own domain; takes err,
 * which may be NULL, over. */
GError *migration_own_error(GError *err);

void migration_cancelled_error(GError **errp);

#endif
