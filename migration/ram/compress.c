/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A worker gets a batch of page numbers and turns it into the records that go
 * on the wire: it finds the zero pages, compresses the others and writes
 * whole records, headers included, into the job's own buffer.  The save loop
 * only has to write that buffer.
 *
 * The guest may write to a page while it is being compressed.  A deflate that
 * reads a byte twice and sees two values makes a stream whose checksum is
 * wrong, and the destination would refuse it.  So each page is copied to the
 * worker's scratch first; whatever mixture of old and new the copy holds, the
 * guest's write has set the page's dirty bit and the page will be sent again.
 *
 * Pages are gathered until the codec has as many as it takes at a time: one in
 * the zlib format, several otherwise.  What does not shrink, record header
 * included, goes as plain pages.  Zero pages in a row are gathered too, as a
 * Ferry takes them in one record; they may overtake a batch that is not full.
 */
#include "migration/ram/compress.h"

#include <string.h>

#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "util/pool.h"
#include "util/zero.h"

/* No record is longer than the plain pages in its stead; only the first has a
 * name. */
#define PLAIN_BYTES (8 + MIG_PAGE_SIZE)
#define JOB_BYTES   (WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * PLAIN_BYTES)

struct CompressPool {
    Pool *pool;
    const Codec *codec;
    unsigned level;
};

typedef struct CompressWorker {
    const Codec *codec;
    void *encoder;
    /* of the job at work: */
    CompressJob *job;
    const char *name;     /* of the block; NULL: a record has it already */
    uint64_t zero;        /* the first of a run of zero pages, */
    uint64_t zeros;       /* how many, perhaps none */
    RamPages pages;       /* gathered for the codec, perhaps none */
    uint8_t *scratch;     /* [codec->batch_pages][MIG_PAGE_SIZE]: copies */
} CompressWorker;

/* A record of that many bytes is complete. */
static void add_record(CompressWorker *w, size_t size)
{
    w->job->size += size;
    w->name = NULL;
}

static uint8_t *next_record(CompressWorker *w)
{
    return w->job->out + w->job->size;
}

static void put_zeros(CompressWorker *w)
{
    size_t size;

    if (w->zeros) {
        size = ram_record_put_zeros(next_record(w), w->zero, w->name,
                                    w->zeros, w->job->zero_ranges);
        add_record(w, size);
        w->job->counts.zero += w->zeros;
        w->job->counts.zero_bytes += size;
        w->zeros = 0;
    }
}

static void put_plain(CompressWorker *w)
{
    for (unsigned i = 0; i < w->pages.count; i++) {
        uint8_t *to = next_record(w);
        size_t head = ram_record_put_plain(
            to, w->pages.page[i] * MIG_PAGE_SIZE, w->name);

        memcpy(to + head, w->scratch + i * MIG_PAGE_SIZE, MIG_PAGE_SIZE);
        add_record(w, head + MIG_PAGE_SIZE);
    }
    w->job->counts.normal += w->pages.count;
}

static size_t put_head(const CompressWorker *w, uint8_t *to, uint32_t length)
{
    if (w->codec->batch_pages > 1) {
        return ram_record_put_batch(to, &w->pages, w->name, length);
    }
    return ram_record_put_compressed(
        to, w->pages.page[0] * MIG_PAGE_SIZE, w->name, length);
}

/* What was gathered becomes a record, if that saves a byte. */
static void put_pages(CompressWorker *w)
{
    size_t raw = w->pages.count * MIG_PAGE_SIZE;
    uint8_t *to = next_record(w);
    size_t name = w->name ? 1 + strlen(w->name) : 0;
    size_t head, data;

    if (!w->pages.count) {
        return;
    }
    /* The data's length is in the header, the header's is known before. */
    head = put_head(w, to, 0);
    data = w->codec->encode(w->encoder, w->scratch, raw, to + head,
                            MIN(raw - 1, w->pages.count * PLAIN_BYTES + name -
                                             head - 1));
    if (data) {
        put_head(w, to, (uint32_t)data);
        w->job->counts.compressed += w->pages.count;
        w->job->counts.compressed_bytes += head + data;
        add_record(w, head + data);
    } else {
        put_plain(w);
    }
    w->pages.count = 0;
}

