/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * One thread for each connection scans its stream and fills batches; the
 * trunk's pool packs them; the threads write the frames.  After each batch that
 * it submits, a thread writes the frames that are done.  When the ring is full,
 * it waits for the oldest batch and for the link, and reads no more meanwhile.
 * That is the back-pressure.
 *
 * When QEMU has nothing more to say, the thread submits the batch that it has,
 * and writes all frames before it waits for QEMU.  But a socket holds less than
 * a batch, so that QEMU seems to be silent after nearly every read.  As soon as
 * QEMU says more, the thread reads on, so that the workers do not run dry.
 *
 * QEMU believes that all bytes that are read here have been sent.  So the link
 * must never need long for them: batches become smaller while the link takes
 * longer than some time for each, and no more than a batch is read ahead.
 *
 * With compress-method auto, the workers have a lower priority: a guest has the
 * CPUs first.
 *
 * In postcopy the destination waits for each page that it has asked for, behind
 * all that is on its way.  So batches are as small as they may be.  With
 * postcopy-preempt such pages have a connection of their own, whose thread
 * encodes them and writes them to the link by itself, without a history: they
 * wait for no batch.
 *
 * To a receiver that has PACK, a batch with pages is a pack: the thread copies
 * its pages to the history, and looks them up there.  A batch of literals only,
 * and all batches for an older receiver, are DATA.
 */
#include "tools/relay/relay-send.h"

#include "tools/relay/relay-progress.h"
#include "tools/relay/relay-scan.h"
#include "util/clock.h"

/* The most bytes of a batch, which must fit the credit. */
#define BATCH_MAX RELAY_BYTES_MAX(RELAY_PAGES)

struct RelaySend {
    RelaySendConfig config;
    Trunk *trunk;
    TrunkJob *filling;  /* or NULL; of the trunk, which then is ours, unless */
    TrunkJob *own;      /* this is not NULL: the batches of an urgent
                         * connection */
    CodecWorker *worker; /* encodes those */
    uint64_t position;  /* bytes in the batches that were submitted */
    bool postcopy;      /* the guest is handed over, and its pages follow */
    bool asleep;        /* this waits for QEMU */
    bool link_failed;
    RelayProgress progress;
};

/* Batches */

/* Write a batch before all that waits in the trunk. */
static bool write_now(RelaySend *send, GError **errp)
{
    TrunkJob *job = send->own;
    size_t size = batch_pack(&job->batch, send->worker, job->frame);
    GOutputVector frame = { job->frame, size };
    RelayStats *stats = trunk_config(send->trunk)->stats;

    relay_stats_add(&stats->bytes_out, size);
    relay_stats_add(&stats->pages, job->batch.pages);
    send->link_failed = !link_write_made(trunk_config(send->trunk)->link,
                                         send->config.channel,
                                         batch_bytes(&job->batch), &frame, 1,
                                         errp);
    return !send->link_failed;
}

static bool submit(RelaySend *send, GError **errp)
{
    send->position += batch_bytes(&send->filling->batch);
    send->filling = NULL;
    if (send->own) {
        return write_now(send, errp);
    }
    return trunk_submit(send->trunk, errp);
}

static void note_sleep(RelaySend *send, bool asleep)
{
    if (asleep && !send->asleep) {
        trunk_sleeps(send->trunk);
    } else if (!asleep && send->asleep) {
        trunk_wakes(send->trunk);
    }
    send->asleep = asleep;
}

/* Wait until the other relay takes a batch more.  What is in the trunk goes out
 * before. */
static bool wait_for_credit(RelaySend *send, GError **errp)
{
    Credit *credit = send->config.credit;
    uint64_t wanted = send->position + BATCH_MAX;
    bool ok;

    if (!credit || credit_allows(credit, wanted)) {
        return true;
    }
    if (!send->own && !trunk_flush_idle(send->trunk, NULL, errp)) {
        return false;
    }
    note_sleep(send, true); /* the other QEMU is waited for */
    ok = credit_wait(credit, wanted, errp);
    note_sleep(send, false);
    return ok;
}

static Batch *filling_batch(RelaySend *send, GError **errp)
{
    if (send->filling) {
        return &send->filling->batch;
    }
    if (send->config.spoke) {
        atomic_store(send->config.spoke, true);
    }
    if (!wait_for_credit(send, errp)) {
        return NULL;
    }
    if (send->own) {
        send->filling = send->own;
        batch_reset(&send->own->batch, send->config.channel, send->position);
    } else {
        send->filling = trunk_next(send->trunk, send->config.channel,
                                   send->position, send->config.from, errp);
    }
    return send->filling ? &send->filling->batch : NULL;
}

/* The sink */

