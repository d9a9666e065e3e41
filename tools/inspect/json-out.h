/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints JSON to standard output, value by value, and keeps none of it. */
#ifndef TOOLS_INSPECT_JSON_OUT_H
#define TOOLS_INSPECT_JSON_OUT_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Out {
    unsigned depth;
    bool first; /* the next value is its object's or array's first: no comma */
} Out;

/* name is that of a member, without need of escapes, or NULL in an array. */

/* What is printed next, by whoever calls this, is a value. */
void out_value(Out *o, const char *name);

/* An object ('{' and '}') or an array ('[' and ']'). */
void out_begin(Out *o, const char *name, char bracket);
void out_end(Out *o, char bracket);

void out_int(Out *o, const char *name, uint64_t value); /* an int64_t */
void out_unsigned(Out *o, const char *name, uint64_t value);
void out_bool(Out *o, const char *name, bool value);
void out_text(Out *o, const char *name, const char *value); /* any bytes */
void out_hex(Out *o, const char *name, const uint8_t *bytes, size_t size);
void out_node(Out *o, const char *name, JsonNode *node);

#endif
