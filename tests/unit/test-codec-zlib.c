/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec_zlib: any zlib can read its output, and it accepts exactly one zlib
 * stream of exactly one page.  Run once for each library that FERRY_ZLIB can
 * name, and once without it.
 */
#include <string.h>
#include <zlib.h>

#include "migration/pack/codec-deflate.h"
#include "migration/wire/wire.h"
#include "tests/lib/test-ram.h"

enum { ROOM = 3 * MIG_PAGE_SIZE };

static void *new_encoder(unsigned level)
{
    g_autoptr(GError) err = NULL;
    void *encoder = codec_zlib.encoder_new(level, &err);

    g_assert_no_error(err);
    return encoder;
}

/* By a decoder of its own, into a page that was full of something else. */
static const char *decode(const uint8_t *in, size_t size, uint8_t *page)
{
    g_autoptr(GError) err = NULL;
    void *decoder = codec_zlib.decoder_new(&err);
    const char *fault;

    g_assert_no_error(err);
    memset(page, 0xee, MIG_PAGE_SIZE);
    fault = codec_zlib.decode(decoder, in, size, page, MIG_PAGE_SIZE);
    codec_zlib.decoder_free(decoder);
    return fault;
}

static void assert_decodes(const uint8_t *in, size_t size,
                           const uint8_t *expected)
{
    uint8_t page[MIG_PAGE_SIZE];

    g_assert_cmpstr(decode(in, size, page), ==, NULL);
    g_assert_cmpmem(page, MIG_PAGE_SIZE, expected, MIG_PAGE_SIZE);
}

static void refuse(const uint8_t *in, size_t size, const char *text)
{
    uint8_t page[MIG_PAGE_SIZE];
    const char *fault = decode(in, size, page);

    g_assert_nonnull(fault);
    if (!strstr(fault, text)) {
        g_error("\"%s\" does not say \"%s\"", fault, text);
    }
}

