/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/blocks.h: the rules of host.h for blocks, one by one. */
#include "migration/ram/blocks.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"

/* Never read or written: only its address counts. */
#define SOMEWHERE ((uint8_t *)(uintptr_t)0x10000000)

static MigRamBlock good(const char *name)
{
    return (MigRamBlock){ name, SOMEWHERE, 4 * MIG_PAGE_SIZE };
}

static void refuse(const MigRamBlock *block, size_t count, const char *text)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(ram_blocks_new(block, count, &err));
    expect_error(&err, MIG_ERROR_HOST, text);
}

static void refuse_one(MigRamBlock block, const char *text)
{
    const MigRamBlock blocks[] = { good("good"), block };

    refuse(&block, 1, text);
    refuse(blocks, 2, text);
}

static void test_good(void)
{
    const MigRamBlock host[] = {
        good("pc.ram"),
        { "vga.vram", SOMEWHERE + MIG_PAGE_SIZE, MIG_PAGE_SIZE },
    };
    RamBlocks *blocks = ram_blocks_new(host, 2, NULL);

    g_assert_cmpuint(blocks->count, ==, 2);
    g_assert_cmpuint(blocks->pages, ==, 5);
    g_assert_cmpuint(ram_blocks_bytes(blocks), ==, 5 * MIG_PAGE_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        const RamBlock *block = &blocks->block[i];

        g_assert_cmpstr(block->name, ==, host[i].name);
        g_assert_true(block->host == host[i].host);
        g_assert_cmpuint(block->pages, ==, host[i].length / MIG_PAGE_SIZE);
        g_assert_cmpuint(block->index, ==, i);
        g_assert_true(ram_blocks_find(blocks, host[i].name) == block);
    }
    g_assert_true(ram_block_page(&blocks->block[0], 3) ==
                  SOMEWHERE + 3 * MIG_PAGE_SIZE);
    g_assert_null(ram_blocks_find(blocks, "pc.ra"));
    g_assert_null(ram_blocks_find(blocks, "pc.ramx"));
    g_assert_null(ram_blocks_find(blocks, ""));
    ram_blocks_free(blocks);
    ram_blocks_free(NULL);
}

static void test_names(void)
{
    g_autofree char *longest = g_strnfill(255, 'n');
    g_autofree char *longer = g_strnfill(256, 'n');
    MigRamBlock block = good(longest);
    RamBlocks *blocks = ram_blocks_new(&block, 1, NULL);

    g_assert_true(ram_blocks_find(blocks, longest) == blocks->block);
    ram_blocks_free(blocks);
    refuse_one(good(longer), "has a name that is empty or too long");
    refuse_one(good(""), "RAM block '' has a name that is empty");
    refuse_one(good(NULL), "RAM block '' has a name that is empty");
}

/* As many as a stream can have, in no order, with names that are told apart by
 * their last byte but two.  To compare with each takes minutes. */
static void test_many(void)
{
    g_autofree MigRamBlock *host = g_new(MigRamBlock, WIRE_BLOCKS_MAX);
    g_autofree char *same = g_strnfill(250, 'n');
    RamBlocks *blocks;

    for (unsigned i = 0; i < WIRE_BLOCKS_MAX; i++) {
        host[i] = good(g_strdup_printf("%s%04x", same, i * 2731 % 4096));
    }
    blocks = ram_blocks_new(host, WIRE_BLOCKS_MAX, NULL);
    for (unsigned i = 0; i < 200 * WIRE_BLOCKS_MAX; i++) {
        unsigned n = i % WIRE_BLOCKS_MAX;

        g_assert_true(ram_blocks_find(blocks, host[n].name) ==
                      &blocks->block[n]);
        g_assert_null(ram_blocks_find(blocks, same));
    }
    ram_blocks_free(blocks);
    for (unsigned i = 0; i < WIRE_BLOCKS_MAX; i++) {
        g_free((char *)host[i].name);
    }
}

static void test_memory(void)
{
    MigRamBlock block = good("x");

    block.host = NULL;
    refuse_one(block, "RAM block 'x' is not page-aligned in memory");
    for (unsigned shift = 1; shift < MIG_PAGE_SIZE; shift <<= 1) {
        block.host = SOMEWHERE + shift;
        refuse_one(block, "RAM block 'x' is not page-aligned in memory");
    }
}

static void test_length(void)
{
    static const uint64_t lengths[] = {
        0, 1, MIG_PAGE_SIZE - 1, MIG_PAGE_SIZE + 1, 7 * MIG_PAGE_SIZE + 512,
    };
    MigRamBlock block = good("x");

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        block.length = lengths[i];
        refuse_one(block, "RAM block 'x' has a length that is not a number");
    }
}

static void test_unique(void)
{
    const MigRamBlock blocks[] = { good("a"), good("b"), good("a") };

    refuse(blocks, 3, "two RAM blocks are called 'a'");
}

static void test_count(void)
{
    g_autofree MigRamBlock *host = g_new0(MigRamBlock, WIRE_BLOCKS_MAX + 1);
    g_autofree char *names = g_new0(char, 8 * (WIRE_BLOCKS_MAX + 1));
    RamBlocks *blocks;

    for (unsigned i = 0; i <= WIRE_BLOCKS_MAX; i++) {
        g_snprintf(names + 8 * i, 8, "%u", i);
        host[i] = good(names + 8 * i);
    }
    refuse(host, 0, "the host has 0 RAM blocks, expected 1 to 4096");
    refuse(host, WIRE_BLOCKS_MAX + 1, "the host has 4097 RAM blocks");
    blocks = ram_blocks_new(host, WIRE_BLOCKS_MAX, NULL);
    g_assert_cmpuint(blocks->count, ==, WIRE_BLOCKS_MAX);
    g_assert_cmpuint(ram_blocks_find(blocks, "4095")->index, ==, 4095);
    ram_blocks_free(blocks);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-blocks/good", test_good);
    g_test_add_func("/ram-blocks/names", test_names);
    g_test_add_func("/ram-blocks/many", test_many);
    g_test_add_func("/ram-blocks/memory", test_memory);
    g_test_add_func("/ram-blocks/length", test_length);
    g_test_add_func("/ram-blocks/unique", test_unique);
    g_test_add_func("/ram-blocks/count", test_count);
    return g_test_run();
}
