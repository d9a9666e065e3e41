/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/json-out.h"

#include <stdio.h>

void out_value(Out *o, const char *name)
{
    if (!o->first) {
        putchar(',');
    }
    if (o->depth) {
        printf("\n%*s", (int)o->depth * 2, "");
    }
    if (name) {
        printf("\"%s\" : ", name);
    }
    o->first = false;
}

void out_begin(Out *o, const char *name, char bracket)
{
    out_value(o, name);
    putchar(bracket);
    o->depth++;
    o->first = true;
}

void out_end(Out *o, char bracket)
{
    o->depth--;
    if (!o->first) {
        printf("\n%*s", (int)o->depth * 2, "");
    }
    putchar(bracket);
    o->first = false;
}

void out_int(Out *o, const char *name, uint64_t value)
{
    out_value(o, name);
    printf("%" G_GINT64_FORMAT, (gint64)value);
}

void out_unsigned(Out *o, const char *name, uint64_t value)
{
    out_value(o, name);
    printf("%" G_GUINT64_FORMAT, value);
}

void out_bool(Out *o, const char *name, bool value)
{
    out_value(o, name);
    fputs(value ? "true" : "false", stdout);
}

void out_hex(Out *o, const char *name, const uint8_t *bytes, size_t size)
{
    out_value(o, name);
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        putchar("0123456789abcdef"[bytes[i] >> 4]);
        putchar("0123456789abcdef"[bytes[i] & 15]);
    }
    putchar('"');
}

void out_node(Out *o, const char *name, JsonNode *node)
{
    g_autofree char *text = json_to_string(node, TRUE);

    out_value(o, name);
    fputs(text, stdout);
}

void out_text(Out *o, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1);
    JsonNode *node = json_node_init_string(json_node_alloc(), valid);

    out_node(o, name, node);
    json_node_unref(node);
}
