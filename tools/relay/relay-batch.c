/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoded body of a frame begins with the pages.  So they stay where they
 * were collected, and move only to close the gap that a zero page leaves.
 * Literals and table are short, and are copied behind them.
 *
 * The checksum is over the bytes in the order of the stream.  The sender takes
 * it from the parts, the receiver from what it has put together, so that it
 * covers the codec's work and this file's.
 */
#include "tools/relay/relay-batch.h"

#include <string.h>

#include "migration/pack/entropy.h"
#include "util/endian.h"
#include "util/zero.h"

/* A smaller body is a command or a few records, and not worth encoding. */
#define ENCODE_MIN 128

void batch_reset(Batch *batch, unsigned channel, uint64_t position)
{
    batch->channel = channel;
    batch->place = frame_place(channel, position);
    batch->pages = batch->zero_pages = 0;
    batch->literals = batch->tail = 0;
}

size_t batch_add_literal(Batch *batch, const void *buf, size_t size)
{
    size_t part = MIN(size, RELAY_LITERAL_MAX - batch->literals);

    memcpy(batch->literal + batch->literals, buf, part);
    batch->literals += part;
    batch->tail += part;
    return part;
}

bool batch_add_place(Batch *batch)
{
    if (batch->pages == RELAY_PAGES) {
        return false;
    }
    batch->before[batch->pages++] = (uint16_t)batch->tail;
    batch->tail = 0;
    return true;
}

bool batch_add_page(Batch *batch, const uint8_t *page)
{
    uint8_t *to = batch->body + (size_t)batch->pages * MIG_PAGE_SIZE;

    if (!batch_add_place(batch)) {
        return false;
    }
    memcpy(to, page, MIG_PAGE_SIZE);
    return true;
}

/* Packing */

static uint32_t checksum(const Batch *batch)
{
    const uint8_t *literal = batch->literal, *page = batch->body;
    uint32_t sum = frame_checksum_begin(batch->place);

    for (unsigned i = 0; i < batch->pages; i++) {
        sum = frame_checksum_add(sum, literal, batch->before[i]);
        sum = frame_checksum_add(sum, page, MIG_PAGE_SIZE);
        literal += batch->before[i];
        page += MIG_PAGE_SIZE;
    }
    return frame_checksum_add(sum, literal, batch->tail);
}

/* Mark the zero pages in `before` and close the gaps that they leave.  Returns
 * the bytes of the other pages. */
static size_t drop_zero_pages(Batch *batch)
{
    uint8_t *to = batch->body;

    for (unsigned i = 0; i < batch->pages; i++) {
        const uint8_t *page = batch->body + (size_t)i * MIG_PAGE_SIZE;

        if (buffer_is_zero(page, MIG_PAGE_SIZE)) {
            batch->before[i] |= RELAY_ZERO_PAGE;
            batch->zero_pages++;
            continue;
        }
        if (to != page) {
            memcpy(to, page, MIG_PAGE_SIZE);
        }
        to += MIG_PAGE_SIZE;
    }
    return (size_t)(to - batch->body);
}

/* Returns the decoded body's size. */
static size_t make_body(Batch *batch)
{
    size_t size = drop_zero_pages(batch);

    memcpy(batch->body + size, batch->literal, batch->literals);
    size += batch->literals;
    for (unsigned i = 0; i < batch->pages; i++) {
        store_be16(batch->body + size, batch->before[i]);
        size += 2;
    }
    return size;
}

size_t batch_pack(Batch *batch, const CodecWorker *worker, uint8_t *to)
{
    FrameHead head = {
        .type = RELAY_DATA,
        .channel = (uint8_t)batch->channel,
        .pages = (uint16_t)batch->pages,
        .bytes = (uint32_t)batch_bytes(batch),
        .checksum = checksum(batch),
    };
    uint8_t *packed = to + RELAY_HEAD_SIZE;
    size_t body = make_body(batch), size = 0;

    if (body >= ENCODE_MIN && !entropy_is_full(batch->body, body)) {
        size = worker->codec->encode(worker->encoder, batch->body, body,
                                     packed, body - 1);
    }
    if (!size) {
        memcpy(packed, batch->body, body);
        size = body;
    }
    head.body = (uint32_t)body;
    head.packed = (uint32_t)size;
    frame_put_head(to, &head);
    return RELAY_HEAD_SIZE + size;
}

/* Unpacking */

/* A decoded body, taken apart. */
typedef struct Body {
    const uint8_t *page;
    const uint8_t *literal;
    const uint8_t *table;
    size_t literals;
} Body;

/* Do the parts add up to what the head says? */
static bool split(const FrameHead *head, const uint8_t *body, Body *parts)
{
    size_t table = 2 * (size_t)head->pages, pages = 0, before = 0;

    if (head->body < table) {
        return false;
    }
    parts->table = body + head->body - table;
    for (unsigned i = 0; i < head->pages; i++) {
        unsigned entry = load_be16(parts->table + 2 * i);

        pages += entry & RELAY_ZERO_PAGE ? 0 : MIG_PAGE_SIZE;
        before += entry & RELAY_LITERAL_MAX;
    }
    if (head->body - table < pages) {
        return false;
    }
    parts->page = body;
    parts->literal = body + pages;
    parts->literals = head->body - table - pages;
    return before <= parts->literals && head->bytes ==
           parts->literals + (size_t)head->pages * MIG_PAGE_SIZE;
}

static void join(const FrameHead *head, Body *parts, uint8_t *out)
{
    for (unsigned i = 0; i < head->pages; i++) {
        unsigned entry = load_be16(parts->table + 2 * i);
        size_t before = entry & RELAY_LITERAL_MAX;

        memcpy(out, parts->literal, before);
        parts->literal += before;
        parts->literals -= before;
        out += before;
        if (entry & RELAY_ZERO_PAGE) {
            memset(out, 0, MIG_PAGE_SIZE);
        } else {
            memcpy(out, parts->page, MIG_PAGE_SIZE);
            parts->page += MIG_PAGE_SIZE;
        }
        out += MIG_PAGE_SIZE;
    }
    memcpy(out, parts->literal, parts->literals);
}

const char *batch_unpack(const Unpack *u, const CodecWorker *worker)
{
    const FrameHead *head = u->head;
    const uint8_t *body = u->packed;
    uint32_t sum = frame_checksum_begin(u->place);
    const char *fault;
    Body parts;

    if (head->packed < head->body) {
        fault = worker->codec->decode(worker->decoder, u->packed, head->packed,
                                      worker->scratch, head->body);
        if (fault) {
            return fault;
        }
        body = worker->scratch;
    }
    if (!split(head, body, &parts)) {
        return "the parts of a frame do not add up";
    }
    join(head, &parts, u->out);
    if (frame_checksum_add(sum, u->out, head->bytes) != head->checksum) {
        return "a frame's checksum is wrong";
    }
    return NULL;
}
