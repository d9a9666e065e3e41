/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP, the monitor for people: one command line and its answer. */
#ifndef FERRY_MONITOR_HMP_H
#define FERRY_MONITOR_HMP_H

#include "monitor/command.h"
#include "monitor/session.h"

#define HMP_PROMPT_TEXT "(ferry) "

/* Run a line (without its end) and append its output, in lines that end in
 * "\r\n".  Returns how a session goes on.  Does not wait. */
HmpNext hmp_run(const MonMachine *machine, const char *line, GString *out);

/*
 * Find the command that a line begins with ("info ITEM" is one, too), and move
 * the cursor behind it.  NULL, and a message in out, when there is none or more
 * than one.
 */
const Command *hmp_find(const CommandTable *table, const char **cursor,
                        GString *out);

/*
 * text is the part of a line before the cursor.  Returns what its last word
 * could become: strings to be freed with the array.  Sets *start to where that
 * word begins.
 */
GPtrArray *hmp_complete(const char *text, size_t *start);

/* Sessions: a banner, a prompt, a line, its answer, a prompt... */
extern const SessionFront hmp_front;

#endif
