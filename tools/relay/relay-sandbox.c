/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A list of what is refused, not of what is allowed: libraries call what they
 * like, and another version of them must not end a migration.  The systemd
 * units, which are for one purpose, have a list of what is allowed besides.
 */
#include "tools/relay/relay-sandbox.h"

#include "migration/error.h"

#ifdef HAVE_SECCOMP
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#define REFUSED SCMP_ACT_ERRNO(EPERM)

static const int other_processes[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd),
    SCMP_SYS(process_madvise), SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
#ifndef __SANITIZE_ADDRESS__ /* LeakSanitizer looks at its own process so */
    SCMP_SYS(ptrace),
#endif
};

static const int the_system[] = {
    SCMP_SYS(acct), SCMP_SYS(add_key), SCMP_SYS(bpf), SCMP_SYS(chroot),
    SCMP_SYS(delete_module), SCMP_SYS(finit_module), SCMP_SYS(fsmount),
    SCMP_SYS(fsopen), SCMP_SYS(init_module), SCMP_SYS(io_uring_setup),
    SCMP_SYS(kexec_file_load), SCMP_SYS(kexec_load), SCMP_SYS(keyctl),
    SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(mount),
    SCMP_SYS(mount_setattr), SCMP_SYS(move_mount),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(open_tree),
    SCMP_SYS(perf_event_open), SCMP_SYS(pivot_root), SCMP_SYS(quotactl),
    SCMP_SYS(reboot), SCMP_SYS(request_key), SCMP_SYS(setdomainname),
    SCMP_SYS(sethostname), SCMP_SYS(setns), SCMP_SYS(settimeofday),
    SCMP_SYS(swapoff), SCMP_SYS(swapon), SCMP_SYS(syslog),
    SCMP_SYS(umount2), SCMP_SYS(unshare), SCMP_SYS(userfaultfd),
};

/* What domains a socket may have.  Netlink tells resolvers which addresses this
 * machine has. */
static const int domains[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

static int refuse(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int error = 0;

    for (size_t i = 0; i < count && !error; i++) {
        error = seccomp_rule_add(filter, REFUSED, calls[i], 0);
    }
    return error;
}

/* Every domain between those that are allowed, and behind them. */
static int refuse_sockets(scmp_filter_ctx filter)
{
    int error = 0;

    for (int domain = 0; domain <= AF_MAX && !error; domain++) {
        bool allowed = domain == AF_MAX;

        for (size_t i = 0; i < G_N_ELEMENTS(domains); i++) {
            allowed |= domain == domains[i];
        }
        if (!allowed) {
            error = seccomp_rule_add(filter, REFUSED, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, domain));
        }
    }
    return error ? error
                 : seccomp_rule_add(filter, REFUSED, SCMP_SYS(socket), 1,
                                    SCMP_A0(SCMP_CMP_GE, AF_MAX));
}

/* A user namespace has every right inside of it.  The flags of clone3 are in
 * memory, where a filter cannot see them: the C library makes do with clone. */
static int refuse_namespaces(scmp_filter_ctx filter)
{
    int error = seccomp_rule_add(filter, REFUSED, SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER,
                                         CLONE_NEWUSER));

    return error ? error
                 : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
                                    SCMP_SYS(clone3), 0);
}

static int fill(scmp_filter_ctx filter)
{
    int error = refuse(filter, the_system, G_N_ELEMENTS(the_system));

    if (!error) {
        error = refuse(filter, other_processes, G_N_ELEMENTS(other_processes));
    }
    if (!error) {
        error = refuse_sockets(filter);
    }
    return error ? error : refuse_namespaces(filter);
}

bool relay_sandbox(GError **errp)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int error;

    error = filter ? fill(filter) : -ENOMEM;
    if (!error) {
        error = seccomp_load(filter);
    }
    if (filter) {
        seccomp_release(filter);
    }
    if (error) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "cannot load a seccomp filter: %s", g_strerror(-error));
    }
    return !error;
}

#else

bool relay_sandbox(GError **errp)
{
    return true;
}

#endif
