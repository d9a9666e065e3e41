/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Most of a large guest's memory is zero, so zero pages have a bit each, and
 * the table of hashes is touched, and thereby gets memory, only where there
 * are others.  A page whose bit is set has no hash in the table.
 */
#include "migration/ram/sent-hash.h"

#include "ferry/error.h"
#include "util/bitmap.h"

typedef struct SentBlock {
    PageHash *hash; /* [block->pages] */
    uint64_t *zero; /* bitmap: what was sent was zero */
} SentBlock;

struct SentHash {
    const RamBlocks *blocks;
    PageHashKey key;
    SentBlock block[]; /* [blocks->count] */
};

static bool block_init(SentBlock *sent, const RamBlock *block, GError **errp)
{
    sent->hash = g_try_new0(PageHash, block->pages);
    if (!sent->hash) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "no memory for hashes of the pages of RAM block '%s'",
                    block->name);
        return false;
    }
    sent->zero = bitmap_new(block->pages);
    return true;
}

SentHash *sent_hash_new(const RamBlocks *blocks, GError **errp)
{
    SentHash *sent = g_malloc0(sizeof(*sent) +
                               blocks->count * sizeof(sent->block[0]));
    bool ok = page_hash_key_init(&sent->key, errp);

    sent->blocks = blocks;
    for (unsigned i = 0; ok && i < blocks->count; i++) {
        ok = block_init(&sent->block[i], &blocks->block[i], errp);
    }
    if (!ok) {
        sent_hash_free(sent);
        return NULL;
    }
    return sent;
}

void sent_hash_free(SentHash *sent)
{
    for (unsigned i = 0; sent && i < sent->blocks->count; i++) {
        g_free(sent->block[i].hash);
        g_free(sent->block[i].zero);
    }
    g_free(sent);
}

const PageHashKey *sent_hash_key(const SentHash *sent)
{
    return &sent->key;
}

static PageHash take_one(SentHash *sent, SentBlock *block, uint64_t page)
{
    PageHash hash = block->hash[page];

    if (bitmap_test(block->zero, page)) {
        bitmap_clear(block->zero, page);
        return sent->key.zero;
    }
    if (page_hash_is_known(hash)) {
        block->hash[page] = (PageHash){ 0 };
    }
    return hash;
}

void sent_hash_take(SentHash *sent, const RamBatch *batch, PageHash *hash)
{
    SentBlock *block = &sent->block[batch->block->index];

    for (unsigned i = 0; i < batch->count; i++) {
        hash[i] = take_one(sent, block, batch->page[i]);
    }
}

void sent_hash_forget(SentHash *sent, const RamBatch *batch)
{
    SentBlock *block = &sent->block[batch->block->index];

    for (unsigned i = 0; i < batch->count; i++) {
        take_one(sent, block, batch->page[i]);
    }
}

void sent_hash_put(SentHash *sent, const RamBatch *batch,
                   const PageHash *hash)
{
    SentBlock *block = &sent->block[batch->block->index];

    for (unsigned i = 0; i < batch->count; i++) {
        if (page_hash_equal(hash[i], sent->key.zero)) {
            bitmap_set(block->zero, batch->page[i]);
        } else if (page_hash_is_known(hash[i])) {
            block->hash[batch->page[i]] = hash[i];
        }
    }
}

void sent_hash_put_zeros(SentHash *sent, const RamRun *run)
{
    bitmap_set_run(sent->block[run->block->index].zero, run->page,
                   run->count);
}
