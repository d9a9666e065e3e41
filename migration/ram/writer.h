/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a batch's records to memory, and counts them.  Zero pages in a row
 * become one record if the reader takes ranges.  Only the first record names
 * the block.
 */
#ifndef MIGRATION_RAM_WRITER_H
#define MIGRATION_RAM_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/ram/stats.h"

typedef struct RamWriter {
    uint8_t *to;      /* where the next byte goes */
    const char *name; /* the block's; NULL once a record has it */
    bool zero_ranges; /* the reader takes ranges of zero pages */
    uint64_t zero;    /* the first page of a run of zero pages, */
    uint64_t zeros;   /* which has so many, perhaps none */
    PageCounts counts;
} RamWriter;

/* Add a zero page.  Its record is written when the run ends: before the next
 * record, or by ram_writer_end_zeros(). */
void ram_writer_add_zero(RamWriter *w, uint64_t page);
void ram_writer_end_zeros(RamWriter *w);

/* Write the head of a plain page.  The caller writes the page's data next. */
void ram_writer_put_plain_head(RamWriter *w, uint64_t page);

/* The caller has written a record of so many bytes, with its data, at w->to. */
void ram_writer_advance(RamWriter *w, size_t size);

#endif
