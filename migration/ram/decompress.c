/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Added records gather in a job.  A full job goes to the pool, whose workers
 * decode each record straight to its place or, if its pages are not all in a
 * row, to their scratch first.  The in-flight bitmap belongs to the load loop
 * alone: the loop sets a page's bit when it adds the page, and clears the bit
 * when it collects the job.  So the bitmap needs no lock, and the workers do
 * not know it.
 *
 * Jobs are collected in the order of submission.  Waiting for one page
 * therefore means to collect from the front until that page's bit is clear.
 */
#include "migration/ram/decompress.h"

#include <string.h>

#include "ferry/error.h"
#include "migration/pack/codec-worker.h"
#include "migration/ram/page-bits.h"
#include "migration/ram/place.h"
#include "migration/wire/wire.h"
#include "util/pipeline.h"

#define JOB_BYTES (RAM_BATCH_PAGES * WIRE_COMPRESSED_MAX)

/* One or several pages that were compressed together. */
typedef struct Packed {
    const RamBlock *block;
    const uint64_t *page; /* [pages], in the job */
    unsigned pages;
    uint64_t position; /* where in the stream the record is */
    uint32_t start;    /* where in the job's data its data begins */
    uint32_t length;
} Packed;

typedef struct DecompressJob {
    /* The load loop sets these; a worker reads them once the job is
     * submitted. */
    unsigned count;
    Packed packed[RAM_BATCH_PAGES];
    unsigned pages; /* of all records */
    uint64_t page[RAM_BATCH_PAGES];
    uint32_t size; /* bytes of data in use */
    /* The worker sets these; the load loop reads them once it has collected. */
    const char *fault; /* NULL, or what is wrong with */
    unsigned bad;      /* this record */
    /* The load loop fills it; a worker reads it. */
    uint8_t data[JOB_BYTES];
} DecompressJob;

G_STATIC_ASSERT(RAM_BATCH_PAGES >= WIRE_BATCH_PAGES_MAX);

struct DecompressPool {
    Pipeline *pipeline;
    PageBits *in_flight;
    DecompressJob *filling; /* not yet submitted; or NULL */
};

static const char *decode(const CodecWorker *w, const DecompressJob *job,
                          const Packed *p)
{
    uint8_t *direct = ram_place_direct(p->block, p->page, p->pages);
    uint8_t *to = direct ? direct : w->scratch;
    const char *fault =
        w->codec->decode(w->decoder, job->data + p->start, p->length, to,
                         (size_t)p->pages * MIG_PAGE_SIZE);

    if (!fault && !direct) {
        ram_place_pages(p->block, p->page, p->pages, w->scratch);
    }
    return fault;
}

static void decompress_run(void *opaque, void *worker)
{
    DecompressJob *job = opaque;

    for (unsigned i = 0; i < job->count; i++) {
        job->fault = decode(worker, job, &job->packed[i]);
        if (job->fault) {
            job->bad = i;
            return;
        }
    }
}

static void report_bad(const DecompressJob *job, GError **errp)
{
    const Packed *p = &job->packed[job->bad];

    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "block '%s', offset 0x%" G_GINT64_MODIFIER "x: the %s at byte "
                "%" G_GUINT64_FORMAT " of the stream is bad: %s",
                p->block->name, p->page[0] * MIG_PAGE_SIZE,
                p->pages > 1 ? "batch of pages" : "compressed page",
                p->position, job->fault);
}

/* The job's pages are no longer in flight.  False when one is bad. */
static bool land_job(void *opaque, void *opaque_pool, GError **errp)
{
    const DecompressJob *job = opaque;
    DecompressPool *pool = opaque_pool;

    for (unsigned i = 0; i < job->count; i++) {
        const Packed *p = &job->packed[i];

        page_bits_clear(pool->in_flight, p->block, p->page, p->pages);
    }
    if (job->fault) {
        report_bad(job, errp);
    }
    return !job->fault;
}

