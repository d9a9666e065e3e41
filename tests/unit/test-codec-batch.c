/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Codecs that take several pages at a time: what goes in comes out, in exactly
 * as many bytes, and nothing is taken that is not just that.
 */
#include <string.h>

#include "ferry/options.h"
#include "migration/pack/codec.h"
#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/test-ram.h"
#include "tools/relay/relay-wire.h"

enum { MOST = CODEC_BATCH_PAGES * MIG_PAGE_SIZE, ROOM = 2 * MOST };

typedef struct World {
    const Codec *codec;
    void *encoder;
    void *decoder;
    uint8_t in[MOST];
    uint8_t out[ROOM];
    uint8_t got[MOST];
} World;

/* NULL, and a skipped test, when the codec was not built in. */
static World *world_new(gconstpointer codec, unsigned level)
{
    World *w = g_new0(World, 1);

    w->codec = codec;
    if (!w->codec->available) {
        g_autofree char *why = g_strdup_printf("%s was NOT BUILT IN",
                                               w->codec->name);

        g_test_skip(why);
        g_free(w);
        return NULL;
    }
    w->encoder = w->codec->encoder_new(level, NULL);
    w->decoder = w->codec->decoder_new(NULL);
    g_assert_nonnull(w->encoder);
    g_assert_nonnull(w->decoder);
    return w;
}

static void world_free(World *w)
{
    w->codec->encoder_free(w->encoder);
    w->codec->decoder_free(w->decoder);
    g_free(w);
}

static void fill(World *w, PageKind kind)
{
    for (unsigned i = 0; i < CODEC_BATCH_PAGES; i++) {
        test_page_fill(w->in + i * MIG_PAGE_SIZE, kind, i);
    }
}

static size_t encode(World *w, size_t size, size_t max)
{
    return w->codec->encode(w->encoder, w->in, size, w->out, max);
}

static const char *decode(World *w, size_t size, size_t out_size)
{
    /* A copy, so that reading behind it is seen by AddressSanitizer. */
    g_autofree uint8_t *exact = g_memdup2(w->out, size);

    memset(w->got, 0xee, MOST);
    return w->codec->decode(w->decoder, exact, size, w->got, out_size);
}

static void test_levels(gconstpointer codec)
{
    for (unsigned level = 0; level <= 9; level++) {
        World *w = world_new(codec, level);

        for (unsigned pages = 1; w && pages <= CODEC_BATCH_PAGES; pages++) {
            size_t raw = pages * MIG_PAGE_SIZE;
            size_t size;

            fill(w, pages % PAGE_KINDS);
            size = encode(w, raw, ROOM);
            g_assert_cmpuint(size, >, 0);
            g_assert_cmpstr(decode(w, size, raw), ==, NULL);
            g_assert_cmpmem(w->got, raw, w->in, raw);
        }
        if (!w) {
            return;
        }
        world_free(w);
    }
}

/* On a program's pages: the higher the level, the smaller, but for a little. */
static void test_levels_get_smaller(gconstpointer codec)
{
    g_autofree char *program = NULL;
    size_t bytes, total[10] = { 0 };

    g_assert_true(g_file_get_contents("/proc/self/exe", &program, &bytes,
                                      NULL));
    for (unsigned level = 0; level <= 9; level++) {
        World *w = world_new(codec, level);

        if (!w) {
            return;
        }
        for (size_t at = 0; at + MOST <= bytes; at += MOST) {
            memcpy(w->in, program + at, MOST);
            total[level] += encode(w, MOST, ROOM);
        }
        world_free(w);
        g_test_message("level %u: %zu bytes", level, total[level]);
        if (level) {
            g_assert_cmpuint(total[level], <=,
                             total[level - 1] + total[level - 1] / 100);
        }
    }
    g_assert_cmpuint(total[9], <, total[1]);
}

static void test_bad_level(gconstpointer data)
{
    const Codec *codec = data;
    g_autoptr(GError) err = NULL;
    World *w = world_new(codec, 1);

    if (w) {
        world_free(w);
        g_assert_null(codec->encoder_new(10, &err));
        expect_error(&err, MIG_ERROR_HOST, "no compression level 10");
    }
}

/* What does not fit is 0, writes nothing behind, and leaves nothing behind. */
static void test_max(gconstpointer codec)
{
    static const unsigned levels[] = { 0, 1, 5 };

    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
        World *w = world_new(codec, levels[i]);

        for (unsigned kind = 0; w && kind < PAGE_KINDS; kind++) {
            size_t size;

            fill(w, kind);
            size = encode(w, MOST, ROOM);
            for (size_t max = 1; max < size; max += max < 20 ? 1 : 1999) {
                w->out[max] = 0x5a;
                g_assert_cmpuint(encode(w, MOST, max), ==, 0);
                g_assert_cmphex(w->out[max], ==, 0x5a);
            }
            g_assert_cmpuint(encode(w, MOST, size - 1), ==, 0);
            g_assert_cmpuint(encode(w, MOST, size + CODEC_SLACK), >, 0);
            g_assert_null(decode(w, size, MOST));
        }
        if (w) {
            world_free(w);
        }
    }
}

