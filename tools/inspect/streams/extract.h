/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A RAM block as a sparse file, which is at the same time its memory. */
#ifndef TOOLS_INSPECT_EXTRACT_H
#define TOOLS_INSPECT_EXTRACT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Extract Extract;

/* Make a new file, mode 0600, which reads as zero.  Where the file system can
 * do that, its name appears when it is finished. */
Extract *extract_new(const char *path, uint64_t pages, GError **errp);

/* The same in a folder, for a file that is never finished: memory that the disk
 * has room for. */
Extract *extract_new_scratch(const char *folder, uint64_t pages,
                             GError **errp);

/* All pages.  A page may be written once extract_page() has made room for
 * it. */
uint8_t *extract_memory(Extract *extract);

/*
 * A page is about to be written whole: where to put it.  Pages in a row are
 * collected there.  Before anything else is done with the file, and before its
 * memory is looked at, extract_flush() writes them.
 */
uint8_t *extract_place(Extract *extract, uint64_t page, GError **errp);
void extract_unplace(Extract *extract); /* the last one: it did not come */
bool extract_flush(Extract *extract, GError **errp);

/* Pages become zero; one page is about to be written.  clear: write zeros to
 * those that had content, which nobody else does. */
void extract_zeros(Extract *extract, uint64_t first, uint64_t count,
                   bool clear);
bool extract_page(Extract *extract, uint64_t page, GError **errp);

/* Pages come from a file, where they are at that offset.  They came for the
 * first time, so holes of that file need not be copied. */
bool extract_copy(Extract *extract, uint64_t first, uint64_t count, int fd,
                  uint64_t offset, GError **errp);

/* The first page from this one on that may have content; all others are zero.
 * The number of pages if there is none. */
uint64_t extract_next(const Extract *extract, uint64_t page);

/* Nothing more will be written: make holes of zero pages, and keep the file.
 * True: the file is on the disk. */
bool extract_finish(Extract *extract, GError **errp);

/* A file that was not finished is removed.  NULL is fine. */
void extract_free(Extract *extract);

#endif
