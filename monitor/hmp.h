/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP, the monitor for people: one command line and what it answers. */
#ifndef FERRY_MONITOR_HMP_H
#define FERRY_MONITOR_HMP_H

#include "monitor/command.h"
#include "monitor/session.h"

/* Run a line (without its end) and append what it prints, lines ending in
 * "\r\n".  Returns how a session goes on; never waits itself. */
HmpNext hmp_run(const MonMachine *machine, const char *line, GString *out);

/* Sessions: a banner, a prompt, a line, its answer, a prompt... */
extern const SessionFront hmp_front;

#endif
