/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/expect-error.h"

#include <string.h>

void expect_error(GError **err, MigErrorCode code, const char *text)
{
    g_assert_error(*err, MIG_ERROR, (gint)code);
    if (!strstr((*err)->message, text)) {
        g_error("\"%s\" does not say \"%s\"", (*err)->message, text);
    }
    g_clear_error(err);
}
