/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/text.h"

char *text_printable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *shown = g_string_new(NULL);

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);

        g_string_append_unichar(shown, g_unichar_iscntrl(c) ? '?' : c);
    }
    return g_string_free(shown, FALSE);
}
