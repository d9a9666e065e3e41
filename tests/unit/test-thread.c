/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/thread.h: names, signals, and the clock of conditions. */
#include "util/thread.h"

#include <gio/gio.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

typedef struct Probe {
    pthread_mutex_t started; /* held until thread_start() has returned */
    char name[16];
    sigset_t mask;
} Probe;

static void *probe_main(void *arg)
{
    Probe *probe = arg;

    pthread_mutex_lock(&probe->started);
    pthread_mutex_unlock(&probe->started);
    pthread_getname_np(pthread_self(), probe->name, sizeof(probe->name));
    pthread_sigmask(SIG_SETMASK, NULL, &probe->mask);
    return probe;
}

static void run_probe(Probe *probe, const char *name)
{
    g_autoptr(GError) err = NULL;
    pthread_t thread;

    pthread_mutex_init(&probe->started, NULL);
    pthread_mutex_lock(&probe->started);
    thread_start(&thread, name, probe_main, probe, &err);
    g_assert_no_error(err);
    pthread_mutex_unlock(&probe->started);
    thread_join(thread);
    pthread_mutex_destroy(&probe->started);
}

static void test_names(void)
{
    static const char *const names[] = {
        "x", "mig/src", "mig/comp/254", "fifteen-bytes-x",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        Probe probe;

        run_probe(&probe, names[i]);
        g_assert_cmpstr(probe.name, ==, names[i]);
    }
}

static void test_signals_are_blocked(void)
{
    Probe probe;

    run_probe(&probe, "signals");
    for (int sig = 1; sig < SIGRTMAX; sig++) {
        /* Two cannot be blocked, and the C library keeps two for itself. */
        if (sig == SIGKILL || sig == SIGSTOP ||
            (sig > SIGSYS && sig < SIGRTMIN)) {
            continue;
        }
        g_assert_cmpint(sigismember(&probe.mask, sig), ==, 1);
    }
}

static void test_callers_mask_is_kept(void)
{
    sigset_t before, after, one;
    Probe probe;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &one, &before);
    run_probe(&probe, "mask");
    pthread_sigmask(SIG_SETMASK, &before, &after);
    g_assert_cmpint(sigismember(&after, SIGUSR2), ==, 1);
    g_assert_cmpint(sigismember(&after, SIGUSR1), ==, 0);
    g_assert_cmpint(sigismember(&after, SIGTERM), ==, 0);
}

/* No system has a stack of this size to give. */
static void test_start_can_fail(void)
{
    g_autoptr(GError) err = NULL;
    pthread_attr_t usual, huge;
    pthread_t thread;
    Probe probe;
    bool ok;

    pthread_getattr_default_np(&usual);
    pthread_getattr_default_np(&huge);
    g_assert_cmpint(pthread_attr_setstacksize(&huge, (size_t)1 << 48), ==, 0);
    pthread_setattr_default_np(&huge);
    ok = thread_start(&thread, "huge", probe_main, &probe, &err);
    pthread_setattr_default_np(&usual);

    g_assert_false(ok);
    g_assert_true(err->domain == G_IO_ERROR);
    g_assert_nonnull(strstr(err->message, "cannot start thread 'huge'"));
    pthread_attr_destroy(&huge);
    pthread_attr_destroy(&usual);
}

/* CLOCK_MONOTONIC counts from the start of the machine.  By CLOCK_REALTIME the
 * same number would be long past, and the wait be over at once. */
static void test_condition_is_monotonic(void)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct timespec deadline, now;
    pthread_cond_t cond;

    thread_cond_init(&cond);
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_nsec += 2000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&lock);
    while (pthread_cond_timedwait(&cond, &lock, &deadline) != ETIMEDOUT) {
        continue;
    }
    pthread_mutex_unlock(&lock);
    clock_gettime(CLOCK_MONOTONIC, &now);
    g_assert_true(now.tv_sec > deadline.tv_sec ||
                  (now.tv_sec == deadline.tv_sec &&
                   now.tv_nsec >= deadline.tv_nsec));
    pthread_cond_destroy(&cond);
    pthread_mutex_destroy(&lock);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/thread/names", test_names);
    g_test_add_func("/thread/signals-are-blocked", test_signals_are_blocked);
    g_test_add_func("/thread/callers-mask", test_callers_mask_is_kept);
    g_test_add_func("/thread/start-can-fail", test_start_can_fail);
    g_test_add_func("/thread/condition", test_condition_is_monotonic);
    return g_test_run();
}
