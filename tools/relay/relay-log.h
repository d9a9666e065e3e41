/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages on standard error. */
#ifndef RELAY_LOG_H
#define RELAY_LOG_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tools/relay/relay-outcome.h"
#include "tools/relay/relay-scan.h"

/* What the stream turned out to be.  The forward thread sets the fields; the
 * main thread reads them once it has joined it. */
typedef struct RelayFindings {
    unsigned number;   /* of the migration, in front of every message */
    unsigned channel;  /* of its connection; 0: the first */
    bool has_ram;
    atomic_bool return_path; /* if has_ram; any thread reads */
    Ending ending;     /* receive: what the other relay said */
    char *passed_on;   /* why it was not packed as it might have been; or
                        * NULL */
} RelayFindings;

/* "ferry-relay: ...\n", in one write. */
void relay_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* "ferry-relay: migration 3: ...\n", in one write; of a connection that is not
 * the first, "migration 3, connection 1: ...\n". */
void relay_log(const RelayFindings *findings, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* Show a line that the next call replaces.  Where standard error is no
 * terminal, it is a line like others.  Wipe it before printing something
 * else. */
void relay_show_live_line(const char *text);
void relay_wipe_live_line(void);
bool relay_has_live_line(void); /* is standard error a terminal? */

/* Note and log a scan's findings; called by a ScanSink's functions. */
void relay_found_ram(RelayFindings *findings, bool has_return_path);
/* packs: what is not understood is packed all the same. */
void relay_found_lost(RelayFindings *findings, const char *reason, bool packs);
/* Connections with higher numbers than 1 give the same advice. */
void relay_found_advice(RelayFindings *findings, const char *text);
void relay_found_end(RelayFindings *findings, const ScanEnd *end);

void relay_findings_clear(RelayFindings *findings);

#endif
