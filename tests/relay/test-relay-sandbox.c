/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a relay can still do, and what not, once it has given up the rest.  Each
 * case is a process of its own: there is no way back. */
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ferry/error.h"
#include "tools/relay/relay-sandbox.h"
#include "util/thread.h"

static bool in_sandbox(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
        return false;
    }
    g_assert_true(relay_sandbox(NULL));
    return true;
}

static void expect_refused(long result)
{
    g_assert_cmpint(result, ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
}

static void test_programs(void)
{
    char *argv[] = { (char *)"/bin/true", NULL };

    if (in_sandbox()) {
        expect_refused(execv(argv[0], argv));
    }
}

static void test_other_processes(void)
{
    char byte = 0;
    struct iovec vector = { &byte, 1 };

    if (in_sandbox()) {
        expect_refused(process_vm_readv(getpid(), &vector, 1, &vector, 1, 0));
        expect_refused(syscall(SYS_pidfd_getfd, -1, 0, 0));
        expect_refused(syscall(SYS_move_pages, 1, 0, NULL, NULL, NULL, 0));
    }
}

static void test_the_system(void)
{
    if (in_sandbox()) {
        expect_refused(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL));
        expect_refused(syscall(SYS_clock_settime, 0, NULL));
        expect_refused(syscall(SYS_bpf, 0, NULL, 0));
        expect_refused(syscall(SYS_io_uring_setup, 0, NULL));
    }
}

static void test_namespaces(void)
{
    const int flags[] = {
        CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
        CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
    };

    if (!in_sandbox()) {
        return;
    }
    expect_refused(syscall(SYS_unshare, 0));
    expect_refused(syscall(SYS_setns, -1, 0));
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        expect_refused(syscall(SYS_clone, flags[i] | SIGCHLD, NULL, NULL,
                               NULL, NULL));
    }
    g_assert_cmpint(syscall(SYS_clone3, NULL, 0), ==, -1);
    g_assert_cmpint(errno, ==, ENOSYS);
}

static void test_sockets(void)
{
    const int allowed[] = { AF_UNIX, AF_INET, AF_NETLINK };

    if (!in_sandbox()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(allowed); i++) {
        int fd = socket(allowed[i], SOCK_DGRAM, 0);

        g_assert_cmpint(fd, >=, 0);
        close(fd);
    }
    expect_refused(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
    expect_refused(socket(AF_PACKET, SOCK_RAW, 0));
    expect_refused(socket(AF_VSOCK, SOCK_STREAM, 0));
    expect_refused(socket(AF_MAX, SOCK_STREAM, 0));
    expect_refused(socket(AF_MAX + 1, SOCK_STREAM, 0));
}

/* As in a container that lets nobody have a filter. */
static void test_not_to_be_had(void)
{
    scmp_filter_ctx filter;
    GError *err = NULL;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
        return;
    }
    filter = seccomp_init(SCMP_ACT_ALLOW);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 0);
    g_assert_cmpint(seccomp_load(filter), ==, 0);
    seccomp_release(filter);
    g_assert_false(relay_sandbox(&err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_HOST);
    g_error_free(err);
}

static void *thread_main(void *unused)
{
    expect_refused(syscall(SYS_unshare, 0));
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread;

    if (in_sandbox()) {
        g_assert_true(thread_start(&thread, "test", thread_main, NULL, NULL));
        thread_join(thread);
        g_assert_cmpint(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), ==, 1);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay-sandbox/programs", test_programs);
    g_test_add_func("/relay-sandbox/other-processes", test_other_processes);
    g_test_add_func("/relay-sandbox/the-system", test_the_system);
    g_test_add_func("/relay-sandbox/namespaces", test_namespaces);
    g_test_add_func("/relay-sandbox/sockets", test_sockets);
    g_test_add_func("/relay-sandbox/not-to-be-had", test_not_to_be_had);
    g_test_add_func("/relay-sandbox/threads", test_threads);
    return g_test_run();
}
