/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ram section without the frame around it: the list of blocks, then
 * records.  The list is read again as a reader does that learns the blocks from
 * it.
 */
#include "migration/wire/ram-list.h"
#include "migration/ram/load.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/load-section.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"
#include "util/clock.h"

#define LIST_MAX (UINT64_C(1) << 40)

static void load(const uint8_t *data, size_t size)
{
    MemReader *r = mem_reader_new_static(data, size);
    TestRam *ram = test_ram_new(70, 3);
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    RamLoad *loader = ram_load_new(r->stream, ram->blocks, 1, &counted);

    if (load_blocks(loader, r->stream, NULL)) {
        while (load_section(loader, r->stream, NULL)) {
            continue;
        }
    }
    ram_load_drain(loader, NULL);
    ram_load_free(loader);
    stats_free(stats);
    test_ram_free(ram);
    mem_reader_free(r);
}

static void learn(const uint8_t *data, size_t size)
{
    MemReader *r = mem_reader_new_static(data, size);
    RamListForm form = { .page_sizes = size & 1, .addresses = size & 2 };

    ram_list_free(ram_list_get(r->stream, form, LIST_MAX, NULL));
    mem_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load(data, size);
    learn(data, size);
    return 0;
}
