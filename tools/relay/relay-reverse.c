/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-reverse.h"

/* A channel that cannot be read has already ended. */
static bool read_some(IoChannel *from, uint8_t *buf, size_t *n, GError **errp)
{
    *n = 0;
    if (io_channel_is_two_way(from) &&
        !io_channel_read(from, buf, RELAY_LITERAL_MAX, n, errp)) {
        link_blame(errp, "the destination");
        return false;
    }
    return true;
}

static void see(const ReverseWatch *watch, const uint8_t *buf, size_t size)
{
    relay_stats_add(&watch->stats->reverse_bytes, size);
    return_watch_feed(watch->back, buf, size);
}

bool reverse_to_link(IoChannel *qemu, LinkWriter *link,
                     const ReverseWatch *watch, GError **errp)
{
    g_autofree uint8_t *buf = g_malloc(RELAY_LITERAL_MAX);
    size_t n;

    for (;;) {
        if (!read_some(qemu, buf, &n, errp)) {
            return false;
        }
        if (n == 0) {
            return link_write_total(link, RELAY_END, link->position, errp);
        }
        see(watch, buf, n);
        if (!link_write_data(link, buf, n, errp)) {
            return false;
        }
    }
}

/* A peer that may stop listening, which is no error. */
typedef struct Sink {
    IoChannel *channel; /* NULL: nobody listens */
} Sink;

static void sink_write(Sink *sink, const void *buf, size_t size)
{
    GOutputVector vector = { buf, size };

    if (sink->channel && !io_channel_writev(sink->channel, &vector, 1, NULL)) {
        sink->channel = NULL;
    }
}

static void sink_finish(Sink *sink)
{
    if (sink->channel) {
        io_channel_finish(sink->channel, NULL);
        sink->channel = NULL;
    }
}

static Sink sink_to(IoChannel *channel)
{
    return (Sink){ io_channel_is_two_way(channel) ? channel : NULL };
}

static bool take_end(LinkReader *link, const FrameHead *head, Sink *sink,
                     GError **errp)
{
    uint64_t total;

    if (!link_read_total(link, head, &total, errp)) {
        return false;
    }
    if (total != link->position) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay sent back %" G_GUINT64_FORMAT
                    " bytes and %" G_GUINT64_FORMAT " arrived", total,
                    link->position);
        return false;
    }
    sink_finish(sink);
    return true;
}

bool reverse_from_link(LinkReader *link, IoChannel *qemu,
                       const ReverseWatch *watch, uint64_t *delivered,
                       GError **errp)
{
    g_autofree uint8_t *buf = g_malloc(RELAY_LITERAL_MAX);
    Sink sink = sink_to(qemu);
    bool ended = false;
    FrameHead head;

    for (;;) {
        if (!link_read_head(link, &head, errp)) {
            return false;
        }
        if (head.type == RELAY_VERDICT ||
            (head.type != RELAY_ABORT &&
             ended != (head.type == RELAY_DELIVERED))) {
            g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "a frame that is not allowed here");
            return false;
        }
        switch (head.type) {
        case RELAY_DATA:
            if (!link_read_plain(link, &head, buf, errp)) {
                return false;
            }
            see(watch, buf, head.bytes);
            sink_write(&sink, buf, head.bytes);
            break;
        case RELAY_END:
            if (!take_end(link, &head, &sink, errp)) {
                return false;
            }
            ended = true;
            break;
        case RELAY_DELIVERED:
            return link_read_total(link, &head, delivered, errp);
        default:
            link_read_abort(link, &head, errp);
            return false;
        }
    }
}

bool reverse_copy(IoChannel *from, IoChannel *to, const ReverseWatch *watch,
                  GError **errp)
{
    g_autofree uint8_t *buf = g_malloc(RELAY_LITERAL_MAX);
    Sink sink = sink_to(to);
    size_t n;

    for (;;) {
        if (!read_some(from, buf, &n, errp)) {
            return false;
        }
        if (n == 0) {
            sink_finish(&sink);
            return true;
        }
        see(watch, buf, n);
        sink_write(&sink, buf, n);
    }
}
