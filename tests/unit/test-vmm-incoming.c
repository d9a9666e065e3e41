/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An incoming migration for which no thread can wait leaves nothing behind.
 * This program is linked with a pthread_create() that fails when it is told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <unistd.h>

#include "tests/unit/vmm-kit.h"

static bool no_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg)
{
    return no_threads ? EAGAIN
                      : __real_pthread_create(thread, attr, run, arg);
}

static bool wait_at(VmmKit *vm, const char *uri, GError **errp)
{
    return vm->host.migrate_incoming(vm->machine, uri, errp);
}

/* The monitor has the descriptor still, and may try again with it. */
static void test_no_thread(void)
{
    g_autofree char *uri = NULL;
    g_autoptr(GError) err = NULL;
    int fds[2];
    VmmKit vm;

    if (!vmm_kit_open(&vm, "-incoming defer")) {
        return;
    }
    g_assert_cmpint(pipe(fds), ==, 0);
    uri = g_strdup_printf("fd:%d", fds[0]);
    no_threads = true;
    g_assert_false(wait_at(&vm, uri, &err));
    no_threads = false;
    g_assert_true(g_str_has_prefix(err->message, "cannot start a thread"));
    g_assert_cmpint(fcntl(fds[0], F_GETFD), >=, 0);
    g_assert_null(machine_incoming_address(vm.machine));

    g_assert_true(wait_at(&vm, uri, NULL));
    vmm_kit_close(&vm);
    g_assert_cmpint(fcntl(fds[0], F_GETFD), <, 0);
    close(fds[1]);
}

/* The other way round: there is a thread, and nothing to wait for. */
static void test_no_listener(void)
{
    g_autoptr(GError) err = NULL;
    VmmKit vm;

    if (vmm_kit_open(&vm, "-incoming defer")) {
        g_assert_false(wait_at(&vm, "unix:/nonexistent/socket", &err));
        g_assert_null(machine_incoming_address(vm.machine));
        g_assert_true(wait_at(&vm, "tcp:127.0.0.1:0", NULL));
        vmm_kit_close(&vm);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm-incoming/no-thread", test_no_thread);
    g_test_add_func("/vmm-incoming/no-listener", test_no_listener);
    return g_test_run();
}
