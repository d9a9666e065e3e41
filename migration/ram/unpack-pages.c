/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A record is a job.  Workers decode.  When the load loop collects the job, it
 * follows what pages refer to, and places them if the pack's checksum is right.
 * So references are followed in the order of the stream.  A job is submitted
 * when the packs of its dictionary were collected.
 */
#include "migration/ram/unpack-pages.h"

#include "ferry/error.h"
#include "migration/pack/unpacker.h"
#include "migration/ram/in-flight.h"

typedef struct UnpackPagesJob {
    /* The load loop sets these before it submits the job. */
    const RamBlock *block;
    RamPages pages;
    uint64_t position; /* of the record in the stream */
    UnpackJob pack;
    uint8_t in[PACK_SIZE_MAX];
    /* The worker's. */
    uint8_t body[PACK_BODY_MAX];
} UnpackPagesJob;

/* The load loop's, but for the jobs. */
struct UnpackPages {
    Unpacker *unpacker;
    RamPlace *place;
    InFlight in_flight; /* of UnpackPagesJob */
};

static void run(void *opaque, void *worker)
{
    UnpackPagesJob *job = opaque;

    unpack_decode(&job->pack, worker);
}

static void place_page(UnpackPages *unpack, const UnpackPagesJob *job,
                       unsigned index)
{
    uint8_t buffer[MIG_PAGE_SIZE];
    const uint8_t *bytes = unpack_page(&job->pack, index, buffer);
    uint64_t page = job->pages.page[index];

    if (bytes) {
        ram_place_pages(job->block, &page, 1, bytes);
    } else {
        ram_place_zeros(unpack->place, job->block, page, 1);
    }
}

static void report_bad(const UnpackPagesJob *job, const char *fault,
                       GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "block '%s', offset 0x%" G_GINT64_MODIFIER "x: the pack at "
                "byte %" G_GUINT64_FORMAT " of the stream is bad: %s",
                job->block->name, job->pages.page[0] * MIG_PAGE_SIZE,
                job->position, fault);
}

static bool land_job(void *opaque, void *opaque_unpack, GError **errp)
{
    UnpackPagesJob *job = opaque;
    UnpackPages *unpack = opaque_unpack;
    const char *fault = unpack_finish(unpack->unpacker, &job->pack);

    page_bits_clear(unpack->in_flight.pages, job->block, job->pages.page,
                    job->pages.count);
    if (fault) {
        report_bad(job, fault, errp);
        return false;
    }
    for (unsigned i = 0; i < job->pages.count; i++) {
        place_page(unpack, job, i);
    }
    return true;
}

UnpackPages *unpack_pages_new(unsigned window, unsigned threads,
                              const RamBlocks *blocks, RamPlace *place,
                              GError **errp)
{
    UnpackPages *unpack = g_new0(UnpackPages, 1);
    PipelineConfig config = {
        .pool = {
            .name = "mig/dec",
            .workers = threads,
            .job_size = sizeof(UnpackPagesJob),
            .worker_new = unpack_worker_new,
            .worker_free = unpack_worker_free,
            .run = run,
        },
        .sink = land_job,
        .opaque = unpack,
    };

    unpack->place = place;
    unpack->in_flight.pages = page_bits_new(blocks);
    unpack->unpacker = unpacker_new(window, pipeline_jobs(threads), errp);
    if (unpack->unpacker) {
        unpack->in_flight.pipeline = pipeline_new(&config, errp);
    }
    if (!unpack->in_flight.pipeline) {
        unpack_pages_free(unpack);
        return NULL;
    }
    return unpack;
}

void unpack_pages_free(UnpackPages *unpack)
{
    if (unpack) {
        pipeline_free(unpack->in_flight.pipeline);
        unpacker_free(unpack->unpacker);
        page_bits_free(unpack->in_flight.pages);
        g_free(unpack);
    }
}

/* Submit the job that is being filled, whose data is there now.  All before it
 * were submitted, so that it gets ready. */
static bool submit(UnpackPages *unpack, GError **errp)
{
    InFlight *f = &unpack->in_flight;
    UnpackPagesJob *job = f->filling;
    bool any = true;

    while (job && !unpack_is_ready(unpack->unpacker, &job->pack)) {
        g_assert(any);
        if (!pipeline_finish_oldest(f->pipeline, &any, errp)) {
            return false;
        }
    }
    in_flight_submit(f);
    return true;
}

bool unpack_pages_settle(UnpackPages *unpack, const RamBlock *block,
                         uint64_t page, uint64_t count, GError **errp)
{
    return submit(unpack, errp) &&
           in_flight_settle(&unpack->in_flight, block, page, count, errp);
}

static void begin_pack(UnpackPages *unpack, UnpackPagesJob *job)
{
    uint64_t key[WIRE_BATCH_PAGES_MAX];

    for (unsigned i = 0; i < job->pages.count; i++) {
        key[i] = ram_block_key(job->block, job->pages.page[i]);
    }
    unpacker_begin(unpack->unpacker, &job->pack, key, job->pages.count);
    job->pack.in = job->in;
    job->pack.body = job->body;
}

uint8_t *unpack_pages_add(UnpackPages *unpack, const RamBlock *block,
                          const RamRecord *record, GError **errp)
{
    UnpackPagesJob *job;

    g_assert(record->length <= PACK_SIZE_MAX);
    if (!submit(unpack, errp) ||
        !in_flight_settle_each(&unpack->in_flight, block, &record->pages,
                               errp)) {
        return NULL;
    }
    job = pipeline_next(unpack->in_flight.pipeline, errp);
    if (!job) {
        return NULL;
    }
    job->block = block;
    job->pages = record->pages;
    job->position = record->position;
    begin_pack(unpack, job);
    job->pack.size = record->length;
    page_bits_set(unpack->in_flight.pages, block, job->pages.page,
                  job->pages.count);
    unpack->in_flight.filling = job;
    return job->in;
}

bool unpack_pages_drain(UnpackPages *unpack, GError **errp)
{
    return submit(unpack, errp) && in_flight_drain(&unpack->in_flight, errp);
}
