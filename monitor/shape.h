/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What JSON values look like: the arguments and results of commands and the
 * data of events.
 *
 * Everything that comes in is checked against its description, with an error
 * for the client, and everything that goes out is, and does not go out if it
 * does not fit.  So query-qmp-schema, which is made from the same
 * descriptions, is true.
 */
#ifndef FERRY_MONITOR_SHAPE_H
#define FERRY_MONITOR_SHAPE_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "ferry/options.h"

typedef enum {
    KIND_STRING,
    KIND_REST,    /* a string; on HMP the rest of the line */
    KIND_SETTING, /* a string; on HMP a value of the parameter before it */
    KIND_BOOL,    /* on HMP "on" or "off" */
    KIND_FLAG,    /* a boolean; on HMP "-" and the name's first letter */
    KIND_ENUM,    /* a string, one of those that value() has */
    KIND_UINT,    /* 0..INT64_MAX */
    /* not on HMP */
    KIND_INT, /* which the command checks */
    KIND_NUMBER,
    KIND_ANY,
    KIND_OBJECT,     /* of members */
    KIND_ARRAY,      /* of values that look like members[0] */
    KIND_PARAMETERS, /* an object of migration parameters, each optional */
} Kind;

/* A member of an object, or with any name a value of its own. */
typedef struct Member Member;
struct Member {
    const char *name;
    Kind kind;
    bool optional;
    const Member *members; /* of an object, ended by a NULL name; see Kind */
    const char *(*value)(unsigned index); /* of an enum; NULL past the last */
};

/* Names of people's making: '-' and '_' are the same. */
bool shape_same_name(const char *a, const char *b);
bool shape_name_begins(const char *name, const char *start);

/* What the value of a migration parameter looks like. */
Member shape_parameter(const MigOption *option);

/* Of an enum: the index of what people call text, or -1. */
int shape_find_value(const Member *member, const char *text);

/* Check a value; path is what messages call it.  Here names are programs', and
 * '_' is not '-'. */
bool shape_check(const Member *member, JsonNode *node, const char *path,
                 GError **errp);

/* Check the members of an object; where stands before their names in
 * messages: "", or "capabilities[0].". */
bool shape_check_members(const Member *members, JsonObject *object,
                         const char *where, GError **errp);

#endif
