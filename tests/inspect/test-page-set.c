/* SPDX-License-Identifier: GPL-2.0-or-later */
/* page-set.h, against a plain bitmap as the model; and what it costs. */
#include "tools/inspect/streams/page-set.h"

#include "util/bitmap.h"

enum { PAGES = 10 * PAGE_SET_CHUNK };

/* How many of these were not there; they are, afterwards. */
static uint64_t add_to_model(uint64_t *model, uint64_t first, uint64_t count)
{
    uint64_t added = 0;

    for (uint64_t i = first; i < first + count; i++) {
        added += !bitmap_test(model, i);
        bitmap_set(model, i);
    }
    return added;
}

static uint64_t remove_from_model(uint64_t *model, uint64_t first,
                                  uint64_t count)
{
    uint64_t removed = 0;

    for (uint64_t i = first; i < first + count; i++) {
        removed += bitmap_test(model, i);
        bitmap_clear(model, i);
    }
    return removed;
}

/* A page, a few, or up to all of them; often from or to a chunk's edge. */
static void choose(uint64_t *first, uint64_t *count)
{
    static const int sizes[] = { 2, 100, PAGE_SET_CHUNK * 2, PAGES };
    uint64_t end;

    *first = (uint64_t)g_test_rand_int_range(0, PAGES);
    if (g_test_rand_bit()) {
        *first -= *first % PAGE_SET_CHUNK;
    }
    end = *first + (uint64_t)g_test_rand_int_range(
                       1, sizes[g_test_rand_int_range(0, 4)]);
    if (g_test_rand_bit() && end > *first + PAGE_SET_CHUNK) {
        end -= end % PAGE_SET_CHUNK;
    }
    *count = MIN(end, PAGES) - *first;
}

static void check_same(PageSet *set, const uint64_t *model)
{
    for (unsigned n = 0; n < 50; n++) {
        uint64_t first, count;

        choose(&first, &count);
        g_assert_true(page_set_has(set, first, count) ==
                      (bitmap_next_set(model, first + count, first) <
                       first + count));
    }
}

static void test_model(void)
{
    for (unsigned round = 0; round < 500; round++) {
        g_autofree uint64_t *model = bitmap_new(PAGES);
        PageSet *set = page_set_new();

        for (unsigned n = 0; n < 20; n++) {
            uint64_t first, count;

            choose(&first, &count);
            if (count < PAGES / 2 || round % 8 == 0) {
                g_assert_cmpuint(page_set_add(set, first, count), ==,
                                 add_to_model(model, first, count));
            }
            check_same(set, model);
            if (round % 3 == 0) {
                choose(&first, &count);
                g_assert_cmpuint(page_set_remove(set, first, count), ==,
                                 remove_from_model(model, first, count));
                check_same(set, model);
            }
        }
        page_set_clear(set);
        g_assert_false(page_set_has(set, 0, PAGES));
        g_assert_cmpuint(page_set_pieces(set), ==, 0);
        page_set_free(set);
    }
    page_set_free(NULL);
}

static void test_union(void)
{
    for (unsigned round = 0; round < 500; round++) {
        g_autofree uint64_t *model = bitmap_new(PAGES);
        PageSet *set[] = { page_set_new(), page_set_new() };

        for (unsigned n = 0; n < 12; n++) {
            uint64_t first, count;

            choose(&first, &count);
            page_set_add(set[n % 2], first, MIN(count, PAGES / 4));
            add_to_model(model, first, MIN(count, PAGES / 4));
        }
        page_set_add_set(set[0], set[1]);
        check_same(set[0], model);
        g_assert_cmpuint(page_set_add(set[0], 0, PAGES), ==,
                         PAGES - bitmap_count(model, PAGES));
        page_set_free(set[0]);
        page_set_free(set[1]);
    }
}

/* Pages in order are one piece, for steps of any size. */
static void test_in_order(void)
{
    for (unsigned step = 1; step < 1000; step += 37) {
        PageSet *set = page_set_new();
        uint64_t end = step * UINT64_C(10000);

        for (uint64_t at = 0; at < end; at += step) {
            g_assert_cmpuint(page_set_add(set, at, step), ==, step);
            g_assert_cmpuint(page_set_pieces(set), <=, 2);
        }
        page_set_free(set);
    }
}

/* Alternate pages take a piece for each chunk, and ranges three each. */
static void test_pieces(void)
{
    PageSet *set = page_set_new();
    unsigned added = 0;

    for (uint64_t at = 0; at < PAGES; at += 2) {
        page_set_add(set, at, 1);
    }
    g_assert_cmpuint(page_set_pieces(set), ==, PAGES / PAGE_SET_CHUNK);
    page_set_clear(set);
    for (uint64_t at = 1; at < UINT64_C(1) << 32; at += 5000000) {
        page_set_add(set, at, 4000000);
        g_assert_cmpuint(page_set_pieces(set), <=, 3 * ++added);
    }
    page_set_add(set, 0, UINT64_C(1) << 32);
    g_assert_cmpuint(page_set_pieces(set), ==, 1);
    page_set_free(set);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/page-set/model", test_model);
    g_test_add_func("/page-set/union", test_union);
    g_test_add_func("/page-set/in-order", test_in_order);
    g_test_add_func("/page-set/pieces", test_pieces);
    return g_test_run();
}
