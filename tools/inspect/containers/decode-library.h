/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoders by libraries, behind one table of operations. */
#ifndef TOOLS_INSPECT_DECODE_LIBRARY_H
#define TOOLS_INSPECT_DECODE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of the bytes, and of the room. */
typedef struct DecodeIn {
    const uint8_t *at;
    size_t size;
} DecodeIn;

typedef struct DecodeOut {
    uint8_t *at;
    size_t size;
} DecodeOut;

typedef struct DecodeLibrary {
    void *(*start)(void);
    /*
     * Decode as much as there are bytes and room.  NULL, or what is wrong with
     * the bytes.  Sets *ended behind the last byte of a file.  Called without
     * bytes, it gives what it holds back, if anything.
     */
    const char *(*run)(void *state, DecodeIn *in, DecodeOut *out,
                       bool *ended);
    void (*stop)(void *state);
} DecodeLibrary;

extern const DecodeLibrary decode_gzip;
extern const DecodeLibrary decode_zlib; /* RFC 1950, without gzip's head */
extern const DecodeLibrary decode_bzip2;
extern const DecodeLibrary decode_xz;
extern const DecodeLibrary decode_zstd;

#ifdef HAVE_BZIP2
#define DECODE_BZIP2 (&decode_bzip2)
#else
#define DECODE_BZIP2 NULL
#endif

#ifdef HAVE_LZMA
#define DECODE_XZ (&decode_xz)
#else
#define DECODE_XZ NULL
#endif

#ifdef HAVE_ZSTD
#define DECODE_ZSTD (&decode_zstd)
#else
#define DECODE_ZSTD NULL
#endif

#endif