/* With zlib itself, in any of its formats. */
static size_t deflate_as(const uint8_t *in, size_t size, int window,
                         uint8_t *out)
{
    z_stream z = { .next_in = (uint8_t *)in, .avail_in = (uInt)size,
                   .next_out = out, .avail_out = ROOM };

    g_assert_cmpint(deflateInit2(&z, 6, Z_DEFLATED, window, 8,
                                 Z_DEFAULT_STRATEGY), ==, Z_OK);
    g_assert_cmpint(deflate(&z, Z_FINISH), ==, Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void test_levels(void)
{
    uint8_t page[MIG_PAGE_SIZE], got[MIG_PAGE_SIZE];
    uint8_t out[WIRE_COMPRESSED_MAX + CODEC_SLACK];

    for (unsigned level = 0; level <= 9; level++) {
        void *encoder = new_encoder(level);

        for (unsigned i = 0; i < 30; i++) {
            uLongf length = MIG_PAGE_SIZE;
            size_t size;

            test_page_fill(page, i % PAGE_KINDS, 1000 * level + i);
            size = codec_zlib.encode(encoder, page, MIG_PAGE_SIZE, out,
                                     sizeof(out));
            g_assert_cmpuint(size, >, 0);
            g_assert_cmpuint(size, <=, WIRE_COMPRESSED_MAX);
            assert_decodes(out, size, page);
            /* By another reader, too. */
            g_assert_cmpint(uncompress(got, &length, out, size), ==, Z_OK);
            g_assert_cmpmem(got, length, page, MIG_PAGE_SIZE);
        }
        codec_zlib.encoder_free(encoder);
    }
}

/* Not only pages: what is given is what comes back. */
static void test_sizes(void)
{
    static const size_t sizes[] = { 1, 4095, 4097, 16 * MIG_PAGE_SIZE };
    enum { MOST = 16 * MIG_PAGE_SIZE };
    g_autofree uint8_t *in = g_malloc(MOST);
    g_autofree uint8_t *out = g_malloc(2 * MOST);
    g_autofree uint8_t *got = g_malloc(MOST);
    void *encoder = new_encoder(1);
    void *decoder = codec_zlib.decoder_new(NULL);

    for (unsigned i = 0; i < 16; i++) {
        test_page_fill(in + i * MIG_PAGE_SIZE, i % PAGE_KINDS, i);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        size_t size = codec_zlib.encode(encoder, in, sizes[i], out, 2 * MOST);

        g_assert_cmpuint(size, >, 0);
        g_assert_null(codec_zlib.decode(decoder, out, size, got, sizes[i]));
        g_assert_cmpmem(got, sizes[i], in, sizes[i]);
        g_assert_nonnull(
            codec_zlib.decode(decoder, out, size, got, sizes[i] - 1));
    }
    codec_zlib.encoder_free(encoder);
    codec_zlib.decoder_free(decoder);
}

static void test_find(void)
{
    g_assert_true(codec_find("zlib") == &codec_zlib);
    g_assert_true(codec_zlib.available);
    g_assert_null(codec_find("zlib "));
    g_assert_null(codec_find(""));
}

static void test_levels_differ(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[WIRE_COMPRESSED_MAX];
    size_t size[10];

    test_page_fill(page, PAGE_TEXT, 1);
    for (unsigned level = 0; level <= 9; level++) {
        void *encoder = new_encoder(level);

        size[level] =
            codec_zlib.encode(encoder, page, MIG_PAGE_SIZE, out, sizeof(out));
        codec_zlib.encoder_free(encoder);
    }
    g_assert_cmpuint(size[0], >, MIG_PAGE_SIZE); /* stored */
    g_assert_cmpuint(size[1], <, MIG_PAGE_SIZE * 2 / 3);
    g_assert_cmpuint(size[9], <=, size[1]);
}

static void test_bad_level(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(codec_zlib.encoder_new(10, &err));
    g_assert_nonnull(err);
}

/* On pages of a program: the higher the level, the smaller.  (Where two levels
 * hardly differ, a page more or less must not decide.) */
static void test_levels_get_smaller(void)
{
    g_autofree char *program = NULL;
    uint8_t out[WIRE_COMPRESSED_MAX + CODEC_SLACK];
    size_t bytes, total[10] = { 0 };

    g_assert_true(g_file_get_contents("/proc/self/exe", &program, &bytes,
                                      NULL));
    for (unsigned level = 1; level <= 9; level++) {
        void *encoder = new_encoder(level);

        for (size_t i = 0; i + MIG_PAGE_SIZE <= bytes; i += MIG_PAGE_SIZE) {
            total[level] += codec_zlib.encode(
                encoder, (uint8_t *)program + i, MIG_PAGE_SIZE, out,
                sizeof(out));
        }
        codec_zlib.encoder_free(encoder);
        g_test_message("level %u: %zu bytes", level, total[level]);
        if (level > 1) {
            g_assert_cmpuint(total[level], <=,
                             total[level - 1] + total[level - 1] / 500);
        }
    }
    g_assert_cmpuint(total[9], <, total[1]);
}

/* Somebody is named, and the levels' own library where all were built in. */
static void test_encoder_names(void)
{
    const char *only = g_getenv("FERRY_ZLIB");

    g_assert_cmpstr(codec_zlib.encoder_name(0), ==, "zlib");
    for (unsigned level = 1; level <= 9; level++) {
        const char *name = codec_zlib.encoder_name(level);

        if (!only && deflate_isal.available && deflate_libdeflate.available) {
            g_assert_cmpstr(name, ==, level < 3 ? "ISA-L" : "libdeflate");
        } else if (!g_strcmp0(only, "zlib")) {
            g_assert_cmpstr(name, ==, "zlib");
        } else if (!g_strcmp0(only, "libdeflate") &&
                   deflate_libdeflate.available) {
            g_assert_cmpstr(name, ==, "libdeflate");
        } else if (!g_strcmp0(only, "isal") && deflate_isal.available) {
            g_assert_cmpstr(name, ==, level < 4 ? "ISA-L" : "zlib");
        }
    }
}

/* Hardly more room than needed will do, a byte less will not; and what did
 * not fit leaves nothing behind for the next page. */
static void test_max(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[WIRE_COMPRESSED_MAX + 2 * CODEC_SLACK];
    void *encoder = new_encoder(1);

    for (unsigned i = 0; i < 9; i++) {
        size_t size;

        test_page_fill(page, i % PAGE_KINDS, i);
        size = codec_zlib.encode(encoder, page, MIG_PAGE_SIZE, out,
                                 WIRE_COMPRESSED_MAX + CODEC_SLACK);
        for (size_t max = 1; max < size; max += max < 20 ? 1 : 97) {
            out[max] = 0x5a;
            g_assert_cmpuint(
                codec_zlib.encode(encoder, page, MIG_PAGE_SIZE, out, max), ==,
                0);
            g_assert_cmphex(out[max], ==, 0x5a);
        }
        g_assert_cmpuint(
            codec_zlib.encode(encoder, page, MIG_PAGE_SIZE, out, size - 1), ==,
            0);
        g_assert_cmpuint(codec_zlib.encode(encoder, page, MIG_PAGE_SIZE, out,
                                           size + CODEC_SLACK), ==, size);
        assert_decodes(out, size, page);
    }
    codec_zlib.encoder_free(encoder);
}

static void test_windows(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[ROOM];

    for (int window = 9; window <= 15; window++) {
        for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
            size_t size;

            test_page_fill(page, kind, 5);
            size = deflate_as(page, MIG_PAGE_SIZE, window, out);
            g_assert_cmpint(out[0] >> 4, ==, window - 8);
            assert_decodes(out, size, page);
        }
    }
}

/* At every byte, of a stream of each kind. */
static void test_truncated(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[ROOM];

    for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
        size_t size;

        test_page_fill(page, kind, 6);
        size = deflate_as(page, MIG_PAGE_SIZE, 15, out);
        for (size_t cut = 1; cut < size; cut++) {
            g_autofree uint8_t *exact = g_memdup2(out, cut);

            refuse(exact, cut, "the zlib stream is cut off");
        }
    }
}

