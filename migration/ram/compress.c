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
 * worker's scratch first.  The copy may be a mixture of old and new, but then
 * the guest's write has set the page's dirty bit, and the page will be sent
 * again.
 *
 * A page that still has the hash of what was sent last for it is left out.  Of
 * another one the copy is hashed.
 *
 * Pages are gathered until the codec has as many as it takes at a time: one in
 * the zlib format, several otherwise.  Pages that do not shrink, record header
 * included, go as plain pages.  Zero pages in a row are gathered, too, because
 * a Ferry takes them in one record.  They may overtake a batch that is not
 * full.
 */
#include "migration/ram/compress.h"

#include <string.h>

#include "migration/ram/writer.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "util/pipeline.h"
#include "util/zero.h"

/* No record is longer than plain records of its pages.  Only the first record
 * has a name. */
#define PLAIN_BYTES (8 + MIG_PAGE_SIZE)
#define JOB_BYTES   (WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * PLAIN_BYTES)

/* The state of a job that a worker runs. */
typedef struct Packing {
    const CodecWorker *worker; /* scratch: copies of the pages gathered */
    RamPages pages;            /* gathered for the codec, perhaps none */
    RamWriter out;
} Packing;

static void put_plain(Packing *p)
{
    for (unsigned i = 0; i < p->pages.count; i++) {
        ram_writer_put_plain_head(&p->out, p->pages.page[i]);
        memcpy(p->out.to, p->worker->scratch + i * MIG_PAGE_SIZE,
               MIG_PAGE_SIZE);
        ram_writer_advance(&p->out, MIG_PAGE_SIZE);
    }
}

static size_t put_head(const Packing *p, uint32_t length)
{
    if (p->worker->codec->batch_pages > 1) {
        return ram_record_put_batch(p->out.to, &p->pages, p->out.name, length);
    }
    return ram_record_put_compressed(
        p->out.to, p->pages.page[0] * MIG_PAGE_SIZE, p->out.name, length);
}

/* Encode the gathered pages as one record, if that saves a byte. */
static void put_pages(Packing *p)
{
    size_t raw = p->pages.count * MIG_PAGE_SIZE;
    size_t name = p->out.name ? 1 + strlen(p->out.name) : 0;
    size_t head, data;

    if (!p->pages.count) {
        return;
    }
    /* The head's size is known before the data's length, which stands in it. */
    head = put_head(p, 0);
    data = p->worker->codec->encode(
        p->worker->encoder, p->worker->scratch, raw, p->out.to + head,
        MIN(raw - 1, p->pages.count * PLAIN_BYTES + name - head - 1));
    if (data) {
        put_head(p, (uint32_t)data);
        p->out.counts.compressed += p->pages.count;
        p->out.counts.compressed_bytes += head + data;
        ram_writer_advance(&p->out, head + data);
    } else {
        put_plain(p);
    }
    p->pages.count = 0;
}

/* Returns the copy, which nobody writes to until the next page. */
static const uint8_t *gather_page(Packing *p, uint64_t page,
                                  const uint8_t *from)
{
    uint8_t *copy;

    ram_writer_end_zeros(&p->out);
    if (p->pages.count && !ram_record_follows(&p->pages, page)) {
        put_pages(p);
    }
    copy = p->worker->scratch + p->pages.count * MIG_PAGE_SIZE;
    memcpy(copy, from, MIG_PAGE_SIZE);
    p->pages.page[p->pages.count++] = page;
    if (p->pages.count == p->worker->codec->batch_pages) {
        put_pages(p);
    }
    return copy;
}

bool compress_skip_page(CompressJob *job, RamWriter *out, unsigned i,
                        const uint8_t *from)
{
    bool zero = buffer_is_zero(from, MIG_PAGE_SIZE);

    if (page_hash_matches(job->key, job->hash[i], from, zero)) {
        out->counts.unchanged++;
        return true;
    }
    if (zero) {
        ram_writer_add_zero(out, job->batch.page[i]);
        job->hash[i] = page_hash_zero(job->key);
    }
    return zero;
}

static void add_page(Packing *p, CompressJob *job, unsigned i)
{
    const uint8_t *from = ram_batch_page(&job->batch, i);

    if (!compress_skip_page(job, &p->out, i, from)) {
        const uint8_t *copy = gather_page(p, job->batch.page[i], from);

        job->hash[i] = page_hash(job->key, copy);
    }
}

static void compress_run(void *opaque, void *worker)
{
    CompressJob *job = opaque;
    Packing p = {
        .worker = worker,
        .out = { .to = job->out, .name = job->batch.block->name,
                 .zero_ranges = job->zero_ranges },
    };

    for (unsigned i = 0; i < job->batch.count; i++) {
        add_page(&p, job, i);
    }
    ram_writer_end_zeros(&p.out);
    put_pages(&p);
    job->size = (size_t)(p.out.to - job->out);
    job->counts = p.out.counts;
    g_assert(job->size <= JOB_BYTES);
}

PoolConfig compress_pool(CodecWorkerConfig *worker, unsigned threads)
{
    worker->scratch_size = (size_t)worker->codec->batch_pages * MIG_PAGE_SIZE;
    return (PoolConfig){
        .name = "mig/comp",
        .workers = threads,
        .jobs = pipeline_jobs(threads),
        .job_size = sizeof(CompressJob) + JOB_BYTES,
        .worker_new = codec_worker_new_encoder,
        .worker_config = worker,
        .worker_free = codec_worker_free,
        .run = compress_run,
    };
}
