/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each decoder takes as much memory as its format's default levels need, and
 * refuses files that need much more: a file's head is not to be believed.
 */
#include "tools/inspect/containers/decode-library.h"

#include <glib.h>
#include <string.h>
#include <zlib.h>

#ifdef HAVE_BZIP2
#include <bzlib.h>
#endif
#ifdef HAVE_LZMA
#include <lzma.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define GZIP_WINDOW 31 /* the largest window, and a gzip head */
#define XZ_MEMORY   (UINT64_C(256) << 20)

static unsigned at_most_int(size_t size)
{
    return (unsigned)MIN(size, G_MAXINT);
}

static void advance(DecodeIn *in, size_t left_in, DecodeOut *out,
                    size_t left_out)
{
    in->at += in->size - left_in;
    in->size = left_in;
    out->at += out->size - left_out;
    out->size = left_out;
}

/* gzip, and the zlib format that is inside of it */

static void *start_inflate(int window)
{
    z_stream *z = g_new0(z_stream, 1);

    g_assert(inflateInit2(z, window) == Z_OK);
    return z;
}

static void *gzip_start(void)
{
    return start_inflate(GZIP_WINDOW);
}

static void *zlib_start(void)
{
    return start_inflate(MAX_WBITS);
}

static const char *gzip_run(void *state, DecodeIn *in, DecodeOut *out,
                            bool *ended)
{
    z_stream *z = state;
    unsigned in_size = at_most_int(in->size);
    unsigned out_size = at_most_int(out->size);
    int status;

    z->next_in = (Bytef *)in->at;
    z->avail_in = in_size;
    z->next_out = out->at;
    z->avail_out = out_size;
    status = inflate(z, Z_NO_FLUSH);
    advance(in, in->size - (in_size - z->avail_in), out,
            out->size - (out_size - z->avail_out));
    *ended = status == Z_STREAM_END;
    if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR) {
        return NULL;
    }
    return z->msg ? z->msg : "zlib does not take it";
}

static void gzip_stop(void *state)
{
    inflateEnd(state);
    g_free(state);
}

const DecodeLibrary decode_gzip = { gzip_start, gzip_run, gzip_stop };
const DecodeLibrary decode_zlib = { zlib_start, gzip_run, gzip_stop };

/* bzip2 */

#ifdef HAVE_BZIP2
static void *bzip2_start(void)
{
    bz_stream *bz = g_new0(bz_stream, 1);

    g_assert(BZ2_bzDecompressInit(bz, 0, 0) == BZ_OK);
    return bz;
}

static const char *bzip2_run(void *state, DecodeIn *in, DecodeOut *out,
                             bool *ended)
{
    bz_stream *bz = state;
    unsigned in_size = at_most_int(in->size);
    unsigned out_size = at_most_int(out->size);
    int status;

    bz->next_in = (char *)in->at;
    bz->avail_in = in_size;
    bz->next_out = (char *)out->at;
    bz->avail_out = out_size;
    status = BZ2_bzDecompress(bz);
    advance(in, in->size - (in_size - bz->avail_in), out,
            out->size - (out_size - bz->avail_out));
    *ended = status == BZ_STREAM_END;
    return status == BZ_OK || status == BZ_STREAM_END
               ? NULL : "libbz2 does not take it";
}

static void bzip2_stop(void *state)
{
    BZ2_bzDecompressEnd(state);
    g_free(state);
}

const DecodeLibrary decode_bzip2 = { bzip2_start, bzip2_run, bzip2_stop };
#endif

/* xz */

#ifdef HAVE_LZMA
static void *xz_start(void)
{
    lzma_stream *xz = g_new(lzma_stream, 1);

    *xz = (lzma_stream)LZMA_STREAM_INIT;
    g_assert(lzma_stream_decoder(xz, XZ_MEMORY, 0) == LZMA_OK);
    return xz;
}

static const char *xz_run(void *state, DecodeIn *in, DecodeOut *out,
                          bool *ended)
{
    lzma_stream *xz = state;
    lzma_ret status;

    xz->next_in = in->at;
    xz->avail_in = in->size;
    xz->next_out = out->at;
    xz->avail_out = out->size;
    status = lzma_code(xz, LZMA_RUN);
    advance(in, xz->avail_in, out, xz->avail_out);
    *ended = status == LZMA_STREAM_END;
    switch (status) {
    case LZMA_OK:
    case LZMA_STREAM_END:
    case LZMA_BUF_ERROR:
        return NULL;
    case LZMA_MEMLIMIT_ERROR:
        return "it takes more than 256 MiB of memory to decompress";
    default:
        return "liblzma does not take it";
    }
}

static void xz_stop(void *state)
{
    lzma_end(state);
    g_free(state);
}

const DecodeLibrary decode_xz = { xz_start, xz_run, xz_stop };
#endif

/* zstd */

#ifdef HAVE_ZSTD
/* Its own limit is a window of 128 MiB. */
static void *zstd_start(void)
{
    ZSTD_DStream *zstd = ZSTD_createDStream();

    g_assert(zstd);
    return zstd;
}

static const char *zstd_run(void *state, DecodeIn *in, DecodeOut *out,
                            bool *ended)
{
    ZSTD_inBuffer from = { in->at, in->size, 0 };
    ZSTD_outBuffer to = { out->at, out->size, 0 };
    size_t status = ZSTD_decompressStream(state, &to, &from);

    advance(in, from.size - from.pos, out, to.size - to.pos);
    *ended = status == 0;
    return ZSTD_isError(status) ? ZSTD_getErrorName(status) : NULL;
}

static void zstd_stop(void *state)
{
    ZSTD_freeDStream(state);
}

const DecodeLibrary decode_zstd = { zstd_start, zstd_run, zstd_stop };
#endif
