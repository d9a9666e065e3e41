/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Every write begins and ends a wait, so these must cost next to nothing: the
 * owner notes the time, and wakes nobody.  The thread sleeps for as long as no
 * wait can become too long: until the present one would, or, when there is
 * none, for the whole time limit.  Then it looks again.
 *
 * The thread makes a wait fail with the lock held.  An owner whose wait ends
 * at that moment is held up in stall_wait().  So it is this wait's channel
 * that gets aborted, before the owner can take its next step.
 */
#include "migration/stall.h"

#include "ferry/error.h"
#include "util/thread.h"

struct Stall {
    const Clock *clock; /* constant */
    /* Set by stall_start() before the thread starts; then constant. */
    bool (*stalled)(void *opaque);
    void *opaque;
    /* the owner's */
    pthread_t thread;
    bool running;       /* thread was started and is to be joined */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* seconds or stopping was set */
    /* All below: lock.  The thread reads all of it. */
    uint64_t seconds;   /* set by any thread */
    int64_t since;      /* the wait's beginning; 0: there is none.  Set by the
                         * owner; any thread, and the thread, may put it off */
    bool found;         /* set by the thread, read by the owner */
    bool stopping;      /* set by the owner */
};

Stall *stall_new(const Clock *clock, uint64_t seconds)
{
    Stall *stall = g_new0(Stall, 1);

    stall->clock = clock;
    stall->seconds = seconds;
    pthread_mutex_init(&stall->lock, NULL);
    thread_cond_init(&stall->changed);
    return stall;
}

void stall_free(Stall *stall)
{
    if (stall) {
        g_assert(!stall->running);
        pthread_cond_destroy(&stall->changed);
        pthread_mutex_destroy(&stall->lock);
        g_free(stall);
    }
}

void stall_set(Stall *stall, uint64_t seconds)
{
    pthread_mutex_lock(&stall->lock);
    stall->seconds = seconds;
    pthread_cond_signal(&stall->changed);
    pthread_mutex_unlock(&stall->lock);
}

/* Returns when a wait has become too long, or false when told to stop. */
static bool watch_locked(Stall *stall)
{
    while (!stall->stopping) {
        int64_t now = clock_now(stall->clock);
        int64_t limit = (int64_t)stall->seconds * NS_PER_S;

        if (limit == 0) {
            pthread_cond_wait(&stall->changed, &stall->lock);
        } else if (stall->since && now - stall->since >= limit) {
            return true;
        } else {
            stall->clock->wait(stall->clock, &stall->changed, &stall->lock,
                               (stall->since ? stall->since : now) + limit);
        }
    }
    return false;
}

static void *stall_main(void *arg)
{
    Stall *stall = arg;

    pthread_mutex_lock(&stall->lock);
    while (!stall->found && watch_locked(stall)) {
        stall->found = stall->stalled(stall->opaque);
        if (!stall->found) {
            stall->since = clock_now(stall->clock); /* ask again later */
        }
    }
    pthread_mutex_unlock(&stall->lock);
    return NULL;
}

bool stall_start(Stall *stall, bool (*stalled)(void *opaque), void *opaque,
                 GError **errp)
{
    stall->stalled = stalled;
    stall->opaque = opaque;
    stall->running = thread_start(&stall->thread, "mig/src/stall", stall_main,
                                  stall, errp);
    return stall->running;
}

void stall_stop(Stall *stall)
{
    if (!stall->running) {
        return;
    }
    pthread_mutex_lock(&stall->lock);
    stall->stopping = true;
    pthread_cond_signal(&stall->changed);
    pthread_mutex_unlock(&stall->lock);
    thread_join(stall->thread);
    stall->running = false;
}

void stall_wait(void *opaque, bool waits)
{
    Stall *stall = opaque;

    pthread_mutex_lock(&stall->lock);
    stall->since = waits ? clock_now(stall->clock) : 0;
    pthread_mutex_unlock(&stall->lock);
}

void stall_put_off(Stall *stall)
{
    pthread_mutex_lock(&stall->lock);
    if (stall->since) {
        stall->since = clock_now(stall->clock);
    }
    pthread_mutex_unlock(&stall->lock);
}

int64_t stall_since(Stall *stall)
{
    int64_t since;

    pthread_mutex_lock(&stall->lock);
    since = stall->since;
    pthread_mutex_unlock(&stall->lock);
    return since;
}

bool stall_found(Stall *stall, GError **errp)
{
    uint64_t seconds;
    bool found;

    pthread_mutex_lock(&stall->lock);
    found = stall->found;
    seconds = stall->seconds;
    pthread_mutex_unlock(&stall->lock);
    if (found) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "the destination has taken and said nothing for %"
                    G_GUINT64_FORMAT " seconds", seconds);
    }
    return found;
}
