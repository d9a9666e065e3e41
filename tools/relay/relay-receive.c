/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mirror of relay-send.c: one thread reads frames and writes the bytes that
 * a pool has unpacked.  Before the thread waits for the link, even in the
 * middle of a frame, it writes the bytes of all whole frames, unless more bytes
 * come meanwhile.
 *
 * Workers decode packs in any order.  What a pack's pages refer to is looked up
 * just before the pack is written, in the order of the stream, and the pages
 * are written from where the history has them.  The packs that one has its
 * dictionary of are written before a worker gets it.
 *
 * Where there is more than one channel, "written" means put into the channel's
 * outlet, so that this thread never waits for a QEMU.
 */
#include "tools/relay/relay-receive.h"

#include "tools/relay/relay-batch.h"
#include "tools/relay/relay-greeting.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-pump.h"
#include "util/clock.h"

typedef struct ReceiveJob {
    PumpJob pump;
    FrameHead head;
    uint64_t place;    /* frame_place() */
    UnpackJob pack;    /* of a PACK frame */
    uint8_t *packed;   /* in buffer, behind the output: the frame's body */
    uint8_t buffer[];  /* output: [output_max(pages)], then packed:
                        * [packed_max(pages)] */
} ReceiveJob;

typedef struct ReceiveWorker {
    CodecWorker *data;  /* for DATA */
    UnpackWorker *pack; /* for PACK */
} ReceiveWorker;

struct RelayReceive {
    RelayReceiveConfig config;
    Pump *pump;
    Unpacker *unpacker; /* NULL: no PACK has come */
    unsigned window;    /* the unpacker's, and the sender's */
    uint64_t total;     /* bytes that the frames so far stood for */
    int64_t idle_since;
};

/* What a frame stands for, or the decoded body of its pack. */
static size_t output_max(unsigned pages)
{
    return MAX(RELAY_BYTES_MAX(pages), PACK_BODY_MAX);
}

static size_t packed_max(unsigned pages)
{
    return MAX(RELAY_BODY_MAX(pages), PACK_SIZE_MAX);
}

/* Workers */

static void receive_worker_free(void *opaque)
{
    ReceiveWorker *worker = opaque;

    if (worker->data) {
        codec_worker_free(worker->data);
    }
    if (worker->pack) {
        unpack_worker_free(worker->pack);
    }
    g_free(worker);
}

static void *receive_worker_new(const void *config, GError **errp)
{
    ReceiveWorker *worker = g_new0(ReceiveWorker, 1);

    worker->data = codec_worker_new_decoder(config, errp);
    if (worker->data) {
        worker->pack = unpack_worker_new(NULL, errp);
    }
    if (!worker->pack) {
        receive_worker_free(worker);
        return NULL;
    }
    return worker;
}

static void unpack_data(ReceiveJob *job, const CodecWorker *worker)
{
    Unpack unpack = {
        .head = &job->head,
        .place = job->place,
        .packed = job->packed,
        .out = job->buffer,
    };

    job->pump.fault = batch_unpack(&unpack, worker);
    pump_job_set(&job->pump, job->buffer, job->head.bytes);
}

static void receive_run_job(void *opaque, void *opaque_worker)
{
    ReceiveJob *job = opaque;
    const ReceiveWorker *worker = opaque_worker;

    job->pump.fault_at = job->place & (UINT64_MAX >> 8);
    job->pump.pages = job->head.pages;
    if (job->head.type == RELAY_PACK) {
        unpack_decode(&job->pack, worker->pack);
    } else {
        unpack_data(job, worker->data);
    }
}

/* In the order of the stream. */
static void finish_job(void *opaque, void *opaque_receive)
{
    ReceiveJob *job = opaque;
    RelayReceive *receive = opaque_receive;

    if (job->head.type != RELAY_PACK) {
        return;
    }
    job->pump.pieces = 0;
    job->pump.fault = unpack_finish(receive->unpacker, &job->pack);
    if (!job->pump.fault) {
        job->pump.fault = relay_pack_join(&job->head, &job->pack, &job->pump);
    }
}

static bool put_job(void *opaque, void *opaque_receive, GError **errp)
{
    ReceiveJob *job = opaque;
    RelayReceive *receive = opaque_receive;
    const ReceiveSink *sink = receive->config.sink;

    return sink->put(sink->opaque, job->head.channel, job->pump.piece,
                     job->pump.pieces, errp);
}

/* Frames */

