/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Each channel is read in turn, up to its next SYNC: between two of them a page
 * comes at most once, whichever channel it takes.  So the order of channels
 * does not matter, and nothing has to be kept.
 *
 * A compressed channel is one stream over all its packets, and a decoder is
 * kept for each.  Where nothing is decoded, data is skipped.
 *
 * Packets are counted over all channels.  If there are fewer than the highest
 * number says, a channel's file is missing: one that had any page had a packet
 * more than it had SYNCs.
 */
#include "tools/inspect/streams/side-channels.h"

#include <string.h>

#include "migration/wire/multifd.h"
#include "migration/wire/wire.h"
#include "tools/inspect/containers/decode-library.h"
#include "util/endian.h"

typedef struct Channel {
    Stream *stream;
    unsigned id;
    const DecodeLibrary *library; /* NULL: none is running */
    void *decoder;
    unsigned method; /* of the decoder */
} Channel;

struct SideChannels {
    Channel *channel;
    unsigned count;
    InspectRam *ram;
    bool decode;
    uint64_t packets; /* that were read, */
    uint64_t syncs;   /* and how many of them were SYNCs */
    uint64_t highest; /* number */
    bool has_devices; /* whose packets are numbered otherwise */
};

bool side_channels_begins(const uint8_t *head, size_t size)
{
    return size >= 4 && load_be32(head) == WIRE_MULTIFD;
}

static void name_channel(const Channel *c, GError **errp)
{
    g_prefix_error(errp, "channel %u of multifd: ", c->id);
}

static bool open_channel(SideChannels *side, Channel *c, Stream *stream,
                         GError **errp)
{
    MultifdHello hello;

    c->stream = stream;
    if (!multifd_get_hello(stream, &hello, errp)) {
        g_prefix_error(errp, "a channel of multifd: ");
        return false;
    }
    c->id = hello.id;
    for (const Channel *other = side->channel; other < c; other++) {
        if (other->id == c->id) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                        "channel %u of multifd was given twice", c->id);
            return false;
        }
    }
    return true;
}

SideChannels *side_channels_new(Input *const *input, unsigned count,
                                InspectRam *ram, bool decode, GError **errp)
{
    SideChannels *side = g_new0(SideChannels, 1);

    side->channel = g_new0(Channel, count);
    side->count = count;
    side->ram = ram;
    side->decode = decode;
    for (unsigned i = 0; i < count; i++) {
        if (!open_channel(side, &side->channel[i], input_stream(input[i]),
                          errp)) {
            side_channels_free(side);
            return NULL;
        }
    }
    return side;
}

static void stop_decoder(Channel *c)
{
    if (c->library) {
        c->library->stop(c->decoder);
        c->library = NULL;
    }
}

void side_channels_free(SideChannels *side)
{
    if (!side) {
        return;
    }
    for (unsigned i = 0; i < side->count; i++) {
        stop_decoder(&side->channel[i]);
    }
    g_free(side->channel);
    g_free(side);
}

/* Data */

static bool unsupported(const Channel *c, unsigned method, GError **errp)
{
    static const struct {
        unsigned method;
        const char *name;
    } names[] = { { MULTIFD_ZSTD, "zstd (this build lacks libzstd)" },
                  { MULTIFD_QPL, "qpl" },
                  { MULTIFD_UADK, "uadk" },
                  { MULTIFD_QATZIP, "qatzip" } };
    const char *name = "an unknown method";

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (names[i].method == method) {
            name = names[i].name;
        }
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "multifd-compression by %s is not supported", name);
    return false;
}

/* Make sure that the channel's decoder is the packet's. */
static bool start_decoder(Channel *c, const MultifdPacket *p, GError **errp)
{
    if (c->library && c->method == p->method) {
        return true;
    }
    stop_decoder(c);
    switch (p->method) {
    case MULTIFD_ZLIB:
        c->library = &decode_zlib;
        break;
    case MULTIFD_ZSTD:
        c->library = DECODE_ZSTD;
        break;
    default:
        break;
    }
    if (!c->library) {
        return unsupported(c, p->method, errp);
    }
    c->method = p->method;
    c->decoder = c->library->start();
    return true;
}

/* Decode from what is left of the packet's data until out is full. */
static bool fill(Channel *c, uint32_t *left, DecodeOut *out, GError **errp)
{
    while (out->size) {
        size_t there = 0, had = out->size;
        DecodeIn in = { out->at, 0 };
        size_t given;
        const char *fault;
        bool ended = false;

        if (*left) {
            in.at = stream_peek_some(c->stream, 1, &there, errp);
            if (!in.at) {
                return false;
            }
            in.size = MIN(there, *left);
        }
        given = in.size;
        fault = c->library->run(c->decoder, &in, out, &ended);
        if (!stream_skip(c->stream, given - in.size, errp)) {
            return false;
        }
        *left -= (uint32_t)(given - in.size);
        if (fault || ended) {
            stream_bad(c->stream, errp, "bad compressed data: %s",
                       fault ? fault : "it ends");
            return false;
        }
        if (given == in.size && out->size == had) {
            return true; /* nothing moves any more */
        }
    }
    return true;
}

