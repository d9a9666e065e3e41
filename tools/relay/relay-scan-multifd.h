/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One of the connections that multifd has for pages. */
#ifndef RELAY_SCAN_MULTIFD_H
#define RELAY_SCAN_MULTIFD_H

#include <glib.h>
#include <stdbool.h>

#include "tools/relay/relay-scan-out.h"

#define ONE_OF_MULTIFD "one of multifd's connections"

/* Read it from its first byte to its end, and tell how it ended.  False when
 * the channel or the sink fails. */
bool scan_multifd(ScanOut *out, GError **errp);

#endif
