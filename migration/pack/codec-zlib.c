/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The zlib format has one specification and several libraries.  The level
 * decides which library encodes: the table below lists them for each level, in
 * order of preference, and the first one that was built in is taken.  The table
 * comes from measuring pages of real memory (make bench): from each level to
 * the next the output gets smaller and the encoder slower.
 *
 * Any of the libraries decodes what any of them encodes.  The fastest one that
 * was built in decodes.  Data that it refuses goes to zlib, whose word is final
 * and whose message says what is wrong.  Data that a library accepts has the
 * right size, nothing behind it, and the right checksum.
 *
 * With FERRY_ZLIB=isal, libdeflate or zlib in the environment, only that
 * library is used (and zlib for levels that it lacks): for tests and
 * measurements.
 */
#include "migration/pack/codec-deflate.h"

#include <string.h>

#include "ferry/error.h"

typedef struct Choice {
    const Codec *by;
    unsigned level; /* of by's own */
} Choice;

static const Choice choices[CODEC_LEVELS][3] = {
    { { &deflate_zlib, 0 } },
    { { &deflate_isal, 0 }, { &deflate_libdeflate, 1 }, { &deflate_zlib, 1 } },
    { { &deflate_isal, 1 }, { &deflate_libdeflate, 1 }, { &deflate_zlib, 2 } },
    { { &deflate_libdeflate, 1 }, { &deflate_isal, 3 }, { &deflate_zlib, 3 } },
    { { &deflate_libdeflate, 4 }, { &deflate_zlib, 4 } },
    { { &deflate_libdeflate, 5 }, { &deflate_zlib, 5 } },
    { { &deflate_libdeflate, 6 }, { &deflate_zlib, 6 } },
    { { &deflate_libdeflate, 7 }, { &deflate_zlib, 7 } },
    { { &deflate_libdeflate, 8 }, { &deflate_zlib, 8 } },
    { { &deflate_libdeflate, 10 }, { &deflate_zlib, 9 } },
};

static const Codec *const decoders[] = {
    &deflate_libdeflate, &deflate_zlib,
};

typedef struct ZlibEncoder {
    const Codec *by;
    void *encoder;
} ZlibEncoder;

typedef struct ZlibDecoder {
    const Codec *by;
    void *decoder;
    void *judge; /* deflate_zlib's decoder */
} ZlibDecoder;

static bool is_wanted(const Codec *codec)
{
    const char *only = g_getenv("FERRY_ZLIB");

    return codec->available && (!only || !strcmp(only, codec->name) ||
                                codec == &deflate_zlib);
}

static const Choice *choose(unsigned level)
{
    const Choice *choice = choices[level];

    while (!is_wanted(choice->by)) {
        choice++;
    }
    return choice;
}

static const char *zlib_encoder_name(unsigned level)
{
    const Choice *choice = choose(level);

    return choice->by->encoder_name(choice->level);
}

static void *zlib_encoder_new(unsigned level, GError **errp)
{
    g_autofree ZlibEncoder *e = g_new0(ZlibEncoder, 1);
    const Choice *choice;

    if (level > CODEC_LEVEL_MAX) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "no compression level %u",
                    level);
        return NULL;
    }
    choice = choose(level);
    e->by = choice->by;
    e->encoder = e->by->encoder_new(choice->level, errp);
    return e->encoder ? g_steal_pointer(&e) : NULL;
}

static void zlib_encoder_free(void *encoder)
{
    ZlibEncoder *e = encoder;

    e->by->encoder_free(e->encoder);
    g_free(e);
}

static size_t zlib_encode(void *encoder, const uint8_t *in, size_t in_size,
                          uint8_t *out, size_t max)
{
    ZlibEncoder *e = encoder;

    return e->by->encode(e->encoder, in, in_size, out, max);
}

static void *zlib_decoder_new(GError **errp)
{
    g_autofree ZlibDecoder *d = g_new0(ZlibDecoder, 1);
    const Codec *const *by = decoders;

    while (!is_wanted(*by)) {
        by++;
    }
    d->by = *by;
    d->decoder = d->by->decoder_new(errp);
    if (!d->decoder) {
        return NULL;
    }
    d->judge = deflate_zlib.decoder_new(errp);
    if (!d->judge) {
        d->by->decoder_free(d->decoder);
        return NULL;
    }
    return g_steal_pointer(&d);
}

static void zlib_decoder_free(void *decoder)
{
    ZlibDecoder *d = decoder;

    d->by->decoder_free(d->decoder);
    deflate_zlib.decoder_free(d->judge);
    g_free(d);
}

static const char *zlib_decode(void *decoder, const uint8_t *in, size_t size,
                               uint8_t *out, size_t out_size)
{
    ZlibDecoder *d = decoder;

    if (!d->by->decode(d->decoder, in, size, out, out_size)) {
        return NULL;
    }
    return deflate_zlib.decode(d->judge, in, size, out, out_size);
}

const Codec codec_zlib = {
    .name = "zlib",
    .help = "what QEMU reads",
    .levels = "0: stored; 1 and 2: ISA-L; 3 to 9: libdeflate; zlib's own where "
              "these were not built in",
    .batch_pages = 1,
    .available = true,
    .encoder_name = zlib_encoder_name,
    .encoder_new = zlib_encoder_new,
    .encoder_free = zlib_encoder_free,
    .encode = zlib_encode,
    .decoder_new = zlib_decoder_new,
    .decoder_free = zlib_decoder_free,
    .decode = zlib_decode,
};
