/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Read one stream, from its header to its end. */
#ifndef TOOLS_INSPECT_STREAM_H
#define TOOLS_INSPECT_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/inspect/streams/inspect-report.h"
#include "tools/inspect/containers/input.h"

typedef struct InspectExtract {
    const char *block;
    const char *path; /* must not exist */
} InspectExtract;

typedef struct InspectRam InspectRam;

/* A guest has been read, and its RAM is still there: all of it if ram_ended,
 * and all devices if complete. */
typedef bool InspectConvert(void *opaque, const InspectReport *report,
                            const InspectRam *ram, GError **errp);

typedef struct InspectConfig {
    const InspectExtract *extract;
    unsigned extracts; /* 0 if there is a scratch */
    const char *scratch; /* the folder where all RAM is kept; or NULL */
    InspectConvert *convert; /* gets it; or NULL */
    bool parts;              /* it gets a guest that is not whole, too */
    InspectRam **keep;       /* gets it for good, if all went well; or NULL.
                              * The input, the report and this config must
                              * outlive it. */
    Input *const *side; /* [sides]: multifd's side channels, if there are any */
    unsigned sides;
    Input *preempt;   /* the channel of postcopy-preempt; or NULL */
    bool verify;      /* decode every compressed page */
    unsigned threads; /* that decode */
    bool to_the_end;  /* the input is a file: read also what follows the end */
    void (*progress)(void *opaque);
    void *opaque;
} InspectConfig;

/*
 * False when the stream is damaged, or has something that is not supported.
 * The error says where, and the report has what came before.  Extracted files
 * exist when RAM was whole, whatever came behind it.
 *
 * A source that asks for answers gets them.  The last answer is that its guest
 * was not taken, so that the guest goes on at the source.
 */
bool inspect_stream(Input *input, const InspectConfig *config,
                    InspectReport *report, GError **errp);

#endif
