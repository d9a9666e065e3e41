/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ferry-inspect. */
#ifndef TOOLS_INSPECT_ARGS_H
#define TOOLS_INSPECT_ARGS_H

#include <glib.h>
#include <stdbool.h>

#include "tools/inspect/converters/convert.h"
#include "tools/inspect/streams/inspect-stream.h"
#include "ferry/options.h"
#include "ferry/uri.h"

typedef struct InspectOperand {
    const char *name; /* as given */
    IoUri *uri;       /* what it means */
} InspectOperand;

typedef struct InspectArgs {
    GArray *operands;  /* of InspectOperand */
    GArray *extracts;  /* of InspectExtract */
    GArray *outputs;   /* of ConvertOutput */
    const char *ram;   /* as LayoutConfig's */
    GArray *places;    /* of LayoutPlace */
    GPtrArray *snapshots; /* of const char *; with diff one for each stream */
    MigOptions options;
    GPtrArray *devices;   /* of const char *: what to print, and nothing else */
    bool verify, json, sections, vmdescription, fields, diff;
    bool help, version; /* was given: nothing else is checked */
} InspectArgs;

/* Fails with one line that names the option.  argv is borrowed. */
bool inspect_args_parse(InspectArgs *args, char **argv, GError **errp);
void inspect_args_clear(InspectArgs *args); /* after either outcome */

char *inspect_args_help(void);

#endif
