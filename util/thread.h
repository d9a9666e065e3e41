/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads and conditions, thinly over pthreads.  They are not GLib's, so that
 * ThreadSanitizer sees every lock.
 */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Start a joinable thread with a name of at most 15 bytes and all signals
 * blocked.  False when the system cannot start another thread.
 */
bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                  void *arg, GError **errp);

void thread_join(pthread_t thread);

/* How many threads work, where so many were asked for: no more than there are
 * CPUs for this process. */
unsigned thread_count(uint64_t asked);

/* Raise the calling thread's nice value by so much. */
void thread_give_way(int nice);

/* A mutex that its holder may lock again. */
void thread_mutex_init_recursive(pthread_mutex_t *mutex);

/* A condition whose timed waits use CLOCK_MONOTONIC. */
void thread_cond_init(pthread_cond_t *cond);

#endif
