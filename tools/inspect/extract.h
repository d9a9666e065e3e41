/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A RAM block as a sparse file, which is its memory at the same time. */
#ifndef TOOLS_INSPECT_EXTRACT_H
#define TOOLS_INSPECT_EXTRACT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Extract Extract;

/* Make a file, mode 0600, that is not there yet.  It reads as zero.  Its name
 * appears when it is finished, where the file system can do that. */
Extract *extract_new(const char *path, uint64_t pages, GError **errp);

/* All pages; one may be written once extract_page() has made room for it. */
uint8_t *extract_memory(Extract *extract);

/* Pages are about to be made zero; or one to be written. */
void extract_zeros(Extract *extract, uint64_t first, uint64_t count);
bool extract_page(Extract *extract, uint64_t page, GError **errp);

/* Nothing more will be written: make holes of zero pages, and keep the file.
 * True: it is on the disk. */
bool extract_finish(Extract *extract, GError **errp);

/* A file that was not finished is removed.  NULL is fine. */
void extract_free(Extract *extract);

#endif
