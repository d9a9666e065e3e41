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
 * Without compress-wait-thread a batch that finds no free job, and the oldest
 * not done, is sent uncompressed instead of waiting.  It overtakes the jobs
 * that are out; that is allowed, as a pass sends each page once and each
 * batch names its block.
 */
#include "migration/ram-save.h"

#include "migration/codec.h"
#include "migration/ram-compress.h"
#include "migration/ram-record.h"
#include "migration/wire.h"
#include "util/zero.h"

struct RamSave {
    Stream *stream;
    const RamBlocks *blocks;
    Stats *stats;
    CompressPool *pool; /* NULL: compress is off */
    bool wait_thread;
    /* for batches that are sent as they are */
    uint8_t heads[WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * (8 + 1)];
    GOutputVector vectors[2 * RAM_BATCH_PAGES];
};

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
        save->pool = compress_new(&codec_zlib,
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

/* Send a batch uncompressed, zero pages aside. */
static bool save_plain(RamSave *save, const RamBatch *batch, GError **errp)
{
    const char *name = batch->block->name;
    PageCounts counts = { 0 };
    uint8_t *head = save->heads;
    uint8_t *begin = head; /* of the headers that no vector covers yet */
    unsigned n = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        uint8_t *page = ram_block_page(batch->block, batch->page[i]);
        uint64_t offset = batch->page[i] * MIG_PAGE_SIZE;

        if (buffer_is_zero(page, MIG_PAGE_SIZE)) {
            head += ram_record_put_zero(head, offset, name);
            counts.zero++;
        } else {
            head += ram_record_put_plain(head, offset, name);
            save->vectors[n++] = (GOutputVector){ begin, head - begin };
            save->vectors[n++] = (GOutputVector){ page, MIG_PAGE_SIZE };
            begin = head;
            counts.normal++;
        }
        name = NULL;
    }
    if (head > begin) {
        save->vectors[n++] = (GOutputVector){ begin, head - begin };
    }
    if (!stream_writev(save->stream, save->vectors, n, errp)) {
        return false;
    }
    stats_account(save->stats, &counts, stream_position(save->stream));
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
    compress_submit(save->pool);
    return true;
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

bool ram_save_pass(RamSave *save, RamDirty *dirty, GError **errp)
{
    RamBatch batch;

    while (ram_dirty_take(dirty, &batch)) {
        if (!(save->pool ? save_compressed(save, &batch, errp)
                         : save_plain(save, &batch, errp))) {
            return false;
        }
    }
    if (save->pool && !drain(save, errp)) {
        return false;
    }
    ram_record_put_eos(save->stream);
    return true;
}
