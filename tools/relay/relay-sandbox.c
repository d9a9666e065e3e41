/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter lists what is refused, not what is allowed: libraries call what
 * they like, and a new version of one must not end a migration.  The systemd
 * units, which serve one purpose, have a list of what is allowed as well.
 */
#include "tools/relay/relay-sandbox.h"

#include "ferry/error.h"

#ifdef HAVE_SECCOMP
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#define REFUSED SCMP_ACT_ERRNO(EPERM)

/* LeakSanitizer traces its own process. */
#ifdef __has_feature
#define HAS_ASAN __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif

static const int refused[] = {
    /* programs and processes */
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(kcmp),
    SCMP_SYS(migrate_pages), SCMP_SYS(move_pages), SCMP_SYS(pidfd_getfd),
    SCMP_SYS(process_madvise), SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
#if !HAS_ASAN
    SCMP_SYS(ptrace),
#endif
    /* the system */
    SCMP_SYS(acct), SCMP_SYS(add_key), SCMP_SYS(adjtimex), SCMP_SYS(bpf),
    SCMP_SYS(chroot), SCMP_SYS(clock_adjtime), SCMP_SYS(clock_settime),
    SCMP_SYS(delete_module), SCMP_SYS(finit_module), SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount), SCMP_SYS(fsopen), SCMP_SYS(fspick),
    SCMP_SYS(init_module), SCMP_SYS(io_uring_setup), SCMP_SYS(ioperm),
    SCMP_SYS(iopl), SCMP_SYS(kexec_file_load), SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl), SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(mount),
    SCMP_SYS(mount_setattr), SCMP_SYS(move_mount),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(open_tree),
    SCMP_SYS(perf_event_open), SCMP_SYS(pivot_root), SCMP_SYS(quotactl),
    SCMP_SYS(reboot), SCMP_SYS(request_key), SCMP_SYS(setdomainname),
    SCMP_SYS(sethostname), SCMP_SYS(setns), SCMP_SYS(settimeofday),
    SCMP_SYS(swapoff), SCMP_SYS(swapon), SCMP_SYS(syslog),
    SCMP_SYS(umount2), SCMP_SYS(unshare), SCMP_SYS(userfaultfd),
};

static const int namespaces[] = {
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
    CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
};

static bool refuse_always(scmp_filter_ctx filter)
{
    bool ok = true;

    for (size_t i = 0; i < G_N_ELEMENTS(refused) && ok; i++) {
        ok = seccomp_rule_add(filter, REFUSED, refused[i], 0) == 0;
    }
    return ok;
}

static bool is_allowed_domain(int domain)
{
    return domain == AF_UNIX || domain == AF_INET || domain == AF_INET6 ||
           domain == AF_NETLINK;
}

/* Allow sockets of a few domains only.  Resolvers ask netlink's routes
 * (protocol 0) which addresses this machine has. */
static bool refuse_sockets(scmp_filter_ctx filter)
{
    bool ok = seccomp_rule_add(filter, REFUSED, SCMP_SYS(socket), 2,
                               SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                               SCMP_A2(SCMP_CMP_NE, 0)) == 0 &&
              seccomp_rule_add(filter, REFUSED, SCMP_SYS(socket), 1,
                               SCMP_A0(SCMP_CMP_GE, AF_MAX)) == 0;

    for (int domain = 0; domain < AF_MAX && ok; domain++) {
        ok = is_allowed_domain(domain) ||
             seccomp_rule_add(filter, REFUSED, SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_EQ, domain)) == 0;
    }
    return ok;
}

/* clone3 has its flags in memory, where a filter cannot see them.  Without
 * clone3 the C library falls back to clone. */
static bool refuse_namespaces(scmp_filter_ctx filter)
{
    bool ok = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
                               SCMP_SYS(clone3), 0) == 0;

    for (size_t i = 0; i < G_N_ELEMENTS(namespaces) && ok; i++) {
        ok = seccomp_rule_add(filter, REFUSED, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i],
                                      namespaces[i])) == 0;
    }
    return ok;
}

bool relay_sandbox(GError **errp)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = filter && refuse_always(filter) && refuse_sockets(filter) &&
              refuse_namespaces(filter) && seccomp_load(filter) == 0;

    seccomp_release(filter);
    if (!ok) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "the system does not take a seccomp filter");
    }
    return ok;
}

const char *relay_sandbox_name(void)
{
    return "seccomp";
}

#else

bool relay_sandbox(GError **errp)
{
    return true;
}

const char *relay_sandbox_name(void)
{
    return "none";
}

#endif
