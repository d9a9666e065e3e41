/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that a client passes over its socket (SCM_RIGHTS): they arrive
 * with a message, getfd gives one a name, and "fd:NAME" uses it up.  Each
 * session has its own, and what it has not used is closed with it.
 */
#ifndef FERRY_MONITOR_PASSED_FDS_H
#define FERRY_MONITOR_PASSED_FDS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

/* Of one message; the kernel closes those beyond. */
#define PASSED_FDS_MAX 16

typedef struct PassedFds PassedFds;

PassedFds *passed_fds_new(void);
void passed_fds_free(PassedFds *fds); /* NULL is fine */

/* Take over what came with a message.  What came before and has got no name is
 * closed. */
void passed_fds_arrive(PassedFds *fds, struct msghdr *message);

/* The first of those that have arrived, which is the caller's from now on, or
 * -1; the others are closed. */
int passed_fds_next(PassedFds *fds);

/* The descriptor of that name, which is the caller's from now on, or -1; and
 * the other way round. */
int passed_fds_take(PassedFds *fds, const char *name);
void passed_fds_put(PassedFds *fds, const char *name, int fd);

#endif
