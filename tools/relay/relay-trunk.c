/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-trunk.h"

#include "ferry/error.h"
#include "migration/pack/choose.h"
#include "util/thread.h"

#define BATCH_NS    (10 * NS_PER_MS)
#define LEAST_PAGES 16u /* with fewer, pages compress worse */

struct Trunk {
    TrunkConfig config;
    Rung data_rung;      /* of DATA frames */

    pthread_mutex_t lock;
    pthread_cond_t given;
    unsigned drawn;      /* lock; numbers that were drawn so far, */
    unsigned called;     /* lock; and whose it is */
    atomic_uint wanted;  /* how many wait for it */
    unsigned awake;      /* lock; connections that do not wait for QEMU */
    int64_t idle_since;  /* lock; if awake is 0 */
    atomic_bool hurry;

    /* Of whoever has the trunk. */
    Pump *pump;
    TrunkJob *filling;   /* NULL: not yet, or submitted */
    Packer *packer;      /* NULL: no pages have come, or they are DATA */
    unsigned most_pages; /* in a batch; adapted to the link */
    Choice choice;       /* how the next pack is encoded, */
    ChooseLook seen;     /* and by what that is chosen */
    int64_t began;
};

/* Workers */

static void run_job(void *opaque, void *opaque_worker)
{
    TrunkJob *job = opaque;
    const CodecWorker *worker = ladder_worker_at(opaque_worker, &job->rung);
    size_t size = job->pack.slot
                      ? relay_pack_write(&job->batch, &job->pack, job->window,
                                         worker, job->frame)
                      : batch_pack(&job->batch, worker, job->frame);

    pump_job_set(&job->pump, job->frame, size);
    job->pump.pages = job->batch.pages;
}

/* The pump's */
static bool write_job(void *opaque, void *opaque_trunk, GError **errp)
{
    TrunkJob *job = opaque;
    Trunk *trunk = opaque_trunk;

    return link_write_made(trunk->config.link, job->batch.channel,
                           batch_bytes(&job->batch), job->pump.piece,
                           job->pump.pieces, errp);
}

/* How packs are encoded */

static const Rung *chosen_rung(const Trunk *trunk)
{
    return &trunk->config.ladder.rung[trunk->choice.rung];
}

static void tell_choice(const Trunk *trunk)
{
    const Rung *rung = chosen_rung(trunk);

    relay_stats_encoding(trunk->config.stats, rung_name(rung), rung->level,
                         choose_reason(trunk->choice.reason));
}

/* Which rung is the next pack's?  On the lowest one, too, its pages are copied
 * and looked up: that is cheaper than what the relay does besides. */
static void choose_rung(Trunk *trunk)
{
    ChooseLook *look = &trunk->seen;
    RelayStats *stats = trunk->config.stats;
    uint64_t pages = relay_stats_get(&stats->pages);

    if (pages == look->pages || !look->pending) {
        return;
    }
    look->now = clock_now(&clock_monotonic);
    look->bytes = relay_stats_get(&stats->bytes_out);
    look->pages = pages;
    look->sent = relay_stats_time(stats, RELAY_WAIT_LINK);
    look->waited = relay_stats_time(stats, RELAY_WAIT_CPU);
    look->filled = look->now - trunk->began - look->sent - look->waited -
                   relay_stats_time(stats, RELAY_WAIT_QEMU);
    if (choose_look(&trunk->choice, &trunk->config.ladder, look)) {
        tell_choice(trunk);
    }
}

/* How many jobs wait for the link, before those that are done are written.  The
 * new one counts as done: if there is no other, the workers were fast
 * enough. */
static void note_jobs(Trunk *trunk)
{
    trunk->seen.ready = pump_ready(trunk->pump) + 1;
    trunk->seen.pending = pump_pending(trunk->pump) + 1;
}

/* Halve or double the pages of a batch, by the time that batches take. */
static void adapt_to_link(Trunk *trunk, Stream *from)
{
    int64_t time = pump_write_time(trunk->pump);

    if (time > BATCH_NS || atomic_load(&trunk->hurry)) {
        trunk->most_pages = MAX(trunk->most_pages / 2, LEAST_PAGES);
    } else if (time < BATCH_NS / 4) {
        trunk->most_pages = MIN(trunk->most_pages * 2, RELAY_PAGES);
    }
    stream_set_ahead(from, (size_t)trunk->most_pages * MIG_PAGE_SIZE);
}

/* Whose turn it is */

static void take(Trunk *trunk)
{
    unsigned number;

    atomic_fetch_add(&trunk->wanted, 1);
    pthread_mutex_lock(&trunk->lock);
    number = trunk->drawn++;
    while (trunk->called != number) {
        pthread_cond_wait(&trunk->given, &trunk->lock);
    }
    atomic_fetch_sub(&trunk->wanted, 1);
    pthread_mutex_unlock(&trunk->lock);
}

static void give(Trunk *trunk)
{
    pthread_mutex_lock(&trunk->lock);
    trunk->called++;
    pthread_cond_broadcast(&trunk->given);
    pthread_mutex_unlock(&trunk->lock);
}

void trunk_wakes(Trunk *trunk)
{
    pthread_mutex_lock(&trunk->lock);
    if (trunk->awake++ == 0) {
        relay_stats_waited(trunk->config.stats, RELAY_WAIT_QEMU,
                           trunk->idle_since);
    }
    pthread_mutex_unlock(&trunk->lock);
}

