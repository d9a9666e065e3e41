/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pages that are not zero of a RAM image, for benchmarks. */
#ifndef BENCH_PAGES_H
#define BENCH_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "migration/ram-blocks.h"

#define BENCH_PAGES 30000 /* unless the command line says otherwise */

/* Anonymous memory that is there already. */
uint8_t *bench_map(size_t bytes);
void bench_unmap(uint8_t *p, size_t bytes);

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

#endif
