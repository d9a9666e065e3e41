/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-link.h"

#include <string.h>

#include "util/endian.h"
#include "util/text.h"

#define WENT_AWAY " went away: "

static bool write_frame(LinkWriter *link, unsigned type, const void *body,
                        size_t size, GError **errp)
{
    FrameHead head = frame_plain_head(type, link->position, body, size);
    uint8_t bytes[RELAY_HEAD_SIZE];
    GOutputVector vectors[] = { { bytes, sizeof(bytes) }, { body, size } };

    frame_put_head(bytes, &head);
    link->position += head.bytes;
    return io_channel_writev(link->channel, vectors, 2, errp);
}

bool link_write_data(LinkWriter *link, const void *buf, size_t size,
                     GError **errp)
{
    return write_frame(link, RELAY_DATA, buf, size, errp);
}

bool link_write_total(LinkWriter *link, unsigned type, uint64_t total,
                      GError **errp)
{
    uint8_t body[RELAY_TOTAL_SIZE];

    store_be64(body, total);
    return write_frame(link, type, body, sizeof(body), errp);
}

bool link_write_verdict(LinkWriter *link, StreamEnd end, const char *reason,
                        GError **errp)
{
    uint8_t body[1 + RELAY_REASON_MAX] = { (uint8_t)end };
    size_t size = reason ? MIN(strlen(reason), RELAY_REASON_MAX) : 0;

    if (size) {
        memcpy(body + 1, reason, size);
    }
    return write_frame(link, RELAY_VERDICT, body, 1 + size, errp);
}

void link_write_abort(LinkWriter *link, const char *reason)
{
    write_frame(link, RELAY_ABORT, reason,
                MIN(strlen(reason), RELAY_REASON_MAX), NULL);
}

void link_blame(GError **errp, const char *who)
{
    if (!errp || !*errp || strstr((*errp)->message, WENT_AWAY) ||
        g_error_matches(*errp, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
        g_error_matches(*errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA) ||
        g_error_matches(*errp, MIG_ERROR, MIG_ERROR_HOST) ||
        g_error_matches(*errp, MIG_ERROR, MIG_ERROR_CANCELLED)) {
        return;
    }
    if (g_error_matches(*errp, MIG_ERROR, MIG_ERROR_EOF)) {
        g_clear_error(errp);
        g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                    "%s" WENT_AWAY "the connection ended without a reason",
                    who);
    } else {
        g_prefix_error(errp, "%s" WENT_AWAY, who);
    }
}

bool link_get_bytes(LinkReader *link, void *buf, size_t size, GError **errp)
{
    if (!stream_get_bytes(link->stream, buf, size, errp)) {
        link_blame(errp, "the other relay");
        return false;
    }
    return true;
}

bool link_read_head(LinkReader *link, FrameHead *head, GError **errp)
{
    uint8_t bytes[RELAY_HEAD_SIZE];
    const char *fault;

    if (!link_get_bytes(link, bytes, sizeof(bytes), errp)) {
        return false;
    }
    fault = frame_get_head(bytes, link->max_pages, head);
    if (fault) {
        g_set_error_literal(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, fault);
        return false;
    }
    return true;
}

bool link_read_plain(LinkReader *link, const FrameHead *head, uint8_t *body,
                     GError **errp)
{
    uint32_t sum = frame_checksum_begin(link->position);

    if (head->pages || head->packed != head->body) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a frame that is not allowed here");
        return false;
    }
    if (!link_get_bytes(link, body, head->body, errp)) {
        return false;
    }
    if (frame_checksum_add(sum, body, head->body) != head->checksum) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a frame's checksum is wrong");
        return false;
    }
    link->position += head->bytes;
    return true;
}

bool link_read_total(LinkReader *link, const FrameHead *head, uint64_t *total,
                     GError **errp)
{
    uint8_t body[RELAY_TOTAL_SIZE];

    if (!link_read_plain(link, head, body, errp)) {
        return false;
    }
    *total = load_be64(body);
    return true;
}

bool link_read_verdict(LinkReader *link, const FrameHead *head,
                       Ending *ending, GError **errp)
{
    char body[1 + RELAY_REASON_MAX + 1] = "";
    g_autofree char *reason = NULL;

    if (!link_read_plain(link, head, (uint8_t *)body, errp)) {
        return false;
    }
    if (body[0] < END_WHOLE || body[0] > END_ASKED) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay's verdict has no meaning (%d)", body[0]);
        return false;
    }
    reason = text_printable(body + 1);
    ending_set(ending, (StreamEnd)body[0], reason);
    return true;
}

void link_read_abort(LinkReader *link, const FrameHead *head, GError **errp)
{
    char body[RELAY_REASON_MAX + 1] = "";
    g_autofree char *text = NULL;

    if (link_read_plain(link, head, (uint8_t *)body, errp)) {
        text = text_printable(body);
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the other relay says: %s", text);
    }
}
