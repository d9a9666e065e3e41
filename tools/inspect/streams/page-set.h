/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of page numbers.  Time and memory go by how often pages were added or
 * taken out, and not by how many pages at once, or by their numbers.
 */
#ifndef TOOLS_INSPECT_PAGE_SET_H
#define TOOLS_INSPECT_PAGE_SET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Pages that share a piece of memory.  Pages in different chunks share none. */
#define PAGE_SET_CHUNK 512u

typedef struct PageSet PageSet;

PageSet *page_set_new(void);
void page_set_free(PageSet *set); /* NULL is fine */
void page_set_clear(PageSet *set);

/* Add pages.  Returns how many of them were not there before. */
uint64_t page_set_add(PageSet *set, uint64_t first, uint64_t count);
void page_set_add_set(PageSet *set, const PageSet *more);

/* Take pages out.  Returns how many of them were there. */
uint64_t page_set_remove(PageSet *set, uint64_t first, uint64_t count);

/* Is any of these pages there? */
bool page_set_has(PageSet *set, uint64_t first, uint64_t count);

/* How many pieces of memory, of about 150 bytes, the set has.  At most three
 * for each time that pages were added or taken out, and at most one for each
 * chunk. */
unsigned page_set_pieces(const PageSet *set);

#endif
