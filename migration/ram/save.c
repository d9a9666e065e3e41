/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A pass walks the dirty bitmap in batches of up to 64 pages.  With compress
 * off, a batch is turned into records here: headers in a small buffer, page
 * data straight from guest memory, one vectored write.  With compress on, the
 * batch becomes a job of the compression pool.  The loop fills jobs as long as
 * one is free, and writes the oldest one's bytes when none is free.  At the end
 * of the pass it collects all jobs that are still out.
 *
 * With xbzrle, pages that the cache has are looked at here, too, and leave the
 * batch if their changes are short; see xbzrle-cache.c.  The changes are sent
 * at once, and overtake the jobs that are out.
 *
 * Pages that the host knows to be zero are not read.  They come last: by then
 * the walk may have found that some of them were written meanwhile.
 *
 * Without compress-wait-thread, a batch is sent uncompressed when no job is
 * free and the oldest is not done.  Such a batch overtakes jobs, too.  That is
 * allowed, because a pass sends each page once and each batch names its block.
 *
 * With compress-method auto and a Ferry, how a job is encoded is chosen anew
 * for each (choose.h), by how long jobs wait and the link takes.
 *
 * With compress on, a page that is still what was sent last for it is not sent
 * again (sent-hash.h).  With compress off there is no copy of it whose hash
 * could be noted.
 */
#include "migration/ram/save.h"

#include <string.h>

#include "migration/pack/choose.h"
#include "migration/ram/pack-pages.h"
#include "migration/ram/sent-hash.h"
#include "migration/ram/writer.h"
#include "migration/ram/xbzrle-cache.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "util/clock.h"
#include "util/pipeline.h"
#include "util/thread.h"
#include "util/zero.h"

/* Beyond a half of the page, compression is likely to make fewer bytes than its
 * changes take (docs/performance.md has figures).  Beyond the other, the page
 * itself does. */
#define XBZRLE_ROOM          (MIG_PAGE_SIZE - 3)
#define XBZRLE_ROOM_COMPRESS (MIG_PAGE_SIZE / 2)

struct RamSave {
    Stream *stream;
    const RamBlocks *blocks;
    const MigOptions *options;
    StatsChannel *counted;
    Pipeline *pipeline; /* of CompressJob; NULL: compress is off, or no pass
                         * has begun */
    SentHash *sent;     /* with pipeline */
    PackPages *packs;   /* with pipeline; NULL: the reader takes none */
    bool takes_packs;   /* the reader does, */
    unsigned window;    /* and keeps so many */
    Ladder ladder;      /* with takes_packs: how they may be encoded, */
    Choice choice;      /* and how the next one is */
    ChooseLook seen;    /* so far; jobs' counts are those of each look */
    uint64_t looked;    /* pages that were seen at the last look */
    bool settled;       /* no other choice any more */
    bool zero_ranges;
    XbzrleCache *xbzrle; /* NULL: the capability is off, */
    uint8_t *changes;    /* [XBZRLE_BATCH_BYTES]; the same */
    unsigned pass;
    /* for batches that are sent uncompressed */
    uint8_t heads[WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * (8 + 1)];
    GOutputVector vectors[2 * RAM_BATCH_PAGES];
    uint8_t *copies; /* [RAM_BATCH_PAGES] of a page each; with packs */
};

/* What the choice is made by. */
static void note_sent(RamSave *save, const CompressJob *job, int64_t time)
{
    uint64_t pages = job->counts.compressed + job->counts.normal;

    if (pages) {
        save->seen.pages += pages;
        save->seen.bytes += job->size;
        save->seen.sent += time;
    }
}

static bool write_job(void *opaque, void *opaque_save, GError **errp)
{
    const CompressJob *job = opaque;
    RamSave *save = opaque_save;
    GOutputVector vector = { job->out, job->size };
    int64_t since = clock_now(&clock_monotonic);

    /* There is nothing to write if no page has changed. */
    if (job->size && !stream_writev(save->stream, &vector, 1, errp)) {
        return false;
    }
    note_sent(save, job, clock_now(&clock_monotonic) - since);
    sent_hash_put(save->sent, &job->batch, job->hash);
    stats_account(save->counted, &job->counts, stream_position(save->stream));
    return true;
}

