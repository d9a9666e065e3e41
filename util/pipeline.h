/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pool whose results go to one sink, in the order of submission.
 *
 * One thread, the owner, fills jobs and submits them; workers run them; and in
 * the owner's calls below, jobs that are done go to the sink.  So the owner is
 * the only thread at either end, and nothing is queued but what is in the
 * pool's ring: where the sink is slow, the owner waits for it and fills no
 * more.  That is the back-pressure.
 *
 *     job = pipeline_next(p)   the job to fill
 *     pipeline_submit(p)       hand it to the workers
 *     pipeline_flush(p)        all that were submitted have gone to the sink
 */
#ifndef UTIL_PIPELINE_H
#define UTIL_PIPELINE_H

#include <glib.h>
#include <stdbool.h>

#include "util/pool.h"

typedef struct Pipeline Pipeline;

typedef struct PipelineConfig {
    PoolConfig pool; /* jobs may be 0: twice the workers, and 2 */

    /* Run by the owner.  False and an error end the call that it is run in. */
    bool (*sink)(void *job, void *opaque, GError **errp);
    void *opaque;

    /* Of the ring no more is used than what the sink takes so long for, going
     * by how long it has lately taken, and one job.  ns; 0: all of it. */
    int64_t queue_ns;
} PipelineConfig;

/* NULL when the pool could not be made. */
Pipeline *pipeline_new(const PipelineConfig *config, GError **errp);

/* What has not gone to the sink is forgotten.  NULL is fine. */
void pipeline_free(Pipeline *pipeline);

/* Waits for the oldest job while as many are in use as may be.  NULL when the
 * sink failed. */
void *pipeline_next(Pipeline *pipeline, GError **errp);

/* Waits for no job: *job is NULL while all are in use and the oldest is not
 * done.  False when the sink failed. */
bool pipeline_try_next(Pipeline *pipeline, void **job, GError **errp);

void pipeline_submit(Pipeline *pipeline);

/* Waits for the oldest job and hands it to the sink; *any is false when none
 * is submitted. */
bool pipeline_finish_oldest(Pipeline *pipeline, bool *any, GError **errp);

/* Hand those to the sink that are done, up to the first that is not. */
bool pipeline_finish_done(Pipeline *pipeline, GError **errp);

bool pipeline_flush(Pipeline *pipeline, GError **errp);

/* How long the owner has waited for workers, in ns. */
int64_t pipeline_waited(const Pipeline *pipeline);

/* How long the sink takes for a job, in ns: each counts half the one after. */
int64_t pipeline_sink_time(const Pipeline *pipeline);

#endif
