/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a migration ended, from what a relay has seen of it. */
#ifndef RELAY_OUTCOME_H
#define RELAY_OUTCOME_H

#include <glib.h>
#include <stdbool.h>

#include "tools/relay/relay-return.h"
#include "tools/relay/relay-wire.h"

typedef enum {
    RELAY_COMPLETED,
    RELAY_FAILED,
    RELAY_UNKNOWN, /* the migration has ended, and nothing shows how */
} RelayOutcome;

/* What the relay at the source makes of the stream. */
typedef struct Ending {
    StreamEnd end;
    char *reason; /* END_CUT, END_OPAQUE: why; owned */
    bool has_go;  /* if whole: GO came behind the vmdescription */
} Ending;

void ending_set(Ending *ending, StreamEnd end, const char *reason);
void ending_clear(Ending *ending);
bool ending_is_whole(const Ending *ending);

/* Where the destination waits for GO, a stream without it is not whole. */
void ending_expect_go(Ending *ending, const ReturnWatch *back);

/* Call it when both directions have ended without an error.  Unless the result
 * is RELAY_COMPLETED, *why is set, to be freed by g_free(). */
RelayOutcome relay_judge(const Ending *ending, const ReturnWatch *back,
                         char **why);

const char *relay_outcome_name(RelayOutcome outcome);

#endif
