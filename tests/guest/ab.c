/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ab: a guest whose RAM shows whether a migration lost or mixed up a write.
 *
 *   ws=MiB    the working set, from the end of the image (absent or 0: all RAM
 *             up to 4 GiB)
 *
 * For ever, one round increments the first byte of every page of the working
 * set, in order; after each round the next letter a..z goes to the serial port.
 * So in RAM of a stopped guest these bytes, in order of pages, are v+1 up to
 * some page and v (modulo 256) from there on: one step at most.  The other
 * bytes of a page are left as they were.
 *
 * Each CPU takes an equal part of the working set and goes round in it by
 * itself; CPU 0 does all the printing.  Before the first letter there is one
 * line for each CPU's part, and the rule above holds for each part by itself:
 *
 *   ab: start=0x142000 pages=1024
 */
#include <stdatomic.h>

#include "tests/guest/guest.h"

static Range working_set(const BootInfo *info)
{
    Range range = usable_ram(info);
    uint64_t ws = option_number(info, "ws", 0);

    if (ws > 0 && ws * PAGES_PER_MIB < range.pages) {
        range.pages = ws * PAGES_PER_MIB;
    }
    return range;
}

static Range part_of(Range all, unsigned cpu, unsigned cpus)
{
    uint64_t first = all.pages * cpu / cpus;
    uint64_t end = all.pages * (cpu + 1) / cpus;

    return (Range){ all.start + first * PAGE_SIZE, end - first };
}

static volatile uint8_t *page_at(Range range, uint64_t index)
{
    return (volatile uint8_t *)(uintptr_t)(range.start + index * PAGE_SIZE);
}

/* RAM may come from an image: the first round needs a v to start from. */
static void clear(Range range)
{
    for (uint64_t i = 0; i < range.pages; i++) {
        *page_at(range, i) = 0;
    }
}

static void increment(Range range)
{
    for (uint64_t i = 0; i < range.pages; i++) {
        ++*page_at(range, i);
    }
}

/*
 * A line is a promise about its part, so it waits until that part is cleared.
 * Each CPU sets its own flag, once, and CPU 0 reads them: this is all that CPUs
 * share, and needs no locked instruction.
 */
static atomic_bool cleared[MAX_CPUS];

static void print_parts(Range all, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++) {
        while (!atomic_load_explicit(&cleared[i], memory_order_acquire)) {
            idle(100);
        }
        put_range("ab", part_of(all, i, cpus));
        put_char('\n');
    }
}

void guest_main(const BootInfo *info, unsigned cpu)
{
    Range all = working_set(info);
    unsigned cpus = info->cpus < MAX_CPUS ? info->cpus : MAX_CPUS;
    Range part = part_of(all, cpu, cpus);

    clear(part);
    atomic_store_explicit(&cleared[cpu], true, memory_order_release);
    if (cpu == 0) {
        print_parts(all, cpus);
    }
    for (unsigned round = 0;; round = (round + 1) % 26) {
        increment(part);
        if (cpu == 0) {
            put_char((char)('a' + round));
        }
    }
}