RamSave *ram_save_new(Stream *stream, const RamBlocks *blocks,
                      const MigOptions *options, StatsChannel *counted)
{
    RamSave *save = g_new0(RamSave, 1);

    save->stream = stream;
    save->blocks = blocks;
    save->options = options;
    save->counted = counted;
    return save;
}

void ram_save_free(RamSave *save)
{
    if (save) {
        pipeline_free(save->pipeline);
        sent_hash_free(save->sent);
        pack_pages_free(save->packs);
        xbzrle_cache_free(save->xbzrle);
        g_free(save->changes);
        g_free(save->copies);
        g_free(save);
    }
}

static unsigned threads_of(const RamSave *save)
{
    return thread_count(save->options->value[MIG_OPT_COMPRESS_THREADS]);
}

void ram_save_use_packs(RamSave *save, unsigned window, const Ladder *ladder)
{
    save->takes_packs = true;
    save->window = window;
    save->ladder = *ladder;
    stats_history(save->counted->stats, (uint64_t)window * PACK_SLOT_BYTES);
    save->copies = g_malloc((size_t)RAM_BATCH_PAGES * MIG_PAGE_SIZE);
}

/* Where the choice is ours, the queue is no longer than it takes to make it. */
#define CHOOSE_QUEUE_NS (200 * NS_PER_MS)

static void tell_rung(RamSave *save, const Rung *rung, const char *reason)
{
    stats_encoding(save->counted->stats, &(StatsEncoding){
        .method = rung_name(rung),
        .encoder = rung->codec ? rung->codec->encoder_name(rung->level)
                               : "none",
        .level = rung->level,
        .reason = reason,
    });
}

static const Rung *chosen_rung(const RamSave *save)
{
    return &save->ladder.rung[save->choice.rung];
}

static void tell_choice(RamSave *save)
{
    tell_rung(save, chosen_rung(save), choose_reason(save->choice.reason));
}

/* The reader takes packs. */
static bool start_packs(RamSave *save, GError **errp)
{
    bool chooses = save->ladder.rungs > 1;
    LadderWorkerConfig worker = { .ladder = &save->ladder };
    PipelineConfig config = {
        .pool = pack_pages_pool(&worker, threads_of(save)),
        .sink = write_job,
        .opaque = save,
        .queue_ns = chooses ? CHOOSE_QUEUE_NS : 0,
    };

    config.pool.nice = chooses ? CHOOSE_NICE : 0;
    save->packs = pack_pages_new(save->window, threads_of(save), errp);
    if (!save->packs) {
        return false;
    }
    save->pipeline = pipeline_new(&config, errp);
    if (!save->pipeline) {
        return false;
    }
    choose_begin(&save->choice, &save->ladder);
    tell_choice(save);
    return true;
}

/* The reader may be a QEMU. */
static bool start_records(RamSave *save, GError **errp)
{
    const uint64_t *value = save->options->value;
    CodecWorkerConfig worker = {
        .codec = codec_without_packs(value[MIG_OPT_COMPRESS_METHOD]),
        .level = (unsigned)value[MIG_OPT_COMPRESS_LEVEL],
    };
    PipelineConfig config = {
        .pool = compress_pool(&worker, threads_of(save)),
        .sink = write_job,
        .opaque = save,
    };

    save->pipeline = pipeline_new(&config, errp);
    if (!save->pipeline) {
        return false;
    }
    tell_rung(save, &(Rung){ worker.codec, worker.level, 1 }, NULL);
    return true;
}

/* When all is known of the reader: with the first pass. */
static bool start_pipeline(RamSave *save, GError **errp)
{
    save->sent = sent_hash_new(save->blocks, errp);
    if (!save->sent) {
        return false;
    }
    return save->takes_packs ? start_packs(save, errp)
                             : start_records(save, errp);
}

void ram_save_use_ranges(RamSave *save)
{
    save->zero_ranges = true;
}

