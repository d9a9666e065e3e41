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
 * MIG_ERROR_HOST where the filter cannot be loaded: the kernel has none, or a
 * container forbids it.  Does nothing in a build without libseccomp.
 */
bool relay_sandbox(GError **errp);

#endif
