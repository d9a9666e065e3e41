/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration handle.
 *
 * A Migration is one attempt to send a guest to another process, or to receive
 * one from there.  A second attempt is a second handle.  Any number of handles
 * can be at work in one process.
 *
 *     Migration *m = mig_new(&host, vm, &options);
 *     if (!mig_send_to(m, uri, &err)) ...       returns at once
 *     if (!mig_wait(m, &err)) ...               until it has ended
 *     mig_free(m);
 *
 * Unless it says otherwise, every function may be called from any thread except
 * the library's own (see docs/threads.md).  mig_free() is called last.
 */
#ifndef FERRY_MIGRATION_H
#define FERRY_MIGRATION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "ferry/error.h"
#include "ferry/host.h"
#include "ferry/options.h"
#include "ferry/uri.h"

G_BEGIN_DECLS

typedef struct Migration Migration;

/*
 * Make a handle in state none.  host and opaque must outlive it; options is
 * copied.  Never fails.
 */
Migration *mig_new(const MigHost *host, void *opaque,
                   const MigOptions *options);

/*
 * Start sending, or receiving, and return at once.  Exactly one of the four may
 * be called on a handle, once.  The handle takes the channel or the listener
 * (not the URI, which is copied), also on failure.  False only when nothing
 * could be started (no memory for a thread, a handle already used).  Once a
 * migration has been started, the descriptor of an fd: URI belongs to it.  The
 * descriptor is closed when the migration ends, even if it could not be used;
 * then only the standard ones, 0 to 2, stay open.
 *
 * With mig_send_to() the migration's thread connects, so that the migration can
 * be cancelled while a host does not answer.  A failure to connect is a failure
 * of the migration.  mig_receive_from() waits as mig_accept() does, and closes
 * the listener when a source has come.
 *
 * With tls-creds set, the channel is encrypted before anything is sent, unless
 * it is encrypted already; with mig_send() tls-hostname must be set then.  If
 * the folder of certificates cannot be used, the migration fails before it
 * connects, or waits for a connection.
 *
 * RAM at the destination must read as zero.
 */
bool mig_send(Migration *m, IoChannel *channel, GError **errp);
bool mig_send_to(Migration *m, const IoUri *uri, GError **errp);
bool mig_receive(Migration *m, IoChannel *channel, GError **errp);
bool mig_receive_from(Migration *m, IoListener *listener, GError **errp);

/*
 * For a host that makes its handle only when the source is there: wait in the
 * caller's thread until a migration begins, and return its channel for
 * mig_receive().
 *
 * Anybody may connect to a socket meanwhile.  A peer that sends the header of a
 * migration's stream within ten seconds is a source.  Any other peer is turned
 * away, with a warning in GLib's log (domain "ferry").  Strangers neither end
 * the wait nor hold up a source, and when a source has come the others are
 * turned away.  The listener remains the caller's; to free it closes it.  Other
 * listeners (exec, fd, file) are opened at once, and any peer is taken.
 *
 * tls_creds, which may be NULL, is called by the same thread for each peer, and
 * returns a copy of the present value of tls-creds.  If that is set, the
 * channel is encrypted before the header is read.  cancel may be NULL.
 */
IoChannel *mig_accept(IoListener *listener, char *(*tls_creds)(void *opaque),
                      void *opaque, GCancellable *cancel, GError **errp);

/*
 * Ask a running migration to end.  Returns at once.  The migration ends in
 * cancelled, with the guest running on at the source, or in completed when
 * the guest had already been handed over.  On a handle that was not started or
 * has ended, nothing is done, which is no error.
 *
 * MIG_ERROR_STATE when the call comes too late and the migration has not ended.
 * At a destination that is from before it says that it has everything.  At a
 * source it is from when the guest has been handed over, or from when the end
 * of the stream begins to be sent to a reader that may run the guest without
 * being told to: a destination that is not Ferry, or the reader of a one-way
 * channel.
 */
bool mig_cancel(Migration *m, GError **errp);

/*
 * Go on with a migration that waits in `state` (pre-switchover, with the
 * capability pause-before-switchover).  When it is in another state:
 * MIG_ERROR_STATE, "Migration not in expected state: active".
 */
bool mig_continue(Migration *m, MigState state, GError **errp);

/*
 * Wait until the migration has ended and all its threads are gone.
 * True when it completed.  May be called again.
 *
 * MIG_ERROR_OUTCOME at a source means that nobody knows whether the destination
 * runs the guest: vm_resume() was not called, and a person has to look.
 */
bool mig_wait(Migration *m, GError **errp);

/* Change an option of a running migration.  The option must be marked live. */
bool mig_set_live(Migration *m, MigOptionId id, uint64_t value,
                  GError **errp);

