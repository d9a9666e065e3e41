/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * util/bitmap.h, with sizes around the word boundaries and against a plain
 * array of truth values as the model.
 */
#include "util/bitmap.h"

static const uint64_t sizes[] = {
    1, 2, 31, 63, 64, 65, 100, 127, 128, 129, 191, 192, 193, 1000,
};

static void test_fill_and_count(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t bits = sizes[i];
        g_autofree uint64_t *map = bitmap_new(bits);
        uint64_t last = bitmap_words(bits) - 1;

        g_assert_cmpuint(bitmap_count(map, bits), ==, 0);
        bitmap_fill(map, bits);
        g_assert_cmpuint(bitmap_count(map, bits), ==, bits);
        /* Bits past the end stay clear. */
        for (uint64_t n = bits; n < (last + 1) * BITMAP_WORD_BITS; n++) {
            g_assert_false(bitmap_test(map, n));
        }
    }
}

static void test_single_bits(void)
{
    enum { BITS = 200 };
    g_autofree uint64_t *map = bitmap_new(BITS);

    for (uint64_t n = 0; n < BITS; n++) {
        bitmap_set(map, n);
        g_assert_true(bitmap_test(map, n));
        g_assert_cmphex(map[n / 64], ==, UINT64_C(1) << (n % 64));
        g_assert_cmpuint(bitmap_count(map, BITS), ==, 1);
        bitmap_clear(map, n);
        g_assert_cmpuint(bitmap_count(map, BITS), ==, 0);
    }
}

static void test_clear_leaves_others(void)
{
    g_autofree uint64_t *map = bitmap_new(130);

    bitmap_fill(map, 130);
    bitmap_clear(map, 64);
    bitmap_clear(map, 64);
    g_assert_cmpuint(bitmap_count(map, 130), ==, 129);
    g_assert_true(bitmap_test(map, 63));
    g_assert_true(bitmap_test(map, 65));
}

static void test_words(void)
{
    g_assert_cmpuint(bitmap_words(0), ==, 0);
    g_assert_cmpuint(bitmap_words(1), ==, 1);
    g_assert_cmpuint(bitmap_words(64), ==, 1);
    g_assert_cmpuint(bitmap_words(65), ==, 2);
}

/* Every run of the first words, beside bits that stay. */
static void test_set_run(void)
{
    enum { BITS = 200 };

    for (uint64_t start = 0; start < BITS; start++) {
        for (uint64_t count = 0; start + count <= BITS; count++) {
            g_autofree uint64_t *map = bitmap_new(BITS);

            bitmap_set_run(map, start, count);
            g_assert_cmpuint(bitmap_count(map, BITS), ==, count);
            if (count) {
                g_assert_cmpuint(bitmap_next_set(map, BITS, 0), ==, start);
                g_assert_cmpuint(bitmap_next_clear(map, BITS, start), ==,
                                 start + count);
            }
        }
    }
}

static void test_take_across_words(void)
{
    static const uint64_t set[] = { 0, 5, 63, 64, 65, 127, 128, 199 };
    g_autofree uint64_t *map = bitmap_new(200);
    uint64_t taken[G_N_ELEMENTS(set) + 1];
    unsigned n;

    for (unsigned i = 0; i < G_N_ELEMENTS(set); i++) {
        bitmap_set(map, set[i]);
    }
    n = bitmap_take(map, 200, 0, taken, G_N_ELEMENTS(taken));
    g_assert_cmpmem(taken, n * sizeof(*taken), set, sizeof(set));
    g_assert_cmpuint(bitmap_count(map, 200), ==, 0);
}

static void test_take_stops_at_max(void)
{
    g_autofree uint64_t *map = bitmap_new(130);
    uint64_t taken[64];

    bitmap_fill(map, 130);
    g_assert_cmpuint(bitmap_take(map, 130, 0, taken, 0), ==, 0);
    g_assert_cmpuint(bitmap_count(map, 130), ==, 130);
    g_assert_cmpuint(bitmap_take(map, 130, 0, taken, 64), ==, 64);
    g_assert_cmpuint(taken[63], ==, 63);
    g_assert_cmpuint(bitmap_take(map, 130, 64, taken, 64), ==, 64);
    g_assert_cmpuint(taken[0], ==, 64);
    g_assert_cmpuint(bitmap_take(map, 130, 128, taken, 64), ==, 2);
    g_assert_cmpuint(taken[1], ==, 129);
    g_assert_cmpuint(bitmap_count(map, 130), ==, 0);
}

