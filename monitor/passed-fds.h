/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that a client passes over its socket (SCM_RIGHTS).  They arrive
 * with a message, getfd gives one a name, and "fd:NAME" uses it up.  Each
 * session has its own, and closes those that were not used when it ends.
 */
#ifndef FERRY_MONITOR_PASSED_FDS_H
#define FERRY_MONITOR_PASSED_FDS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

/* At most so many in one message; the kernel closes further ones. */
#define PASSED_FDS_MAX 16

typedef struct PassedFds PassedFds;

PassedFds *passed_fds_new(void);
void passed_fds_free(PassedFds *fds); /* NULL is fine */

/* Take the descriptors of a message.  Earlier ones without a name are
 * closed. */
void passed_fds_arrive(PassedFds *fds, struct msghdr *message);

/* Returns the first one that has arrived, which the caller then owns, or -1.
 * The others are closed. */
int passed_fds_next(PassedFds *fds);

/* take returns the descriptor with this name, which the caller then owns, or
 * -1; put gives one a name, and takes it. */
int passed_fds_take(PassedFds *fds, const char *name);
void passed_fds_put(PassedFds *fds, const char *name, int fd);

#endif
