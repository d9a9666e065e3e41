/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bitmap with an index: the next set bit is found at once, however far away
 * it is.  Memory of bits that were never set is not touched.  Bits are numbered
 * from 0.
 */
#ifndef UTIL_BIT_TREE_H
#define UTIL_BIT_TREE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BitTree BitTree;

BitTree *bit_tree_new(uint64_t bits); /* all clear */
void bit_tree_free(BitTree *tree);    /* NULL is fine */

bool bit_tree_test(const BitTree *tree, uint64_t bit);
void bit_tree_set(BitTree *tree, uint64_t bit);
void bit_tree_clear(BitTree *tree, uint64_t bit);

/* The first set bit from start on, before end; end if there is none.  end is at
 * most the number of bits. */
uint64_t bit_tree_next(const BitTree *tree, uint64_t start, uint64_t end);

#endif
