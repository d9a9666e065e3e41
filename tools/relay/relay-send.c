/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * One thread scans the stream and fills batches; a pool packs them; the same
 * thread writes the frames.  After each batch that it submits, it writes the
 * frames that are done.  When the ring is full, it waits for the oldest batch
 * and for the link, and reads no more meanwhile.  That is the back-pressure.
 *
 * When QEMU has nothing more to say, the thread submits the batch that it has,
 * and writes all frames before it waits for QEMU.  But a socket holds less than
 * a batch, so that QEMU seems to be silent after nearly every read.  As soon as
 * QEMU says more, the thread reads on, so that the workers do not run dry.
 *
 * QEMU believes that all bytes that are read here have been sent.  So the link
 * must never need long for them: batches become smaller while the link takes
 * longer than BATCH_NS for each, and no more than a batch is read ahead.
 *
 * With compress-method auto, the workers have a lower priority: a guest has the
 * CPUs first.
 *
 * In postcopy the destination waits for each page that it has asked for, behind
 * all that is on its way.  So batches are as small as they may be.
 *
 * To a receiver that has PACK, a batch with pages is a pack: this thread copies
 * its pages to the history, and looks them up there.  A batch of literals only,
 * and all batches for an older receiver, are DATA.
 */
#include "tools/relay/relay-send.h"

#include "migration/pack/choose.h"
#include "tools/relay/relay-batch.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-progress.h"
#include "tools/relay/relay-pump.h"
#include "tools/relay/relay-scan.h"
#include "util/clock.h"

#define BATCH_NS    (10 * NS_PER_MS)
#define LEAST_PAGES 16u /* with fewer, pages compress worse */

typedef struct SendJob {
    PumpJob pump;
    Batch batch;
    PackJob pack;    /* of the batch's pages; without a slot: it is DATA */
    unsigned window; /* of pack */
    Rung rung;       /* how the batch is encoded */
    uint8_t frame[RELAY_HEAD_SIZE + MAX(RELAY_BODY_MAX(RELAY_PAGES),
                                        PACK_SIZE_MAX)];
} SendJob;

struct RelaySend {
    RelaySendConfig config;
    Pump *pump;
    Packer *packer;     /* NULL: no pages have come, or they are DATA */
    SendJob *filling;   /* or NULL */
    unsigned most_pages; /* in a batch; adapted to the link */
    uint64_t position;  /* bytes in the batches that were submitted */
    Rung data_rung;     /* of DATA frames */
    Choice choice;      /* how the next pack is encoded, */
    ChooseLook seen;    /* and by what that is chosen */
    int64_t began;
    bool postcopy;      /* the guest is handed over, and its pages follow */
    bool link_failed;
    int64_t idle_since;
    RelayProgress progress;
};

/* Workers */

static void send_run_job(void *opaque, void *opaque_worker)
{
    SendJob *job = opaque;
    const CodecWorker *worker = ladder_worker_at(opaque_worker, &job->rung);
    size_t size = job->pack.slot
                      ? relay_pack_write(&job->batch, &job->pack, job->window,
                                         worker, job->frame)
                      : batch_pack(&job->batch, worker, job->frame);

    pump_job_set(&job->pump, job->frame, size);
    job->pump.pages = job->batch.pages;
}

/* The sink */

static const Rung *chosen_rung(const RelaySend *send)
{
    return &send->config.ladder.rung[send->choice.rung];
}

static void tell_choice(const RelaySend *send)
{
    const Rung *rung = chosen_rung(send);

    relay_stats_encoding(send->config.stats, rung_name(rung), rung->level,
                         choose_reason(send->choice.reason));
}

/* Which rung is the next pack's?  On the lowest one, too, its pages are copied
 * and looked up: that is cheaper than what the relay does besides. */
static void choose_rung(RelaySend *send)
{
    ChooseLook *look = &send->seen;
    RelayStats *stats = send->config.stats;
    uint64_t pages = relay_stats_get(&stats->pages);

    if (pages == look->pages || !look->pending) {
        return;
    }
    look->now = clock_now(&clock_monotonic);
    look->bytes = relay_stats_get(&stats->bytes_out);
    look->pages = pages;
    look->sent = relay_stats_time(stats, RELAY_WAIT_LINK);
    look->waited = relay_stats_time(stats, RELAY_WAIT_CPU);
    look->filled = look->now - send->began - look->sent - look->waited -
                   relay_stats_time(stats, RELAY_WAIT_QEMU);
    if (choose_look(&send->choice, &send->config.ladder, look)) {
        tell_choice(send);
    }
}

/* How many jobs wait for the link, before those that are done are written.  The
 * new one counts as done: if there is no other, the workers were fast
 * enough. */
static void note_jobs(RelaySend *send)
{
    send->seen.ready = pump_ready(send->pump) + 1;
    send->seen.pending = pump_pending(send->pump) + 1;
}

