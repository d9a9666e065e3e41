/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/wire/return-message.h"

#include <string.h>

#include "migration/wire/wire.h"

static void put_message(Stream *s, uint16_t type, const void *data,
                        uint16_t size)
{
    stream_put_be16(s, type);
    stream_put_be16(s, size);
    stream_put_bytes(s, data, size);
}

static void put_value(Stream *s, uint16_t type, uint32_t value)
{
    value = GUINT32_TO_BE(value);
    put_message(s, type, &value, sizeof(value));
}

void return_path_put_pong(Stream *s, uint32_t value)
{
    put_value(s, WIRE_RP_PONG, value);
}

void return_path_put_shut(Stream *s, uint32_t value)
{
    put_value(s, WIRE_RP_SHUT, value);
}

void return_path_put_reason(Stream *s, const char *text)
{
    size_t size = MIN(strlen(text), WIRE_REASON_MAX);

    put_message(s, WIRE_RP_FERRY_REASON, text, (uint16_t)size);
}
