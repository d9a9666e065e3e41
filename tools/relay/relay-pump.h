/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pipeline that ends in a channel, and what its time goes to.
 *
 * What is queued is downtime for a QEMU that believes that it has arrived:
 * where the channel is slow, it is what takes PUMP_QUEUE_NS to write.
 */
#ifndef RELAY_PUMP_H
#define RELAY_PUMP_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-stats.h"
#include "util/clock.h"
#include "util/pipeline.h"

#define PUMP_QUEUE_NS (20 * NS_PER_MS)

/* What every job begins with; set by run(). */
typedef struct PumpJob {
    const uint8_t *out;
    size_t out_size;
    uint64_t pages;    /* that are in it, for the statistics */
    const char *fault; /* NULL, or why there is no output: a constant */
    uint64_t fault_at; /* if there is one: a byte of QEMU's stream */
} PumpJob;

typedef struct Pump Pump;

/* What an output is: where its time goes in the statistics. */
typedef struct PumpOutput {
    IoChannel *channel; /* borrowed */
    RelayStats *stats;
    RelayWait wait;
} PumpOutput;

/* Jobs are structs that begin with a PumpJob. */
Pump *pump_new(const PoolConfig *pool, const PumpOutput *output,
               GError **errp);
void pump_free(Pump *pump); /* NULL is fine */

/* The job to fill.  While as many are in use as may be, it waits for the oldest
 * one and writes it.  NULL when that failed. */
void *pump_next(Pump *pump, GError **errp);

/* Hand it to the workers, and write those that are done. */
bool pump_submit(Pump *pump, GError **errp);

/* Wait for all that were submitted, and write them. */
bool pump_flush(Pump *pump, GError **errp);

/* Write jobs as pump_flush() does, but stop as soon as from has something to be
 * read.  The jobs that are left are written later: by pump_submit(), or by the
 * next call of this function. */
bool pump_flush_idle(Pump *pump, const Stream *from, GError **errp);

/* How long it has lately taken to write a job, in ns.  It is next to nothing as
 * long as the channel is faster than the jobs come. */
int64_t pump_write_time(const Pump *pump);

/* Did the channel fail? */
bool pump_write_failed(const Pump *pump);

/* What was written first: up to GREETING_MAX bytes. */
const uint8_t *pump_first(const Pump *pump, size_t *size);

#endif
