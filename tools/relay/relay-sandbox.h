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
 * From now on, for this thread and those that it starts, some calls fail with
 * EPERM: to run another program, to trace a process or copy its memory, to make
 * or enter namespaces, to mount, to load code into the kernel, to set clocks,
 * and to open sockets other than of IP, unix, and netlink for routes.
 * NoNewPrivs is set.  It is not a wall around files: what the user may open, it
 * may open.
 *
 * MIG_ERROR_HOST where the filter cannot be loaded: the kernel has none, or a
 * container forbids it.  Does nothing in a build without libseccomp.
 */
bool relay_sandbox(GError **errp);

/* What this build has: "seccomp" or "none". */
const char *relay_sandbox_name(void);

#endif
