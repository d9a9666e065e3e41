/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/watchdog.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>

#include "util/clock.h"
#include "util/thread.h"

#define PATIENCE (60 * NS_PER_S)

struct Watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* done was set */
    /* all below: lock */
    char *what;
    int64_t deadline;
    bool done;
};

static void *watchdog_main(void *arg)
{
    Watchdog *dog = arg;

    pthread_mutex_lock(&dog->lock);
    while (!dog->done) {
        if (clock_now(&clock_monotonic) >= dog->deadline) {
            g_error("it hangs: %s", dog->what);
        }
        clock_monotonic.wait(&clock_monotonic, &dog->changed, &dog->lock,
                             dog->deadline);
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

Watchdog *watchdog_new(void)
{
    Watchdog *dog = g_new0(Watchdog, 1);

    pthread_mutex_init(&dog->lock, NULL);
    thread_cond_init(&dog->changed);
    dog->deadline = clock_now(&clock_monotonic) + PATIENCE;
    g_assert_true(thread_start(&dog->thread, "watchdog", watchdog_main, dog,
                               NULL));
    return dog;
}

void watchdog_feed(Watchdog *dog, const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&dog->lock);
    g_free(dog->what);
    va_start(args, format);
    dog->what = g_strdup_vprintf(format, args);
    va_end(args);
    dog->deadline = clock_now(&clock_monotonic) + PATIENCE;
    pthread_mutex_unlock(&dog->lock);
}

void watchdog_free(Watchdog *dog)
{
    pthread_mutex_lock(&dog->lock);
    dog->done = true;
    pthread_cond_signal(&dog->changed);
    pthread_mutex_unlock(&dog->lock);
    thread_join(dog->thread);
    pthread_cond_destroy(&dog->changed);
    pthread_mutex_destroy(&dog->lock);
    g_free(dog->what);
    g_free(dog);
}
