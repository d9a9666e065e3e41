/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says whether a text's words are those of JSON. */
#ifndef FERRY_MONITOR_JSON_TEXT_H
#define FERRY_MONITOR_JSON_TEXT_H

#include <glib.h>

/*
 * A copy of text, to be freed, in which every word outside of strings is one
 * of JSON's, every integer fits into 64 bits and every other number into a
 * double (a larger integer becomes one, as in QEMU), and every string is in
 * double quotes and has nothing in it that C or JSON would not keep.  NULL
 * when that cannot be had.  Whether the words are in a sensible order is not
 * looked at.
 */
GString *json_text_normalise(const GString *text, GError **errp);

#endif
