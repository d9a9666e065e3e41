/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_TEXT_H
#define UTIL_TEXT_H

#include <glib.h>

/* Prose of a stranger's, such as a reason, as it can be shown on a terminal:
 * valid UTF-8, and a question mark for whatever controls how text is shown.
 * (Names are shown by g_strescape(), which loses nothing of them.) */
char *text_printable(const char *text);

#endif