static void test_wrong_sizes(gconstpointer codec)
{
    static const size_t wrong[] = {
        MIG_PAGE_SIZE, MOST - MIG_PAGE_SIZE, MOST - 1,
    };
    World *w = world_new(codec, 1);

    for (unsigned kind = 0; w && kind < PAGE_KINDS; kind++) {
        size_t size;

        fill(w, kind);
        size = encode(w, MOST, ROOM);
        for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
            g_assert_nonnull(decode(w, size, wrong[i]));
        }
        size = encode(w, MOST - MIG_PAGE_SIZE, ROOM);
        g_assert_nonnull(decode(w, size, MOST));
    }
    if (w) {
        world_free(w);
    }
}

static void test_cut_and_junk(gconstpointer codec)
{
    World *w = world_new(codec, 1);
    size_t size;

    if (!w) {
        return;
    }
    fill(w, PAGE_TEXT);
    size = encode(w, MOST, ROOM);
    for (size_t cut = 1; cut < size; cut += 7) {
        g_assert_nonnull(decode(w, cut, MOST));
    }
    memset(w->out + size, 0, 16);
    for (size_t more = 1; more <= 16; more++) {
        g_assert_nonnull(decode(w, size + more, MOST));
    }
    memcpy(w->out + size, w->out, size);
    g_assert_nonnull(decode(w, 2 * size, MOST));
    g_assert_null(decode(w, size, MOST));
    world_free(w);
}

/* zstd has a checksum: refused, or the same.  LZ4 has none: what must hold is
 * that nothing outside the buffers is touched. */
static void test_flipped_bits(gconstpointer codec)
{
    World *w = world_new(codec, 1);
    size_t size;

    if (!w) {
        return;
    }
    fill(w, PAGE_TEXT);
    size = encode(w, MOST, ROOM);
    for (size_t bit = 0; bit < 8 * size; bit += 3) {
        w->out[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (!decode(w, size, MOST) && w->codec == &codec_zstd) {
            g_assert_cmpmem(w->got, MOST, w->in, MOST);
        }
        w->out[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    g_assert_null(decode(w, size, MOST));
    world_free(w);
}

/* Finding them */

static void test_find(void)
{
    const MigOption *option = mig_option(MIG_OPT_COMPRESS_METHOD);

    g_assert_cmpuint(option->max, ==, CODEC_COUNT);
    g_assert_cmpstr(option->names[MIG_METHOD_AUTO], ==, "auto");
    g_assert_null(option->names[CODEC_COUNT + 1]);
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);

        g_assert_cmpstr(codec->name, ==, option->names[i]);
        g_assert_true(codec_find(codec->name) == codec);
    }
    g_assert_null(codec_find("brotli"));
}

/* A codec of batches has a feature bit to itself. */
static void test_features(void)
{
    uint16_t taken = WIRE_FERRY_HANDOVER | WIRE_FERRY_ZERO_RANGE |
                     WIRE_FERRY_WORKING | WIRE_FERRY_VERIFY;
    uint16_t expected = 0;

    g_assert_cmphex(codec_zlib.feature, ==, 0);
    g_assert_cmphex(codec_zstd.feature, ==, WIRE_FERRY_ZSTD);
    g_assert_cmphex(codec_lz4.feature, ==, WIRE_FERRY_LZ4);
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        bool is_one_bit = codec->feature &&
                          !(codec->feature & (codec->feature - 1));

        g_assert_true(is_one_bit == (codec->batch_pages > 1));
        g_assert_cmphex(codec->feature & taken, ==, 0);
        taken |= codec->feature;
        expected |= codec->available ? codec->feature : 0;
    }
    g_assert_cmphex(codec_features(), ==, expected);
}

/* Rows are shown in lists and tables, and a relay's HELLO has the name. */
static void test_texts(void)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        const char *const texts[] = { codec->help, codec->levels };

        g_assert_cmpuint(strlen(codec->name), <=, RELAY_METHOD_SIZE);
        g_assert_cmpuint(strspn(codec->name, "abcdefghijklmnopqrstuvwxyz"
                                "0123456789"), ==, strlen(codec->name));
        for (unsigned k = 0; k < G_N_ELEMENTS(texts); k++) {
            g_assert_true(texts[k][0] && !g_str_has_suffix(texts[k], "."));
            g_assert_null(strpbrk(texts[k], "\n|"));
        }
    }
}

static void test_for_batches(void)
{
    static const char *const none[] = { "zlib", "brotli", "" };

    for (unsigned i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(codec_for_batches(none[i], &err));
        expect_error(&err, MIG_ERROR_UNSUPPORTED, none[i]);
    }
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        bool known = codec->available && codec->batch_pages > 1;

        g_assert_true(codec_for_batches(codec->name, NULL) ==
                      (known ? codec : NULL));
    }
}

static void add(const char *what, GTestDataFunc func)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        g_autofree char *path = g_strdup_printf("/codec-batch/%s/%s",
                                                codec->name, what);

        if (codec->batch_pages > 1) {
            g_test_add_data_func(path, codec, func);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("levels", test_levels);
    add("levels-get-smaller", test_levels_get_smaller);
    add("bad-level", test_bad_level);
    add("max", test_max);
    add("wrong-sizes", test_wrong_sizes);
    add("cut-and-junk", test_cut_and_junk);
    add("flipped-bits", test_flipped_bits);
    g_test_add_func("/codec-batch/find", test_find);
    g_test_add_func("/codec-batch/features", test_features);
    g_test_add_func("/codec-batch/texts", test_texts);
    g_test_add_func("/codec-batch/for-batches", test_for_batches);
    return g_test_run();
}
