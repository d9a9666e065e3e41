/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of the ram section: one writer, to memory, and one reader, from
 * a stream.
 */
#ifndef MIGRATION_WIRE_RAM_RECORD_H
#define MIGRATION_WIRE_RAM_RECORD_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/wire/stream.h"
#include "migration/wire/wire.h"

/*
 * Write what stands before a record's data: the u64, the block's name unless
 * that is NULL (CONTINUE), and what the record's type adds.  Returns the bytes
 * written, at most WIRE_RECORD_HEAD_MAX.
 */
size_t ram_record_put_zero(uint8_t *to, uint64_t offset, const char *name);
size_t ram_record_put_plain(uint8_t *to, uint64_t offset, const char *name);
size_t ram_record_put_compressed(uint8_t *to, uint64_t offset,
                                 const char *name, uint32_t length);

/* The data is of xbzrle_encode(). */
size_t ram_record_put_xbzrle(uint8_t *to, uint64_t offset, const char *name,
                             uint16_t length);

/* Only a Ferry that has announced them reads ranges and batches. */
size_t ram_record_put_zero_range(uint8_t *to, uint64_t offset,
                                 const char *name, uint64_t pages);

/* Zero pages in a row: one range if the reader takes ranges, otherwise a record
 * for each page. */
size_t ram_record_put_zeros(uint8_t *to, uint64_t page, const char *name,
                            uint64_t count, bool as_range);

/* Pages of one block by number, ascending; ram_record_follows() for each. */
typedef struct RamPages {
    unsigned count; /* 1..WIRE_BATCH_PAGES_MAX */
    uint64_t page[WIRE_BATCH_PAGES_MAX];
} RamPages;

size_t ram_record_put_batch(uint8_t *to, const RamPages *pages,
                            const char *name, uint32_t length);
size_t ram_record_put_pack(uint8_t *to, const RamPages *pages,
                           const char *name, uint32_t length);

/* Can the page be the next in a batch? */
static inline bool ram_record_follows(const RamPages *pages, uint64_t page)
{
    return pages->count < WIRE_BATCH_PAGES_MAX &&
           page - pages->page[pages->count - 1] <= WIRE_BATCH_GAP_MAX;
}

/* The u64 of MEM_SIZE (value: bytes of RAM) and of EOS (value: 0). */
void ram_record_put_mem_size(Stream *s, uint64_t total);
void ram_record_put_eos(Stream *s);

typedef struct RamRecord {
    unsigned type;     /* WIRE_RAM_..., with one flag */
    bool has_name;     /* else the block of the record before */
    char name[256];
    uint64_t offset;   /* bytes in the block; MEM_SIZE: the total */
    uint32_t length;   /* bytes of data.  COMPRESSED: 1..WIRE_COMPRESSED_MAX;
                        * XBZRLE: 1..MIG_PAGE_SIZE; BATCH: less than the
                        * pages have */
    uint64_t range;    /* ZERO and ZERO_RANGE: pages, at least 1 */
    RamPages pages;    /* COMPRESSED and BATCH: the pages in the data */
    uint64_t position; /* where in the stream the record starts */
} RamRecord;

/*
 * Read one record up to its data: a plain page's MIG_PAGE_SIZE bytes, and a
 * compressed page's, a page's changes' or a batch's length bytes, are left in
 * the stream.  Legal here: a known type with one flag, offset a multiple of the
 * page size (but for MEM_SIZE), lengths and counts within limits, pages
 * ascending, fill byte 0.
 *
 * MIG_ERROR_UNSUPPORTED is for a type that QEMU has and Ferry lacks.  Then the
 * u64 has been read, and type, has_name and offset are set.
 */
bool ram_record_get(Stream *s, RamRecord *record, GError **errp);

#endif
