/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of pages by number, of which very many may be named at once.  Time and
 * memory go by how often pages were added, whatever their numbers are and
 * however many they were.
 */
#ifndef TOOLS_INSPECT_PAGE_SET_H
#define TOOLS_INSPECT_PAGE_SET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Pages that are kept together: sets of pages that are apart by so many have
 * nothing in common, also in memory. */
#define PAGE_SET_CHUNK 512u

typedef struct PageSet PageSet;

PageSet *page_set_new(void);
void page_set_free(PageSet *set); /* NULL is fine */
void page_set_clear(PageSet *set);

/* Add pages; how many of them were not there before. */
uint64_t page_set_add(PageSet *set, uint64_t first, uint64_t count);
void page_set_add_set(PageSet *set, const PageSet *more);

/* Is any of these there? */
bool page_set_has(PageSet *set, uint64_t first, uint64_t count);

/* How many pieces of memory it has, of about 150 bytes: no more than three for
 * each time that pages were added, and no more than there are chunks. */
unsigned page_set_pieces(const PageSet *set);

#endif
