/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line: a channel between two relays that outlives the connections under it.
 *
 * What is written is kept until the other relay has acknowledged it.  When the
 * connection breaks, or is silent for LINE_SILENCE_NS, reads and writes wait.
 * The relay that sends makes a new connection (LineConfig.dial), the one that
 * receives is given one (line_stop(), line_go_on()), and each direction goes on
 * with the first byte that has not arrived.  If that takes longer than the
 * line's patience, reads and writes fail.
 *
 * A line is an IoChannel: one thread reads, one writes, any may abort.
 */
#ifndef RELAY_LINE_H
#define RELAY_LINE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "util/clock.h"

#define LINE_FOREVER INT64_MAX /* a patience, in ns */

/* A connection on which nothing has come for so long is broken.  Each end says
 * something at least five times as often. */
#define LINE_SILENCE_NS (5 * NS_PER_S)

/* Bytes of a direction that may be on their way, kept at the end that wrote
 * them. */
#define LINE_WINDOW       ((size_t)64 << 20)
#define LINE_WINDOW_LEAST ((size_t)1 << 20)

typedef struct LineConfig {
    const char *name;
    IoChannel *connection; /* the first one; the line's from now on */
    size_t window;         /* at most LINE_WINDOW */
    int64_t patience;      /* ns; 0: a connection that breaks is the end */
    int64_t silence;       /* ns; 0: LINE_SILENCE_NS */

    /*
     * Make another connection, tell the other relay that `received` bytes have
     * arrived here, and find out how many have arrived there.  cancel ends it.
     * Called by a thread of the line's, again and again until it succeeds or
     * fails with MIG_ERROR_PEER: the other relay will never go on.  (Where
     * patience is LINE_FOREVER, that is no reason to end.)  NULL: the other
     * relay makes the connections.
     */
    IoChannel *(*dial)(void *opaque, uint64_t received, uint64_t *arrived,
                       GCancellable *cancel, GError **errp);

    /* Optional: so many bytes are to be sent again.  Returns 0, or for how many
     * ns not yet.  With a lock of the line's held. */
    int64_t (*pace)(void *opaque, size_t bytes);

    /* Optional: the line is down, and waits.  Ten times a second, by a thread
     * of the line's, without its lock. */
    void (*waits)(void *opaque);

    /* Optional: what line_hold() has asked for has happened, for good.  From
     * any thread, with a lock of the line's held. */
    void (*held)(void *opaque);

    /* Optional: what happens to the line, for a log, and whether it is down
     * then.  From any thread, with a lock of the line's held. */
    void (*tell)(void *opaque, bool down, const char *news);
    void *opaque;
} LineConfig;

/*
 * NULL without memory or threads; the connection is freed then, too.
 * io_channel_free() frees the line.
 *
 * io_channel_finish() says goodbye, after which the other relay does not wait
 * for another connection.  The end that does not dial first waits until all
 * that was written has arrived.  Nobody may read any more.
 */
IoChannel *line_new(const LineConfig *config, GError **errp);

/* Say goodbye now, even in the middle of a frame, if that can be done soon: the
 * line is about to be aborted, and the other relay shall not wait.  From any
 * thread. */
void line_leave(IoChannel *line);
/* The same, without waiting: line_leave() then waits only for the rest of its
 * time.  For a caller with many lines. */
void line_begin_to_leave(IoChannel *line);

/* How long the line may be without a connection that is of any use, in ns.
 * While it is, less patience begins now, and more began when the link broke.
 * At the end that dials; the other relay learns whether it is 0.  From any
 * thread. */
void line_set_patience(IoChannel *line, int64_t ns);

/* Patience is LINE_FOREVER as soon as a byte is sent that is written after this
 * call; until then it is what it was.  By the thread that writes. */
void line_hold(IoChannel *line);

/*
 * The other relay has proved that it makes the new connection, which it does
 * because the old one has broken, whatever it looks like from here.
 * line_stop() ends the old one and says how many bytes have arrived;
 * line_go_on() takes the new one.  Between the two nothing moves.  Both fail
 * when the line has ended.  line_stop() also fails, with G_IO_ERROR_EXISTS and
 * without ending the line, when more than `arrived` bytes have arrived at
 * the other relay: it asked long ago.  line_go_on() frees a connection that it
 * does not take; NULL means that there is none after all.
 */
bool line_stop(IoChannel *line, uint64_t arrived, uint64_t *received,
               GError **errp);
bool line_go_on(IoChannel *line, IoChannel *connection, uint64_t arrived,
                GError **errp);

typedef struct LineCounts {
    unsigned resumes;    /* how often a new connection went on */
    uint64_t sent_again; /* bytes */
    int64_t down;        /* ns without a connection */
} LineCounts;

LineCounts line_counts(IoChannel *line);

#endif
