/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/place.h: what memory holds, and which of it is touched. */
#include "migration/ram/place.h"

#include <string.h>

#include "tests/lib/test-ram.h"

typedef struct Fixture {
    TestRam *ram;
    RamPlace *place;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    f->ram = test_ram_new(16, 4);
    f->place = ram_place_new(f->ram->blocks);
}

static void tear_down(Fixture *f, const void *unused)
{
    ram_place_free(f->place);
    test_ram_free(f->ram);
}

static void assert_byte(const RamBlock *block, uint64_t page, uint8_t byte)
{
    const uint8_t *at = ram_block_page(block, page);

    for (unsigned i = 0; i < MIG_PAGE_SIZE; i++) {
        g_assert_cmphex(at[i], ==, byte);
    }
}

/* Pages that are apart come from one buffer, those in a row may be written. */
static void test_pages(Fixture *f, const void *unused)
{
    const uint64_t apart[] = { 2, 5, 6 }, row[] = { 9, 10 };
    uint8_t from[3 * MIG_PAGE_SIZE];

    for (unsigned i = 0; i < 3; i++) {
        memset(from + i * MIG_PAGE_SIZE, (int)i + 1, MIG_PAGE_SIZE);
    }
    g_assert_null(ram_place_direct(f->ram->a, apart, 3));
    ram_place_announce(f->place, f->ram->a, apart, 3);
    ram_place_pages(f->ram->a, apart, 3, from);
    for (unsigned i = 0; i < 3; i++) {
        assert_byte(f->ram->a, apart[i], (uint8_t)(i + 1));
    }
    g_assert_true(ram_place_direct(f->ram->a, row, 2) ==
                  ram_block_page(f->ram->a, 9));
}

/* Only what was announced is cleared: the rest is taken for zero. */
static void test_zeros(Fixture *f, const void *unused)
{
    const uint64_t page = 7;

    memset(ram_block_page(f->ram->a, 0), 0x55, 16 * MIG_PAGE_SIZE);
    ram_place_announce(f->place, f->ram->a, &page, 1);
    ram_place_zeros(f->place, f->ram->a, 0, 16);
    for (uint64_t i = 0; i < 16; i++) {
        assert_byte(f->ram->a, i, i == page ? 0 : 0x55);
    }
    memset(ram_block_page(f->ram->a, page), 0x66, MIG_PAGE_SIZE);
    ram_place_zeros(f->place, f->ram->a, 0, 16);
    assert_byte(f->ram->a, page, 0x66);
}

/* A block without memory takes everything and keeps nothing. */
static void test_no_memory(void)
{
    RamBlock block = { .name = "b", .pages = 8 };
    const RamBlocks blocks = { .block = &block, .count = 1, .pages = 8 };
    RamPlace *place = ram_place_new(&blocks);
    uint8_t from[MIG_PAGE_SIZE] = { 1 };
    const uint64_t page = 3;

    g_assert_null(ram_place_direct(&block, &page, 1));
    ram_place_announce(place, &block, &page, 1);
    ram_place_pages(&block, &page, 1, from);
    ram_place_zeros(place, &block, 0, 8);
    ram_place_free(place);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/ram/place/pages", Fixture, NULL, set_up, test_pages,
               tear_down);
    g_test_add("/ram/place/zeros", Fixture, NULL, set_up, test_zeros,
               tear_down);
    g_test_add_func("/ram/place/no-memory", test_no_memory);
    return g_test_run();
}