static void gather_zero(CompressWorker *w, uint64_t page)
{
    if (w->zeros && page != w->zero + w->zeros) {
        put_zeros(w);
    }
    if (!w->zeros) {
        w->zero = page;
    }
    w->zeros++;
}

static void gather_page(CompressWorker *w, uint64_t page, const uint8_t *from)
{
    put_zeros(w);
    if (w->pages.count && !ram_record_follows(&w->pages, page)) {
        put_pages(w);
    }
    memcpy(w->scratch + w->pages.count * MIG_PAGE_SIZE, from, MIG_PAGE_SIZE);
    w->pages.page[w->pages.count++] = page;
    if (w->pages.count == w->codec->batch_pages) {
        put_pages(w);
    }
}

static void compress_run(void *opaque, void *worker)
{
    CompressJob *job = opaque;
    CompressWorker *w = worker;
    const RamBlock *block = job->batch.block;

    job->size = 0;
    job->counts = (PageCounts){ 0 };
    w->job = job;
    w->name = block->name;
    for (unsigned i = 0; i < job->batch.count; i++) {
        uint64_t page = job->batch.page[i];
        const uint8_t *from = ram_block_page(block, page);

        if (buffer_is_zero(from, MIG_PAGE_SIZE)) {
            gather_zero(w, page);
        } else {
            gather_page(w, page, from);
        }
    }
    put_zeros(w);
    put_pages(w);
    g_assert(job->size <= JOB_BYTES);
}

static void compress_job_init(void *opaque, void *pool)
{
    CompressJob *job = opaque;

    job->out = g_malloc(JOB_BYTES);
}

static void compress_job_destroy(void *opaque)
{
    CompressJob *job = opaque;

    g_free(job->out);
}

static void *compress_worker_new(void *opaque, GError **errp)
{
    const CompressPool *pool = opaque;
    CompressWorker *w = g_new0(CompressWorker, 1);

    w->codec = pool->codec;
    w->encoder = w->codec->encoder_new(pool->level, errp);
    if (!w->encoder) {
        g_free(w);
        return NULL;
    }
    w->scratch = g_malloc((gsize)w->codec->batch_pages * MIG_PAGE_SIZE);
    return w;
}

static void compress_worker_free(void *worker)
{
    CompressWorker *w = worker;

    w->codec->encoder_free(w->encoder);
    g_free(w->scratch);
    g_free(w);
}

CompressPool *compress_new(const Codec *codec, unsigned threads,
                           unsigned level, GError **errp)
{
    CompressPool *pool = g_new0(CompressPool, 1);
    PoolConfig config = {
        .name = "mig/comp",
        .workers = threads,
        .jobs = 2 * threads + 2,
        .job_size = sizeof(CompressJob),
        .opaque = pool,
        .job_init = compress_job_init,
        .job_destroy = compress_job_destroy,
        .worker_new = compress_worker_new,
        .worker_free = compress_worker_free,
        .run = compress_run,
    };

    pool->codec = codec;
    pool->level = level;
    pool->pool = pool_new(&config, errp);
    if (!pool->pool) {
        g_free(pool);
        return NULL;
    }
    return pool;
}

void compress_free(CompressPool *pool)
{
    if (pool) {
        pool_free(pool->pool);
        g_free(pool);
    }
}

CompressJob *compress_next(CompressPool *pool)
{
    return pool_next(pool->pool);
}

void compress_submit(CompressPool *pool)
{
    pool_submit(pool->pool);
}

const CompressJob *compress_collect(CompressPool *pool, bool wait)
{
    return pool_collect(pool->pool, wait);
}

void compress_release(CompressPool *pool)
{
    pool_release(pool->pool);
}
