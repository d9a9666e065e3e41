/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What leaves the scanner: every byte that is read of the stream, once and in
 * order, as literals, pages and blocks.
 *
 * Reading is handing on: whoever reads from the stream only says, before, what
 * the next bytes are.  They are literals if nobody does.
 */
#ifndef RELAY_SCAN_OUT_H
#define RELAY_SCAN_OUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/wire/stream.h"
#include "migration/wire/wire.h"
#include "tools/relay/relay-scan.h"

typedef enum {
    OUT_LITERALS,
    OUT_PAGE,   /* a page's data, which is handed on when it is whole */
    OUT_BLOCKS,
} ScanOutKind;

typedef struct ScanOut {
    Stream *stream;
    const ScanSink *sink;
    void *opaque;
    ScanOutKind kind;
    bool refused;      /* the sink has failed */
    char *lost;        /* why not all was understood; NULL: all was */
    bool eager;        /* the caller's: a page is only guessed, so a pause
                        * within it makes literals of it */
    uint64_t mark;     /* where the item that is being read begins */
    uint64_t page_at;  /* OUT_PAGE: where the data begins */
    size_t part;       /* OUT_BLOCKS: bytes in `block`, less than it holds */
    uint8_t block[MIG_PAGE_SIZE];
    uint8_t page[WIRE_COMPRESSED_MAX];
} ScanOut;

/* Watch what is read from now on.  out stays where it is until the end. */
void scan_out_begin(ScanOut *out, Stream *s, const ScanSink *sink,
                    void *opaque);

/* Hand on what is left, and watch no more. */
bool scan_out_end(ScanOut *out, GError **errp);

/* Tell the sink. */
void scan_out_reached(ScanOut *out, ScanPlace place);

/* An item was read to its end.  What is read next is not held back on its
 * account. */
void scan_out_mark(ScanOut *out);

/* Read page->size bytes, at most WIRE_COMPRESSED_MAX, and hand them on as the
 * page's data, which this sets.  Its head was read as literals. */
bool scan_out_page(ScanOut *out, ScanPage *page, GError **errp);

/* Read that many bytes, and hand them on in blocks; to a sink that takes none,
 * as literals. */
bool scan_out_skip(ScanOut *out, size_t size, GError **errp);

/* How many of the next bytes to read, at least one; *stop (false before): then
 * it is enough. */
typedef size_t ScanOutFeed(void *opaque, const uint8_t *bytes, size_t size,
                           bool *stop);

/* The same until the stream ends, or until feed, unless that is NULL, says
 * so. */
bool scan_out_copy(ScanOut *out, ScanOutFeed *feed, void *opaque,
                   GError **errp);

/* err, which this takes, is why what comes next is not understood; the sink is
 * told the first reason.  False when err is something else. */
bool scan_out_lost(ScanOut *out, GError *err, GError **errp);

/* The same, and copy the rest; the stream ends as one that was not
 * understood. */
bool scan_out_give_up(ScanOut *out, GError *err, GError **errp);

void scan_out_ended(ScanOut *out, StreamEnd end, const char *reason,
                    bool has_go);

#endif
