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

void reverse_see(const ReverseWatch *watch, const uint8_t *buf, size_t size)
{
    relay_stats_add(&watch->stats->reverse_bytes, size);
    if (watch->back) {
        return_watch_feed(watch->back, buf, size);
    }
}

bool reverse_to_link(IoChannel *qemu, LinkWriter *link, unsigned channel,
                     Credit *credit, const ReverseWatch *watch, GError **errp)
{
    g_autofree uint8_t *buf = g_malloc(RELAY_LITERAL_MAX);
    uint64_t total = 0;
    size_t n;

    for (;;) {
        if (!read_some(qemu, buf, &n, errp)) {
            return false;
        }
        if (n == 0) {
            return link_write_total(link, channel, RELAY_END, total, errp);
        }
        reverse_see(watch, buf, n);
        total += n;
        if ((credit && !credit_wait(credit, total, errp)) ||
            !link_write_data(link, channel, buf, n, errp)) {
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

static bool is_reverse(unsigned type)
{
    return type == RELAY_DATA || type == RELAY_END || type == RELAY_DELIVERED ||
           type == RELAY_ABORT;
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
        if (head.channel || !is_reverse(head.type) ||
            (head.type != RELAY_ABORT &&
             ended != (head.type == RELAY_DELIVERED))) {
            return link_bad_frame(errp);
        }
        switch (head.type) {
        case RELAY_DATA:
            if (!link_read_plain(link, &head, buf, errp)) {
                return false;
            }
            reverse_see(watch, buf, head.bytes);
            sink_write(&sink, buf, head.bytes);
            break;
        case RELAY_END:
            if (!link_read_end(link, &head, errp)) {
                return false;
            }
            sink_finish(&sink);
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
        reverse_see(watch, buf, n);
        sink_write(&sink, buf, n);
    }
}
