/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-link.h"

#include <string.h>

#include "util/endian.h"
#include "util/text.h"

#define WENT_AWAY " went away: "

void link_writer_init(LinkWriter *link, IoChannel *to)
{
    *link = (LinkWriter){ .channel = to };
    pthread_mutex_init(&link->lock, NULL);
}

void link_writer_destroy(LinkWriter *link)
{
    pthread_mutex_destroy(&link->lock);
}

static bool write_locked(LinkWriter *link, unsigned channel, uint64_t bytes,
                         GOutputVector *frame, size_t count, GError **errp)
{
    link->position[channel] += bytes;
    return io_channel_writev(link->channel, frame, count, errp);
}

bool link_write_made(LinkWriter *link, unsigned channel, uint64_t bytes,
                     GOutputVector *frame, size_t count, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&link->lock);
    ok = write_locked(link, channel, bytes, frame, count, errp);
    pthread_mutex_unlock(&link->lock);
    return ok;
}

static bool write_plain(LinkWriter *link, unsigned channel, unsigned type,
                        const void *body, size_t size, GError **errp)
{
    uint8_t bytes[RELAY_HEAD_SIZE];
    GOutputVector vectors[] = { { bytes, sizeof(bytes) }, { body, size } };
    FrameHead head;
    bool ok;

    pthread_mutex_lock(&link->lock);
    head = frame_plain_head(type, frame_place(channel, link->position[channel]),
                            body, size);
    head.channel = (uint8_t)channel;
    frame_put_head(bytes, &head);
    ok = write_locked(link, channel, head.bytes, vectors, size ? 2 : 1, errp);
    pthread_mutex_unlock(&link->lock);
    return ok;
}

bool link_write_data(LinkWriter *link, unsigned channel, const void *buf,
                     size_t size, GError **errp)
{
    return write_plain(link, channel, RELAY_DATA, buf, size, errp);
}

bool link_write_total(LinkWriter *link, unsigned channel, unsigned type,
                      uint64_t total, GError **errp)
{
    uint8_t body[RELAY_TOTAL_SIZE];

    store_be64(body, total);
    return write_plain(link, channel, type, body, sizeof(body), errp);
}

bool link_write_open(LinkWriter *link, unsigned channel, GError **errp)
{
    return write_plain(link, channel, RELAY_OPEN, "", 0, errp);
}

bool link_write_verdict(LinkWriter *link, StreamEnd end, const char *reason,
                        GError **errp)
{
    uint8_t body[1 + RELAY_REASON_MAX] = { (uint8_t)end };
    size_t size = reason ? MIN(strlen(reason), RELAY_REASON_MAX) : 0;

    if (size) {
        memcpy(body + 1, reason, size);
    }
    return write_plain(link, 0, RELAY_VERDICT, body, 1 + size, errp);
}

static void write_reason(LinkWriter *link, unsigned channel, unsigned type,
                         const char *reason)
{
    write_plain(link, channel, type, reason,
                MIN(strlen(reason), RELAY_REASON_MAX), NULL);
}

void link_write_reset(LinkWriter *link, unsigned channel, const char *reason)
{
    write_reason(link, channel, RELAY_RESET, reason);
}

void link_write_abort(LinkWriter *link, const char *reason)
{
    write_reason(link, 0, RELAY_ABORT, reason);
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

bool link_bad_frame(GError **errp)
{
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "a frame that is not allowed here");
    return false;
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
    uint64_t *position = &link->position[head->channel];
    uint32_t sum = frame_checksum_begin(frame_place(head->channel, *position));

    if (head->pages || head->packed != head->body) {
        return link_bad_frame(errp);
    }
    if (!link_get_bytes(link, body, head->body, errp)) {
        return false;
    }
    if (frame_checksum_add(sum, body, head->body) != head->checksum) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a frame's checksum is wrong");
        return false;
    }
    *position += head->bytes;
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

bool link_read_end(LinkReader *link, const FrameHead *head, GError **errp)
{
    uint64_t total, came = link->position[head->channel];

    if (!link_read_total(link, head, &total, errp)) {
        return false;
    }
    if (total != came) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay sent %" G_GUINT64_FORMAT " bytes and %"
                    G_GUINT64_FORMAT " have come", total, came);
        return false;
    }
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

char *link_read_reason(LinkReader *link, const FrameHead *head, GError **errp)
{
    char body[RELAY_REASON_MAX + 1] = "";

    return link_read_plain(link, head, (uint8_t *)body, errp)
               ? text_printable(body) : NULL;
}

void link_read_abort(LinkReader *link, const FrameHead *head, GError **errp)
{
    g_autofree char *text = link_read_reason(link, head, errp);

    if (text) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the other relay says: %s", text);
    }
}
