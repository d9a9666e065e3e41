/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/pipeline.h"

#include "util/clock.h"

/* All fields are the owner's. */
struct Pipeline {
    PipelineConfig config;
    Pool *pool;
    int64_t waited;
    int64_t sink_time;
};

Pipeline *pipeline_new(const PipelineConfig *config, GError **errp)
{
    Pipeline *p = g_new0(Pipeline, 1);
    PoolConfig *pool = &p->config.pool;

    p->config = *config;
    if (!pool->jobs) {
        pool->jobs = pipeline_jobs(pool->workers);
    }
    p->pool = pool_new(pool, errp);
    if (!p->pool) {
        g_free(p);
        return NULL;
    }
    return p;
}

void pipeline_free(Pipeline *p)
{
    if (p) {
        pool_free(p->pool);
        g_free(p);
    }
}

static bool sink(Pipeline *p, void *job, GError **errp)
{
    int64_t since = clock_now(&clock_monotonic);
    bool ok = p->config.sink(job, p->config.opaque, errp);

    p->sink_time = (p->sink_time + clock_now(&clock_monotonic) - since) / 2;
    pool_release(p->pool);
    return ok;
}

/* *any is false when there is no job or, with wait false, when the oldest is
 * not done. */
static bool finish_oldest(Pipeline *p, bool wait, bool *any, GError **errp)
{
    void *job = pool_collect(p->pool, false);

    if (!job && wait && pool_pending(p->pool)) {
        int64_t since = clock_now(&clock_monotonic);

        job = pool_collect(p->pool, true);
        p->waited += clock_now(&clock_monotonic) - since;
    }
    *any = job != NULL;
    return !job || sink(p, job, errp);
}

static bool finish_all(Pipeline *p, bool wait, GError **errp)
{
    bool any;

    do {
        if (!finish_oldest(p, wait, &any, errp)) {
            return false;
        }
    } while (any);
    return true;
}

unsigned pipeline_most(const Pipeline *p)
{
    unsigned jobs = p->config.pool.jobs;

    if (!p->config.queue_ns) {
        return jobs;
    }
    return (unsigned)MIN(
        MAX(p->config.queue_ns / MAX(p->sink_time, 1) + 1, 2), jobs);
}

bool pipeline_try_next(Pipeline *p, void **job, GError **errp)
{
    bool any = true;

    *job = NULL;
    while (any && pool_pending(p->pool) >= pipeline_most(p)) {
        if (!finish_oldest(p, false, &any, errp)) {
            return false;
        }
    }
    if (any) {
        *job = pool_next(p->pool);
    }
    return true;
}

void *pipeline_next(Pipeline *p, GError **errp)
{
    bool any;

    while (pool_pending(p->pool) >= pipeline_most(p)) {
        if (!finish_oldest(p, true, &any, errp)) {
            return NULL;
        }
    }
    return pool_next(p->pool);
}

void pipeline_submit(Pipeline *p)
{
    pool_submit(p->pool);
}

bool pipeline_finish_oldest(Pipeline *p, bool *any, GError **errp)
{
    return finish_oldest(p, true, any, errp);
}

bool pipeline_finish_done(Pipeline *p, GError **errp)
{
    return finish_all(p, false, errp);
}

bool pipeline_flush(Pipeline *p, GError **errp)
{
    return finish_all(p, true, errp);
}

int64_t pipeline_waited(const Pipeline *p)
{
    return p->waited;
}

unsigned pipeline_pending(const Pipeline *p)
{
    return pool_pending(p->pool);
}

unsigned pipeline_ready(const Pipeline *p)
{
    return pool_ready(p->pool);
}

int64_t pipeline_sink_time(const Pipeline *p)
{
    return p->sink_time;
}
