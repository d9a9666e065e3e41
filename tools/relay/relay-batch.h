/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stretch of QEMU's stream, taken apart into pages and literals, and the DATA
 * frame that carries it over the link.
 */
#ifndef RELAY_BATCH_H
#define RELAY_BATCH_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/pack/codec-worker.h"
#include "tools/relay/relay-frame.h"

/* The scanning thread fills it, then a worker packs it; the pool hands it
 * over. */
typedef struct Batch {
    unsigned channel;
    uint64_t place;    /* of its frame: frame_place() */
    unsigned pages;
    unsigned zero_pages;          /* set by batch_pack() */
    uint16_t before[RELAY_PAGES]; /* literal bytes before each page */
    uint32_t literals;            /* bytes of literals */
    uint32_t tail;                /* those of them after the last page */
    uint8_t literal[RELAY_EXTRA_MAX]; /* and room for the table of a pack */
    /* The pages; aligned for buffer_is_zero(). */
    _Alignas(8) uint8_t body[RELAY_BODY_MAX(RELAY_PAGES)];
} Batch;

/* Make the batch empty.  position: bytes of the channel before it. */
void batch_reset(Batch *batch, unsigned channel, uint64_t position);

/* How many bytes of the stream the batch holds. */
static inline size_t batch_bytes(const Batch *batch)
{
    return (size_t)batch->pages * MIG_PAGE_SIZE + batch->literals;
}

/* Returns how many of the bytes were taken: all, unless the batch is full. */
size_t batch_add_literal(Batch *batch, const void *buf, size_t size);

/* False when the batch is full. */
bool batch_add_page(Batch *batch, const uint8_t *page);
/* The page's place only, while its bytes are kept elsewhere. */
bool batch_add_place(Batch *batch);

/*
 * Write the whole frame to `to`, which has room for a head and
 * RELAY_BODY_MAX(RELAY_PAGES), and return its size.  The batch's content
 * is used up.
 */
size_t batch_pack(Batch *batch, const CodecWorker *worker, uint8_t *to);

/* How to unpack a DATA frame. */
typedef struct Unpack {
    const FrameHead *head; /* checked */
    uint64_t place;        /* frame_place() */
    const uint8_t *packed; /* [head->packed] */
    uint8_t *out;          /* [head->bytes] */
} Unpack;

/* NULL when out has the bytes that the frame stands for; else what is wrong.
 * The worker's scratch has room for head->body. */
const char *batch_unpack(const Unpack *u, const CodecWorker *worker);

#endif