static void test_trailing_junk(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[ROOM];
    size_t size;

    test_page_fill(page, PAGE_TEXT, 6);
    size = deflate_as(page, MIG_PAGE_SIZE, 15, out);
    out[size] = 0;
    refuse(out, size + 1, "bytes after the end of the zlib stream");
    memcpy(out + size, out, size);
    refuse(out, 2 * size, "bytes after the end of the zlib stream");
}

static void test_wrong_lengths(void)
{
    static const size_t lengths[] = {
        0, 1, MIG_PAGE_SIZE - 1, MIG_PAGE_SIZE + 1, MIG_PAGE_SIZE + 258,
        2 * MIG_PAGE_SIZE,
    };
    uint8_t pages[2 * MIG_PAGE_SIZE], out[ROOM];

    for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
        test_page_fill(pages, kind, 6);
        test_page_fill(pages + MIG_PAGE_SIZE, kind, 7);
        for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
            size_t size = deflate_as(pages, lengths[i], 15, out);

            refuse(out, size,
                   lengths[i] < MIG_PAGE_SIZE ? "it inflates to too little"
                                              : "it inflates to too much");
        }
    }
}

static void test_wrong_adler(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[ROOM];

    for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
        for (unsigned back = 1; back <= 4; back++) {
            size_t size;

            test_page_fill(page, kind, 6);
            size = deflate_as(page, MIG_PAGE_SIZE, 15, out);
            out[size - back] ^= 0x10;
            refuse(out, size, "incorrect data check");
        }
    }
}

