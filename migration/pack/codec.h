/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How memory is compressed: the row of each method.
 *
 * A method is a row and its functions, both in its codec-NAME.c, and a word in
 * CODEC_LIST.  Everything else goes by the rows: the values of compress-method
 * and what help, QMP's schema and completion say of them, what a destination
 * announces, what a stream or another relay may name.
 */
#ifndef MIGRATION_PACK_CODEC_H
#define MIGRATION_PACK_CODEC_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_NAME_MAX  15
#define CODEC_LEVEL_MAX 9 /* of compress-level, whatever the method */
#define CODEC_LEVELS    (CODEC_LEVEL_MAX + 1)

/*
 * Encoders and decoders belong to one thread each.  Their input is a page or a
 * few, in a buffer that nobody writes meanwhile.
 */
typedef struct Codec {
    /* The name in a stream and in a relay's HELLO.  It is an array so that
     * tables can be made of the names when the program is built. */
    char name[CODEC_NAME_MAX + 1];
    const char *help;   /* what it is for: one line, no full stop */
    const char *levels; /* what compress-level means to it: the same */

    /* How many pages make a record of the stream.  1: WIRE_RAM_COMPRESSED.
     * More: WIRE_RAM_BATCH, which only a Ferry that has announced the feature
     * can read. */
    unsigned batch_pages;
    uint16_t feature; /* of WIRE_FERRY_FEATURES, or 0 */

    bool available; /* was built in; otherwise all below is NULL */

    /* The library that encodes at a level: "ISA-L".  A constant. */
    const char *(*encoder_name)(unsigned level);

    /* level is 0 to CODEC_LEVEL_MAX: the higher, the smaller and slower. */
    void *(*encoder_new)(unsigned level, GError **errp);
    void (*encoder_free)(void *encoder);
    /* Encode at another level from now on.  NULL: not possible. */
    void (*encoder_set_level)(void *encoder, unsigned level);
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

    /* Optional: what the next encode() and decode() may refer to, as if it
     * stood before their input and output; it stays until then.  Size 0:
     * nothing.  False when there is no memory. */
    bool (*encoder_set_dictionary)(void *encoder, const uint8_t *bytes,
                                   size_t size);
    bool (*decoder_set_dictionary)(void *decoder, const uint8_t *bytes,
                                   size_t size);
    unsigned dictionary_level; /* the lowest that is worth having one */
} Codec;

#define CODEC_SLACK 16

/*
 * All of them.  The place in the list is the value of compress-method, and
 * hosts know the values (MigMethod, which has auto behind these three).  The
 * first is what flag WIRE_RAM_COMPRESSED stands for, RFC 1950; the others are
 * for two Ferry ends.
 */
#define CODEC_LIST(ROW) \
    ROW(codec_zlib)     \
    ROW(codec_zstd)     \
    ROW(codec_lz4)

#define CODEC_DECLARE(codec) extern const Codec codec;
CODEC_LIST(CODEC_DECLARE)

#define CODEC_ADD_ONE(codec) + 1
#define CODEC_COUNT          (0 CODEC_LIST(CODEC_ADD_ONE))

/* Measured (make bench): pages that are encoded together get smaller, and
 * faster.  More than 16 pages gain hardly anything. */
#define CODEC_BATCH_PAGES 16

/* By a value of the option compress-method that names a codec. */
const Codec *codec_by_method(uint64_t method);
unsigned codec_method(const Codec *codec); /* and back */

/* The codec of records where packs cannot be had: by any value of the option
 * compress-method. */
const Codec *codec_without_packs(uint64_t method);

/* By the name of a compress-method; NULL when no codec has that name. */
const Codec *codec_find(const char *method);

/* The codec whose batches a source announces by this name.  NULL, and
 * MIG_ERROR_UNSUPPORTED, when this build has none. */
const Codec *codec_for_batches(const char *method, GError **errp);

/* Is a dictionary worth it?  Never without a codec. */
static inline bool codec_wants_dictionary(const Codec *codec, unsigned level)
{
    return codec && codec->encoder_set_dictionary &&
           level >= codec->dictionary_level;
}

/* The features of all available codecs, which a destination announces. */
uint16_t codec_features(void);

#endif
