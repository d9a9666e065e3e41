/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_TEXT_H
#define UTIL_TEXT_H

#include <glib.h>

/* Make a stranger's prose, such as a reason, fit to be shown on a terminal:
 * valid UTF-8, with a question mark for each character that controls how text
 * is shown.  (Names are shown by g_strescape(), which keeps all of them.) */
char *text_printable(const char *text);

#endif
