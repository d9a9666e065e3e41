/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A pass walks the dirty bitmap in batches of up to 64 pages.  With compress
 * off, a batch is turned into records here: headers in a small buffer, page
 * data straight from guest memory, one vectored write.  With compress on, the
 * batch becomes a job of the compression pool; the loop fills jobs as long as
 * one is free, and writes the oldest one's bytes when none is.  At the end of
 * the pass it collects all that are still out.
 *
 * Pages that the host knows to be zero are not read.  They come last: by then
 * the walk may have found that some of them were written meanwhile.
 *
 * Without compress-wait-thread a batch that finds no free job, and the oldest
 * not done, is sent uncompressed instead of waiting.  It overtakes the jobs
 * that are out; that is allowed, as a pass sends each page once and each
 * batch names its block.
 */
#include "migration/ram/save.h"

#include "migration/pack/codec.h"
#include "migration/ram/compress.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "util/zero.h"

struct RamSave {
    Stream *stream;
    const RamBlocks *blocks;
    Stats *stats;
    CompressPool *pool; /* NULL: compress is off */
    bool wait_thread;
    bool zero_ranges;
    /* for batches that are sent as they are */
    uint8_t heads[WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * (8 + 1)];
    GOutputVector vectors[2 * RAM_BATCH_PAGES];
};

static const Codec *codec_of(const MigOptions *options)
{
    return codec_by_method(options->value[MIG_OPT_COMPRESS_METHOD]);
}

RamSave *ram_save_new(Stream *stream, const RamBlocks *blocks,
                      const MigOptions *options, Stats *stats, GError **errp)
{
    const uint64_t *value = options->value;
    RamSave *save = g_new0(RamSave, 1);

    save->stream = stream;
    save->blocks = blocks;
    save->stats = stats;
    save->wait_thread = value[MIG_OPT_COMPRESS_WAIT_THREAD];
    if (value[MIG_OPT_COMPRESS]) {
        save->pool = compress_new(codec_of(options),
                                  (unsigned)value[MIG_OPT_COMPRESS_THREADS],
                                  (unsigned)value[MIG_OPT_COMPRESS_LEVEL],
                                  errp);
        if (!save->pool) {
            g_free(save);
            return NULL;
        }
    }
    return save;
}

void ram_save_free(RamSave *save)
{
    if (save) {
        compress_free(save->pool);
        g_free(save);
    }
}

void ram_save_use_ranges(RamSave *save)
{
    save->zero_ranges = true;
}

void ram_save_setup(RamSave *save)
{
    const RamBlocks *blocks = save->blocks;

    ram_record_put_mem_size(save->stream, ram_blocks_bytes(blocks));
    for (unsigned i = 0; i < blocks->count; i++) {
        stream_put_name(save->stream, blocks->block[i].name);
        stream_put_be64(save->stream, blocks->block[i].pages * MIG_PAGE_SIZE);
    }
    ram_record_put_eos(save->stream);
}

/* A batch that is on its way as it is: headers and, between them, pages. */
typedef struct PlainBatch {
    RamSave *save;
    const RamBlock *block;
    const char *name;  /* NULL: a record has it already */
    uint8_t *head;     /* where the next header goes */
    uint8_t *begin;    /* of the headers that no vector covers yet */
    unsigned vectors;
    uint64_t zero;     /* the first of a run of zero pages, */
    uint64_t zeros;    /* how many, perhaps none */
    PageCounts counts;
} PlainBatch;

static void put_zeros(PlainBatch *p)
{
    size_t size;

    if (p->zeros) {
        size = ram_record_put_zeros(p->head, p->zero, p->name, p->zeros,
                                    p->save->zero_ranges);
        p->head += size;
        p->name = NULL;
        p->counts.zero += p->zeros;
        p->counts.zero_bytes += size;
        p->zeros = 0;
    }
}

static void put_vector(PlainBatch *p, uint8_t *data, size_t size)
{
    p->save->vectors[p->vectors++] = (GOutputVector){ data, size };
}

static void put_heads(PlainBatch *p)
{
    if (p->head > p->begin) {
        put_vector(p, p->begin, (size_t)(p->head - p->begin));
        p->begin = p->head;
    }
}

static void put_plain(PlainBatch *p, uint64_t page)
{
    p->head += ram_record_put_plain(p->head, page * MIG_PAGE_SIZE, p->name);
    p->name = NULL;
    put_heads(p);
    put_vector(p, ram_block_page(p->block, page), MIG_PAGE_SIZE);
    p->counts.normal++;
}

