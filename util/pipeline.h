/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pool whose results go to one sink, in the order of submission.
 *
 * One thread, the owner, fills jobs and submits them, and workers run them.  In
 * the calls below, the owner gives jobs that are done to the sink.  So the
 * owner is the only thread at either end, and jobs are queued only in the
 * pool's ring.  If the sink is slow, the owner waits for it and fills no more
 * jobs.  That is the back-pressure.
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

/* As many jobs as a pipeline has if its config leaves it open.  Fewer than
 * sixteen leave the sink waiting where a stretch of jobs takes long. */
static inline unsigned pipeline_jobs(unsigned workers)
{
    return MAX(2 * workers + 2, 16);
}

typedef struct PipelineConfig {
    PoolConfig pool; /* jobs may be 0: pipeline_jobs(workers) */

    /* Called by the owner.  If it fails, the owner's call fails. */
    bool (*sink)(void *job, void *opaque, GError **errp);
    void *opaque;

    /* Use no more of the ring than the jobs that the sink can take in this
     * time, by how long it has lately taken, and one job.  ns; 0: use all of
     * it. */
    int64_t queue_ns;
} PipelineConfig;

/* NULL when the pool could not be made. */
Pipeline *pipeline_new(const PipelineConfig *config, GError **errp);

/* Jobs that have not gone to the sink are forgotten.  NULL is fine. */
void pipeline_free(Pipeline *pipeline);

/* While all jobs that may be used are in use, waits for the oldest and gives it
 * to the sink.  NULL when the sink failed. */
void *pipeline_next(Pipeline *pipeline, GError **errp);

/* Does not wait: *job is NULL while all are in use and the oldest is not done.
 * False when the sink failed. */
bool pipeline_try_next(Pipeline *pipeline, void **job, GError **errp);

void pipeline_submit(Pipeline *pipeline);

/* Waits for the oldest job and gives it to the sink.  *any is false when none
 * is submitted. */
bool pipeline_finish_oldest(Pipeline *pipeline, bool *any, GError **errp);

/* Gives the jobs that are done to the sink, up to the first that is not
 * done. */
bool pipeline_finish_done(Pipeline *pipeline, GError **errp);

bool pipeline_flush(Pipeline *pipeline, GError **errp);

/* How long the owner has waited for workers, in ns. */
int64_t pipeline_waited(const Pipeline *pipeline);

/* How many jobs are submitted and have not gone to the sink; and of these, how
 * many are done. */
unsigned pipeline_pending(const Pipeline *pipeline);
unsigned pipeline_ready(const Pipeline *pipeline);

/* How many jobs may be in use now, with the one to be filled. */
unsigned pipeline_most(const Pipeline *pipeline);

/* How long the sink has lately taken for a job, in ns.  Each job counts half as
 * much as the next one. */
int64_t pipeline_sink_time(const Pipeline *pipeline);

#endif