DecompressPool *decompress_new(const Codec *codec, unsigned threads,
                               const RamBlocks *blocks, GError **errp)
{
    DecompressPool *pool = g_new0(DecompressPool, 1);
    CodecWorkerConfig worker = {
        .codec = codec,
        .scratch_size = (size_t)MIG_PAGE_SIZE *
                        (codec->batch_pages > 1 ? WIRE_BATCH_PAGES_MAX : 1),
    };
    PipelineConfig config = {
        .pool = {
            .name = "mig/dec",
            .workers = threads,
            .job_size = sizeof(DecompressJob),
            .worker_new = codec_worker_new_decoder,
            .worker_config = &worker,
            .worker_free = codec_worker_free,
            .run = decompress_run,
        },
        .sink = land_job,
        .opaque = pool,
    };

    pool->pipeline = pipeline_new(&config, errp);
    if (!pool->pipeline) {
        g_free(pool);
        return NULL;
    }
    pool->in_flight = page_bits_new(blocks);
    return pool;
}

void decompress_free(DecompressPool *pool)
{
    if (pool) {
        pipeline_free(pool->pipeline);
        page_bits_free(pool->in_flight);
        g_free(pool);
    }
}

static void submit_filling(DecompressPool *pool)
{
    if (pool->filling) {
        pool->filling = NULL;
        pipeline_submit(pool->pipeline);
    }
}

bool decompress_settle(DecompressPool *pool, const RamBlock *block,
                       uint64_t page, uint64_t count, GError **errp)
{
    uint64_t end = page + count;
    bool any;

    while ((page = page_bits_next(pool->in_flight, block, page, end)) < end) {
        submit_filling(pool);
        if (!pipeline_finish_oldest(pool->pipeline, &any, errp)) {
            return false;
        }
    }
    return true;
}

static bool settle_all(DecompressPool *pool, const RamBlock *block,
                       const RamPages *pages, GError **errp)
{
    for (unsigned i = 0; i < pages->count; i++) {
        if (!decompress_settle(pool, block, pages->page[i], 1, errp)) {
            return false;
        }
    }
    return true;
}

static bool start_job(DecompressPool *pool, GError **errp)
{
    DecompressJob *job = pipeline_next(pool->pipeline, errp);

    if (!job) {
        return false;
    }
    job->count = 0;
    job->pages = 0;
    job->size = 0;
    job->fault = NULL;
    pool->filling = job;
    return true;
}

static bool has_room(const DecompressJob *job, const RamRecord *record)
{
    return job->pages + record->pages.count <= RAM_BATCH_PAGES &&
           job->size + record->length <= JOB_BYTES;
}

/* Add the record to the job.  Returns the place for its data. */
static uint8_t *pack(DecompressPool *pool, DecompressJob *job,
                     const RamBlock *block, const RamRecord *record)
{
    Packed *p = &job->packed[job->count++];
    uint64_t *page = &job->page[job->pages];

    *p = (Packed){
        .block = block,
        .page = page,
        .pages = record->pages.count,
        .position = record->position,
        .start = job->size,
        .length = record->length,
    };
    memcpy(page, record->pages.page, p->pages * sizeof(*page));
    page_bits_set(pool->in_flight, block, page, p->pages);
    job->pages += p->pages;
    job->size += p->length;
    return job->data + p->start;
}

uint8_t *decompress_add_record(DecompressPool *pool, const RamBlock *block,
                               const RamRecord *record, GError **errp)
{
    if (!settle_all(pool, block, &record->pages, errp)) {
        return NULL;
    }
    if (pool->filling && !has_room(pool->filling, record)) {
        submit_filling(pool);
    }
    if (!pool->filling && !start_job(pool, errp)) {
        return NULL;
    }
    return pack(pool, pool->filling, block, record);
}

uint8_t *decompress_add(DecompressPool *pool, const RamBlock *block,
                        uint64_t page, uint32_t length, uint64_t position,
                        GError **errp)
{
    RamRecord record = {
        .length = length, .position = position,
        .pages = { .count = 1, .page = { page } },
    };

    g_assert(length > 0 && length <= WIRE_COMPRESSED_MAX);
    return decompress_add_record(pool, block, &record, errp);
}

bool decompress_drain(DecompressPool *pool, GError **errp)
{
    submit_filling(pool);
    return pipeline_flush(pool->pipeline, errp);
}
