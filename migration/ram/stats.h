/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has been done so far.  The threads that own streams set, any thread
 * reads.  A reader always gets the counters of one moment.
 */
#ifndef MIGRATION_RAM_STATS_H
#define MIGRATION_RAM_STATS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/clock.h"

typedef struct PageCounts {
    uint64_t zero;
    uint64_t normal; /* sent as they are */
    uint64_t compressed;
    uint64_t compressed_bytes; /* bytes of stream, headers included */
    uint64_t zero_bytes;       /* the same for zero pages */
    uint64_t xbzrle;           /* pages of which the changes were sent */
    uint64_t xbzrle_bytes;     /* bytes of stream, headers included */
    uint64_t unchanged;        /* not sent: the destination has them */
    uint64_t xbzrle_misses;    /* pages of which there was no copy, */
    uint64_t xbzrle_overflow;  /* or of which too much has changed */
} PageCounts;

/* All pages that were dealt with, sent or not. */
static inline uint64_t page_counts_all(const PageCounts *c)
{
    return c->zero + c->normal + c->compressed + c->xbzrle + c->unchanged;
}

/* How pages are compressed now.  The texts are constants. */
typedef struct StatsEncoding {
    const char *method;  /* NULL: there is no pool yet */
    const char *encoder;
    const char *reason;  /* why this was chosen; or NULL */
    unsigned level;
} StatsEncoding;

typedef struct StatsData {
    PageCounts pages;
    StatsEncoding encoding;
    uint64_t history;        /* bytes of the last packs that both ends keep */
    uint64_t transferred;    /* bytes of stream */
    uint64_t precopy_bytes;  /* of transferred: before stats_stopped() */
    uint64_t remaining;      /* pages */
    uint64_t jobs;           /* given to the compression pool */
    uint64_t busy;           /* of these, had to wait or found no place */
    uint64_t sync_count;     /* times that the dirty log was collected */
    uint64_t dirty_rate;     /* pages/s that the guest wrote before the last */
    /* -1: not known */
    int64_t expected_downtime_ms;
    int64_t downtime_floor_ms; /* the part of it that no pass makes shorter */
    /* over the last whole window */
    double bytes_per_second;
    double pages_per_second;
} StatsData;

typedef struct Stats Stats;

/* The clock must outlive it. */
Stats *stats_new(const Clock *clock);
void stats_free(Stats *stats);

/* How far the bytes of one stream are counted.  The stream's thread has it.
 * What it counts is part of the migration's sum at once. */
typedef struct StatsChannel {
    Stats *stats;
    uint64_t position;
} StatsChannel;

/* More pages were handled, and the stream has come to this position. */
void stats_account(StatsChannel *channel, const PageCounts *more,
                   uint64_t position);

/* The same, without pages: only the stream has moved on. */
void stats_moved(StatsChannel *channel, uint64_t position);

/* A pass has found more pages to send than there were when it began. */
void stats_found(Stats *stats, uint64_t pages);

/* A job goes to the compression pool; busy: it had to wait, or found no
 * place. */
void stats_job(Stats *stats, bool busy);

void stats_encoding(Stats *stats, const StatsEncoding *encoding);

/* Packs are used, with a history of so many bytes. */
void stats_history(Stats *stats, uint64_t bytes);

/* The dirty log was collected: what is left to send, and pages/s. */
void stats_sync(Stats *stats, uint64_t remaining, uint64_t dirty_rate);

/* The downtime, if the guest stopped now; see ConvergeDecision. */
void stats_expect(Stats *stats, int64_t downtime_ms, int64_t floor_ms);

/* The guest has stopped: what is sent from now on is sent in downtime. */
void stats_stopped(Stats *stats);

void stats_read(Stats *stats, StatsData *data);

#endif
