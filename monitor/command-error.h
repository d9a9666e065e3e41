/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef FERRY_MONITOR_COMMAND_ERROR_H
#define FERRY_MONITOR_COMMAND_ERROR_H

#include <glib.h>

/* Report a bad argument. */
void command_error(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
