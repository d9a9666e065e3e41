/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pipeline whose sink is a channel, or several.  It counts what its time is
 * spent on.
 *
 * QEMU believes that bytes in the queue have arrived, so the time that they
 * need is downtime.  Therefore a slow channel has no more queued than it can
 * write in PUMP_QUEUE_NS.
 */
#ifndef RELAY_PUMP_H
#define RELAY_PUMP_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-budget.h"
#include "tools/relay/relay-stats.h"
#include "util/clock.h"
#include "util/pipeline.h"

#define PUMP_QUEUE_NS (20 * NS_PER_MS)

/* Pieces of a job's output, at most: as many as 64 pages, what stands before
 * each, and what follows them. */
#define PUMP_PIECES (2 * 64 + 1)

/* Every job begins with this.  A worker sets it in run(), or the owner in
 * finish(); the owner uses it up when it writes the job. */
typedef struct PumpJob {
    GOutputVector piece[PUMP_PIECES]; /* of the output */
    unsigned pieces;
    uint64_t pages;    /* in the job, for the statistics */
    const char *fault; /* NULL, or why there is no output: a constant */
    uint64_t fault_at; /* if fault: where in QEMU's stream */
} PumpJob;

/* Put the next piece of the output behind those that are there. */
static inline void pump_job_add(PumpJob *job, const void *buf, size_t size)
{
    g_assert(job->pieces < PUMP_PIECES);
    job->piece[job->pieces++] = (GOutputVector){ buf, size };
}

/* The output is this and nothing else. */
static inline void pump_job_set(PumpJob *job, const void *buf, size_t size)
{
    job->pieces = 0;
    pump_job_add(job, buf, size);
}

typedef struct Pump Pump;

typedef struct PumpOutput {
    IoChannel *channel; /* borrowed; NULL: write() writes */
    bool (*write)(void *job, void *opaque, GError **errp);
    RelayStats *stats;
    RelayWait wait;     /* what a write to the channel counts as */
    BudgetUser *budget; /* or NULL: whose rate to keep */
    /* Optional: the owner calls it for each job, in the order of submission,
     * just before it writes the job. */
    void (*finish)(void *job, void *opaque);
    void *opaque;
} PumpOutput;

/* Jobs are structs that begin with a PumpJob. */
Pump *pump_new(const PoolConfig *pool, const PumpOutput *output,
               GError **errp);
void pump_free(Pump *pump); /* NULL is fine */

/* The job to fill.  While all that may be used are in use, waits for the oldest
 * one and writes it.  NULL when that failed. */
void *pump_next(Pump *pump, GError **errp);

/* Hand the job to the workers, and write the jobs that are done. */
bool pump_submit(Pump *pump, GError **errp);

/* Wait for the oldest job that was submitted and not written, of which there is
 * one, and write it. */
bool pump_finish_oldest(Pump *pump, GError **errp);

/* Wait for all jobs that were submitted, and write them. */
bool pump_flush(Pump *pump, GError **errp);

/* Write jobs as pump_flush() does, but stop as soon as from has something to be
 * read, or somebody else wants the pump.  Either may be NULL.  The jobs that
 * are left are written later: by pump_submit(), or by the next call of this
 * function. */
bool pump_flush_idle(Pump *pump, const Stream *from, const atomic_uint *wanted,
                     GError **errp);

/* How long it has lately taken to write a job, in ns.  It is next to nothing as
 * long as the channel is faster than the jobs come. */
int64_t pump_write_time(const Pump *pump);

/* How many jobs are submitted and not yet written; and of these, how many are
 * done. */
unsigned pump_pending(const Pump *pump);
unsigned pump_ready(const Pump *pump);

/* Did the channel fail?  From any thread. */
bool pump_write_failed(const Pump *pump);

/* The first bytes that were written, up to GREETING_MAX. */
const uint8_t *pump_first(const Pump *pump, size_t *size);

#endif
