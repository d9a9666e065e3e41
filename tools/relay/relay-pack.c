/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-pack.h"

#include "util/endian.h"

G_STATIC_ASSERT(PUMP_PIECES == 2 * PACK_PAGES + 1);

unsigned relay_pack_window(const MigOptions *options)
{
    uint64_t packs = options->value[MIG_OPT_COMPRESS_HISTORY] /
                     PACK_SLOT_BYTES;

    return (unsigned)MIN(packs, PACK_WINDOW_MAX);
}

/* Packing */

/* Behind the literals. */
static void put_table(Batch *batch)
{
    for (unsigned i = 0; i < batch->pages; i++) {
        store_be16(batch->literal + batch->literals + 2 * i, batch->before[i]);
    }
}

size_t relay_pack_write(Batch *batch, PackJob *job, unsigned window,
                        const CodecWorker *worker, uint8_t *to)
{
    FrameHead head = {
        .type = RELAY_PACK,
        .channel = (uint8_t)batch->channel,
        .pages = (uint16_t)batch->pages,
        .bytes = (uint32_t)batch_bytes(batch),
        .window = window,
    };

    put_table(batch);
    job->extra = batch->literal;
    job->extra_size = (uint16_t)(batch->literals + 2 * batch->pages);
    head.body = (uint32_t)pack_encode(job, worker, to + RELAY_HEAD_SIZE);
    head.packed = head.body;
    frame_put_head(to, &head);
    return RELAY_HEAD_SIZE + head.body;
}

/* Unpacking */

void relay_pack_begin(Unpacker *unpacker, UnpackJob *job,
                      const FrameHead *head, uint64_t place)
{
    uint64_t key[PACK_PAGES];

    for (unsigned i = 0; i < head->pages; i++) {
        key[i] = place;
    }
    unpacker_begin(unpacker, job, key, head->pages);
}

/* The literals that the table gives to pages. */
static size_t before_pages(const uint8_t *table, unsigned pages)
{
    size_t before = 0;

    for (unsigned i = 0; i < pages; i++) {
        before += load_be16(table + 2 * i);
    }
    return before;
}

/* The page's bytes.  A page that has none in the history leaves a gap there,
 * which nothing refers to. */
static const uint8_t *page_of(const UnpackJob *job, unsigned index)
{
    static const uint8_t zero[MIG_PAGE_SIZE];
    const uint8_t *page = unpack_page(job, index,
                                      pack_slot_page(job->slot, index));

    return page ? page : zero;
}

static void add_some(PumpJob *out, const uint8_t **from, size_t size)
{
    if (size) {
        pump_job_add(out, *from, size);
        *from += size;
    }
}

const char *relay_pack_join(const FrameHead *head, const UnpackJob *job,
                            PumpJob *out)
{
    size_t size = 2 * (size_t)head->pages, literals, before;
    const uint8_t *literal = job->extra, *table;

    if (job->head.extra < size) {
        return "a frame without a whole table";
    }
    literals = job->head.extra - size;
    table = job->extra + literals;
    before = before_pages(table, head->pages);
    if (before > literals ||
        head->bytes != literals + (size_t)head->pages * MIG_PAGE_SIZE) {
        return "the parts of a frame do not add up";
    }
    for (unsigned i = 0; i < head->pages; i++) {
        add_some(out, &literal, load_be16(table + 2 * i));
        pump_job_add(out, page_of(job, i), MIG_PAGE_SIZE);
    }
    add_some(out, &literal, literals - before);
    return NULL;
}
