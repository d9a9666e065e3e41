/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest RAM for tests: one or two blocks of fresh, page-aligned memory. */
#ifndef TESTS_TEST_RAM_H
#define TESTS_TEST_RAM_H

#include <glib.h>
#include <stdint.h>

#include "migration/ram/blocks.h"

typedef struct TestRam {
    MigRamBlock host[2]; /* called "a" and "b" */
    RamBlocks *blocks;
    const RamBlock *a, *b; /* b: NULL when there is one block */
} TestRam;

/* pages_b may be 0: one block.  All pages are zero. */
TestRam *test_ram_new(uint64_t pages_a, uint64_t pages_b);
void test_ram_free(TestRam *ram);

typedef enum {
    PAGE_ZERO,
    PAGE_TEXT,  /* shrinks to less than a half */
    PAGE_NOISE, /* does not shrink */
    PAGE_KINDS
} PageKind;

/* The same bytes for the same kind and seed; different ones for others. */
void test_page_fill(uint8_t *page, PageKind kind, uint32_t seed);

/* Every page of every block, with kinds in turn. */
void test_ram_fill(TestRam *ram, uint32_t seed);

void test_ram_assert_same(const TestRam *x, const TestRam *y);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestRam, test_ram_free)

#endif
