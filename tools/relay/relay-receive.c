/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mirror of relay-send.c: one thread reads frames and writes the bytes that
 * a pool has unpacked.  Before the thread waits for the link, even in the
 * middle of a frame, it writes the bytes of all whole frames, unless more bytes
 * come meanwhile.
 */
#include "tools/relay/relay-receive.h"

#include "tools/relay/relay-batch.h"
#include "tools/relay/relay-greeting.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-pump.h"
#include "util/clock.h"

typedef struct ReceiveJob {
    PumpJob pump;
    FrameHead head;
    uint64_t position; /* bytes of the stream before it */
    uint8_t *packed;   /* in buffer, behind the output: the frame's body */
    uint8_t buffer[];  /* output: [RELAY_BYTES_MAX(pages)], then packed:
                        * [RELAY_BODY_MAX(pages)] */
} ReceiveJob;

struct RelayReceive {
    RelayReceiveConfig config;
    Pump *pump;
    int64_t idle_since;
};

/* Workers */

static void receive_run_job(void *opaque, void *worker)
{
    ReceiveJob *job = opaque;
    Unpack unpack = {
        .head = &job->head,
        .position = job->position,
        .packed = job->packed,
        .out = job->buffer,
    };

    job->pump.fault = batch_unpack(&unpack, worker);
    job->pump.fault_at = job->position;
    pump_job_set(&job->pump, job->buffer, job->head.bytes);
    job->pump.pages = job->head.pages;
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
    if (!pump_flush_idle(receive->pump, receive->config.from, errp)) {
        link_blame(errp, "the destination"); /* the link has not failed */
        return false;
    }
    receive->idle_since = clock_now(&clock_monotonic);
    return true;
}

static const StreamTap receive_tap = { .idle = on_idle };

static bool take_data(RelayReceive *receive, LinkReader *link,
                      const FrameHead *head, GError **errp)
{
    ReceiveJob *job = pump_next(receive->pump, errp);

    if (!job) {
        return false;
    }
    job->packed = job->buffer + RELAY_BYTES_MAX(receive->config.pages);
    if (!link_get_bytes(link, job->packed, head->packed, errp)) {
        return false;
    }
    job->head = *head;
    job->position = link->position;
    link->position += head->bytes;
    relay_stats_add(&receive->config.stats->bytes_in,
                    RELAY_HEAD_SIZE + head->packed);
    return pump_submit(receive->pump, errp);
}

static bool take_end(LinkReader *link, const FrameHead *head, GError **errp)
{
    uint64_t total;

    if (!link_read_total(link, head, &total, errp)) {
        return false;
    }
    if (total != link->position) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay sent %" G_GUINT64_FORMAT " bytes and %"
                    G_GUINT64_FORMAT " have come", total, link->position);
        return false;
    }
    return true;
}

/* Take END, VERDICT or ABORT.  The bytes before it are written first. */
static bool take_last(RelayReceive *receive, LinkReader *link,
                      const FrameHead *head, GError **errp)
{
    if (head->type == RELAY_END && take_end(link, head, errp)) {
        return pump_flush(receive->pump, errp);
    }
    if (head->type == RELAY_ABORT && pump_flush(receive->pump, errp)) {
        link_read_abort(link, head, errp);
    }
    if (head->type == RELAY_DELIVERED) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a frame that is not allowed here");
    }
    return false;
}

static bool receive_frames(RelayReceive *receive, LinkReader *link,
                           GError **errp)
{
    FrameHead head;

    for (;;) {
        if (!link_read_head(link, &head, errp)) {
            return false;
        }
        switch (head.type) {
        case RELAY_DATA:
            if (!take_data(receive, link, &head, errp)) {
                return false;
            }
            break;
        case RELAY_VERDICT:
            if (!link_read_verdict(link, &head, receive->config.ending,
                                   errp)) {
                return false;
            }
            break;
        default:
            return take_last(receive, link, &head, errp);
        }
    }
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
        .job_size = sizeof(ReceiveJob) + RELAY_BYTES_MAX(config->pages) +
                    RELAY_BODY_MAX(config->pages),
        .worker_new = codec_worker_new_decoder,
        .worker_config = &worker,
        .worker_free = codec_worker_free,
        .run = receive_run_job,
    };
    PumpOutput output = { config->to, config->stats, RELAY_WAIT_QEMU };

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
    *total = link.position;
    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) {
        g_prefix_error(&err, "the link is damaged: ");
    }
    if (err) {
        g_propagate_error(errp, err);
    }
    return ok;
}