static bool on_literal(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    RelaySend *send = opaque;
    const uint8_t *from = buf;

    relay_stats_add(&trunk_config(send->trunk)->stats->bytes_in, size);
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

/* False when the batch that is being filled is full. */
static bool add_page(RelaySend *send, uint64_t address, const uint8_t *data)
{
    return send->own ? batch_add_page(&send->filling->batch, data)
                     : trunk_add_page(send->trunk, send->filling, address,
                                      data);
}

static bool begin_page(RelaySend *send, GError **errp)
{
    return filling_batch(send, errp) &&
           (send->own || trunk_need_history(send->trunk, errp));
}

static bool take_page(RelaySend *send, uint64_t address, const uint8_t *data,
                      GError **errp)
{
    relay_stats_add(&trunk_config(send->trunk)->stats->bytes_in,
                    MIG_PAGE_SIZE);
    if (!begin_page(send, errp)) {
        return false;
    }
    if (!add_page(send, address, data)) {
        /* The page's head stays in the full batch, and goes ahead. */
        return submit(send, errp) && begin_page(send, errp) &&
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

    return take_page(send, ~frame_place(send->config.channel, place), block,
                     errp);
}

/* Nothing of this connection is left here.  What others have in the trunk goes
 * out, too, unless one of them is about to use it. */
static bool settle(RelaySend *send, GError **errp)
{
    return (!send->filling || submit(send, errp)) &&
           (send->own ||
            trunk_flush_idle(send->trunk, send->config.from, errp));
}

/* `held` does not matter here: literals may be cut anywhere. */
static bool on_idle(void *opaque, bool waits, size_t held, GError **errp)
{
    RelaySend *send = opaque;

    if (waits && !settle(send, errp)) {
        return false;
    }
    note_sleep(send, waits);
    return true;
}

static void on_ram_begins(void *opaque, const RamBlocks *blocks,
                          bool has_return_path)
{
    RelaySend *send = opaque;

    progress_begin(&send->progress, blocks);
    if (send->config.is_main) {
        atomic_store(send->config.is_main, true);
    }
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
        trunk_hurry(send->trunk);
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

RelaySend *relay_send_new(const RelaySendConfig *config)
{
    RelaySend *send = g_new0(RelaySend, 1);

    send->config = *config;
    send->trunk = config->trunk;
    progress_init(&send->progress, trunk_config(send->trunk)->stats,
                  &clock_monotonic);
    return send;
}

void relay_send_free(RelaySend *send)
{
    if (send) {
        if (send->worker) {
            codec_worker_free(send->worker);
        }
        g_free(send->own);
        progress_clear(&send->progress);
        g_free(send);
    }
}

bool relay_send_link_failed(const RelaySend *send)
{
    return send->link_failed;
}

/* Write all that this connection has said. */
static bool flush(RelaySend *send, GError **errp)
{
    return (!send->filling || submit(send, errp)) &&
           (send->own || trunk_flush(send->trunk, errp));
}

void relay_send_abort(RelaySend *send, const char *reason)
{
    LinkWriter *link = trunk_config(send->trunk)->link;

    if (!flush(send, NULL)) {
        return;
    }
    if (send->config.channel) {
        link_write_reset(link, send->config.channel, reason);
    } else {
        link_write_abort(link, reason);
    }
}

/* Are these the pages that a destination waits for? */
static bool make_urgent(RelaySend *send, GError **errp)
{
    const TrunkConfig *trunk = trunk_config(send->trunk);
    const CodecWorkerConfig worker = {
        .codec = trunk->codec,
        .level = trunk->level,
    };
    const uint8_t *begins;
    size_t size;

    if (!send->config.may_be_urgent) {
        return true;
    }
    note_sleep(send, true);
    begins = stream_peek_some(send->config.from, 1, &size, errp);
    note_sleep(send, false);
    if (!begins || !size || !scan_begins_with_page(begins, size)) {
        return begins != NULL;
    }
    send->own = g_new0(TrunkJob, 1);
    send->worker = codec_worker_new_encoder(&worker, errp);
    return send->worker != NULL;
}

/* What is behind the stream, whose end has come. */
static bool write_end(RelaySend *send, GError **errp)
{
    const TrunkConfig *trunk = trunk_config(send->trunk);
    const Ending *ending = &send->config.findings->ending;
    unsigned channel = send->config.channel;

    if (trunk->version < RELAY_VERDICT_FROM) {
        if (ending->end == END_CUT) { /* a receiver of version 1: ABORT */
            send->link_failed = false;
            g_set_error_literal(errp, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                                ending->reason);
            return false;
        }
    } else if (!channel && !link_write_verdict(trunk->link, ending->end,
                                               ending->reason, errp)) {
        return false;
    }
    return link_write_total(trunk->link, channel, RELAY_END, send->position,
                            errp);
}

static bool run(RelaySend *send, GError **errp)
{
    GError *err = NULL;

    if (!make_urgent(send, &err) ||
        !scan_run(send->config.from, &send_sink, send, &err)) {
        send->link_failed |= trunk_link_failed(send->trunk);
        if (!send->link_failed) {
            link_blame(&err, "the source");
        }
        g_propagate_error(errp, err);
        return false;
    }
    send->link_failed = true;
    if (!flush(send, errp) || !write_end(send, errp)) {
        return false;
    }
    send->link_failed = false;
    return true;
}

/* After a failure: others want the trunk, if only to see that it has failed.
 * What they have left in it, because this connection wanted it, goes out. */
static void let_go(RelaySend *send)
{
    if (send->filling &&
        (send->link_failed || !batch_bytes(&send->filling->batch))) {
        send->filling = NULL;
        if (!send->own) {
            trunk_drop(send->trunk);
        }
    }
    if (!send->link_failed) {
        flush(send, NULL);
    }
}

bool relay_send_run(RelaySend *send, GError **errp)
{
    bool ok;

    send->asleep = true;
    note_sleep(send, false);
    ok = run(send, errp);
    if (!ok) {
        let_go(send);
    }
    note_sleep(send, true);
    return ok;
}
