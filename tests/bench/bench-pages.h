/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pages that are not zero of a RAM image, for benchmarks. */
#ifndef BENCH_PAGES_H
#define BENCH_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "migration/pack/codec.h"
#include "migration/ram/blocks.h"

#define BENCH_PAGES 30000 /* unless the command line says otherwise */

/* Anonymous memory that is there already. */
uint8_t *bench_map(size_t bytes);
void bench_unmap(uint8_t *p, size_t bytes);

/* A file, as it is.  Exits on an error. */
typedef struct BenchImage {
    const uint8_t *bytes;
    uint64_t pages;
} BenchImage;

BenchImage bench_open_image(const char *path);
void bench_close_image(BenchImage *image);

/* At most max pages, as one block without gaps.  Exits on an error. */
RamBlock bench_load(const char *path, uint64_t max);

/* From IMAGE and [PAGES] on a command line. */
RamBlock bench_load_args(int argc, char **argv);
void bench_unload(RamBlock *block);

/* 10^6 bytes of the block's pages for each second, and for each second of CPU
 * time of all threads: which is the same however busy the machine is. */
typedef struct BenchRate {
    double time, cpu;
} BenchRate;

typedef struct BenchBegin {
    int64_t time, cpu; /* ns */
} BenchBegin;

BenchBegin bench_begin(void);
BenchRate bench_end(const RamBlock *block, BenchBegin begin);

/* The block's pages, encoded some at a time. */
typedef struct BenchUnits {
    const RamBlock *block;
    unsigned pages;    /* at a time */
    uint8_t *encoded;  /* as large as the block: a unit stands where its pages
                        * stood */
    uint32_t *length;  /* by a unit's first page; 0: does not shrink */
} BenchUnits;

void bench_units_init(BenchUnits *units, const RamBlock *block);
void bench_units_destroy(BenchUnits *units);
unsigned bench_unit_pages(const BenchUnits *units, uint64_t first);
BenchRate bench_encode(BenchUnits *units, const Codec *codec, unsigned level);
/* What did not shrink is left out. */
BenchRate bench_decode(const BenchUnits *units, const Codec *codec);

#endif
