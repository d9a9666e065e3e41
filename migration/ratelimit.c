/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Imagine a link that has exactly the rate.  free_at is when it will have sent
 * all that it was given.  A write that comes earlier waits until then, and adds
 * the time that its own bytes take.  A link that was idle does not save up more
 * than CREDIT.
 */
#include "migration/ratelimit.h"

#include <pthread.h>

#include "ferry/error.h"
#include "util/thread.h"

#define CREDIT (10 * NS_PER_MS)

struct RateLimit {
    const Clock *clock;     /* constant */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* rate or cancelled was set */
    /* All below: lock. */
    uint64_t rate;          /* set and read by any thread */
    bool cancelled;         /* set by any thread, read by the writer */
    int64_t free_at;        /* the writer's; also set by whoever sets rate */
};

RateLimit *ratelimit_new(const Clock *clock, uint64_t rate)
{
    RateLimit *limit = g_new0(RateLimit, 1);

    limit->clock = clock;
    limit->rate = rate;
    limit->free_at = clock_now(clock);
    pthread_mutex_init(&limit->lock, NULL);
    thread_cond_init(&limit->changed);
    return limit;
}

void ratelimit_free(RateLimit *limit)
{
    if (limit) {
        pthread_cond_destroy(&limit->changed);
        pthread_mutex_destroy(&limit->lock);
        g_free(limit);
    }
}

void ratelimit_set(RateLimit *limit, uint64_t rate)
{
    pthread_mutex_lock(&limit->lock);
    limit->rate = rate;
    /* What was owed at the old rate must not delay the new one. */
    limit->free_at = clock_now(limit->clock);
    pthread_cond_broadcast(&limit->changed);
    pthread_mutex_unlock(&limit->lock);
}

uint64_t ratelimit_get(RateLimit *limit)
{
    uint64_t rate;

    pthread_mutex_lock(&limit->lock);
    rate = limit->rate;
    pthread_mutex_unlock(&limit->lock);
    return rate;
}

void ratelimit_cancel(RateLimit *limit)
{
    pthread_mutex_lock(&limit->lock);
    limit->cancelled = true;
    pthread_cond_broadcast(&limit->changed);
    pthread_mutex_unlock(&limit->lock);
}

bool ratelimit_wait(void *opaque, size_t bytes, GError **errp)
{
    RateLimit *limit = opaque;
    bool ok;

    pthread_mutex_lock(&limit->lock);
    while (!limit->cancelled && limit->rate &&
           clock_now(limit->clock) < limit->free_at) {
        limit->clock->wait(limit->clock, &limit->changed, &limit->lock,
                           limit->free_at);
    }
    ok = !limit->cancelled;
    if (ok && limit->rate) {
        int64_t idle_since = clock_now(limit->clock) - CREDIT;

        limit->free_at = MAX(limit->free_at, idle_since) +
                         (int64_t)((double)bytes * NS_PER_S /
                                   (double)limit->rate);
    }
    pthread_mutex_unlock(&limit->lock);
    if (!ok) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_CANCELLED,
                    "the migration was cancelled");
    }
    return ok;
}
