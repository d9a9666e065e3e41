/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How memory is compressed: a table of functions per format. */
#ifndef MIGRATION_PACK_CODEC_H
#define MIGRATION_PACK_CODEC_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Encoders and decoders belong to one thread each.  Their input is a page or a
 * few, in a buffer that nobody writes meanwhile.
 */
typedef struct Codec {
    const char *name;
    bool available; /* was built in; otherwise all below is NULL */

    /* How many pages make a record of the stream.  1: WIRE_RAM_COMPRESSED.
     * More: WIRE_RAM_BATCH, which only a Ferry that has announced the feature
     * can read. */
    unsigned batch_pages;
    uint16_t feature; /* of WIRE_FERRY_FEATURES, or 0 */

    /* The library that encodes at a level: "ISA-L".  A constant. */
    const char *(*encoder_name)(unsigned level);

    /* level is 0 (store) to 9 (smallest). */
    void *(*encoder_new)(unsigned level, GError **errp);
    void (*encoder_free)(void *encoder);
    /* Returns the bytes written to out; 0 when they would be more than max.  A
     * codec may give up up to CODEC_SLACK bytes earlier. */
    size_t (*encode)(void *encoder, const uint8_t *in, size_t in_size,
                     uint8_t *out, size_t max);

    void *(*decoder_new)(GError **errp);
    void (*decoder_free)(void *decoder);
    /*
     * NULL when exactly size bytes of in decode to exactly out_size bytes.
     * Otherwise what is wrong, and out's content is undefined.
     */
    const char *(*decode)(void *decoder, const uint8_t *in, size_t size,
                          uint8_t *out, size_t out_size);
} Codec;

#define CODEC_SLACK 16

/* RFC 1950: what flag WIRE_RAM_COMPRESSED stands for. */
extern const Codec codec_zlib;

/* Between two Ferry ends. */
extern const Codec codec_zstd;
extern const Codec codec_lz4;

/* Measured (make bench): pages that are encoded together get smaller, and
 * faster.  More than 16 pages gain hardly anything. */
#define CODEC_BATCH_PAGES 16

/* By a value of the option compress-method. */
const Codec *codec_by_method(uint64_t method);

/* By the name of a compress-method; NULL when no codec has that name. */
const Codec *codec_find(const char *method);

/* The codec whose batches a source announces by this name.  NULL, and
 * MIG_ERROR_UNSUPPORTED, when this build has none. */
const Codec *codec_for_batches(const char *method, GError **errp);

/* The features of all available codecs, which a destination announces. */
uint16_t codec_features(void);

#endif
