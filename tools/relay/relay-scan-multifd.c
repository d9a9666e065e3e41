/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Heads of packets are literals.  Pages that QEMU left as they are go as pages,
 * by the name of their block and their offset, which is what the packer finds
 * their earlier content by.  What QEMU has compressed, or a device's state,
 * goes in blocks: the first does not get smaller, and the packer sees that.  A
 * packet with SYNC needs no care, because the source pauses behind it.
 */
#include "tools/relay/relay-scan-multifd.h"

#include <string.h>

#include "migration/pack/pack.h"
#include "migration/wire/multifd.h"

/* The data of a page that does not shrink, with what a method puts around
 * it. */
#define PAGE_DATA_MAX (2 * MIG_PAGE_SIZE)

typedef struct ScanMultifd {
    ScanOut *out;
    MultifdPacket packet;
    RamBlock block; /* of the packet; its name is the packet's */
    bool told;      /* that QEMU compresses */
    bool ended;     /* the stream has, behind a packet */
} ScanMultifd;

/* There is no list of blocks here.  `first` makes keys of pages that are
 * different for different names. */
static void set_block(ScanMultifd *scan)
{
    const char *name = scan->packet.block;

    scan->block = (RamBlock){
        .name = name, .first = pack_hash(name, strlen(name)),
    };
}

static bool scan_pages(ScanMultifd *scan, GError **errp)
{
    RamRecord record = { .type = WIRE_RAM_PLAIN };

    set_block(scan);
    for (unsigned i = 0; i < scan->packet.normal; i++) {
        ScanPage page = {
            .record = &record, .block = &scan->block, .size = MIG_PAGE_SIZE,
        };

        record.offset = scan->packet.offset[i];
        record.position = stream_position(scan->out->stream);
        if (!scan_out_page(scan->out, &page, errp)) {
            return false;
        }
    }
    return true;
}

static const char *method_name(unsigned method)
{
    switch (method) {
    case MULTIFD_NONE:
        return "none";
    case MULTIFD_ZLIB:
        return "zlib";
    case MULTIFD_ZSTD:
        return "zstd";
    case MULTIFD_QPL:
        return "qpl";
    case MULTIFD_UADK:
        return "uadk";
    case MULTIFD_QATZIP:
        return "qatzip";
    default:
        return NULL;
    }
}

/* Can the packet have as much data? */
static bool check_packet(const ScanMultifd *scan, GError **errp)
{
    const MultifdPacket *p = &scan->packet;

    if (!method_name(p->method)) {
        stream_bad(scan->out->stream, errp, "a multifd packet with method %u",
                   p->method);
        return false;
    }
    if (!p->is_device && (p->method ? p->size > p->normal * PAGE_DATA_MAX
                                    : p->size != p->normal * MIG_PAGE_SIZE)) {
        stream_bad(scan->out->stream, errp, "a multifd packet of %u pages in "
                   "%u bytes", p->normal, p->size);
        return false;
    }
    return true;
}

static void tell_compressed(ScanMultifd *scan)
{
    const ScanSink *sink = scan->out->sink;
    g_autofree char *text = NULL;

    if (scan->told || !scan->packet.size || !sink->advise) {
        return;
    }
    scan->told = true;
    text = g_strdup_printf("QEMU has compressed its pages itself "
                           "(multifd-compression %s), and they pass as they "
                           "are; with multifd-compression none they would be "
                           "packed", method_name(scan->packet.method));
    sink->advise(scan->out->opaque, text);
}

static bool scan_data(ScanMultifd *scan, GError **errp)
{
    if (!scan->packet.is_device && !scan->packet.method) {
        return scan_pages(scan, errp);
    }
    if (!scan->packet.is_device) {
        tell_compressed(scan);
    }
    return scan_out_skip(scan->out, scan->packet.size, errp);
}

/* Until the stream's end, or an error. */
static void scan_packets(ScanMultifd *scan, GError **errp)
{
    Stream *s = scan->out->stream;
    MultifdHello hello;

    if (!multifd_get_hello(s, &hello, errp)) {
        return;
    }
    do {
        scan_out_mark(scan->out);
        if (!multifd_get_packet(s, &scan->packet, &scan->ended, errp)) {
            return;
        }
    } while (!scan->ended && check_packet(scan, errp) && scan_data(scan, errp));
}

/* Nobody can tell by such a connection how the migration has ended, unless it
 * ends within a packet. */
bool scan_multifd(ScanOut *out, GError **errp)
{
    g_autofree ScanMultifd *scan = g_new0(ScanMultifd, 1);
    GError *err = NULL;

    scan->out = out;
    scan_out_reached(out, SCAN_LOST); /* only the main connection tells */
    scan_packets(scan, &err);
    if (scan->ended) {
        scan_out_ended(out, END_OPAQUE, ONE_OF_MULTIFD, false);
        return true;
    }
    if (!g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF)) {
        return scan_out_give_up(out, err, errp);
    }
    g_error_free(err);
    scan_out_ended(out, END_CUT, "the source has closed in the middle of a "
                   "packet of multifd", false);
    return true;
}
