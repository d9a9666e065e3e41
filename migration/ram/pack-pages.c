/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The save loop leaves out the pages that are still what was sent last for
 * them, finds the zero pages, and writes their records to the job's buffer.
 * The other pages become one pack: the loop copies and looks them up, because
 * the history is in the order of the stream.  The worker does the rest, hashes
 * the copies, and puts the pack's record behind the others.  A page that became
 * zero between the two looks at it is a zero page of the pack.
 */
#include "migration/ram/pack-pages.h"

#include <string.h>

#include "migration/pack/packer.h"
#include "migration/wire/ram-record.h"
#include "util/pipeline.h"

/* The records of zero and plain pages, and that of the pack. */
#define JOB_BYTES \
    (2 * WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * (8 + 1) + PACK_SIZE_MAX)

G_STATIC_ASSERT(RAM_BATCH_PAGES <= PACK_PAGES);
G_STATIC_ASSERT(RAM_BATCH_PAGES <= WIRE_BATCH_PAGES_MAX);
G_STATIC_ASSERT(PACK_HEAD_SIZE == WIRE_PACK_HEAD);
G_STATIC_ASSERT(PACK_ENTRY_MAX == WIRE_PACK_ENTRY);

struct PackPages {
    Packer *packer;
};

PackPages *pack_pages_new(unsigned window, unsigned threads, GError **errp)
{
    PackPages *pages = g_new0(PackPages, 1);

    pages->packer = packer_new(window, pipeline_jobs(threads), errp);
    if (!pages->packer) {
        g_free(pages);
        return NULL;
    }
    return pages;
}

void pack_pages_free(PackPages *pages)
{
    if (pages) {
        packer_free(pages->packer);
        g_free(pages);
    }
}

static void put_plain(CompressJob *job, unsigned i, const uint8_t *from)
{
    RamWriter *w = &job->writer;

    ram_writer_put_plain_head(w, job->batch.page[i]);
    memcpy(w->to, from, MIG_PAGE_SIZE);
    job->plain[i] = (uint32_t)(w->to - job->out);
    ram_writer_advance(w, MIG_PAGE_SIZE);
}

static void pack_page(PackPages *pages, CompressJob *job, unsigned i,
                      const uint8_t *from)
{
    uint64_t page = job->batch.page[i];
    uint64_t key = ram_block_key(job->batch.block, page);

    if (!job->packed.count) {
        packer_begin(pages->packer, &job->pack,
                     rung_wants_dictionary(job->rung));
    } else if (!ram_record_follows(&job->packed, page)) {
        put_plain(job, i, from); /* a very long way behind */
        return;
    }
    job->packed.page[job->packed.count++] = page;
    packer_add(pages->packer, key, key, from);
}

static void add_page(PackPages *pages, CompressJob *job, unsigned i)
{
    const uint8_t *from = ram_batch_page(&job->batch, i);

    job->plain[i] = 0;
    if (compress_skip_page(job, &job->writer, i, from)) {
        return;
    }
    if (job->rung->codec) {
        pack_page(pages, job, i, from);
    } else {
        put_plain(job, i, from);
    }
    job->hash[i] = (PageHash){ 0 }; /* the worker's, of the copy */
}

void pack_pages_fill(PackPages *pages, CompressJob *job, const Rung *rung,
                     const RamBatch *batch, bool zero_ranges)
{
    job->batch = *batch;
    job->packed.count = 0;
    job->rung = rung;
    job->writer = (RamWriter){
        .to = job->out, .name = batch->block->name,
        .zero_ranges = zero_ranges,
    };
    for (unsigned i = 0; i < batch->count; i++) {
        add_page(pages, job, i);
    }
    ram_writer_end_zeros(&job->writer);
}

static void put_pack(CompressJob *job, const CodecWorker *worker)
{
    RamWriter *w = &job->writer;
    /* The data's length is in the header, the header's is known before. */
    size_t head = ram_record_put_pack(w->to, &job->packed, w->name, 0);
    size_t size = pack_encode(&job->pack, worker, w->to + head);

    ram_record_put_pack(w->to, &job->packed, w->name, (uint32_t)size);
    w->counts.compressed += job->packed.count;
    w->counts.compressed_bytes += head + size;
    ram_writer_advance(w, head + size);
}

/* The pages of the pack are in the order of the batch. */
static void hash_copies(CompressJob *job)
{
    unsigned k = 0;

    for (unsigned i = 0; i < job->batch.count; i++) {
        if (job->plain[i]) {
            job->hash[i] = page_hash(job->key, job->out + job->plain[i]);
        } else if (k < job->packed.count &&
                   job->batch.page[i] == job->packed.page[k]) {
            job->hash[i] = page_hash(job->key,
                                     pack_slot_page(job->pack.slot, k++));
        }
    }
}

static void pack_run(void *opaque, void *worker)
{
    CompressJob *job = opaque;

    hash_copies(job);
    if (job->packed.count) {
        put_pack(job, ladder_worker_at(worker, job->rung));
    }
    job->size = (size_t)(job->writer.to - job->out);
    job->counts = job->writer.counts;
    g_assert(job->size <= JOB_BYTES);
}

PoolConfig pack_pages_pool(LadderWorkerConfig *worker, unsigned threads)
{
    worker->scratch_size = PACK_SCRATCH_SIZE;
    return (PoolConfig){
        .name = "mig/comp",
        .workers = threads,
        .jobs = pipeline_jobs(threads),
        .job_size = sizeof(CompressJob) + JOB_BYTES,
        .worker_new = ladder_worker_new,
        .worker_config = worker,
        .worker_free = ladder_worker_free,
        .run = pack_run,
    };
}
