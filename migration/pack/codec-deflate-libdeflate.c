/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libdeflate: smaller and faster than zlib, because it has all data at once.
 */
#include "migration/pack/codec-deflate.h"

#include "ferry/error.h"

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>

static void *libdeflate_encoder_new(unsigned level, GError **errp)
{
    void *encoder = libdeflate_alloc_compressor((int)level);

    if (!encoder) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "libdeflate: no memory, or no level %u", level);
    }
    return encoder;
}

static void libdeflate_encoder_free(void *encoder)
{
    libdeflate_free_compressor(encoder);
}

static size_t libdeflate_encode(void *encoder, const uint8_t *in,
                                size_t in_size, uint8_t *out, size_t max)
{
    return libdeflate_zlib_compress(encoder, in, in_size, out, max);
}

static void *libdeflate_decoder_new(GError **errp)
{
    void *decoder = libdeflate_alloc_decompressor();

    if (!decoder) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "libdeflate: no memory");
    }
    return decoder;
}

static void libdeflate_decoder_free(void *decoder)
{
    libdeflate_free_decompressor(decoder);
}

static const char *libdeflate_decode(void *decoder, const uint8_t *in,
                                     size_t size, uint8_t *out,
                                     size_t out_size)
{
    size_t taken;
    /* With NULL for the output's length, that must be exactly out_size. */
    bool ok = libdeflate_zlib_decompress_ex(decoder, in, size, out, out_size,
                                            &taken, NULL) ==
              LIBDEFLATE_SUCCESS;

    return ok && taken == size ? NULL : "bad zlib stream";
}

static const char *libdeflate_encoder_name(unsigned level)
{
    return "libdeflate";
}

const Codec deflate_libdeflate = {
    .name = "libdeflate",
    .available = true,
    .encoder_name = libdeflate_encoder_name,
    .encoder_new = libdeflate_encoder_new,
    .encoder_free = libdeflate_encoder_free,
    .encode = libdeflate_encode,
    .decoder_new = libdeflate_decoder_new,
    .decoder_free = libdeflate_decoder_free,
    .decode = libdeflate_decode,
};

#else

const Codec deflate_libdeflate = { .name = "libdeflate" };

#endif
