/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The peers look at no more of the stream than they must: they wait for
 * HELLO, and for the end of the vmdescription.
 */
#include "tests/wire/golden-peer.h"

#include <string.h>

#include "migration/pack/codec.h"
#include "migration/pack/pack.h"
#include "migration/wire/wire.h"
#include "util/endian.h"

static void put_message(GByteArray *to, uint16_t type, uint32_t value)
{
    uint8_t message[8];

    store_be16(message, type);
    store_be16(message + 2, sizeof(value));
    store_be32(message + 4, value);
    g_byte_array_append(to, message, sizeof(message));
}

/* What a destination answers, in all. */
static void put_pongs(GByteArray *to, GoldenPeer peer, uint16_t features)
{
    if (peer != PEER_OTHER) {
        put_message(to, WIRE_RP_PONG, WIRE_FERRY_FEATURES | features);
    }
    put_message(to, WIRE_RP_PONG, WIRE_FERRY_HELLO);
}

static void say(IoChannel *channel, const GByteArray *bytes)
{
    GOutputVector vector = { bytes->data, bytes->len };
    GError *err = NULL;

    io_channel_writev(channel, &vector, 1, &err);
    g_assert_no_error(err);
}

static bool has_hello(const GByteArray *got)
{
    static const uint8_t hello[] = { 8, 0, 2, 0, 4, 'F', 'R', 'Y', '1' };

    return got->len > 0 &&
           memmem(got->data, got->len, hello, sizeof(hello)) != NULL;
}

/* Is the vmdescription there to its end? */
static bool has_description(const GByteArray *got)
{
    static const char begin[] = "{\"page_size\"";
    const uint8_t *text = memmem(got->data, got->len, begin,
                                 sizeof(begin) - 1);

    return text && got->data + got->len >= text + load_be32(text - 4);
}

static bool hear(IoChannel *channel, GByteArray *got)
{
    uint8_t buf[4096];
    size_t nread;
    GError *err = NULL;

    io_channel_read(channel, buf, sizeof(buf), &nread, &err);
    g_assert_no_error(err);
    g_byte_array_append(got, buf, (guint)nread);
    return nread > 0;
}

static uint16_t features_of(GoldenPeer peer)
{
    uint16_t features = WIRE_FERRY_HANDOVER;

    if (peer != PEER_FERRY) {
        features |= WIRE_FERRY_ZERO_RANGE;
    }
    if (peer == PEER_BATCHES || peer == PEER_PACKS) {
        features |= WIRE_FERRY_LZ4;
    }
    if (peer == PEER_PACKS) {
        features |= pack_features(1 << 20);
    }
    if (peer == PEER_HISTORY) {
        features |= WIRE_FERRY_ZSTD | pack_features(4 << 20);
    }
    return features;
}

GBytes *golden_play_destination(IoChannel *channel, GoldenPeer peer)
{
    g_autoptr(GByteArray) pongs = g_byte_array_new();
    g_autoptr(GByteArray) shut = g_byte_array_new();
    GByteArray *got = g_byte_array_new();

    put_pongs(pongs, peer, features_of(peer));
    put_message(shut, WIRE_RP_SHUT, 0);
    while (!has_hello(got)) {
        g_assert_true(hear(channel, got));
    }
    say(channel, pongs);
    while (!has_description(got)) {
        g_assert_true(hear(channel, got));
    }
    say(channel, shut);
    while (hear(channel, got)) {
        continue;
    }
    return g_byte_array_free_to_bytes(got);
}

GBytes *golden_play_source(IoChannel *channel, GBytes *bytes)
{
    GByteArray *got = g_byte_array_new();
    GOutputVector vector;
    GError *err = NULL;

    vector.buffer = g_bytes_get_data(bytes, &vector.size);
    io_channel_writev(channel, &vector, 1, &err);
    g_assert_no_error(err);
    io_channel_finish(channel, &err);
    g_assert_no_error(err);
    while (hear(channel, got)) {
        continue;
    }
    return g_byte_array_free_to_bytes(got);
}

void golden_assert_answers(GBytes *answers)
{
    g_autoptr(GByteArray) expected = g_byte_array_new();

    put_pongs(expected, PEER_FERRY,
              WIRE_FERRY_HANDOVER | WIRE_FERRY_ZERO_RANGE |
                  WIRE_FERRY_WORKING | codec_features() |
                  WIRE_FERRY_VERIFY | pack_features(64 << 20));
    put_message(expected, WIRE_RP_SHUT, 0);
    g_assert_cmpuint(g_bytes_get_size(answers), >=, expected->len);
    g_assert_cmpmem(g_bytes_get_data(answers, NULL), expected->len,
                    expected->data, expected->len);
}
