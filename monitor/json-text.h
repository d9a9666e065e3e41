/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks that a text's words are those of JSON. */
#ifndef FERRY_MONITOR_JSON_TEXT_H
#define FERRY_MONITOR_JSON_TEXT_H

#include <glib.h>
#include <stdbool.h>

typedef struct JsonText {
    GString *plain;
    GString *id; /* the value of the outermost object's "id", or empty */
} JsonText;

/*
 * Make a copy of text that json-glib can be given.  In the copy every word
 * outside of strings is one of JSON's.  Every integer fits into 64 bits; a
 * larger one becomes a double, as in QEMU.  Every other number fits into a
 * double.  Every string is in double quotes, and neither C nor JSON would
 * change it.
 *
 * Returns false when the text has something that cannot be copied so.  Whether
 * its words are in a sensible order is not looked at.
 *
 * In id, numbers are as they were written.  Once the copy was found to be JSON,
 * id can be sent back as it is, on one line.
 */
bool json_text_init(JsonText *json, const GString *text, GError **errp);
void json_text_clear(JsonText *json);

#endif