static bool submit(RelaySend *send, GError **errp)
{
    note_jobs(send);
    send->position += batch_bytes(&send->filling->batch);
    send->filling = NULL;
    return pump_submit(send->pump, errp);
}

/* Halve or double the pages of a batch, by the time that batches take. */
static void adapt_to_link(RelaySend *send)
{
    int64_t time = pump_write_time(send->pump);

    if (time > BATCH_NS || send->postcopy) {
        send->most_pages = MAX(send->most_pages / 2, LEAST_PAGES);
    } else if (time < BATCH_NS / 4) {
        send->most_pages = MIN(send->most_pages * 2, RELAY_PAGES);
    }
    stream_set_ahead(send->config.from,
                     (size_t)send->most_pages * MIG_PAGE_SIZE);
}

static Batch *filling_batch(RelaySend *send, GError **errp)
{
    if (!send->filling) {
        send->filling = pump_next(send->pump, errp);
        if (!send->filling) {
            return NULL;
        }
        adapt_to_link(send);
        batch_reset(&send->filling->batch, send->position);
        send->filling->pack.slot = NULL;
        send->filling->rung = send->data_rung;
    }
    return &send->filling->batch;
}

static bool on_literal(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    RelaySend *send = opaque;
    const uint8_t *from = buf;

    relay_stats_add(&send->config.stats->bytes_in, size);
    while (size) {
        Batch *batch = filling_batch(send, errp);
        size_t part;

        if (!batch) {
            return false;
        }
        part = batch_add_literal(batch, from, size);
        from += part;
        size -= part;
        if (size && !submit(send, errp)) {
            return false;
        }
    }
    return true;
}

/* Pages have come, and may travel in packs. */
static bool need_packer(RelaySend *send, GError **errp)
{
    const RelaySendConfig *config = &send->config;

    if (send->packer || config->version < RELAY_PACK_FROM) {
        return true;
    }
    send->packer = packer_new(config->window, pipeline_jobs(config->threads),
                              errp);
    if (!send->packer) {
        return false;
    }
    relay_stats_add(&config->stats->history,
                    (uint64_t)config->window * PACK_SLOT_BYTES);
    return true;
}

/* False when the batch that is being filled is full. */
static bool add_page(RelaySend *send, uint64_t address, const uint8_t *data)
{
    SendJob *job = send->filling;

    if (job->batch.pages >= send->most_pages) {
        return false;
    }
    if (!send->packer) {
        return batch_add_page(&job->batch, data);
    }
    if (!job->pack.slot) {
        if (send->config.ladder.rungs > 1) {
            choose_rung(send);
        }
        job->rung = *chosen_rung(send);
        packer_begin(send->packer, &job->pack,
                     rung_wants_dictionary(&job->rung));
        job->window = send->config.window;
    }
    packer_add(send->packer, job->batch.position, address, data);
    return batch_add_place(&job->batch);
}

static bool take_page(RelaySend *send, uint64_t address, const uint8_t *data,
                      GError **errp)
{
    relay_stats_add(&send->config.stats->bytes_in, MIG_PAGE_SIZE);
    if (!need_packer(send, errp) || !filling_batch(send, errp)) {
        return false;
    }
    if (!add_page(send, address, data)) {
        /* The page's head stays in the full batch, and goes ahead. */
        return submit(send, errp) && filling_batch(send, errp) &&
               add_page(send, address, data);
    }
    return true;
}

static bool on_page(void *opaque, const ScanPage *page, GError **errp)
{
    RelaySend *send = opaque;

    progress_page(&send->progress, page->block, page->record->offset);
    return take_page(send,
                     ram_block_key(page->block,
                                   page->record->offset / MIG_PAGE_SIZE),
                     page->data, errp);
}

/* A block's address is its place in the stream, where nothing has been. */
static bool on_block(void *opaque, const uint8_t *block, GError **errp)
{
    RelaySend *send = opaque;
    uint64_t place = send->position +
                     (send->filling ? batch_bytes(&send->filling->batch) : 0);

    return take_page(send, ~place, block, errp);
}

/* `held` does not matter here: literals may be cut anywhere. */
static bool on_idle(void *opaque, bool waits, size_t held, GError **errp)
{
    RelaySend *send = opaque;

    if (!waits) {
        relay_stats_waited(send->config.stats, RELAY_WAIT_QEMU,
                           send->idle_since);
        return true;
    }
    if ((send->filling && !submit(send, errp)) ||
        !pump_flush_idle(send->pump, send->config.from, errp)) {
        return false;
    }
    send->idle_since = clock_now(&clock_monotonic);
    return true;
}

static void on_ram_begins(void *opaque, const RamBlocks *blocks,
                          bool has_return_path)
{
    RelaySend *send = opaque;

    progress_begin(&send->progress, blocks);
    relay_found_ram(send->config.findings, has_return_path);
}