/* Cancel, wait, free.  NULL is fine.  If it is too late to cancel, the
 * migration stops waiting for its peer.  A source that has no answer by then
 * leaves the guest stopped, as with MIG_ERROR_OUTCOME. */
void mig_free(Migration *m);

/*
 * Progress.  All counters belong to one moment: they were read under one lock.
 * Bytes are those that went over the channel, on either side.
 */
typedef struct MigRamInfo {
    uint64_t transferred; /* bytes of stream so far, all of them */
    uint64_t total;       /* bytes of RAM */
    uint64_t duplicate;   /* zero pages */
    uint64_t normal;      /* pages sent as they are */
    /* over the last tenth of a second; at the end: over the whole migration */
    uint64_t pages_per_second; /* pages per second handled */
    double mbps;               /* megabits per second */
    /* known to the source only; 0 at a destination */
    uint64_t remaining;        /* bytes of dirty pages still to send */
    uint64_t dirty_sync_count; /* collections of the dirty log; the first pass,
                                * which sends all pages, counts as one */
    uint64_t dirty_pages_rate; /* pages per second written by the guest */
    uint64_t precopy_bytes;    /* of transferred: with the guest running */
    uint64_t downtime_bytes;   /* of transferred: with the guest stopped */
} MigRamInfo;

typedef struct MigCompressionInfo {
    uint64_t pages;           /* pages that were sent compressed */
    uint64_t busy;            /* jobs (of up to 64 pages) that had to wait */
    double busy_rate;         /* busy per job, of all jobs so far, 0..1 */
    uint64_t compressed_size; /* bytes of compressed pages, with headers */
    double rate;              /* raw bytes / compressed bytes */
    const char *encoder;      /* source: as mig_encoder() says of what is at
                               * work, "none" with plain; else NULL */
    /* Source: what is at work; before the first pass, what would be if the
     * destination were no Ferry; else NULL. */
    const char *method;       /* a compress-method but auto, or "plain" */
    const char *reason;       /* compress-method auto: why this; or NULL */
    unsigned level;           /* of the method's compress-levels */
    uint64_t history;         /* bytes of earlier pages that both ends keep, as
                               * agreed with the other end; 0: none */
    uint64_t unchanged;       /* source: pages that the guest has written but
                               * not changed, and that were not sent again */
} MigCompressionInfo;

/* Of the pages that were sent again; see docs/monitor.md. */
typedef struct MigXbzrleInfo {
    uint64_t cache_size;   /* bytes; the parameter */
    uint64_t pages;        /* pages whose changes were sent, or that had none */
    uint64_t bytes;        /* bytes of changes, with headers */
    uint64_t cache_miss;   /* pages sent whole: the cache had no copy, */
    uint64_t overflow;     /* or too much had changed */
    double cache_miss_rate; /* cache_miss per page that was looked up, 0..1 */
    double encoding_rate;  /* bytes of the pages / bytes of changes */
} MigXbzrleInfo;

typedef struct MigInfo {
    MigState state;
    bool incoming;
    bool compress;          /* the capability is on; incoming: or compressed
                             * pages have come */
    int64_t total_time_ms;  /* so far, or in all */
    int64_t setup_time_ms;
    int64_t downtime_ms;    /* source, completed: stop to hand-over */
    int64_t expected_downtime_ms; /* source, active; the limit at first */
    unsigned cpu_throttle; /* source: per cent taken from the guest; 0: none */
    MigRamInfo ram;
    MigCompressionInfo compression;
    char *error;            /* failed: why; otherwise NULL */
    /* Source, active, when downtime-limit cannot be met: the part of the
     * downtime that no pass makes shorter (bytes on their way, round trips).
     * Otherwise 0. */
    int64_t downtime_floor_ms;
    bool xbzrle; /* source: the capability is on */
    MigXbzrleInfo xbzrle_cache;
} MigInfo;

/* Fill info; free its error with mig_info_clear(). */
void mig_query(Migration *m, MigInfo *info);
void mig_info_clear(MigInfo *info);

/* "none", "setup", "active", ..., as in QMP. */
const char *mig_state_name(MigState state);

/* Nothing more will happen: completed, failed or cancelled (or none). */
bool mig_state_is_final(MigState state);

/* The encoder that compresses with these options when compress is on: "ISA-L",
 * "libdeflate", "zlib", "zstd", "lz4" or "lz4hc".  It depends on what was built
 * in.  NULL when compress-method was not built in. */
const char *mig_encoder(const MigOptions *options);

/* The library's version, "0.2.0". */
const char *mig_version(void);

G_END_DECLS

#endif
