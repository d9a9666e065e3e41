/* SPDX-License-Identifier: GPL-2.0-or-later */
/* zlib itself.  Its state is made once per thread and reset for each buffer. */
#include "migration/pack/codec-deflate.h"

#include <zlib.h>

#include "ferry/error.h"

static bool check(int err, const z_stream *z, GError **errp)
{
    if (err != Z_OK) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "zlib: %s",
                    z->msg ? z->msg : zError(err));
    }
    return err == Z_OK;
}

static void *zlib_encoder_new(unsigned level, GError **errp)
{
    z_stream *z = g_new0(z_stream, 1);

    if (!check(deflateInit(z, (int)level), z, errp)) {
        g_free(z);
        return NULL;
    }
    return z;
}

static void zlib_encoder_free(void *encoder)
{
    deflateEnd(encoder);
    g_free(encoder);
}

static size_t zlib_encode(void *encoder, const uint8_t *in, size_t in_size,
                          uint8_t *out, size_t max)
{
    z_stream *z = encoder;

    deflateReset(z);
    z->next_in = (uint8_t *)in;
    z->avail_in = (uInt)in_size;
    z->next_out = out;
    z->avail_out = (uInt)max;
    return deflate(z, Z_FINISH) == Z_STREAM_END ? z->total_out : 0;
}

static void *zlib_decoder_new(GError **errp)
{
    z_stream *z = g_new0(z_stream, 1);

    if (!check(inflateInit(z), z, errp)) {
        g_free(z);
        return NULL;
    }
    return z;
}

static void zlib_decoder_free(void *decoder)
{
    inflateEnd(decoder);
    g_free(decoder);
}

static const char *zlib_decode(void *decoder, const uint8_t *in, size_t size,
                               uint8_t *out, size_t out_size)
{
    z_stream *z = decoder;
    int err;

    inflateReset(z);
    z->next_in = (uint8_t *)in;
    z->avail_in = (uInt)size;
    z->next_out = out;
    z->avail_out = (uInt)out_size;
    err = inflate(z, Z_FINISH);
    if (err == Z_STREAM_END) {
        return z->avail_out ? "it inflates to too little"
               : z->avail_in ? "bytes after the end of the zlib stream"
                             : NULL;
    }
    if (err == Z_BUF_ERROR) {
        /* The output may be full while only the checksum is missing. */
        return z->avail_in ? "it inflates to too much"
                           : "the zlib stream is cut off";
    }
    return z->msg ? z->msg : zError(err);
}

static const char *zlib_encoder_name(unsigned level)
{
    return "zlib";
}

const Codec deflate_zlib = {
    .name = "zlib",
    .available = true,
    .encoder_name = zlib_encoder_name,
    .encoder_new = zlib_encoder_new,
    .encoder_free = zlib_encoder_free,
    .encode = zlib_encode,
    .decoder_new = zlib_decoder_new,
    .decoder_free = zlib_decoder_free,
    .decode = zlib_decode,
};
