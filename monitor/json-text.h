/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says whether a text's words are those of JSON. */
#ifndef FERRY_MONITOR_JSON_TEXT_H
#define FERRY_MONITOR_JSON_TEXT_H

#include <glib.h>
#include <stdbool.h>

typedef struct JsonText {
    GString *plain;
    GString *id; /* the value of the outermost object's "id", or empty */
} JsonText;

/*
 * A copy of text in which every word outside of strings is one of JSON's,
 * every integer fits into 64 bits and every other number into a double (a
 * larger integer becomes one, as in QEMU), and every string is in double
 * quotes and has nothing in it that C or JSON would not keep.  False when that
 * cannot be had.  Whether the words are in a sensible order is not looked at.
 *
 * In id numbers are as they were written: it can be sent back as it is, on one
 * line, once the plain text was found to be JSON.
 */
bool json_text_init(JsonText *json, const GString *text, GError **errp);
void json_text_clear(JsonText *json);

#endif
