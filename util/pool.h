/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded pool of workers that gives results back in order.
 *
 * One thread, the owner, fills jobs and collects them; workers run them.  The
 * jobs stand in a ring that is allocated once.  The owner's calls come in two
 * pairs:
 *
 *     job = pool_next(p)     the job to fill next; NULL when all are in use
 *     pool_submit(p)         hand it to the workers
 *
 *     job = pool_collect(p)  the oldest submitted job, when it is done
 *     pool_release(p)        it has been used, and is free for pool_next()
 *
 * A job belongs to the owner from pool_next() to pool_submit() and from
 * pool_collect() to pool_release(), and to one worker while it runs.
 */
#ifndef UTIL_POOL_H
#define UTIL_POOL_H

#include <glib.h>
#include <stdbool.h>

typedef struct Pool Pool;

typedef struct PoolConfig {
    const char *name; /* threads are called NAME/0, NAME/1, ... */
    unsigned workers; /* at least 1 */
    unsigned jobs;    /* at least 1 */
    size_t job_size;  /* bytes, its buffers among them; zero at first */
    int nice;         /* added to the workers' nice value */

    /* Optional: what a worker owns; made before its thread starts, in
     * pool_new().  NULL and an error when it cannot be made. */
    void *(*worker_new)(const void *worker_config, GError **errp);
    const void *worker_config;
    void (*worker_free)(void *worker);

    /* Run by a worker.  Errors travel in the job. */
    void (*run)(void *job, void *worker);
} PoolConfig;

/* NULL when a worker could not be made, or its thread could not be started. */
Pool *pool_new(const PoolConfig *config, GError **errp);

void *pool_next(Pool *pool);
void pool_submit(Pool *pool);

/* NULL when no job is submitted, and with wait false also when the oldest is
 * not done yet. */
void *pool_collect(Pool *pool, bool wait);
void pool_release(Pool *pool);

/* How many jobs are submitted and not yet released. */
unsigned pool_pending(const Pool *pool);

/* How many of these are done. */
unsigned pool_ready(Pool *pool);

/* Waits for running jobs.  Drops the jobs that no worker has begun, and those
 * that were not collected, because a migration that fails does not empty its
 * pools first.  NULL is fine. */
void pool_free(Pool *pool);

#endif
