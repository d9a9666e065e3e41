/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LZ4: one raw block per batch.  There is no checksum, because a plain page has
 * none either.  compress-level 0 and 1 are its fast compressor, 0 with more
 * haste.  From level 2 on it is LZ4_HC, whose output decodes as fast.
 */
#include "migration/pack/codec.h"

#include "ferry/error.h"
#include "migration/wire/wire.h"

#ifdef HAVE_LZ4
#include <lz4.h>
#include <lz4hc.h>

#define FIRST_HC 2
#define HASTE    4 /* "acceleration", at level 0 */

typedef struct Lz4Encoder {
    unsigned level;
    void *state;
} Lz4Encoder;

static void *lz4_encoder_new(unsigned level, GError **errp)
{
    Lz4Encoder *e;

    if (level > CODEC_LEVEL_MAX) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "lz4: no compression level %u", level);
        return NULL;
    }
    e = g_new0(Lz4Encoder, 1);
    e->level = level;
    e->state = g_malloc0((gsize)(level < FIRST_HC ? LZ4_sizeofState()
                                                  : LZ4_sizeofStateHC()));
    return e;
}

static void lz4_encoder_free(void *encoder)
{
    Lz4Encoder *e = encoder;

    g_free(e->state);
    g_free(e);
}

static size_t lz4_encode(void *encoder, const uint8_t *in, size_t in_size,
                         uint8_t *out, size_t max)
{
    static const int hc[CODEC_LEVELS] = { 0, 0, 3, 4, 5, 6, 7, 8, 9, 12 };
    Lz4Encoder *e = encoder;

    if (e->level < FIRST_HC) {
        return (size_t)LZ4_compress_fast_extState(
            e->state, (const char *)in, (char *)out, (int)in_size, (int)max,
            e->level == 0 ? HASTE : 1);
    }
    return (size_t)LZ4_compress_HC_extStateHC(e->state, (const char *)in,
                                              (char *)out, (int)in_size,
                                              (int)max, hc[e->level]);
}

/* Decoding needs no state, but NULL would mean failure. */
static void *lz4_decoder_new(GError **errp)
{
    return g_malloc(1);
}

static const char *lz4_decode(void *decoder, const uint8_t *in, size_t size,
                              uint8_t *out, size_t out_size)
{
    int got = LZ4_decompress_safe((const char *)in, (char *)out, (int)size,
                                  (int)out_size);

    if (got < 0) {
        return "it is not an LZ4 block, or one of too much";
    }
    return (size_t)got == out_size ? NULL
                                   : "the LZ4 block has too little in it";
}

static const char *lz4_encoder_name(unsigned level)
{
    return level < FIRST_HC ? "lz4" : "lz4hc";
}

#endif

const Codec codec_lz4 = {
    .name = "lz4",
    .help = "the fastest, between two Ferrys",
    .levels = "0: fast, acceleration 4; 1: fast; 2 to 8: LZ4_HC 3 to 9; "
              "9: LZ4_HC 12",
    .batch_pages = CODEC_BATCH_PAGES,
    .feature = WIRE_FERRY_LZ4,
#ifdef HAVE_LZ4
    .available = true,
    .encoder_name = lz4_encoder_name,
    .encoder_new = lz4_encoder_new,
    .encoder_free = lz4_encoder_free,
    .encode = lz4_encode,
    .decoder_new = lz4_decoder_new,
    .decoder_free = g_free,
    .decode = lz4_decode,
#endif
};
