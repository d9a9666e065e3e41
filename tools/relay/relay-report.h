/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --json says of a migration that has ended. */
#ifndef RELAY_REPORT_H
#define RELAY_REPORT_H

#include <glib.h>
#include <stdint.h>

#include "tools/relay/relay-args.h"
#include "tools/relay/relay-line.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-stats.h"

typedef struct RelayReport {
    RelayRole role;
    const RelayRoute *route; /* or NULL */
    RelayOutcome outcome;
    const char *why; /* unless RELAY_COMPLETED */
    int64_t time;      /* ns */
    RelayStats *stats;
    unsigned connections; /* of QEMU's, at each end */
    LineCounts line;
    const RelayFindings *findings;
} RelayReport;

/* One line of JSON, without its end. */
char *relay_report(const RelayReport *report);

#endif
