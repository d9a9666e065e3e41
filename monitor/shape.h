/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What JSON values look like: the arguments and results of commands and the
 * data of events.
 *
 * All input is checked against its description, and what does not fit is an
 * error for the client.  All output is checked, too, and is not sent if it does
 * not fit.  So query-qmp-schema, which is made from the same descriptions, is
 * true.
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
    KIND_ENUM,    /* a string, one of value()'s */
    KIND_UINT,    /* 0..INT64_MAX */
    /* not on HMP */
    KIND_INT, /* its range is checked by the command */
    KIND_NUMBER,
    KIND_ANY,
    KIND_OBJECT,     /* of members */
    KIND_ARRAY,      /* of values that look like members[0] */
    KIND_PARAMETERS, /* an object of migration parameters, each optional */
} Kind;

/* A member of an object, or a value of its own, whose name has no meaning. */
typedef struct Member Member;
struct Member {
    const char *name;
    Kind kind;
    bool optional;
    const Member *members; /* of an object, ended by a NULL name; see Kind */
    const char *(*value)(unsigned index); /* of an enum; NULL past the last */
};

/* For names that people write: '-' and '_' are the same. */
bool shape_same_name(const char *a, const char *b);
bool shape_name_begins(const char *name, const char *start);

/* What the value of a migration parameter looks like. */
Member shape_parameter(const MigOption *option);

/* The index of the enum's value that people write as text, or -1. */
int shape_find_value(const Member *member, const char *text);

/* Check a value; path is its name in messages.  Programs write these names, so
 * '_' is not '-'. */
bool shape_check(const Member *member, JsonNode *node, const char *path,
                 GError **errp);

/* Check the members of an object.  Messages put `where` before their names: "",
 * or "capabilities[0].". */
bool shape_check_members(const Member *members, JsonObject *object,
                         const char *where, GError **errp);

#endif
