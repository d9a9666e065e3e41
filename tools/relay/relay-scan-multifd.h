/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One of the connections that multifd has for pages. */
#ifndef RELAY_SCAN_MULTIFD_H
#define RELAY_SCAN_MULTIFD_H

#include <glib.h>
#include <stdbool.h>

#include "tools/relay/relay-scan-out.h"

/*
 * Read it from its first byte on.  True when it has ended behind a packet, and
 * otherwise an error: MIG_ERROR_EOF when it has ended within one, and those of
 * a packet that makes no sense, of the channel and of the sink.
 */
bool scan_multifd(ScanOut *out, GError **errp);

#endif