static void test_other_formats(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[ROOM];
    size_t size;

    test_page_fill(page, PAGE_TEXT, 6);
    size = deflate_as(page, MIG_PAGE_SIZE, 15 + 16, out);
    refuse(out, size, "incorrect header check"); /* gzip */
    size = deflate_as(page, MIG_PAGE_SIZE, -15, out);
    refuse(out, size, ""); /* raw */
    refuse(page, MIG_PAGE_SIZE, ""); /* nothing of the kind */
}

static void test_dictionary(void)
{
    uint8_t page[MIG_PAGE_SIZE], out[ROOM];
    z_stream z = { .next_in = page, .avail_in = MIG_PAGE_SIZE,
                   .next_out = out, .avail_out = ROOM };

    test_page_fill(page, PAGE_TEXT, 6);
    deflateInit(&z, 6);
    deflateSetDictionary(&z, (const uint8_t *)"ferry", 5);
    g_assert_cmpint(deflate(&z, Z_FINISH), ==, Z_STREAM_END);
    deflateEnd(&z);
    refuse(out, z.total_out, "need dictionary");
}

/* Any one bit of a stream may be wrong: refused, or it decodes the same. */
static void test_flipped_bits(void)
{
    uint8_t page[MIG_PAGE_SIZE], got[MIG_PAGE_SIZE], out[ROOM];
    size_t size;

    test_page_fill(page, PAGE_TEXT, 6);
    size = deflate_as(page, MIG_PAGE_SIZE, 15, out);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        out[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (!decode(out, size, got)) {
            g_assert_cmpmem(got, MIG_PAGE_SIZE, page, MIG_PAGE_SIZE);
        }
        out[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A decoder that has met a bad page goes on with the next. */
static void test_decoder_recovers(void)
{
    uint8_t page[MIG_PAGE_SIZE], got[MIG_PAGE_SIZE], out[ROOM];
    void *decoder = codec_zlib.decoder_new(NULL);
    size_t size;

    test_page_fill(page, PAGE_TEXT, 6);
    size = deflate_as(page, MIG_PAGE_SIZE, 15, out);
    for (size_t cut = 0; cut < size; cut += 13) {
        g_assert_nonnull(
            codec_zlib.decode(decoder, out, cut, got, MIG_PAGE_SIZE));
        g_assert_null(
            codec_zlib.decode(decoder, out, size, got, MIG_PAGE_SIZE));
        g_assert_cmpmem(got, MIG_PAGE_SIZE, page, MIG_PAGE_SIZE);
    }
    codec_zlib.decoder_free(decoder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/codec-zlib/levels", test_levels);
    g_test_add_func("/codec-zlib/sizes", test_sizes);
    g_test_add_func("/codec-zlib/find", test_find);
    g_test_add_func("/codec-zlib/levels/differ", test_levels_differ);
    g_test_add_func("/codec-zlib/levels/smaller", test_levels_get_smaller);
    g_test_add_func("/codec-zlib/encoder-names", test_encoder_names);
    g_test_add_func("/codec-zlib/levels/bad", test_bad_level);
    g_test_add_func("/codec-zlib/max", test_max);
    g_test_add_func("/codec-zlib/windows", test_windows);
    g_test_add_func("/codec-zlib/truncated", test_truncated);
    g_test_add_func("/codec-zlib/trailing-junk", test_trailing_junk);
    g_test_add_func("/codec-zlib/wrong-lengths", test_wrong_lengths);
    g_test_add_func("/codec-zlib/wrong-adler", test_wrong_adler);
    g_test_add_func("/codec-zlib/other-formats", test_other_formats);
    g_test_add_func("/codec-zlib/dictionary", test_dictionary);
    g_test_add_func("/codec-zlib/flipped-bits", test_flipped_bits);
    g_test_add_func("/codec-zlib/recovers", test_decoder_recovers);
    return g_test_run();
}