static void add_page(PlainBatch *p, uint64_t page)
{
    bool zero = buffer_is_zero(ram_block_page(p->block, page), MIG_PAGE_SIZE);

    if (!zero || page != p->zero + p->zeros) {
        put_zeros(p);
    }
    if (!zero) {
        put_plain(p, page);
    } else if (p->zeros++ == 0) {
        p->zero = page;
    }
}

/* Send a batch uncompressed, zero pages aside. */
static bool save_plain(RamSave *save, const RamBatch *batch, GError **errp)
{
    PlainBatch p = {
        .save = save, .block = batch->block, .name = batch->block->name,
        .head = save->heads, .begin = save->heads,
    };

    for (unsigned i = 0; i < batch->count; i++) {
        add_page(&p, batch->page[i]);
    }
    put_zeros(&p);
    put_heads(&p);
    if (!stream_writev(save->stream, save->vectors, p.vectors, errp)) {
        return false;
    }
    stats_account(save->stats, &p.counts, stream_position(save->stream));
    return true;
}

/* Write the oldest job's bytes and free it.  *written is false when there was
 * no job, or, with wait false, when it was not done yet. */
static bool write_oldest(RamSave *save, bool wait, bool *written,
                         GError **errp)
{
    const CompressJob *job = compress_collect(save->pool, wait);
    GOutputVector vector;
    bool ok;

    *written = job != NULL;
    if (!job) {
        return true;
    }
    vector = (GOutputVector){ job->out, job->size };
    ok = stream_writev(save->stream, &vector, 1, errp);
    if (ok) {
        stats_account(save->stats, &job->counts,
                      stream_position(save->stream));
    }
    compress_release(save->pool);
    return ok;
}

static bool save_compressed(RamSave *save, const RamBatch *batch,
                            GError **errp)
{
    CompressJob *job = compress_next(save->pool);
    bool busy = false;
    bool written;

    if (!job) {
        if (!write_oldest(save, false, &written, errp)) {
            return false;
        }
        busy = !written;
        stats_job(save->stats, busy);
        if (busy && !save->wait_thread) {
            return save_plain(save, batch, errp);
        }
        if (busy && !write_oldest(save, true, &written, errp)) {
            return false;
        }
        job = compress_next(save->pool);
    } else {
        stats_job(save->stats, false);
    }
    job->batch = *batch;
    job->zero_ranges = save->zero_ranges;
    compress_submit(save->pool);
    return true;
}

/* In pieces that fit into save->heads, unless one record does.  An error shows
 * at the next write. */
static void save_untouched(RamSave *save, RamRun run)
{
    const char *name = run.block->name;
    uint64_t count;

    for (; run.count; run.count -= count, run.page += count) {
        PageCounts counts = { 0 };

        count = save->zero_ranges ? run.count
                                  : MIN(run.count, RAM_BATCH_PAGES);
        counts.zero = count;
        counts.zero_bytes = ram_record_put_zeros(save->heads, run.page, name,
                                                 count, save->zero_ranges);
        stream_put_bytes(save->stream, save->heads, counts.zero_bytes);
        stats_account(save->stats, &counts, stream_position(save->stream));
        name = NULL;
    }
}

static bool drain(RamSave *save, GError **errp)
{
    bool written;

    do {
        if (!write_oldest(save, true, &written, errp)) {
            return false;
        }
    } while (written);
    return true;
}

/* False on an error; and when there is nothing left, *found is false. */
static bool next_batch(RamSave *save, RamDirty *dirty, RamBatch *batch,
                       bool *found, GError **errp)
{
    uint64_t added;

    if (!ram_dirty_refresh(dirty, &added, errp)) {
        g_prefix_error(errp, "cannot collect the dirty log: ");
        return false;
    }
    if (added) {
        stats_found(save->stats, added);
    }
    *found = ram_dirty_take(dirty, batch);
    return true;
}

static bool save_batch(RamSave *save, const RamBatch *batch, GError **errp)
{
    return save->pool ? save_compressed(save, batch, errp)
                      : save_plain(save, batch, errp);
}

bool ram_save_pass(RamSave *save, RamDirty *dirty, GError **errp)
{
    RamBatch batch;
    RamRun run;
    bool found = true;

    while (found) {
        if (!next_batch(save, dirty, &batch, &found, errp) ||
            (found && !save_batch(save, &batch, errp))) {
            return false;
        }
    }
    if (save->pool && !drain(save, errp)) {
        return false;
    }
    while (ram_dirty_take_untouched(dirty, &run)) {
        save_untouched(save, run);
    }
    ram_record_put_eos(save->stream);
    return true;
}
