/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Zstandard (RFC 8878): one frame per batch, with its content's size and
 * checksum.  A compress-level is zstd's own level, except 0, which is one of
 * the negative, faster ones, and the last two.  A dictionary is a prefix: it
 * has content only, and the frame does not say that there is one.
 */
#include "migration/pack/codec.h"

#include "ferry/error.h"
#include "migration/wire/wire.h"

#ifdef HAVE_ZSTD
#include <zstd.h>

static const int levels[CODEC_LEVELS] = { -1, 1, 2, 3, 4, 5, 6, 7, 9, 12 };

static bool set(ZSTD_CCtx *z, ZSTD_cParameter parameter, int value)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(z, parameter, value));
}

/* A pack is a little larger than 256 KiB.  From there on zstd's level 1 looks
 * for matches of 7 bytes only, which costs bytes and saves no time.  With
 * fewer bytes it looks for 6, too; only up to 16 KiB for 5, which would save
 * 0.05 to 0.08 % of them.  0: as the level has it. */
static bool set_level(ZSTD_CCtx *z, unsigned level)
{
    return set(z, ZSTD_c_compressionLevel, levels[level]) &&
           set(z, ZSTD_c_minMatch, levels[level] == 1 ? 6 : 0);
}

static void *zstd_encoder_new(unsigned level, GError **errp)
{
    ZSTD_CCtx *z = level <= CODEC_LEVEL_MAX ? ZSTD_createCCtx() : NULL;

    if (!z || !set_level(z, level) || !set(z, ZSTD_c_checksumFlag, 1)) {
        ZSTD_freeCCtx(z);
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "zstd: no memory, or no compression level %u", level);
        return NULL;
    }
    return z;
}

static void zstd_encoder_free(void *encoder)
{
    ZSTD_freeCCtx(encoder);
}

static void zstd_encoder_set_level(void *encoder, unsigned level)
{
    set_level(encoder, level);
}

static size_t zstd_encode(void *encoder, const uint8_t *in, size_t in_size,
                          uint8_t *out, size_t max)
{
    size_t size = ZSTD_compress2(encoder, out, max, in, in_size);

    return ZSTD_isError(size) ? 0 : size;
}

static void *zstd_decoder_new(GError **errp)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();

    if (!z) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "zstd: no memory");
    }
    return z;
}

static void zstd_decoder_free(void *decoder)
{
    ZSTD_freeDCtx(decoder);
}

static const char *zstd_decode(void *decoder, const uint8_t *in, size_t size,
                               uint8_t *out, size_t out_size)
{
    size_t frame = ZSTD_findFrameCompressedSize(in, size);
    size_t got;

    if (ZSTD_isError(frame)) {
        return ZSTD_getErrorName(frame);
    }
    if (frame != size) {
        return "bytes after the end of the zstd frame";
    }
    if (ZSTD_getFrameContentSize(in, size) != out_size) {
        return "the zstd frame has another size";
    }
    got = ZSTD_decompressDCtx(decoder, out, out_size, in, size);
    if (ZSTD_isError(got)) {
        return ZSTD_getErrorName(got);
    }
    return got == out_size ? NULL : "the zstd frame has too little in it";
}

static bool zstd_encoder_set_dictionary(void *encoder, const uint8_t *bytes,
                                        size_t size)
{
    /* A frame that had no room is still open, and takes no prefix. */
    ZSTD_CCtx_reset(encoder, ZSTD_reset_session_only);
    return !ZSTD_isError(ZSTD_CCtx_refPrefix(encoder, bytes, size));
}

static bool zstd_decoder_set_dictionary(void *decoder, const uint8_t *bytes,
                                        size_t size)
{
    return !ZSTD_isError(ZSTD_DCtx_refPrefix(decoder, bytes, size));
}

static const char *zstd_encoder_name(unsigned level)
{
    return "zstd";
}

#endif

const Codec codec_zstd = {
    .name = "zstd",
    .help = "the fewest bytes, between two Ferrys",
    .levels = "0: level -1; 1 to 7: the same level; 8: level 9; 9: level 12",
    .batch_pages = CODEC_BATCH_PAGES,
    .feature = WIRE_FERRY_ZSTD,
#ifdef HAVE_ZSTD
    .available = true,
    .encoder_name = zstd_encoder_name,
    .encoder_new = zstd_encoder_new,
    .encoder_free = zstd_encoder_free,
    .encoder_set_level = zstd_encoder_set_level,
    .encode = zstd_encode,
    .decoder_new = zstd_decoder_new,
    .decoder_free = zstd_decoder_free,
    .decode = zstd_decode,
    .encoder_set_dictionary = zstd_encoder_set_dictionary,
    .decoder_set_dictionary = zstd_decoder_set_dictionary,
    .dictionary_level = 1,
#endif
};
