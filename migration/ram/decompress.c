/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Added records gather in a job.  A full job goes to the pool, whose workers
 * decode each record straight to its place or, if its pages are not all in a
 * row, to their scratch first.  What waits for what is in in-flight.h.
 */
#include "migration/ram/decompress.h"

#include <string.h>

#include "ferry/error.h"
#include "migration/pack/codec-worker.h"
#include "migration/ram/in-flight.h"
#include "migration/ram/place.h"
#include "migration/wire/wire.h"

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
    InFlight in_flight; /* of DecompressJob */
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

        page_bits_clear(pool->in_flight.pages, p->block, p->page, p->pages);
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

    pool->in_flight.pipeline = pipeline_new(&config, errp);
    if (!pool->in_flight.pipeline) {
        g_free(pool);
        return NULL;
    }
    pool->in_flight.pages = page_bits_new(blocks);
    return pool;
}

void decompress_free(DecompressPool *pool)
{
    if (pool) {
        pipeline_free(pool->in_flight.pipeline);
        page_bits_free(pool->in_flight.pages);
        g_free(pool);
    }
}

bool decompress_settle(DecompressPool *pool, const RamBlock *block,
                       uint64_t page, uint64_t count, GError **errp)
{
    return in_flight_settle(&pool->in_flight, block, page, count, errp);
}

static bool start_job(DecompressPool *pool, GError **errp)
{
    DecompressJob *job = pipeline_next(pool->in_flight.pipeline, errp);

    if (!job) {
        return false;
    }
    job->count = 0;
    job->pages = 0;
    job->size = 0;
    job->fault = NULL;
    pool->in_flight.filling = job;
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
    page_bits_set(pool->in_flight.pages, block, page, p->pages);
    job->pages += p->pages;
    job->size += p->length;
    return job->data + p->start;
}

uint8_t *decompress_add_record(DecompressPool *pool, const RamBlock *block,
                               const RamRecord *record, GError **errp)
{
    InFlight *f = &pool->in_flight;

    if (!in_flight_settle_each(f, block, &record->pages, errp)) {
        return NULL;
    }
    if (f->filling && !has_room(f->filling, record)) {
        in_flight_submit(f);
    }
    if (!f->filling && !start_job(pool, errp)) {
        return NULL;
    }
    return pack(pool, f->filling, block, record);
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
    return in_flight_drain(&pool->in_flight, errp);
}
