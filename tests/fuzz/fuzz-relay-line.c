/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer may say before there are frames: SESSION, READY, the messages of
 * a relay that goes on, at either end, and the records of a line.  The first
 * byte says which.
 */
#include <string.h>

#include "ferry/error.h"
#include "tests/fuzz/fuzz.h"
#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-line.h"
#include "tools/relay/relay-resume.h"
#include "util/endian.h"

static IoChannel *channel_of(const uint8_t *data, size_t size)
{
    g_autoptr(GInputStream) in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();

    return io_channel_new("fuzz", in, out);
}

/* A line that does not dial would be as patient as the input says. */
static IoChannel *never(void *opaque, uint64_t received, uint64_t *arrived,
                        GCancellable *cancel, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER, "never");
    return NULL;
}

static void read_line(IoChannel *connection, size_t size)
{
    const LineConfig config = {
        .name = "fuzz",
        .connection = connection,
        .window = 4096,
        .dial = never,
    };
    IoChannel *line = line_new(&config, NULL);
    uint8_t buf[300];
    size_t got, total = 0;

    g_assert_nonnull(line);
    do {
        io_channel_has_input(line);
        if (!io_channel_read(line, buf, sizeof(buf), &got, NULL)) {
            break;
        }
        total += got;
    } while (got > 0);
    g_assert_cmpuint(total, <=, size);
    io_channel_free(line);
}

static void answer_resume(IoChannel *link)
{
    Stream *from = stream_new(link);
    SessionKey key = { { 0 }, { 0 } };
    Resume resume;

    if (resume_read(from, &resume, NULL)) {
        /* Nobody can know the nonce. */
        g_assert_false(resume_challenge(link, from, &resume, &key, NULL));
    }
    stream_free(from);
}

static void ask_resume(IoChannel *link)
{
    SessionKey key = { { 0 }, { 0 } };
    uint64_t arrived;

    g_assert_false(resume_ask(link, &key, 0, &arrived, NULL));
}

static void read_session(IoChannel *link)
{
    Stream *from = stream_new(link);
    SessionHello hello;

    if (session_hello_read(from, &hello, NULL)) {
        g_assert_cmpuint(strnlen(hello.route, RELAY_ROUTE_SIZE), <,
                         RELAY_ROUTE_SIZE);
    }
    stream_free(from);
}

/* With a checksum that is right, where there is one. */
static void mend(uint8_t *data, size_t size)
{
    if (size >= 4) {
        store_be32(data + size - 4, frame_checksum_add(0, data, size - 4));
    }
}

static void run(unsigned what, const uint8_t *data, size_t size)
{
    IoChannel *link = channel_of(data, size);

    switch (what) {
    case 0:
        read_line(link, size);
        return;
    case 1:
        read_session(link);
        break;
    case 2:
        session_ready_read(link, NULL);
        break;
    case 3:
        answer_resume(link);
        break;
    default:
        ask_resume(link);
    }
    io_channel_free(link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size) {
        g_autofree uint8_t *mended = g_memdup2(data + 1, size - 1);

        mend(mended, size - 1);
        run(data[0] % 5, data + 1, size - 1);
        run(data[0] % 5, mended, size - 1);
    }
    return 0;
}
