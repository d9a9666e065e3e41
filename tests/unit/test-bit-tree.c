/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/bit-tree.h, against a plain bitmap as the model. */
#include "util/bit-tree.h"

#include "util/bitmap.h"

static void check_same(const BitTree *tree, const uint64_t *model,
                       uint64_t bits)
{
    for (uint64_t start = 0; start <= bits; start++) {
        for (uint64_t end = start; end <= bits; end += 1 + end % 7) {
            g_assert_cmpuint(bit_tree_next(tree, start, end), ==,
                             bitmap_next_set(model, end, start));
        }
    }
}

static void test_model(void)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 130, 300 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t bits = sizes[i];
        g_autofree uint64_t *model = bitmap_new(bits);
        BitTree *tree = bit_tree_new(bits);

        for (unsigned n = 0; n < 60; n++) {
            uint64_t bit = (uint64_t)g_test_rand_int_range(0, (int)bits);
            bool set = g_test_rand_bit();

            (set ? bitmap_set : bitmap_clear)(model, bit);
            (set ? bit_tree_set : bit_tree_clear)(tree, bit);
            g_assert_true(bit_tree_test(tree, bit) == set);
            if (n % 10 == 0) {
                check_same(tree, model, bits);
            }
        }
        bit_tree_free(tree);
    }
    bit_tree_free(NULL);
}

/* A search of all of it, as often as a bitmap's would take a day. */
static void test_far(void)
{
    uint64_t bits = UINT64_C(1) << 30;
    BitTree *tree = bit_tree_new(bits);

    for (unsigned i = 0; i < 1000000; i++) {
        g_assert_cmpuint(bit_tree_next(tree, 0, bits), ==, bits);
    }
    bit_tree_set(tree, bits - 1);
    for (unsigned i = 0; i < 1000000; i++) {
        g_assert_cmpuint(bit_tree_next(tree, 1, bits), ==, bits - 1);
        g_assert_cmpuint(bit_tree_next(tree, 1, bits - 1), ==, bits - 1);
    }
    bit_tree_free(tree);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bit-tree/model", test_model);
    g_test_add_func("/bit-tree/far", test_far);
    return g_test_run();
}
