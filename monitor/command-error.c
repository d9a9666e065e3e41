/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/command-error.h"

#include <gio/gio.h>

void command_error(GError **errp, const char *format, ...)
{
    va_list ap;

    if (!errp) {
        return;
    }
    va_start(ap, format);
    *errp =
        g_error_new_valist(G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, format, ap);
    va_end(ap);
}
