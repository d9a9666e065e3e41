/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/page-hash.h */
#include "migration/ram/page-hash.h"

#include <string.h>

static void init_key(PageHashKey *key)
{
    g_autoptr(GError) err = NULL;

    page_hash_key_init(key, &err);
    g_assert_no_error(err);
}

static void fill(uint64_t page[MIG_PAGE_SIZE / 8], uint64_t seed)
{
    for (unsigned i = 0; i < MIG_PAGE_SIZE / 8; i++) {
        page[i] = (seed + i) * UINT64_C(0x9e3779b97f4a7c15);
    }
}

static PageHash hash_of(const PageHashKey *key, const uint64_t *page)
{
    return page_hash(key, (const uint8_t *)page);
}

/* A key, and a page: its hash. */
static PageHash set_up(PageHashKey *key, uint64_t page[MIG_PAGE_SIZE / 8])
{
    init_key(key);
    fill(page, 1);
    return hash_of(key, page);
}

/* (1 + 2^63) * (2^64 - 1) + 3 * 5, by a key of few words. */
static void test_by_hand(void)
{
    PageHashKey key = { .word = { 1, UINT64_MAX, [100] = 3, 5 } };
    uint64_t page[MIG_PAGE_SIZE / 8] = { UINT64_C(1) << 63 };
    PageHash hash = hash_of(&key, page);

    g_assert_cmphex(hash.high, ==, UINT64_C(1) << 63);
    g_assert_cmphex(hash.low, ==, (UINT64_C(1) << 63) - 1 + 15);
}

/* Whichever bit of a page is another one, so is the hash. */
static void test_each_bit(void)
{
    uint64_t page[MIG_PAGE_SIZE / 8];
    PageHashKey key;
    PageHash before = set_up(&key, page);

    for (unsigned bit = 0; bit < MIG_PAGE_SIZE * 8; bit++) {
        page[bit / 64] ^= UINT64_C(1) << bit % 64;
        g_assert_false(page_hash_equal(hash_of(&key, page), before));
        page[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    g_assert_true(page_hash_equal(hash_of(&key, page), before));
}

static void test_words_change_places(void)
{
    uint64_t page[MIG_PAGE_SIZE / 8];
    PageHashKey key;
    PageHash before = set_up(&key, page);

    for (unsigned i = 1; i < MIG_PAGE_SIZE / 8; i++) {
        uint64_t first = page[0];

        page[0] = page[i];
        page[i] = first;
        g_assert_false(page_hash_equal(hash_of(&key, page), before));
    }
}

/* The key has as many random words as a page. */
static void test_keys(void)
{
    uint64_t page[MIG_PAGE_SIZE / 8];
    PageHashKey a, b;

    init_key(&a);
    init_key(&b);
    for (unsigned i = 0; i < MIG_PAGE_SIZE / 8; i++) {
        g_assert_cmphex(a.word[i], !=, b.word[i]);
        g_assert_cmphex(a.word[i], !=, 0);
    }
    fill(page, 1);
    g_assert_false(page_hash_equal(hash_of(&a, page), hash_of(&b, page)));
}

static void test_still(void)
{
    static const uint64_t zero[MIG_PAGE_SIZE / 8];
    uint64_t page[MIG_PAGE_SIZE / 8];
    const uint8_t *bytes = (const uint8_t *)page;
    PageHashKey key;
    PageHash hash = set_up(&key, page);

    g_assert_true(page_hash_matches(&key, hash, bytes, false));
    g_assert_false(page_hash_matches(&key, hash, bytes, true));
    g_assert_true(page_hash_matches(&key, page_hash_zero(&key), bytes, true));
    g_assert_true(page_hash_equal(page_hash_zero(&key), hash_of(&key, zero)));
    page[7]++;
    g_assert_false(page_hash_matches(&key, hash, bytes, false));
}

/* Without a key nothing is known, and nothing is what it was. */
static void test_no_key(void)
{
    uint64_t page[MIG_PAGE_SIZE / 8] = { 1 };
    PageHash hash = hash_of(NULL, page);

    g_assert_false(page_hash_is_known(hash));
    g_assert_false(page_hash_is_known(page_hash_zero(NULL)));
    g_assert_false(page_hash_matches(NULL, hash, (uint8_t *)page, false));
    g_assert_false(page_hash_matches(NULL, hash, (uint8_t *)page, true));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/page-hash/by-hand", test_by_hand);
    g_test_add_func("/page-hash/each-bit", test_each_bit);
    g_test_add_func("/page-hash/words-change-places",
                    test_words_change_places);
    g_test_add_func("/page-hash/keys", test_keys);
    g_test_add_func("/page-hash/still", test_still);
    g_test_add_func("/page-hash/no-key", test_no_key);
    return g_test_run();
}
