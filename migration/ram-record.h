/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of the ram section: one writer, to memory, and one reader, from
 * a stream.
 */
#ifndef MIGRATION_RAM_RECORD_H
#define MIGRATION_RAM_RECORD_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/stream.h"

/*
 * Write what stands before a record's data: the u64, the block's name unless
 * it is NULL (CONTINUE), the fill byte of a zero page.  Returns the bytes
 * written, at most WIRE_RECORD_HEAD_MAX.
 */
size_t ram_record_put_zero(uint8_t *to, uint64_t offset, const char *name);
size_t ram_record_put_plain(uint8_t *to, uint64_t offset, const char *name);
size_t ram_record_put_compressed(uint8_t *to, uint64_t offset,
                                 const char *name, uint32_t length);

/* The u64 of MEM_SIZE (value: bytes of RAM) and of EOS (value: 0). */
void ram_record_put_mem_size(Stream *s, uint64_t total);
void ram_record_put_eos(Stream *s);

typedef struct RamRecord {
    unsigned type;     /* WIRE_RAM_ZERO, _PLAIN, _COMPRESSED, _MEM_SIZE, _EOS */
    bool has_name;     /* else the block of the record before */
    char name[256];
    uint64_t offset;   /* bytes in the block; MEM_SIZE: the total */
    uint32_t length;   /* COMPRESSED: bytes of data, 1..WIRE_COMPRESSED_MAX */
    uint64_t position; /* where in the stream it starts */
} RamRecord;

/*
 * Read one record up to its data: a plain page's MIG_PAGE_SIZE bytes and a
 * compressed page's length bytes are left in the stream.  Legal here: a
 * known type with one flag, offset a multiple of the page size (but for
 * MEM_SIZE), length within limits, fill byte 0.
 */
bool ram_record_get(Stream *s, RamRecord *record, GError **errp);

#endif