static bool on_idle(void *opaque, bool waits, GError **errp)
{
    RelayReceive *receive = opaque;

    if (!waits) {
        relay_stats_waited(receive->config.stats, RELAY_WAIT_LINK,
                           receive->idle_since);
        return true;
    }
    if (!pump_flush_idle(receive->pump, receive->config.from, NULL, errp)) {
        link_blame(errp, "the destination"); /* the link has not failed */
        return false;
    }
    receive->idle_since = clock_now(&clock_monotonic);
    return true;
}

static const StreamTap receive_tap = { .idle = on_idle };

/* With the first PACK. */
static bool make_unpacker(RelayReceive *receive, unsigned window,
                          GError **errp)
{
    const RelayReceiveConfig *config = &receive->config;

    receive->window = window;
    receive->unpacker = unpacker_new(window, pipeline_jobs(config->threads),
                                     errp);
    if (!receive->unpacker) {
        return false;
    }
    relay_stats_add(&config->stats->history,
                    (uint64_t)window * PACK_SLOT_BYTES);
    return true;
}

/* The first PACK says how large the sender's history is. */
static bool check_window(RelayReceive *receive, const FrameHead *head,
                         GError **errp)
{
    const RelayReceiveConfig *config = &receive->config;

    if (config->version < RELAY_PACK_FROM || head->window > config->window ||
        (receive->unpacker && head->window != receive->window)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a pack with a history that was not agreed on");
        return false;
    }
    return receive->unpacker || make_unpacker(receive, head->window, errp);
}

static bool begin_pack(RelayReceive *receive, ReceiveJob *job, GError **errp)
{
    relay_pack_begin(receive->unpacker, &job->pack, &job->head, job->place);
    job->pack.in = job->packed;
    job->pack.size = job->head.packed;
    job->pack.body = job->buffer;
    while (!unpack_is_ready(receive->unpacker, &job->pack)) {
        if (!pump_finish_oldest(receive->pump, errp)) {
            return false;
        }
    }
    return true;
}

/* DATA or PACK. */
static bool take_bytes(RelayReceive *receive, LinkReader *link,
                       const FrameHead *head, GError **errp)
{
    ReceiveJob *job;

    if (head->type == RELAY_PACK && !check_window(receive, head, errp)) {
        return false;
    }
    job = pump_next(receive->pump, errp);
    if (!job) {
        return false;
    }
    job->packed = job->buffer + output_max(receive->config.pages);
    if (!link_get_bytes(link, job->packed, head->packed, errp)) {
        return false;
    }
    job->head = *head;
    job->place = frame_place(head->channel, link->position[head->channel]);
    if (head->type == RELAY_PACK && !begin_pack(receive, job, errp)) {
        return false;
    }
    link->position[head->channel] += head->bytes;
    receive->total += head->bytes;
    relay_stats_add(&receive->config.stats->bytes_in,
                    RELAY_HEAD_SIZE + head->packed);
    return pump_submit(receive->pump, errp);
}

/* The bytes before an END, RESET or ABORT are written first. */
static bool take_end(RelayReceive *receive, LinkReader *link,
                     const FrameHead *head, GError **errp)
{
    const ReceiveSink *sink = receive->config.sink;

    return link_read_end(link, head, errp) &&
           pump_flush(receive->pump, errp) &&
           (!sink || sink->end(sink->opaque, head->channel,
                               link->position[head->channel], errp));
}

static bool take_reset(RelayReceive *receive, LinkReader *link,
                       const FrameHead *head, GError **errp)
{
    const ReceiveSink *sink = receive->config.sink;
    g_autofree char *reason = link_read_reason(link, head, errp);

    return reason && pump_flush(receive->pump, errp) &&
           sink->reset(sink->opaque, head->channel, reason, errp);
}

static bool take_credit(RelayReceive *receive, LinkReader *link,
                        const FrameHead *head, GError **errp)
{
    const ReceiveSink *sink = receive->config.sink;
    uint64_t limit;

    return link_read_total(link, head, &limit, errp) &&
           sink->credit(sink->opaque, head->channel, limit, errp);
}

static bool take_open(RelayReceive *receive, LinkReader *link,
                      const FrameHead *head, GError **errp)
{
    const ReceiveSink *sink = receive->config.sink;
    uint8_t nothing[1];

    return link_read_plain(link, head, nothing, errp) &&
           sink->open(sink->opaque, head->channel, errp);
}

