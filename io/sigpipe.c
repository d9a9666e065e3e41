/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A write to a pipe that nobody reads raises SIGPIPE, which ends the process.
 * Sockets have MSG_NOSIGNAL against that; pipes have nothing.  To ignore the
 * signal would change the whole process, and that is the host program's
 * decision.  Sockets instead of pipes would break commands that open
 * /dev/stdin.  (GIO does ignore SIGPIPE when a process makes its first GSocket.
 * But there may be none, and the host may set the signal to something else
 * again.)
 *
 * The kernel sends such a SIGPIPE to the thread that wrote.  So that thread
 * blocks the signal around the write, and takes the one that the write left
 * pending before it unblocks the signal.  A SIGPIPE that was pending before is
 * not ours, and stays.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "io/io-internal.h"

static bool is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

static void only_sigpipe(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

void sigpipe_hold(SigpipeHold *hold)
{
    sigset_t set;

    only_sigpipe(&set);
    hold->was_pending = is_pending();
    pthread_sigmask(SIG_BLOCK, &set, &hold->old_mask);
}

void sigpipe_release(const SigpipeHold *hold)
{
    const struct timespec at_once = { 0, 0 };
    sigset_t set;

    only_sigpipe(&set);
    if (!hold->was_pending && is_pending()) {
        while (sigtimedwait(&set, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &hold->old_mask, NULL);
}
