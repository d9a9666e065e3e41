/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_FAIL_H
#define UTIL_FAIL_H

#include <glib.h>
#include <stdbool.h>

/* Sets the G_IO_ERROR of errno: "FORMAT: No such file or directory".  Returns
 * false. */
bool fail_errno(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
