/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Just enough of QEMU's stream to find the pages in it.
 *
 * scan_run() reads the stream to its end and hands every byte of it to a sink,
 * as it is and in order: pages of RAM as such, what is between them as
 * literals, and what follows RAM, or is not understood, in blocks.
 */
#ifndef RELAY_SCAN_H
#define RELAY_SCAN_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/ram/blocks.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-wire.h"

typedef struct ScanPage {
    const RamRecord *record; /* WIRE_RAM_PLAIN, _COMPRESSED or _ZERO; of a page
                              * of multifd's only type, offset and position */
    const RamBlock *block;   /* also where the record does not name it */
    size_t head_size;        /* bytes of the record's head, the last literals;
                              * of multifd's, all from its packet's begin */
    const uint8_t *data;     /* not among the literals */
    size_t size;
} ScanPage;

/* A section, PART or END, of `ram`. */
typedef struct ScanPart {
    uint8_t type;
    uint32_t id;
    bool has_footer; /* sections of this stream have one */
} ScanPart;

typedef struct ScanEnd {
    StreamEnd end;      /* never END_UNTOLD */
    const char *reason; /* unless END_WHOLE */
    bool has_go;        /* END_WHOLE: GO came behind the devices */
} ScanEnd;

/* What the bytes that were handed on last have come to. */
typedef enum {
    SCAN_STANDS_STILL, /* the source has stopped its guest */
    SCAN_POSTCOPY,     /* the guest is handed over; its pages follow */
    SCAN_COMPLETE,     /* the destination may have all that it needs */
    /* and what is no place in the stream: */
    SCAN_LOST,         /* something that does not show what the guest does */
    SCAN_FOUND,        /* behind that, RAM of a guest that runs */
} ScanPlace;

typedef struct ScanSink {
    bool (*literal)(void *opaque, const void *buf, size_t size,
                    GError **errp);
    bool (*page)(void *opaque, const ScanPage *page, GError **errp);

    /* Optional: MIG_PAGE_SIZE bytes that are not understood.  Without it those
     * are literals, and so are always the last few before a pause or the end,
     * which are no whole block. */
    bool (*block)(void *opaque, const uint8_t *block, GError **errp);

    /*
     * Optional.  waits: nothing can be read now, so write what was collected.
     * The last `held` bytes of literals begin something that is not complete;
     * a sink that wants to change it keeps them.  Not waits: bytes come again.
     */
    bool (*idle)(void *opaque, bool waits, size_t held, GError **errp);

    /* Optional; each is called once or never.  ram_begins: RAM begins.  lost:
     * what comes next is not understood, and why. */
    void (*ram_begins)(void *opaque, const RamBlocks *blocks,
                       bool has_return_path);
    void (*lost)(void *opaque, const char *reason);

    /* Optional; called once or never, for something that the user could
     * better. */
    void (*advise)(void *opaque, const char *text);

    /* Optional; may be called more than once for a place. */
    void (*reached)(void *opaque, ScanPlace place);

    /* Optional; called once, at the end of the stream. */
    void (*ended)(void *opaque, const ScanEnd *end);

    /* True: page() gets zero pages (size 0) and compressed pages as well.
     * False: those are literals. */
    bool wants_all_pages;

    /* Optional.  part: the last literals were the head of a PART or END of the
     * ram section.  part_end: they were its EOS and footer. */
    bool (*part)(void *opaque, const ScanPart *part, GError **errp);
    bool (*part_end)(void *opaque, const ScanPart *part, GError **errp);
} ScanSink;

/* True at the end of the stream, wherever it comes; false when the channel or
 * the sink failed. */
bool scan_run(Stream *s, const ScanSink *sink, void *opaque, GError **errp);

/* Does a connection begin as QEMU's one for postcopy-preempt does, as far as
 * these bytes (one at least) tell? */
bool scan_begins_with_page(const uint8_t *begins, size_t size);

#endif
