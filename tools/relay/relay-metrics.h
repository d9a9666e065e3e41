/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --metrics says: Prometheus's text format, version 0.0.4. */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/relay/relay-outcome.h"
#include "tools/relay/relay-sample.h"

/* How long, and of how many migrations, the last values stay. */
#define METRICS_KEEP_NS  (300 * NS_PER_S)
#define METRICS_KEEP_MAX 64u

typedef struct MetricsEntry {
    RelaySample before, now; /* between them are the rates */
    int64_t began, ended;    /* us of real time; ended 0: it still runs */
    RelayOutcome outcome;    /* if it has ended */
} MetricsEntry;

/* entries is an array of MetricsEntry. */
char *metrics_text(const GArray *entries);

#endif
