/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest in another form: the files that the user wants. */
#ifndef TOOLS_INSPECT_CONVERT_H
#define TOOLS_INSPECT_CONVERT_H

#include "tools/inspect/converters/layout.h"
#include "tools/inspect/streams/inspect-stream.h"
#include "tools/inspect/streams/new-file.h"

/* Writes a guest to an empty file. */
typedef bool ConvertWrite(int fd, const InspectReport *report,
                          const InspectRam *ram, const LayoutConfig *config,
                          GError **errp);

typedef struct ConvertOutput {
    ConvertWrite *write;
    bool takes_parts; /* can be written of a guest that is not whole */
    const char *path;
    NewFile file; /* while they are open */
} ConvertOutput;

/* The one for an option's name, such as "stream". */
ConvertOutput convert_output(const char *name, const char *path);

/* Make the files.  To be closed after either outcome. */
bool convert_open(GArray *outputs, GError **errp); /* of ConvertOutput */
void convert_close(GArray *outputs);

/* Write and keep them; of a guest that is not whole only those that take parts.
 * Files that were written before one that cannot be written are kept; *kept
 * counts them. */
bool convert_guest(GArray *outputs, const LayoutConfig *config,
                   const InspectReport *report, const InspectRam *ram,
                   unsigned *kept, GError **errp);

#endif