static void test_take_start_offsets(void)
{
    enum { BITS = 193 };

    for (uint64_t start = 0; start <= BITS; start++) {
        g_autofree uint64_t *map = bitmap_new(BITS);
        uint64_t taken[BITS];
        unsigned n;

        bitmap_fill(map, BITS);
        n = bitmap_take(map, BITS, start, taken, BITS);
        g_assert_cmpuint(n, ==, BITS - start);
        for (unsigned i = 0; i < n; i++) {
            g_assert_cmpuint(taken[i], ==, start + i);
        }
        /* What stands before start is left. */
        g_assert_cmpuint(bitmap_count(map, BITS), ==, start);
        g_assert_true(start == 0 || bitmap_test(map, start - 1));
    }
}

static void random_map(GRand *rand, uint64_t *map, bool *model,
                       uint64_t bits)
{
    for (uint64_t n = 0; n < bits; n++) {
        model[n] = g_rand_int_range(rand, 0, 3) == 0;
        if (model[n]) {
            bitmap_set(map, n);
        }
    }
}

static void test_take_against_model(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (unsigned round = 0; round < 2000; round++) {
        uint64_t bits = (uint64_t)g_rand_int_range(rand, 1, 300);
        uint64_t start = (uint64_t)g_rand_int_range(rand, 0, (int)bits + 1);
        unsigned max = (unsigned)g_rand_int_range(rand, 0, 80);
        g_autofree uint64_t *map = bitmap_new(bits);
        g_autofree bool *model = g_new0(bool, bits);
        uint64_t taken[80];
        unsigned n, expected = 0;

        random_map(rand, map, model, bits);
        n = bitmap_take(map, bits, start, taken, max);
        for (uint64_t i = start; i < bits && expected < max; i++) {
            if (model[i]) {
                g_assert_cmpuint(expected, <, n);
                g_assert_cmpuint(taken[expected++], ==, i);
                model[i] = false;
            }
        }
        g_assert_cmpuint(n, ==, expected);
        for (uint64_t i = 0; i < bits; i++) {
            g_assert_cmpint(bitmap_test(map, i), ==, model[i]);
        }
    }
}

static void test_next(void)
{
    uint64_t map[3] = { 0 };

    g_assert_cmpuint(bitmap_next_set(map, 130, 0), ==, 130);
    g_assert_cmpuint(bitmap_next_clear(map, 130, 63), ==, 63);
    bitmap_set(map, 0);
    bitmap_set(map, 63);
    bitmap_set(map, 64);
    bitmap_set(map, 129);
    g_assert_cmpuint(bitmap_next_set(map, 130, 0), ==, 0);
    g_assert_cmpuint(bitmap_next_set(map, 130, 1), ==, 63);
    g_assert_cmpuint(bitmap_next_set(map, 130, 64), ==, 64);
    g_assert_cmpuint(bitmap_next_set(map, 130, 65), ==, 129);
    g_assert_cmpuint(bitmap_next_set(map, 129, 65), ==, 129);
    g_assert_cmpuint(bitmap_next_set(map, 100, 65), ==, 100);
    g_assert_cmpuint(bitmap_next_set(map, 130, 130), ==, 130);
    g_assert_cmpuint(bitmap_next_clear(map, 130, 0), ==, 1);
    g_assert_cmpuint(bitmap_next_clear(map, 130, 63), ==, 65);
    g_assert_cmpuint(bitmap_next_clear(map, 130, 129), ==, 130);
    bitmap_fill(map, 130);
    g_assert_cmpuint(bitmap_next_clear(map, 130, 0), ==, 130);
    g_assert_cmpuint(bitmap_next_set(map, 130, 70), ==, 70);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bitmap/words", test_words);
    g_test_add_func("/bitmap/fill-and-count", test_fill_and_count);
    g_test_add_func("/bitmap/set-run", test_set_run);
    g_test_add_func("/bitmap/single-bits", test_single_bits);
    g_test_add_func("/bitmap/clear-leaves-others", test_clear_leaves_others);
    g_test_add_func("/bitmap/take/across-words", test_take_across_words);
    g_test_add_func("/bitmap/take/stops-at-max", test_take_stops_at_max);
    g_test_add_func("/bitmap/take/start-offsets", test_take_start_offsets);
    g_test_add_func("/bitmap/take/model", test_take_against_model);
    g_test_add_func("/bitmap/next", test_next);
    return g_test_run();
}