bool ram_save_use_xbzrle(RamSave *save, GError **errp)
{
    uint64_t bytes = save->options->value[MIG_OPT_XBZRLE_CACHE_SIZE];

    save->xbzrle = xbzrle_cache_new(bytes, save->blocks, errp);
    save->changes = g_malloc(XBZRLE_BATCH_BYTES);
    return save->xbzrle != NULL;
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

/* A batch that is sent uncompressed: headers and, between them, pages. */
typedef struct PlainBatch {
    RamSave *save;
    RamWriter heads;
    uint8_t *begin; /* of the headers that no vector covers yet */
    unsigned vectors;
} PlainBatch;

static void put_vector(PlainBatch *p, const uint8_t *data, size_t size)
{
    p->save->vectors[p->vectors++] = (GOutputVector){ data, size };
}

static void put_heads(PlainBatch *p)
{
    if (p->heads.to > p->begin) {
        put_vector(p, p->begin, (size_t)(p->heads.to - p->begin));
        p->begin = p->heads.to;
    }
}

static void add_page(PlainBatch *p, uint64_t page, const uint8_t *data)
{
    if (buffer_is_zero(data, MIG_PAGE_SIZE)) {
        ram_writer_add_zero(&p->heads, page);
    } else {
        ram_writer_put_plain_head(&p->heads, page);
        put_heads(p);
        put_vector(p, data, MIG_PAGE_SIZE);
    }
}

/* Send a batch uncompressed, zero pages aside. */
static bool save_plain(RamSave *save, const RamBatch *batch, GError **errp)
{
    PlainBatch p = {
        .save = save,
        .heads = { .to = save->heads, .name = batch->block->name,
                   .zero_ranges = save->zero_ranges },
        .begin = save->heads,
    };

    for (unsigned i = 0; i < batch->count; i++) {
        add_page(&p, batch->page[i], ram_batch_page(batch, i));
    }
    ram_writer_end_zeros(&p.heads);
    put_heads(&p);
    if (!stream_writev(save->stream, save->vectors, p.vectors, errp)) {
        return false;
    }
    stats_account(save->counted, &p.heads.counts,
                  stream_position(save->stream));
    return true;
}

/* Which rung is the next pack's? */
static void choose_rung(RamSave *save)
{
    ChooseLook *look = &save->seen;
    unsigned pending = pipeline_pending(save->pipeline);

    /* While the queue fills, nobody waits. */
    if (look->pages == save->looked ||
        pending + 1 < pipeline_most(save->pipeline)) {
        return;
    }
    save->looked = look->pages;
    look->now = clock_now(&clock_monotonic);
    look->waited = pipeline_waited(save->pipeline);
    look->ready = pipeline_ready(save->pipeline);
    look->pending = pending;
    if (choose_look(&save->choice, &save->ladder, look)) {
        tell_choice(save);
    }
}

static void fill_pack(RamSave *save, CompressJob *job, const RamBatch *batch)
{
    int64_t since;

    if (save->ladder.rungs > 1 && !save->settled) {
        choose_rung(save);
    }
    since = clock_now(&clock_monotonic);
    pack_pages_fill(save->packs, job, chosen_rung(save), batch,
                    save->zero_ranges);
    if (job->packed.count || job->writer.counts.normal) {
        save->seen.filled += clock_now(&clock_monotonic) - since;
    }
}

static void fill_job(RamSave *save, CompressJob *job, const RamBatch *batch)
{
    job->key = sent_hash_key(save->sent);
    sent_hash_take(save->sent, batch, job->hash);
    if (save->packs) {
        fill_pack(save, job, batch);
    } else {
        job->batch = *batch;
        job->zero_ranges = save->zero_ranges;
    }
}

/* Send a batch uncompressed, when others are jobs.  Where the stream has a
 * checksum, with packs, the guest must not change bytes between that and the
 * write. */
static bool save_beside(RamSave *save, const RamBatch *batch, GError **errp)
{
    RamBatch copied = *batch;

    sent_hash_forget(save->sent, batch);
    for (unsigned i = 0; save->packs && i < batch->count; i++) {
        copied.copy[i] = memcpy(save->copies + i * MIG_PAGE_SIZE,
                                ram_batch_page(batch, i), MIG_PAGE_SIZE);
    }
    return save_plain(save, &copied, errp);
}

static bool save_compressed(RamSave *save, const RamBatch *batch,
                            GError **errp)
{
    void *next;

    if (!pipeline_try_next(save->pipeline, &next, errp)) {
        return false;
    }
    stats_job(save->counted->stats, !next);
    if (!next && !save->options->value[MIG_OPT_COMPRESS_WAIT_THREAD]) {
        return save_beside(save, batch, errp);
    }
    if (!next) {
        next = pipeline_next(save->pipeline, errp);
    }
    if (!next) {
        return false;
    }
    fill_job(save, next, batch);
    pipeline_submit(save->pipeline);
    return true;
}

/* Send a run in one record, or in pieces whose records fit into save->heads.
 * An error shows at the next write. */
static void save_untouched(RamSave *save, RamRun run)
{
    const char *name = run.block->name;
    uint64_t count;

    if (save->sent) {
        sent_hash_put_zeros(save->sent, &run);
    }
    for (; run.count; run.count -= count, run.page += count) {
        PageCounts counts = { 0 };

        count = save->zero_ranges ? run.count
                                  : MIN(run.count, RAM_BATCH_PAGES);
        counts.zero = count;
        counts.zero_bytes = ram_record_put_zeros(save->heads, run.page, name,
                                                 count, save->zero_ranges);
        stream_put_bytes(save->stream, save->heads, counts.zero_bytes);
        stats_account(save->counted, &counts, stream_position(save->stream));
        name = NULL;
    }
}

/* False on an error.  *found is false when no batch is left. */
static bool next_batch(RamSave *save, RamDirty *dirty, RamBatch *batch,
                       bool *found, GError **errp)
{
    uint64_t added;

    if (!ram_dirty_refresh(dirty, &added, errp)) {
        g_prefix_error(errp, "cannot collect the dirty log: ");
        return false;
    }
    if (added) {
        stats_found(save->counted->stats, added);
    }
    *found = ram_dirty_take(dirty, batch);
    return true;
}

static bool is_compressing(const RamSave *save)
{
    return save->pipeline && (!save->packs || chosen_rung(save)->codec);
}

/* Send the changes of pages, and take these out of the batch.  What was sent of
 * them whole is not what the destination has any more, so that its hash is
 * forgotten. */
static bool save_changes(RamSave *save, RamBatch *batch, GError **errp)
{
    RamWriter out = { .to = save->changes, .name = batch->block->name };
    GOutputVector vector = { save->changes, 0 };
    RamBatch changed;

    xbzrle_cache_take(save->xbzrle, batch, &changed,
                      is_compressing(save) ? XBZRLE_ROOM_COMPRESS
                                           : XBZRLE_ROOM,
                      &out);
    if (save->sent) {
        sent_hash_forget(save->sent, &changed);
    }
    vector.size = (size_t)(out.to - save->changes);
    if (vector.size && !stream_writev(save->stream, &vector, 1, errp)) {
        return false;
    }
    stats_account(save->counted, &out.counts, stream_position(save->stream));
    return true;
}

/* No page comes again in the first pass, so that it would only fill the
 * cache. */
static bool save_batch(RamSave *save, RamBatch *batch, GError **errp)
{
    if (save->xbzrle && save->pass > 1 && !save_changes(save, batch, errp)) {
        return false;
    }
    if (batch->count == 0) {
        return true;
    }
    return save->pipeline ? save_compressed(save, batch, errp)
                          : save_plain(save, batch, errp);
}

void ram_save_settle(RamSave *save)
{
    if (save->packs && !save->settled) {
        save->settled = true;
        choose_settle(&save->choice);
        tell_choice(save);
    }
}

bool ram_save_pass(RamSave *save, RamDirty *dirty, GError **errp)
{
    RamBatch batch;
    RamRun run;
    bool found = true;

    if (save->options->value[MIG_OPT_COMPRESS] && !save->pipeline &&
        !start_pipeline(save, errp)) {
        return false;
    }
    save->pass++;
    if (save->xbzrle) {
        xbzrle_cache_begin_pass(save->xbzrle);
    }
    while (found) {
        if (!next_batch(save, dirty, &batch, &found, errp) ||
            (found && !save_batch(save, &batch, errp))) {
            return false;
        }
    }
    if (save->pipeline && !pipeline_flush(save->pipeline, errp)) {
        return false;
    }
    while (ram_dirty_take_untouched(dirty, &run)) {
        save_untouched(save, run);
    }
    ram_record_put_eos(save->stream);
    return true;
}
