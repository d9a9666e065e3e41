/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's migration stream: what comes over the first connection. */
#ifndef RELAY_SCAN_MIGRATION_H
#define RELAY_SCAN_MIGRATION_H

#include <glib.h>
#include <stdbool.h>

#include "tools/relay/relay-scan-out.h"

/* Read it from its first byte to its end, and tell how it ended.  False when
 * the channel or the sink fails. */
bool scan_migration(ScanOut *out, GError **errp);

#endif