static bool take_abort(RelayReceive *receive, LinkReader *link,
                       const FrameHead *head, GError **errp)
{
    if (pump_flush(receive->pump, errp)) {
        link_read_abort(link, head, errp);
    }
    return false;
}

static bool take_frame(RelayReceive *receive, LinkReader *link,
                       const FrameHead *head, GError **errp)
{
    bool has_channels = receive->config.sink != NULL;

    if (has_channels || !head->channel) {
        switch (head->type) {
        case RELAY_DATA:
        case RELAY_PACK:
            return take_bytes(receive, link, head, errp);
        case RELAY_VERDICT:
            return link_read_verdict(link, head, receive->config.ending, errp);
        case RELAY_END:
            return take_end(receive, link, head, errp);
        case RELAY_ABORT:
            return take_abort(receive, link, head, errp);
        default:
            break;
        }
    }
    if (has_channels) {
        switch (head->type) {
        case RELAY_OPEN:
            return take_open(receive, link, head, errp);
        case RELAY_RESET:
            return take_reset(receive, link, head, errp);
        case RELAY_CREDIT:
            return take_credit(receive, link, head, errp);
        default:
            break;
        }
    }
    return link_bad_frame(errp);
}

/* Where there are several channels, the link's end is the end. */
static bool has_ended(RelayReceive *receive, bool *ended, GError **errp)
{
    const ReceiveSink *sink = receive->config.sink;
    GError *err = NULL;
    size_t size = 0;

    if (!sink) {
        return true;
    }
    stream_peek_some(receive->config.from, 1, &size, &err);
    *ended = size == 0 && sink->is_over(sink->opaque);
    if (err && !*ended) {
        link_blame(&err, "the other relay");
        g_propagate_error(errp, err);
        return false;
    }
    g_clear_error(&err);
    return true;
}

static bool receive_frames(RelayReceive *receive, LinkReader *link,
                           GError **errp)
{
    FrameHead head = { .type = 0 };
    bool ended = false;

    while (!ended) {
        if (!has_ended(receive, &ended, errp)) {
            return false;
        }
        if (!ended && (!link_read_head(link, &head, errp) ||
                       !take_frame(receive, link, &head, errp))) {
            return false;
        }
        ended |= !receive->config.sink && head.type == RELAY_END;
    }
    return true;
}

/* The whole */

RelayReceive *relay_receive_new(const RelayReceiveConfig *config,
                                GError **errp)
{
    RelayReceive *receive = g_new0(RelayReceive, 1);
    CodecWorkerConfig worker = {
        .codec = config->codec,
        .scratch_size = RELAY_BODY_MAX(config->pages),
    };
    PoolConfig pool = {
        .name = "relay/unpk",
        .workers = config->threads,
        .job_size = sizeof(ReceiveJob) + output_max(config->pages) +
                    packed_max(config->pages),
        .worker_new = receive_worker_new,
        .worker_config = &worker,
        .worker_free = receive_worker_free,
        .run = receive_run_job,
    };
    PumpOutput output = {
        .channel = config->sink ? NULL : config->to,
        .write = put_job,
        .stats = config->stats,
        .wait = RELAY_WAIT_QEMU,
        .finish = finish_job,
        .opaque = receive,
    };

    receive->config = *config;
    receive->pump = pump_new(&pool, &output, errp);
    if (!receive->pump) {
        relay_receive_free(receive);
        return NULL;
    }
    return receive;
}

void relay_receive_free(RelayReceive *receive)
{
    if (receive) {
        pump_free(receive->pump);
        unpacker_free(receive->unpacker);
        g_free(receive);
    }
}

bool relay_receive_is_second(const RelayReceive *receive)
{
    size_t size;
    const uint8_t *first = pump_first(receive->pump, &size);

    return size > 0 && greeting_of(first, size) == GREETING_STRANGER;
}

bool relay_receive_qemu_failed(const RelayReceive *receive)
{
    return pump_write_failed(receive->pump);
}

bool relay_receive_run(RelayReceive *receive, uint64_t *total, GError **errp)
{
    LinkReader link = {
        .stream = receive->config.from,
        .max_pages = receive->config.pages,
    };
    GError *err = NULL;
    bool ok;

    stream_set_tap(link.stream, &receive_tap, receive);
    ok = receive_frames(receive, &link, &err);
    stream_set_tap(link.stream, NULL, NULL);
    *total = receive->total;
    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) {
        g_prefix_error(&err, "the link is damaged: ");
    }
    if (err) {
        g_propagate_error(errp, err);
    }
    return ok;
}
