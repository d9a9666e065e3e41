/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/test-ram.h"

#include <string.h>
#include <sys/mman.h>

TestRam *test_ram_new(uint64_t pages_a, uint64_t pages_b)
{
    const uint64_t pages[] = { pages_a, pages_b };
    TestRam *ram = g_new0(TestRam, 1);
    size_t count = pages_b ? 2 : 1;

    for (size_t i = 0; i < count; i++) {
        MigRamBlock *block = &ram->host[i];

        block->name = i ? "b" : "a";
        block->length = pages[i] * MIG_PAGE_SIZE;
        block->host = mmap(NULL, block->length, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(block->host != MAP_FAILED);
    }
    ram->blocks = ram_blocks_new(ram->host, count, NULL);
    ram->a = ram_blocks_find(ram->blocks, "a");
    ram->b = ram_blocks_find(ram->blocks, "b");
    return ram;
}

void test_ram_free(TestRam *ram)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        munmap(ram->host[i].host, ram->host[i].length);
    }
    ram_blocks_free(ram->blocks);
    g_free(ram);
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

void test_page_fill(uint8_t *page, PageKind kind, uint32_t seed)
{
    uint64_t state = seed;

    if (kind == PAGE_ZERO) {
        memset(page, 0, MIG_PAGE_SIZE);
        return;
    }
    for (unsigned i = 0; i < MIG_PAGE_SIZE; i += 8) {
        uint64_t random = next_random(&state);

        for (unsigned k = 0; k < 8; k++) {
            uint8_t byte = (uint8_t)(random >> 8 * k);

            page[i + k] = kind == PAGE_NOISE ? byte
                                             : (uint8_t)"ferry"[byte % 5];
        }
    }
}

void test_ram_fill(TestRam *ram, uint32_t seed)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        const RamBlock *block = &ram->blocks->block[i];

        for (uint64_t n = 0; n < block->pages; n++) {
            test_page_fill(ram_block_page(block, n), seed % PAGE_KINDS, seed);
            seed++;
        }
    }
}

void test_ram_assert_same(const TestRam *x, const TestRam *y)
{
    for (unsigned i = 0; i < x->blocks->count; i++) {
        const RamBlock *a = &x->blocks->block[i];
        const RamBlock *b = &y->blocks->block[i];

        g_assert_cmpmem(a->host, a->pages * MIG_PAGE_SIZE, b->host,
                        b->pages * MIG_PAGE_SIZE);
    }
}
