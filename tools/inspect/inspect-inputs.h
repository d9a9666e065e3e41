/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user has named to be read: a stream, perhaps with side channels. */
#ifndef TOOLS_INSPECT_INPUTS_H
#define TOOLS_INSPECT_INPUTS_H

#include "tools/inspect/containers/input.h"
#include "tools/inspect/inspect-args.h"

typedef struct Inputs {
    Input **input;   /* [count], as they were named; NULL: not opened */
    unsigned count;
    unsigned main;   /* the one that has the stream */
    Input **side;    /* [sides]: multifd's side channels, in the same order */
    unsigned sides;
    Input *preempt;  /* the channel of postcopy-preempt; or NULL */
} Inputs;

/* One alone, which is the caller's; NULL when it cannot be opened. */
Input *inputs_open_one(const InspectOperand *operand, const char *snapshot,
                       GError **errp);

/* Open all, and tell them apart.  To be closed after either outcome: what was
 * opened has containers and warnings to be shown. */
bool inputs_open(Inputs *inputs, const InspectArgs *args, GError **errp);
void inputs_close(Inputs *inputs);

#endif
