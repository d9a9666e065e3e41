/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of a destination to its source, on the return path.  Each is
 * buffered in s.
 */
#ifndef MIGRATION_WIRE_RETURN_MESSAGE_H
#define MIGRATION_WIRE_RETURN_MESSAGE_H

#include <stdint.h>

#include "migration/wire/stream.h"

void return_path_put_pong(Stream *s, uint32_t value);
void return_path_put_shut(Stream *s, uint32_t value); /* 0: success */

/* At most WIRE_REASON_MAX bytes of the text are sent. */
void return_path_put_reason(Stream *s, const char *text);

#endif