static void tell_place(const RelaySend *send, SendPlace place)
{
    if (send->config.reached) {
        send->config.reached(send->config.opaque, place);
    }
}

static void on_lost(void *opaque, const char *reason)
{
    RelaySend *send = opaque;

    relay_found_lost(send->config.findings, reason, true);
}

static void on_reached(void *opaque, ScanPlace place)
{
    static const SendPlace places[] = {
        [SCAN_STANDS_STILL] = SEND_STANDS_STILL,
        [SCAN_LOST] = SEND_LOST,
        [SCAN_FOUND] = SEND_RUNS,
        [SCAN_COMPLETE] = SEND_HANDED_OVER,
    };
    RelaySend *send = opaque;

    progress_reached(&send->progress, place);
    if (place == SCAN_POSTCOPY) {
        send->postcopy = true; /* a broken link can be mended by people, too */
        tell_place(send, SEND_RUNS);
    } else if (!send->postcopy) {
        tell_place(send, places[place]);
    }
}

static void on_advice(void *opaque, const char *text)
{
    RelaySend *send = opaque;

    relay_found_advice(send->config.findings, text);
}

static void on_ended(void *opaque, const ScanEnd *end)
{
    RelaySend *send = opaque;

    relay_found_end(send->config.findings, end);
    ending_expect_go(&send->config.findings->ending, send->config.back);
    if (send->config.findings->return_path) {
        tell_place(send, SEND_GONE);
    }
}

static const ScanSink send_sink = {
    .literal = on_literal,
    .page = on_page,
    .block = on_block,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
    .reached = on_reached,
    .advise = on_advice,
    .ended = on_ended,
};

/* The whole */

RelaySend *relay_send_new(const RelaySendConfig *config, GError **errp)
{
    RelaySend *send = g_new0(RelaySend, 1);
    bool chooses = config->ladder.rungs > 1;
    LadderWorkerConfig worker = {
        .ladder = &config->ladder,
        .besides = &send->data_rung,
        .scratch_size = PACK_SCRATCH_SIZE,
    };
    PoolConfig pool = {
        .name = "relay/pack",
        .workers = config->threads,
        .job_size = sizeof(SendJob),
        .nice = chooses ? CHOOSE_NICE : 0,
        .worker_new = ladder_worker_new,
        .worker_config = &worker,
        .worker_free = ladder_worker_free,
        .run = send_run_job,
    };
    PumpOutput output = {
        .channel = config->to,
        .stats = config->stats,
        .wait = RELAY_WAIT_LINK,
        .budget = config->budget,
    };

    send->config = *config;
    progress_init(&send->progress, config->stats, &clock_monotonic);
    send->data_rung = (Rung){ config->codec, config->level, 1 };
    send->most_pages = RELAY_PAGES;
    send->pump = pump_new(&pool, &output, errp);
    if (!send->pump) {
        relay_send_free(send);
        return NULL;
    }
    send->began = clock_now(&clock_monotonic);
    choose_begin(&send->choice, &config->ladder);
    tell_choice(send);
    return send;
}

void relay_send_free(RelaySend *send)
{
    if (send) {
        pump_free(send->pump);
        packer_free(send->packer);
        progress_clear(&send->progress);
        g_free(send);
    }
}

bool relay_send_link_failed(const RelaySend *send)
{
    return send->link_failed;
}

static bool flush(RelaySend *send, GError **errp)
{
    return (!send->filling || submit(send, errp)) &&
           pump_flush(send->pump, errp);
}

void relay_send_abort(RelaySend *send, const char *reason)
{
    LinkWriter link = { send->config.to };

    if (flush(send, NULL)) {
        link.position = send->position;
        link_write_abort(&link, reason);
    }
}

bool relay_send_run(RelaySend *send, GError **errp)
{
    const Ending *ending = &send->config.findings->ending;
    LinkWriter link = { send->config.to };
    GError *err = NULL;

    if (!scan_run(send->config.from, &send_sink, send, &err)) {
        send->link_failed = pump_write_failed(send->pump);
        if (!send->link_failed) {
            link_blame(&err, "the source");
        }
        g_propagate_error(errp, err);
        return false;
    }
    send->link_failed = true;
    if (!flush(send, errp)) {
        return false;
    }
    link.position = send->position;
    if (send->config.version < RELAY_VERDICT_FROM) {
        if (ending->end == END_CUT) { /* a receiver of version 1: ABORT */
            send->link_failed = false;
            g_set_error_literal(errp, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                                ending->reason);
            return false;
        }
    } else if (!link_write_verdict(&link, ending->end, ending->reason, errp)) {
        return false;
    }
    if (!link_write_total(&link, RELAY_END, send->position, errp)) {
        return false;
    }
    send->link_failed = false;
    return true;
}
