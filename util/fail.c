/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/fail.h"

#include <errno.h>
#include <gio/gio.h>

bool fail_errno(GError **errp, const char *format, ...)
{
    int err = errno;
    g_autofree char *what = NULL;
    va_list list;

    va_start(list, format);
    what = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error(errp, G_IO_ERROR, g_io_error_from_errno(err), "%s: %s", what,
                g_strerror(err));
    return false;
}
