/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM that lies in a file, each page at its place (mapped-ram). */
#ifndef TOOLS_INSPECT_MAPPED_RAM_H
#define TOOLS_INSPECT_MAPPED_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/ram-list.h"
#include "tools/inspect/containers/input.h"

typedef struct MappedFile {
    Input *input;
    int fd;         /* input_file()'s */
    uint64_t begin; /* where in the file the stream's byte 0 is */
} MappedFile;

/* Some pages in a row, at most MAPPED_RUN_MAX, which are at this offset in the
 * file. */
#define MAPPED_RUN_MAX 16384u

typedef bool MappedRun(void *opaque, uint64_t first, uint64_t count,
                       uint64_t offset, GError **errp);

/*
 * Tell all pages of a block that its bitmap has, in order; the others are zero.
 * MIG_ERROR_EOF where the file ends before the bitmap does, or before a page
 * that it has.
 */
bool mapped_ram_walk(const MappedFile *file, const RamListEntry *entry,
                     MappedRun *run, void *opaque, GError **errp);

#endif
