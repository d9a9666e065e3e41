/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A destination's messages to a source, which has or has not sent everything.
 * That only makes a difference for SHUT 0.
 */
#include "migration/return-path.h"

#include "ferry/error.h"
#include "migration/wire/stream.h"
#include "migration/wire/wire.h"
#include "tests/fuzz/fuzz.h"
#include "util/text.h"

/* How many bytes a socket takes before anybody reads them. */
#define INPUT_MAX (64u << 10)

#define TOO_EARLY                                                           \
    "the destination says that it has loaded everything, before it was sent"

static void note_failure(void *opaque)
{
    *(bool *)opaque = true;
}

static void note_alive(void *opaque)
{
}

static const ReturnPathEar ear = {
    .alive = note_alive, .failed = note_failure,
};

/* Nobody has aborted the channel, so it is the destination's fault. */
static void check_error(const GError *err)
{
    g_autofree char *shown = text_printable(err->message);

    g_assert_true(err->domain == MIG_ERROR);
    g_assert_true(err->code == MIG_ERROR_STREAM ||
                  err->code == MIG_ERROR_PEER || err->code == MIG_ERROR_EOF);
    g_assert_cmpstr(err->message, ==, shown);
}

static void check_features(uint16_t features)
{
    g_assert_true(!features || features & WIRE_FERRY_HANDOVER);
}

/* What is said after it has ended. */
static void check_again(ReturnPath *rp, const GError *err)
{
    g_autoptr(GError) cause = NULL;

    return_path_wait_answer(rp, NULL);
    check_features(return_path_features(rp));
    g_assert_true(return_path_find_cause(rp, &cause) == (err != NULL));
    if (err) {
        g_assert_cmpstr(cause->message, ==, err->message);
    }
}

static void say(IoChannel *channel, const uint8_t *data, size_t size)
{
    Stream *s = stream_new(channel);
    g_autoptr(GError) err = NULL;

    stream_put_bytes(s, data, size);
    stream_flush(s, &err);
    g_assert_no_error(err);
    stream_free(s);
}

/* NULL when it ends in success. */
static GError *hear(const uint8_t *data, size_t size, bool all_sent)
{
    IoChannel *ends[2]; /* source, destination */
    bool failed = false;
    GError *err = NULL;
    ReturnPath *rp;

    io_channel_pair(ends, &err);
    g_assert_no_error(err);
    rp = return_path_new(ends[0], &ear, &failed, &err);
    g_assert_no_error(err);
    if (all_sent) {
        return_path_expect_shut(rp);
    }
    say(ends[1], data, size);
    io_channel_free(ends[1]);
    if (!return_path_wait(rp, &err)) {
        check_error(err);
    }
    g_assert_true(failed == (err != NULL));
    check_again(rp, err);
    return_path_free(rp);
    io_channel_free(ends[0]);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) early = hear(data, MIN(size, INPUT_MAX), false);
    g_autoptr(GError) late = hear(data, MIN(size, INPUT_MAX), true);

    g_assert_nonnull(early);
    g_assert_cmpstr(early->message, ==, late ? late->message : TOO_EARLY);
    return 0;
}
