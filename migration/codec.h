/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How one page is compressed: a table of functions per format. */
#ifndef MIGRATION_CODEC_H
#define MIGRATION_CODEC_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Encoders and decoders belong to one thread each.  A page is MIG_PAGE_SIZE
 * bytes that nobody writes meanwhile.
 */
typedef struct Codec {
    const char *name;

    /* level is 0 (store) to 9 (smallest). */
    void *(*encoder_new)(unsigned level, GError **errp);
    void (*encoder_free)(void *encoder);
    /* Bytes written to out, or 0 when they would be more than max. */
    size_t (*encode)(void *encoder, const uint8_t *page, uint8_t *out,
                     size_t max);

    void *(*decoder_new)(GError **errp);
    void (*decoder_free)(void *decoder);
    /*
     * NULL when exactly size bytes of in decode to exactly one page; else what
     * is wrong, and the page has undefined content.
     */
    const char *(*decode)(void *decoder, const uint8_t *in, size_t size,
                          uint8_t *page);
} Codec;

/* RFC 1950, by zlib: what flag WIRE_RAM_COMPRESSED stands for. */
extern const Codec codec_zlib;

#endif
