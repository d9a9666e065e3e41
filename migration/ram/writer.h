/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of a batch, written to memory: zero pages in a row become one
 * record where the reader takes ranges, only the first record names the block,
 * and each is counted.
 */
#ifndef MIGRATION_RAM_WRITER_H
#define MIGRATION_RAM_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/ram/stats.h"

typedef struct RamWriter {
    uint8_t *to;      /* where the next byte goes */
    const char *name; /* of the block; NULL: a record has it already */
    bool zero_ranges; /* whether the reader takes them */
    uint64_t zero;    /* the first of a run of zero pages, */
    uint64_t zeros;   /* how many, perhaps none */
    PageCounts counts;
} RamWriter;

/* The page is zero.  Its record is written when the run has ended: before the
 * next record, or by ram_writer_end_zeros(). */
void ram_writer_add_zero(RamWriter *w, uint64_t page);
void ram_writer_end_zeros(RamWriter *w);

/* What stands before a plain page's data, which has to follow. */
void ram_writer_put_plain_head(RamWriter *w, uint64_t page);

/* A record of so many bytes, its data among them, was written at w->to. */
void ram_writer_advance(RamWriter *w, size_t size);

#endif
