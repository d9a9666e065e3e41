/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Jobs stand in a ring and are used in turn, so that three counters tell the
 * state of each: jobs below `released` are free, those from `released` to
 * `started` are with workers or done, those from `started` to `submitted` wait
 * for a worker, and those above are free again.  A worker takes the job at
 * `started`; the owner collects the one at `released`.  Because both ends go in
 * ring order, results come back in the order of submission without sorting.
 *
 * One lock guards the counters and the done flags.  It is taken once for each
 * of submit, start, finish, collect and release of a job and to count those
 * that are done, and a job is worth many pages: nothing here is per page.
 */
#include "util/pool.h"

#include "util/thread.h"

typedef struct PoolWorker {
    Pool *pool;
    void *state;
    pthread_t thread;
    bool running; /* thread was started and is to be joined */
} PoolWorker;

struct Pool {
    PoolConfig config;
    PoolWorker *worker; /* [config.workers] */
    void **job;         /* [config.jobs], each of config.job_size bytes */

    pthread_mutex_t lock;
    pthread_cond_t work;     /* submitted was raised, or stopping was set */
    pthread_cond_t finished; /* the job at released is done */
    uint64_t submitted;      /* lock; the owner sets, and reads without it */
    uint64_t started;        /* lock; only workers use it */
    uint64_t released;       /* lock; the owner sets, and reads without it */
    bool *done;              /* [config.jobs]; lock; set by workers */
    bool stopping;           /* lock; the owner sets, workers read */

    bool filling;    /* owner: between next and submit */
    bool collecting; /* owner: between collect and release */
};

static void *job_at(const Pool *pool, uint64_t number)
{
    return pool->job[number % pool->config.jobs];
}

/* Returns false when the worker is to end. */
static bool take_job(Pool *pool, uint64_t *number)
{
    bool found;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && pool->started == pool->submitted) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    found = !pool->stopping;
    if (found) {
        *number = pool->started++;
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

static void finish_job(Pool *pool, uint64_t number)
{
    pthread_mutex_lock(&pool->lock);
    pool->done[number % pool->config.jobs] = true;
    if (number == pool->released) {
        pthread_cond_signal(&pool->finished);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *arg)
{
    PoolWorker *worker = arg;
    Pool *pool = worker->pool;
    uint64_t number;

    thread_give_way(pool->config.nice);
    while (take_job(pool, &number)) {
        pool->config.run(job_at(pool, number), worker->state);
        finish_job(pool, number);
    }
    return NULL;
}

static bool start_worker(Pool *pool, unsigned i, GError **errp)
{
    PoolWorker *worker = &pool->worker[i];
    g_autofree char *name = g_strdup_printf("%s/%u", pool->config.name, i);

    worker->pool = pool;
    if (pool->config.worker_new) {
        worker->state = pool->config.worker_new(pool->config.worker_config,
                                                errp);
        if (!worker->state) {
            return false;
        }
    }
    worker->running = thread_start(&worker->thread, name, worker_main, worker,
                                   errp);
    return worker->running;
}

Pool *pool_new(const PoolConfig *config, GError **errp)
{
    Pool *pool = g_new0(Pool, 1);

    g_assert(config->workers > 0 && config->jobs > 0 && config->run);
    pool->config = *config;
    pool->worker = g_new0(PoolWorker, config->workers);
    pool->job = g_new(void *, config->jobs);
    for (unsigned i = 0; i < config->jobs; i++) {
        pool->job[i] = g_malloc0(config->job_size);
    }
    pool->done = g_new0(bool, config->jobs);
    pthread_mutex_init(&pool->lock, NULL);
    thread_cond_init(&pool->work);
    thread_cond_init(&pool->finished);

    for (unsigned i = 0; i < config->workers; i++) {
        if (!start_worker(pool, i, errp)) {
            pool_free(pool);
            return NULL;
        }
    }
    return pool;
}

void *pool_next(Pool *pool)
{
    g_assert(!pool->filling);
    if (pool_pending(pool) == pool->config.jobs) {
        return NULL;
    }
    pool->filling = true;
    return job_at(pool, pool->submitted);
}

void pool_submit(Pool *pool)
{
    g_assert(pool->filling);
    pool->filling = false;

    pthread_mutex_lock(&pool->lock);
    pool->done[pool->submitted % pool->config.jobs] = false;
    pool->submitted++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

void *pool_collect(Pool *pool, bool wait)
{
    const bool *done = &pool->done[pool->released % pool->config.jobs];

    g_assert(!pool->collecting);
    if (pool_pending(pool) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&pool->lock);
    while (wait && !*done) {
        pthread_cond_wait(&pool->finished, &pool->lock);
    }
    pool->collecting = *done;
    pthread_mutex_unlock(&pool->lock);
    return pool->collecting ? job_at(pool, pool->released) : NULL;
}

void pool_release(Pool *pool)
{
    g_assert(pool->collecting);
    pool->collecting = false;

    pthread_mutex_lock(&pool->lock);
    pool->released++;
    pthread_mutex_unlock(&pool->lock);
}

unsigned pool_pending(const Pool *pool)
{
    return (unsigned)(pool->submitted - pool->released);
}

unsigned pool_ready(Pool *pool)
{
    unsigned ready = 0;

    pthread_mutex_lock(&pool->lock);
    for (uint64_t i = pool->released; i < pool->started; i++) {
        ready += pool->done[i % pool->config.jobs];
    }
    pthread_mutex_unlock(&pool->lock);
    return ready;
}

static void stop_workers(Pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);

    for (unsigned i = 0; i < pool->config.workers; i++) {
        if (pool->worker[i].running) {
            thread_join(pool->worker[i].thread);
        }
        if (pool->worker[i].state) {
            pool->config.worker_free(pool->worker[i].state);
        }
    }
}

void pool_free(Pool *pool)
{
    if (!pool) {
        return;
    }
    stop_workers(pool);
    for (unsigned i = 0; i < pool->config.jobs; i++) {
        g_free(pool->job[i]);
    }
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    g_free(pool->done);
    g_free(pool->job);
    g_free(pool->worker);
    g_free(pool);
}
