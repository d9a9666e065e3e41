/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A return path is a row of messages that say how long they are.  Anything
 * else, such as TLS, shows by a type that no message has.  From there on
 * nothing is believed.
 */
#include "tools/relay/relay-return.h"

#include <string.h>

#include "util/endian.h"
#include "util/text.h"

/* RECV_BITMAP, which a QEMU sends when postcopy goes on, is not known here: its
 * length does not count the bitmap behind it. */
static bool is_known(unsigned type, size_t length)
{
    switch (type) {
    case WIRE_RP_SHUT:
    case WIRE_RP_PONG:
        return length == sizeof(uint32_t);
    case WIRE_RP_REQ_PAGES_ID:
    case WIRE_RP_REQ_PAGES:
    case WIRE_RP_RESUME_ACK:
    case WIRE_RP_SWITCHOVER_ACK:
    case WIRE_RP_FERRY_REASON:
        return length <= WIRE_REASON_MAX;
    default:
        return false;
    }
}

static void take_pong(ReturnWatch *watch, uint32_t value)
{
    if ((value & WIRE_FERRY_MASK) == WIRE_FERRY_FEATURES &&
        (value & WIRE_FERRY_HANDOVER)) {
        atomic_store(&watch->expects_go, true);
    }
}

static void take_reason(ReturnWatch *watch, const uint8_t *text, size_t size)
{
    g_autofree char *copy = g_strndup((const char *)text, size);

    g_free(watch->reason);
    watch->reason = text_printable(copy);
}

static void take_message(ReturnWatch *watch, unsigned type, size_t length)
{
    const uint8_t *payload = watch->message + RETURN_HEAD_SIZE;

    switch (type) {
    case WIRE_RP_SHUT:
        watch->has_shut = true;
        watch->shut_value = load_be32(payload);
        break;
    case WIRE_RP_PONG:
        take_pong(watch, load_be32(payload));
        break;
    case WIRE_RP_FERRY_REASON:
        take_reason(watch, payload, length);
        break;
    default:
        break;
    }
    watch->size = 0;
}

/* The size of the message that is coming, as far as it is known. */
static size_t wanted_size(const ReturnWatch *watch)
{
    return watch->size < RETURN_HEAD_SIZE
               ? RETURN_HEAD_SIZE
               : RETURN_HEAD_SIZE + load_be16(watch->message + 2);
}

void return_watch_feed(ReturnWatch *watch, const uint8_t *buf, size_t size)
{
    while (size && !watch->lost) {
        size_t part = MIN(size, wanted_size(watch) - watch->size);
        unsigned type;

        memcpy(watch->message + watch->size, buf, part);
        watch->size += part;
        buf += part;
        size -= part;
        if (watch->size < RETURN_HEAD_SIZE) {
            return;
        }
        type = load_be16(watch->message);
        watch->lost = !is_known(type, load_be16(watch->message + 2));
        if (!watch->lost && watch->size == wanted_size(watch)) {
            take_message(watch, type, watch->size - RETURN_HEAD_SIZE);
        }
    }
}

void return_watch_clear(ReturnWatch *watch)
{
    g_clear_pointer(&watch->reason, g_free);
}

bool return_watch_expects_go(const ReturnWatch *watch)
{
    return atomic_load(&watch->expects_go);
}
