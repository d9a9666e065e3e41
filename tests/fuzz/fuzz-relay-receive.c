/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes that a receiver gets over the link: HELLO, then frames.  Random
 * changes hardly ever leave a checksum right.  So each input is tried again
 * with corrected checksums of HELLO, of the frames' heads, of bodies that are
 * not packed, and of packs of which nothing else is wrong.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/unpack-now.h"
#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-receive.h"
#include "tools/relay/relay-reverse.h"
#include "util/endian.h"

enum { WINDOW = 3 };

static uint32_t checksum(const uint8_t *data, size_t size)
{
    return frame_checksum_add(0, data, size);
}

/* Returns where the frames begin, or size. */
static size_t mend_hello(uint8_t *data, size_t size)
{
    size_t reason, at;

    if (size < RELAY_HELLO_SIZE + 4) {
        return size;
    }
    reason = load_be32(data + 12);
    at = RELAY_HELLO_SIZE + reason;
    if (reason > RELAY_REASON_MAX || at + 4 > size) {
        return size;
    }
    store_be32(data + at, checksum(data, at));
    return at + 4;
}

/* What a pack is unpacked with to find its checksum. */
typedef struct Mender {
    Unpacker *unpacker;
    UnpackWorker *worker;
    uint8_t *body;
} Mender;

static void mend_pack(Mender *mender, uint8_t *data, size_t packed,
                      uint64_t place)
{
    FrameHead head = { .pages = MIN(load_be16(data + 2), PACK_PAGES) };
    const char *fault;
    UnpackJob job;

    if (packed < PACK_HEAD_SIZE || packed > PACK_SIZE_MAX || !head.pages) {
        return;
    }
    relay_pack_begin(mender->unpacker, &job, &head, place);
    job.in = data + RELAY_HEAD_SIZE;
    job.size = packed;
    job.body = mender->body;
    fault = unpack_now(mender->unpacker, &job, mender->worker);
    if (fault && !strcmp(fault, "the checksum of a pack is wrong")) {
        store_be64(data + RELAY_HEAD_SIZE,
                   pack_checksum(job.number, job.slot, job.extra,
                                 job.head.extra));
    }
}

/* The body's checksum, too, where it is of the bytes that are there. */
static void mend_frames(Mender *mender, uint8_t *data, size_t size)
{
    uint64_t position[RELAY_CHANNELS] = { 0 };

    while (size >= RELAY_HEAD_SIZE) {
        uint64_t *at = &position[data[1]];
        uint64_t place = frame_place(data[1], *at);
        size_t packed = MIN(load_be32(data + 12), size - RELAY_HEAD_SIZE);

        if (data[0] == RELAY_PACK) {
            mend_pack(mender, data, packed, place);
        } else if (load_be32(data + 8) == packed) {
            store_be32(data + 16,
                       frame_checksum_add(frame_checksum_begin(place),
                                          data + RELAY_HEAD_SIZE, packed));
        }
        store_be32(data + 20, checksum(data, 20));
        *at += load_be32(data + 4);
        data += RELAY_HEAD_SIZE + packed;
        size -= RELAY_HEAD_SIZE + packed;
    }
}

static void mend(uint8_t *data, size_t size)
{
    Mender mender = {
        .unpacker = unpacker_new(WINDOW, 1, NULL),
        .worker = unpack_worker_new(NULL, NULL),
        .body = g_malloc(PACK_BODY_MAX),
    };
    size_t at = mend_hello(data, size);

    if (at < size) {
        mend_frames(&mender, data + at, size - at);
    }
    unpacker_free(mender.unpacker);
    unpack_worker_free(mender.worker);
    g_free(mender.body);
}

/* A destination with several connections.  It keeps count, and no rules. */
typedef struct Destination {
    uint64_t put[RELAY_CHANNELS];
    bool ended[RELAY_CHANNELS];
    uint64_t total;
} Destination;

static bool on_open(void *opaque, unsigned channel, GError **errp)
{
    g_assert_cmpuint(channel, <, RELAY_CHANNELS);
    return channel > 0 || link_bad_frame(errp);
}

static bool on_put(void *opaque, unsigned channel, const GOutputVector *bytes,
                   size_t count, GError **errp)
{
    Destination *d = opaque;

    for (size_t i = 0; i < count; i++) {
        d->put[channel] += bytes[i].size;
        d->total += bytes[i].size;
    }
    return true;
}

static bool on_end(void *opaque, unsigned channel, uint64_t total,
                   GError **errp)
{
    Destination *d = opaque;

    g_assert_cmpuint(total, ==, d->put[channel]);
    d->ended[channel] = true;
    return true;
}

static bool on_reset(void *opaque, unsigned channel, const char *reason,
                     GError **errp)
{
    g_assert_cmpuint(channel, >, 0);
    g_assert_true(g_utf8_validate(reason, -1, NULL));
    return true;
}

static bool on_credit(void *opaque, unsigned channel, uint64_t limit,
                      GError **errp)
{
    return true;
}

static bool on_is_over(void *opaque)
{
    const Destination *d = opaque;

    return d->ended[0];
}

static void forward(MemReader *r, const Hello *hello)
{
    Destination destination = { .total = 0 };
    const ReceiveSink sink = {
        .open = on_open,
        .put = on_put,
        .end = on_end,
        .reset = on_reset,
        .credit = on_credit,
        .is_over = on_is_over,
        .opaque = &destination,
    };
    MemWriter *w = mem_writer_new();
    RelayStats stats = { 0 };
    Ending ending = { .end = END_UNTOLD };
    RelayReceiveConfig config = {
        .from = r->stream,
        .to = w->channel,
        .sink = hello->version >= RELAY_LINE_FROM ? &sink : NULL,
        .version = hello->version,
        .window = WINDOW,
        .codec = codec_find(hello->method),
        .pages = hello->pages,
        .threads = 1,
        .stats = &stats,
        .ending = &ending,
    };
    RelayReceive *receive;
    uint64_t total;

    if (!config.codec || !config.codec->available) {
        config.codec = &codec_zlib;
    }
    receive = relay_receive_new(&config, NULL);
    g_assert_nonnull(receive);
    if (relay_receive_run(receive, &total, NULL)) {
        g_assert_cmpuint(total, ==, relay_stats_get(&stats.bytes_out));
        g_assert_true(!config.sink || total == destination.total);
    }
    relay_receive_free(receive);
    ending_clear(&ending);
    mem_writer_free(w);
}

static void backward(MemReader *r)
{
    LinkReader link = { .stream = r->stream };
    MemWriter *w = mem_writer_new();
    RelayStats stats = { 0 };
    ReturnWatch back = { .lost = false };
    const ReverseWatch watch = { &stats, &back };
    uint64_t delivered;

    reverse_from_link(&link, w->channel, &watch, &delivered, NULL);
    return_watch_clear(&back);
    mem_writer_free(w);
}

static void run(const uint8_t *data, size_t size, bool back)
{
    MemReader *r = mem_reader_new_static(data, size);
    Hello hello;

    if (hello_read(r->stream, &hello, NULL)) {
        if (back) {
            backward(r);
        } else {
            forward(r, &hello);
        }
    }
    mem_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree uint8_t *mended = g_memdup2(data, size);

    mend(mended, size);
    for (int back = 0; back < 2; back++) {
        run(data, size, back);
        run(mended, size, back);
    }
    return 0;
}
