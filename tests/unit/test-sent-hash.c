/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/sent-hash.h */
#include "migration/ram/sent-hash.h"

#include "tests/lib/expect-error.h"
#include "tests/lib/test-ram.h"

typedef struct World {
    TestRam *ram;
    SentHash *sent;
    PageHash zero;
} World;

static void world_init(World *w)
{
    g_autoptr(GError) err = NULL;

    w->ram = test_ram_new(500, 20);
    w->sent = sent_hash_new(w->ram->blocks, &err);
    g_assert_no_error(err);
    w->zero = page_hash_zero(sent_hash_key(w->sent));
}

static void world_destroy(World *w)
{
    sent_hash_free(w->sent);
    test_ram_free(w->ram);
}

static PageHash take(World *w, const RamBlock *block, uint64_t page)
{
    const RamBatch batch = { .block = block, .count = 1, .page = { page } };
    PageHash hash;

    sent_hash_take(w->sent, &batch, &hash);
    return hash;
}

static void put(World *w, const RamBlock *block, uint64_t page, PageHash hash)
{
    const RamBatch batch = { .block = block, .count = 1, .page = { page } };

    sent_hash_put(w->sent, &batch, &hash);
}

static void assert_equal(PageHash a, PageHash b)
{
    g_assert_cmphex(a.low, ==, b.low);
    g_assert_cmphex(a.high, ==, b.high);
}

static void test_empty(void)
{
    World w;

    world_init(&w);
    for (uint64_t i = 0; i < w.ram->a->pages; i++) {
        g_assert_false(page_hash_is_known(take(&w, w.ram->a, i)));
    }
    world_destroy(&w);
    sent_hash_free(NULL);
}

/* What was taken is with the one who took it: not known here. */
static void test_taken(void)
{
    const PageHash hash = { 7, 8 };
    World w;

    world_init(&w);
    put(&w, w.ram->a, 3, hash);
    put(&w, w.ram->a, 4, w.zero);
    assert_equal(take(&w, w.ram->a, 3), hash);
    assert_equal(take(&w, w.ram->a, 4), w.zero);
    g_assert_false(page_hash_is_known(take(&w, w.ram->a, 3)));
    g_assert_false(page_hash_is_known(take(&w, w.ram->a, 4)));
    world_destroy(&w);
}

/* Zero, something, zero: the last counts, and nothing of it stays behind. */
static void test_turns(void)
{
    const PageHash hash = { 0, 8 };
    World w;

    world_init(&w);
    for (unsigned i = 0; i < 3; i++) {
        put(&w, w.ram->a, 3, w.zero);
        assert_equal(take(&w, w.ram->a, 3), w.zero);
        put(&w, w.ram->a, 3, hash);
        assert_equal(take(&w, w.ram->a, 3), hash);
        put(&w, w.ram->a, 3, (PageHash){ 0 });
        g_assert_false(page_hash_is_known(take(&w, w.ram->a, 3)));
    }
    world_destroy(&w);
}

static void test_batch(void)
{
    RamBatch batch = { .count = 3, .page = { 0, 64, 499 } };
    PageHash in[3] = { { 1, 2 }, { 0, 0 }, { 3, 4 } }, out[3];
    World w;

    world_init(&w);
    batch.block = w.ram->a;
    sent_hash_put(w.sent, &batch, in);
    sent_hash_take(w.sent, &batch, out);
    g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
    world_destroy(&w);
}

static void test_blocks(void)
{
    World w;

    world_init(&w);
    put(&w, w.ram->a, 3, (PageHash){ 1, 2 });
    put(&w, w.ram->b, 3, (PageHash){ 3, 4 });
    assert_equal(take(&w, w.ram->a, 3), (PageHash){ 1, 2 });
    assert_equal(take(&w, w.ram->b, 3), (PageHash){ 3, 4 });
    world_destroy(&w);
}

static void test_zeros(void)
{
    RamRun run = { .page = 10, .count = 200 };
    World w;

    world_init(&w);
    run.block = w.ram->a;
    sent_hash_put_zeros(w.sent, &run);
    for (uint64_t i = 0; i < w.ram->a->pages; i++) {
        PageHash hash = take(&w, w.ram->a, i);

        g_assert_cmpint(page_hash_equal(hash, w.zero), ==,
                        i >= 10 && i < 210);
        g_assert_cmpint(page_hash_is_known(hash), ==, i >= 10 && i < 210);
    }
    g_assert_false(page_hash_is_known(take(&w, w.ram->b, 10)));
    world_destroy(&w);
}

/* RAM whose hashes have no room is refused, and nothing aborts. */
static void test_no_memory(void)
{
    RamBlock block[] = { { .name = "a", .pages = 1 },
                         { .name = "b", .pages = UINT64_MAX / 8 } };
    const RamBlocks blocks = { .block = block, .count = 2 };
    g_autoptr(GError) err = NULL;

    g_assert_null(sent_hash_new(&blocks, &err));
    expect_error(&err, MIG_ERROR_HOST, "no memory for hashes");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sent-hash/empty", test_empty);
    g_test_add_func("/sent-hash/taken", test_taken);
    g_test_add_func("/sent-hash/turns", test_turns);
    g_test_add_func("/sent-hash/batch", test_batch);
    g_test_add_func("/sent-hash/blocks", test_blocks);
    g_test_add_func("/sent-hash/zeros", test_zeros);
    g_test_add_func("/sent-hash/no-memory", test_no_memory);
    return g_test_run();
}
