/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a relay will never ask of the system, the system is told to refuse: a
 * seccomp filter, so that whoever finds a hole in the relay finds little behind
 * it.
 */
#ifndef RELAY_SANDBOX_H
#define RELAY_SANDBOX_H

#include <glib.h>
#include <stdbool.h>

/*
 * From now on, for this thread and those that it starts: no other program and
 * no new rights, no sockets but those of the network and unix ones, and none of
 * the calls that look into other processes or change the system (EPERM).
 *
 * Does nothing in a build without libseccomp, and where the kernel has no such
 * filters.  MIG_ERROR_HOST when it has and the filter could not be loaded.
 */
bool relay_sandbox(GError **errp);

#endif
