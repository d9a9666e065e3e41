/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RELAY_STDIO_H
#define RELAY_STDIO_H

#include <glib.h>

#include "ferry/channel.h"

/*
 * Standard input and output as one channel: two pipes, as `exec:` has them, or
 * one socket, as systemd and inetd have it.  Once in a process.
 */
IoChannel *relay_stdio_channel(GError **errp);

#endif
