/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seccomp filter that refuses the system calls that a relay never makes, so
 * that an attacker who finds a hole in the relay finds little behind it.
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
 * NoNewPrivs is set.  The filter is no wall around files: the relay may open
 * whatever its user may.
 *
 * MIG_ERROR_HOST where the filter cannot be loaded: the kernel has none, or a
 * container forbids it.  Does nothing in a build without libseccomp.
 */
bool relay_sandbox(GError **errp);

/* What this build has: "seccomp" or "none". */
const char *relay_sandbox_name(void);

#endif
