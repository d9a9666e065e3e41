/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Added pages gather in a job; a full job goes to the pool, whose workers
 * inflate each page straight into guest memory.  The in-flight bitmap belongs
 * to the load loop alone: it sets a page's bit when it adds the page and
 * clears it when it collects the job, so the bitmap needs no lock and the
 * workers do not know of it.
 *
 * Jobs are collected in the order of submission.  Waiting for one page
 * therefore means to collect from the front until that page's bit is clear.
 */
#include "migration/ram-decompress.h"

#include "migration/error.h"
#include "migration/wire.h"
#include "util/bitmap.h"
#include "util/pool.h"

typedef struct CompressedPage {
    const RamBlock *block;
    uint64_t page;
    uint64_t position; /* of the record in the stream */
    uint32_t start;    /* of the data in the job's */
    uint32_t length;
} CompressedPage;

typedef struct DecompressJob {
    unsigned count;
    uint32_t size; /* bytes of data in use */
    CompressedPage page[RAM_BATCH_PAGES];
    uint8_t *data;
    /* set by the worker, when a page was bad: */
    const char *fault;
    unsigned bad; /* which */
} DecompressJob;

struct DecompressPool {
    Pool *pool;
    const Codec *codec;
    const RamBlocks *blocks;
    uint64_t **in_flight;   /* [blocks->count] */
    DecompressJob *filling; /* from pool_next(), not yet submitted; or NULL */
};

typedef struct DecompressWorker {
    const Codec *codec;
    void *decoder;
    uint8_t dropped[MIG_PAGE_SIZE]; /* for pages that have no memory */
} DecompressWorker;

static uint8_t *page_memory(DecompressWorker *w, const CompressedPage *p)
{
    return p->block->host ? ram_block_page(p->block, p->page) : w->dropped;
}

static void decompress_run(void *opaque, void *worker)
{
    DecompressJob *job = opaque;
    DecompressWorker *w = worker;

    for (unsigned i = 0; i < job->count; i++) {
        const CompressedPage *p = &job->page[i];

        job->fault = w->codec->decode(w->decoder, job->data + p->start,
                                      p->length, page_memory(w, p),
                                      MIG_PAGE_SIZE);
        if (job->fault) {
            job->bad = i;
            return;
        }
    }
}

static void decompress_job_init(void *opaque, void *pool)
{
    DecompressJob *job = opaque;

    job->data = g_malloc(RAM_BATCH_PAGES * WIRE_COMPRESSED_MAX);
}

static void decompress_job_destroy(void *opaque)
{
    DecompressJob *job = opaque;

    g_free(job->data);
}

static void *decompress_worker_new(void *opaque, GError **errp)
{
    const DecompressPool *pool = opaque;
    DecompressWorker *w = g_new0(DecompressWorker, 1);

    w->codec = pool->codec;
    w->decoder = w->codec->decoder_new(errp);
    if (!w->decoder) {
        g_free(w);
        return NULL;
    }
    return w;
}

static void decompress_worker_free(void *worker)
{
    DecompressWorker *w = worker;

    w->codec->decoder_free(w->decoder);
    g_free(w);
}

DecompressPool *decompress_new(const Codec *codec, unsigned threads,
                               const RamBlocks *blocks, GError **errp)
{
    DecompressPool *pool = g_new0(DecompressPool, 1);
    PoolConfig config = {
        .name = "mig/dec",
        .workers = threads,
        .jobs = 2 * threads + 2,
        .job_size = sizeof(DecompressJob),
        .opaque = pool,
        .job_init = decompress_job_init,
        .job_destroy = decompress_job_destroy,
        .worker_new = decompress_worker_new,
        .worker_free = decompress_worker_free,
        .run = decompress_run,
    };

    pool->codec = codec;
    pool->blocks = blocks;
    pool->pool = pool_new(&config, errp);
    if (!pool->pool) {
        g_free(pool);
        return NULL;
    }
    pool->in_flight = g_new0(uint64_t *, blocks->count);
    for (unsigned i = 0; i < blocks->count; i++) {
        pool->in_flight[i] = bitmap_new(blocks->block[i].pages);
    }
    return pool;
}

void decompress_free(DecompressPool *pool)
{
    if (!pool) {
        return;
    }
    pool_free(pool->pool);
    for (unsigned i = 0; i < pool->blocks->count; i++) {
        g_free(pool->in_flight[i]);
    }
    g_free(pool->in_flight);
    g_free(pool);
}

static bool is_in_flight(const DecompressPool *pool, const RamBlock *block,
                         uint64_t page)
{
    return bitmap_test(pool->in_flight[block->index], page);
}

static void submit_filling(DecompressPool *pool)
{
    if (pool->filling) {
        pool->filling = NULL;
        pool_submit(pool->pool);
    }
}

static void report_bad_page(const DecompressJob *job, GError **errp)
{
    const CompressedPage *p = &job->page[job->bad];

    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "block '%s', offset 0x%" G_GINT64_MODIFIER "x: the compressed "
                "page at byte %" G_GUINT64_FORMAT " of the stream is bad: %s",
                p->block->name, p->page * MIG_PAGE_SIZE, p->position,
                job->fault);
}

/* Wait for the oldest job; false on a bad page. */
static bool collect_oldest(DecompressPool *pool, GError **errp)
{
    DecompressJob *job = pool_collect(pool->pool, true);
    bool ok = !job->fault;

    for (unsigned i = 0; i < job->count; i++) {
        bitmap_clear(pool->in_flight[job->page[i].block->index],
                     job->page[i].page);
    }
    if (!ok) {
        report_bad_page(job, errp);
    }
    pool_release(pool->pool);
    return ok;
}

bool decompress_settle(DecompressPool *pool, const RamBlock *block,
                       uint64_t page, GError **errp)
{
    if (!is_in_flight(pool, block, page)) {
        return true;
    }
    submit_filling(pool);
    while (is_in_flight(pool, block, page)) {
        if (!collect_oldest(pool, errp)) {
            return false;
        }
    }
    return true;
}

static bool start_job(DecompressPool *pool, GError **errp)
{
    DecompressJob *job = pool_next(pool->pool);

    if (!job) {
        if (!collect_oldest(pool, errp)) {
            return false;
        }
        job = pool_next(pool->pool);
    }
    job->count = 0;
    job->size = 0;
    job->fault = NULL;
    pool->filling = job;
    return true;
}

uint8_t *decompress_add(DecompressPool *pool, const RamBlock *block,
                        uint64_t page, uint32_t length, uint64_t position,
                        GError **errp)
{
    DecompressJob *job;
    uint32_t start;

    g_assert(length > 0 && length <= WIRE_COMPRESSED_MAX);
    if (!decompress_settle(pool, block, page, errp)) {
        return NULL;
    }
    if (pool->filling && pool->filling->count == RAM_BATCH_PAGES) {
        submit_filling(pool);
    }
    if (!pool->filling && !start_job(pool, errp)) {
        return NULL;
    }
    job = pool->filling;
    start = job->size;
    job->page[job->count++] = (CompressedPage){
        .block = block,
        .page = page,
        .position = position,
        .start = start,
        .length = length,
    };
    job->size += length;
    bitmap_set(pool->in_flight[block->index], page);
    return job->data + start;
}

bool decompress_drain(DecompressPool *pool, GError **errp)
{
    submit_filling(pool);
    while (pool_pending(pool->pool)) {
        if (!collect_oldest(pool, errp)) {
            return false;
        }
    }
    return true;
}
