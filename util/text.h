/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_TEXT_H
#define UTIL_TEXT_H

#include <glib.h>

/* What a stranger says, as it can be shown on a terminal: valid UTF-8, each
 * control character (of C0 or C1) a question mark. */
char *text_printable(const char *text);

#endif