/* What is left of a packet behind its pages gives no byte. */
static bool drain(Channel *c, uint32_t *left, GError **errp)
{
    uint8_t more;
    DecodeOut out = { &more, sizeof(more) };

    if (!fill(c, left, &out, errp)) {
        return false;
    }
    if (!out.size || *left) {
        stream_bad(c->stream, errp, "more data than pages in a packet");
        return false;
    }
    return true;
}

static bool decode_page(Channel *c, uint8_t *to, uint32_t *left,
                        GError **errp)
{
    DecodeOut out = { to, MIG_PAGE_SIZE };

    if (!fill(c, left, &out, errp)) {
        return false;
    }
    if (out.size) {
        stream_bad(c->stream, errp, "less data than pages in a packet");
    }
    return out.size == 0;
}

/* Pages */

static bool get_content(const SideChannels *side, Channel *c,
                        const MultifdPacket *p, uint8_t *to, uint32_t *left,
                        GError **errp)
{
    uint8_t nowhere[MIG_PAGE_SIZE];

    if (p->method != MULTIFD_NONE) {
        return !side->decode ||
               decode_page(c, to ? to : nowhere, left, errp);
    }
    *left -= MIG_PAGE_SIZE;
    return to ? stream_get_bytes(c->stream, to, MIG_PAGE_SIZE, errp)
              : stream_skip(c->stream, MIG_PAGE_SIZE, errp);
}

static bool take_page(SideChannels *side, Channel *c, const MultifdPacket *p,
                      unsigned i, uint32_t *left, GError **errp)
{
    const SidePage page = {
        .block = p->block,
        .offset = p->offset[i],
        .zero = i >= p->normal,
        .compressed = p->method != MULTIFD_NONE,
        .packed = i == 0 ? p->size : 0,
        .first = i == 0,
    };
    uint8_t *to;

    if (!inspect_ram_take(side->ram, c->stream, &page, &to, errp)) {
        return false;
    }
    if (page.zero || get_content(side, c, p, to, left, errp)) {
        return true;
    }
    inspect_ram_untake(side->ram);
    return false;
}

static bool check_packet(const SideChannels *side, Channel *c,
                         const MultifdPacket *p, GError **errp)
{
    if (p->method == MULTIFD_NONE) {
        if (p->size != p->normal * MIG_PAGE_SIZE) {
            stream_bad(c->stream, errp, "%u pages in %u bytes", p->normal,
                       p->size);
            return false;
        }
        return true;
    }
    return !side->decode || !p->normal || start_decoder(c, p, errp);
}

static bool take_packet(SideChannels *side, Channel *c,
                        const MultifdPacket *p, GError **errp)
{
    bool decoded = side->decode && p->normal && p->method != MULTIFD_NONE;
    uint32_t left = p->size;

    side->packets++;
    side->syncs += p->sync;
    side->highest = MAX(side->highest, p->number);
    if (p->is_device) {
        side->has_devices = true;
        return stream_skip(c->stream, left, errp);
    }
    if (!check_packet(side, c, p, errp)) {
        return false;
    }
    for (unsigned i = 0; i < p->normal + p->zero; i++) {
        if (!take_page(side, c, p, i, &left, errp)) {
            return false;
        }
    }
    return decoded ? drain(c, &left, errp)
                   : stream_skip(c->stream, left, errp);
}

/* Read a channel up to its next SYNC, or to its end.  *synced says which. */
static bool read_round(SideChannels *side, Channel *c, bool *synced,
                       GError **errp)
{
    MultifdPacket packet;

    *synced = false;
    while (!*synced) {
        bool end;

        if (!multifd_get_packet(c->stream, &packet, &end, errp)) {
            return false;
        }
        if (end) {
            return true;
        }
        if (!take_packet(side, c, &packet, errp)) {
            return false;
        }
        *synced = packet.sync;
    }
    return true;
}

bool side_channels_sync(SideChannels *side, GError **errp)
{
    for (unsigned i = 0; i < side->count; i++) {
        Channel *c = &side->channel[i];
        bool synced;

        if (!read_round(side, c, &synced, errp)) {
            name_channel(c, errp);
            return false;
        }
        if (!synced) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                        "channel %u of multifd ended at its byte %"
                        G_GUINT64_FORMAT ", before the main channel did", c->id,
                        stream_position(c->stream));
            return false;
        }
    }
    return true;
}

bool side_channels_finish(SideChannels *side, GError **errp)
{
    for (unsigned i = 0; i < side->count; i++) {
        Channel *c = &side->channel[i];
        bool synced;

        do {
            if (!read_round(side, c, &synced, errp)) {
                name_channel(c, errp);
                return false;
            }
        } while (synced);
    }
    return true;
}

bool side_channels_check(const SideChannels *side, bool whole, GError **errp)
{
    /* At the end of a round QEMU 7.2 may leave out a number. */
    uint64_t rounds = whole ? side->syncs / side->count : 0;

    if (side->has_devices || side->packets + rounds > side->highest) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "multifd's channels have %" G_GUINT64_FORMAT " packets, of "
                "which one has the number %" G_GUINT64_FORMAT ": the file of "
                "a channel is missing", side->packets, side->highest);
    return false;
}
