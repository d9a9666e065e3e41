/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library's threads take no signals: what a signal means is the host's
 * business, so the host's threads get it.
 */
#include "util/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "util/fail.h"

bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                  void *arg, GError **errp)
{
    sigset_t all, old;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        errno = err;
        return fail_errno(errp, "cannot start thread '%s'", name);
    }
    pthread_setname_np(*thread, name);
    return true;
}

unsigned thread_count(uint64_t asked)
{
    return (unsigned)MIN(asked, g_get_num_processors());
}

/* In Linux each thread has its own. */
void thread_give_way(int nice)
{
    id_t thread = (id_t)gettid();

    if (nice) {
        setpriority(PRIO_PROCESS, thread,
                    getpriority(PRIO_PROCESS, thread) + nice);
    }
}

void thread_join(pthread_t thread)
{
    int err = pthread_join(thread, NULL);

    g_assert(err == 0);
}

void thread_mutex_init_recursive(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
}

void thread_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}
