/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A head's own checksum is looked at before anything else in the head.  A head
 * that breaks a rule of docs/relay.md does not leave this file, so that callers
 * can trust its lengths.
 */
#include "tools/relay/relay-frame.h"

#include <string.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

#include "util/endian.h"

/* Where libdeflate is there, it takes a third of zlib's time. */
uint32_t frame_checksum_add(uint32_t sum, const void *buf, size_t size)
{
#ifdef HAVE_LIBDEFLATE
    return libdeflate_crc32(sum, buf, size);
#else
    return (uint32_t)crc32_z(sum, buf, size);
#endif
}

static uint32_t checksum(const void *buf, size_t size)
{
    return frame_checksum_add(0, buf, size);
}

uint32_t frame_checksum_begin(uint64_t place)
{
    uint8_t bytes[sizeof(place)];

    store_be64(bytes, place);
    return checksum(bytes, sizeof(bytes));
}

/* HELLO and ANSWER */

bool hello_write(IoChannel *channel, const Hello *hello, GError **errp)
{
    uint8_t bytes[RELAY_HELLO_SIZE + RELAY_REASON_MAX + 4] = { 0 };
    size_t reason = strlen(hello->reason), size = RELAY_HELLO_SIZE + reason;
    GOutputVector vector = { bytes, size + 4 };

    memcpy(bytes, RELAY_MAGIC, RELAY_MAGIC_SIZE);
    store_be16(bytes + 8, hello->version);
    store_be16(bytes + 10, hello->pages);
    store_be32(bytes + 12, (uint32_t)reason);
    memcpy(bytes + 16, hello->method, strlen(hello->method));
    store_be64(bytes + 24, hello->nonce);
    memcpy(bytes + RELAY_HELLO_SIZE, hello->reason, reason);
    store_be32(bytes + size, checksum(bytes, size));
    return io_channel_writev(channel, &vector, 1, errp);
}

static bool bad(GError **errp, const char *text)
{
    g_set_error_literal(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
    return false;
}

uint64_t hello_nonce(const uint8_t *bytes)
{
    return load_be64(bytes + 24);
}

static bool hello_take(const uint8_t *bytes, size_t reason, Hello *hello,
                       GError **errp)
{
    hello->version = load_be16(bytes + 8);
    hello->pages = load_be16(bytes + 10);
    memcpy(hello->method, bytes + 16, RELAY_METHOD_SIZE);
    hello->method[RELAY_METHOD_SIZE] = '\0';
    hello->nonce = hello_nonce(bytes);
    memcpy(hello->reason, bytes + RELAY_HELLO_SIZE, reason);
    hello->reason[reason] = '\0';
    if (hello->version == 0) {
        return bad(errp, "the other relay speaks version 0");
    }
    if (hello->pages == 0 || hello->pages > RELAY_PAGES_MAX) {
        return bad(errp, "the other relay wants batches of a size that is "
                         "not allowed");
    }
    return true;
}

bool hello_read(Stream *s, Hello *hello, GError **errp)
{
    uint8_t bytes[RELAY_HELLO_SIZE + RELAY_REASON_MAX + 4];
    size_t reason, size;

    if (!stream_get_bytes(s, bytes, RELAY_HELLO_SIZE, errp)) {
        return false;
    }
    if (memcmp(bytes, RELAY_MAGIC, RELAY_MAGIC_SIZE)) {
        return bad(errp, "the other end is no ferry-relay");
    }
    reason = load_be32(bytes + 12);
    if (reason > RELAY_REASON_MAX) {
        return bad(errp, "the other relay's greeting is damaged");
    }
    size = RELAY_HELLO_SIZE + reason;
    if (!stream_get_bytes(s, bytes + RELAY_HELLO_SIZE, reason + 4, errp)) {
        return false;
    }
    if (load_be32(bytes + size) != checksum(bytes, size)) {
        return bad(errp, "the other relay's greeting is damaged");
    }
    return hello_take(bytes, reason, hello, errp);
}

/* Frames */

void frame_put_head(uint8_t to[RELAY_HEAD_SIZE], const FrameHead *head)
{
    to[0] = head->type;
    to[1] = head->channel;
    store_be16(to + 2, head->pages);
    store_be32(to + 4, head->bytes);
    store_be32(to + 8, head->body);
    store_be32(to + 12, head->packed);
    store_be32(to + 16, head->checksum);
    store_be32(to + 20, checksum(to, 20));
}

static bool data_is_legal(const FrameHead *h, unsigned max_pages)
{
    return h->pages <= max_pages && h->bytes > 0 &&
           h->bytes >= (size_t)h->pages * MIG_PAGE_SIZE &&
           h->bytes <= RELAY_BYTES_MAX(h->pages) &&
           (h->pages || h->bytes == h->body) &&
           h->body <= RELAY_BODY_MAX(h->pages) &&
           h->packed > 0 && h->packed <= h->body;
}

/* The body is a pack, whose head says how large it is when it is decoded. */
static bool pack_is_legal(const FrameHead *h, unsigned max_pages)
{
    return h->pages > 0 && h->pages <= MIN(max_pages, PACK_PAGES) &&
           h->bytes >= (size_t)h->pages * MIG_PAGE_SIZE &&
           h->bytes <= RELAY_BYTES_MAX(h->pages) &&
           h->packed == h->body && h->body > PACK_HEAD_SIZE &&
           h->body <= PACK_SIZE_MAX && h->window <= PACK_WINDOW_MAX;
}

/* Of a frame that stands for no bytes. */
static bool is_plain(const FrameHead *h)
{
    return !h->pages && !h->bytes && h->packed == h->body;
}

static bool is_legal(const FrameHead *h, unsigned max_pages)
{
    switch (h->type) {
    case RELAY_DATA:
        return data_is_legal(h, max_pages);
    case RELAY_PACK:
        return pack_is_legal(h, max_pages);
    case RELAY_END:
    case RELAY_DELIVERED:
    case RELAY_CREDIT:
        return is_plain(h) && h->body == RELAY_TOTAL_SIZE;
    case RELAY_VERDICT:
        return is_plain(h) && !h->channel && h->body >= 1 &&
               h->body <= 1 + RELAY_REASON_MAX;
    case RELAY_ABORT:
        return is_plain(h) && !h->channel && h->body <= RELAY_REASON_MAX;
    case RELAY_OPEN:
        return is_plain(h) && h->channel && !h->body;
    case RELAY_RESET:
        return is_plain(h) && h->channel && h->body <= RELAY_REASON_MAX;
    default:
        return false;
    }
}

const char *frame_get_head(const uint8_t from[RELAY_HEAD_SIZE],
                           unsigned max_pages, FrameHead *head)
{
    if (load_be32(from + 20) != checksum(from, 20)) {
        return "the head of a frame is damaged";
    }
    head->type = from[0];
    head->channel = from[1];
    head->pages = load_be16(from + 2);
    head->bytes = load_be32(from + 4);
    head->body = load_be32(from + 8);
    head->packed = load_be32(from + 12);
    head->checksum = load_be32(from + 16);
    if (!is_legal(head, max_pages)) {
        return "a frame that is not allowed";
    }
    return NULL;
}

FrameHead frame_plain_head(unsigned type, uint64_t place, const void *body,
                           size_t size)
{
    uint32_t sum = frame_checksum_begin(place);

    return (FrameHead){
        .type = (uint8_t)type,
        .bytes = type == RELAY_DATA ? (uint32_t)size : 0,
        .body = (uint32_t)size,
        .packed = (uint32_t)size,
        .checksum = frame_checksum_add(sum, body, size),
    };
}