void trunk_sleeps(Trunk *trunk)
{
    pthread_mutex_lock(&trunk->lock);
    if (--trunk->awake == 0) {
        trunk->idle_since = clock_now(&clock_monotonic);
    }
    pthread_mutex_unlock(&trunk->lock);
}

/* Batches */

static TrunkJob *next_job(Trunk *trunk, GError **errp)
{
    if (trunk_link_failed(trunk)) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_EOF,
                            "the link has ended");
        return NULL;
    }
    if (!trunk->filling) { /* else somebody gave it up */
        trunk->filling = pump_next(trunk->pump, errp);
    }
    return trunk->filling;
}

TrunkJob *trunk_next(Trunk *trunk, unsigned channel, uint64_t position,
                     Stream *from, GError **errp)
{
    TrunkJob *job;

    take(trunk);
    job = next_job(trunk, errp);
    if (!job) {
        give(trunk);
        return NULL;
    }
    adapt_to_link(trunk, from);
    batch_reset(&job->batch, channel, position);
    job->pack.slot = NULL;
    job->rung = trunk->data_rung;
    return job;
}

void trunk_drop(Trunk *trunk)
{
    give(trunk);
}

bool trunk_need_history(Trunk *trunk, GError **errp)
{
    const TrunkConfig *config = &trunk->config;

    if (trunk->packer || config->version < RELAY_PACK_FROM) {
        return true;
    }
    trunk->packer = packer_new(config->window, pipeline_jobs(config->threads),
                               errp);
    if (!trunk->packer) {
        return false;
    }
    relay_stats_add(&config->stats->history,
                    (uint64_t)config->window * PACK_SLOT_BYTES);
    return true;
}

bool trunk_add_page(Trunk *trunk, TrunkJob *job, uint64_t address,
                    const uint8_t *data)
{
    if (job->batch.pages >= trunk->most_pages) {
        return false;
    }
    if (!trunk->packer) {
        return batch_add_page(&job->batch, data);
    }
    if (!job->pack.slot) {
        if (trunk->config.ladder.rungs > 1) {
            choose_rung(trunk);
        }
        job->rung = *chosen_rung(trunk);
        packer_begin(trunk->packer, &job->pack,
                     rung_wants_dictionary(&job->rung));
        job->window = trunk->config.window;
    }
    packer_add(trunk->packer, job->batch.place, address, data);
    return batch_add_place(&job->batch);
}

bool trunk_submit(Trunk *trunk, GError **errp)
{
    bool ok;

    note_jobs(trunk);
    trunk->filling = NULL;
    ok = pump_submit(trunk->pump, errp);
    give(trunk);
    return ok;
}

bool trunk_flush(Trunk *trunk, GError **errp)
{
    bool ok;

    take(trunk);
    ok = pump_flush(trunk->pump, errp);
    give(trunk);
    return ok;
}

bool trunk_flush_idle(Trunk *trunk, const Stream *from, GError **errp)
{
    bool ok;

    take(trunk);
    ok = pump_flush_idle(trunk->pump, from, &trunk->wanted, errp);
    give(trunk);
    return ok;
}

void trunk_hurry(Trunk *trunk)
{
    atomic_store(&trunk->hurry, true);
}

bool trunk_link_failed(const Trunk *trunk)
{
    return pump_write_failed(trunk->pump);
}

/* The whole */

Trunk *trunk_new(const TrunkConfig *config, GError **errp)
{
    Trunk *trunk = g_new0(Trunk, 1);
    LadderWorkerConfig worker = {
        .ladder = &config->ladder,
        .besides = &trunk->data_rung,
        .scratch_size = PACK_SCRATCH_SIZE,
    };
    PoolConfig pool = {
        .name = "relay/pack",
        .workers = config->threads,
        .job_size = sizeof(TrunkJob),
        .nice = config->ladder.rungs > 1 ? CHOOSE_NICE : 0,
        .worker_new = ladder_worker_new,
        .worker_config = &worker,
        .worker_free = ladder_worker_free,
        .run = run_job,
    };
    PumpOutput output = {
        .write = write_job,
        .opaque = trunk,
        .stats = config->stats,
        .wait = RELAY_WAIT_LINK,
        .budget = config->budget,
    };

    trunk->config = *config;
    pthread_mutex_init(&trunk->lock, NULL);
    thread_cond_init(&trunk->given);
    trunk->data_rung = (Rung){ config->codec, config->level, 1 };
    trunk->most_pages = RELAY_PAGES;
    trunk->pump = pump_new(&pool, &output, errp);
    if (!trunk->pump) {
        trunk_free(trunk);
        return NULL;
    }
    trunk->began = trunk->idle_since = clock_now(&clock_monotonic);
    choose_begin(&trunk->choice, &config->ladder);
    tell_choice(trunk);
    return trunk;
}

void trunk_free(Trunk *trunk)
{
    if (trunk) {
        pump_free(trunk->pump);
        packer_free(trunk->packer);
        pthread_cond_destroy(&trunk->given);
        pthread_mutex_destroy(&trunk->lock);
        g_free(trunk);
    }
}

const TrunkConfig *trunk_config(const Trunk *trunk)
{
    return &trunk->config;
}
