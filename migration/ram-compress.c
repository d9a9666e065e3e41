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
 * A page that does not shrink, record header included, goes as a plain page.
 */
#include "migration/ram-compress.h"

#include <string.h>

#include "migration/ram-record.h"
#include "migration/wire.h"
#include "util/pool.h"
#include "util/zero.h"

/* A plain page's record takes 8 bytes and the page, a compressed one's 4 more
 * than its data: that much it must save, and one byte, to be worth it. */
#define COMPRESSED_MAX (MIG_PAGE_SIZE - 4 - 1)

/* No record is longer than a plain page's; only the first has a name. */
#define JOB_BYTES                                                           \
    (WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * (8 + MIG_PAGE_SIZE))

struct CompressPool {
    Pool *pool;
    const Codec *codec;
    unsigned level;
};

typedef struct CompressWorker {
    const Codec *codec;
    void *encoder;
    uint8_t scratch[MIG_PAGE_SIZE];
} CompressWorker;

static size_t put_page(CompressWorker *w, CompressJob *job, uint64_t offset,
                       const char *name)
{
    uint8_t *to = job->out + job->size;
    size_t head, data;

    /* The data's length is in the header, the header's is known before. */
    head = ram_record_put_compressed(to, offset, name, 0);
    data = w->codec->encode(w->encoder, w->scratch, MIG_PAGE_SIZE, to + head,
                            COMPRESSED_MAX);
    if (data) {
        ram_record_put_compressed(to, offset, name, (uint32_t)data);
        job->counts.compressed++;
        job->counts.compressed_bytes += head + data;
        return head + data;
    }
    head = ram_record_put_plain(to, offset, name);
    memcpy(to + head, w->scratch, MIG_PAGE_SIZE);
    job->counts.normal++;
    return head + MIG_PAGE_SIZE;
}

static void compress_run(void *opaque, void *worker)
{
    CompressJob *job = opaque;
    CompressWorker *w = worker;
    const RamBlock *block = job->batch.block;
    const char *name = block->name;

    job->size = 0;
    job->counts = (PageCounts){ 0 };
    for (unsigned i = 0; i < job->batch.count; i++) {
        const uint8_t *page = ram_block_page(block, job->batch.page[i]);
        uint64_t offset = job->batch.page[i] * MIG_PAGE_SIZE;

        if (buffer_is_zero(page, MIG_PAGE_SIZE)) {
            job->size += ram_record_put_zero(job->out + job->size, offset,
                                             name);
            job->counts.zero++;
        } else {
            memcpy(w->scratch, page, MIG_PAGE_SIZE);
            job->size += put_page(w, job, offset, name);
        }
        name = NULL;
    }
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
    return w;
}

static void compress_worker_free(void *worker)
{
    CompressWorker *w = worker;

    w->codec->encoder_free(w->encoder);
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
