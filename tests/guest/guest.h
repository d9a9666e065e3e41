/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a freestanding guest has: docs/machine.md in C.
 *
 * A guest is start.S, guest.c and one file with a guest_main().  The same
 * sources make two images: X.elf for ferry-vm, and, with multiboot.S,
 * X.multiboot for `qemu-system-x86_64 -machine pc -kernel`.  There is no C
 * library, no interrupt and no SSE; RAM is mapped at its physical addresses.
 */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

/* For the assembler too. */
#define BOOT_MAGIC 0x49425246
#define MAX_CPUS   64

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

enum {
    PAGE_SIZE = 4096,
    PAGES_PER_MIB = 256,
    TIMER_HZ = 3579545,
};

/* start.S has checked the magic number. */
typedef struct BootInfo {
    uint32_t magic;
    uint32_t version;
    uint64_t ram_bytes;
    uint32_t cpus;
    uint32_t cmdline_length;
    uint64_t cmdline;
} BootInfo;

_Static_assert(sizeof(BootInfo) == 32, "the boot info of docs/machine.md");

/* Whole pages of RAM. */
typedef struct Range {
    uint64_t start;
    uint64_t pages;
} Range;

/* One CPU's view of the PM timer; before use, one clock_advance() sets it. */
typedef struct Clock {
    uint32_t last;
} Clock;

/* Every CPU enters here, on its own stack; a CPU that returns halts. */
void guest_main(const BootInfo *info, unsigned cpu);

/*
 * RAM that is mapped and above the image.  Under multiboot the command line
 * lies in it too: look up all options before the first write.
 */
Range usable_ram(const BootInfo *info);

/* The serial port; for one CPU at a time. */
void put_char(char c);
void put_string(const char *s);
void put_decimal(uint64_t n);
/* "NAME: start=0x200000 pages=512", for tests that look at the pages later. */
void put_range(const char *name, Range range);

/*
 * Ticks of guest time, TIMER_HZ a second, since the last call.  A caller that
 * calls it less often than every 4.6 seconds loses multiples of that time.
 */
uint32_t clock_advance(Clock *clock);

/* Give the CPU back to the host for at most this time (QEMU: no time at
 * all). */
void idle(uint32_t microseconds);

/*
 * Words `key=value` of the command line.  A number is decimal and ends at the
 * first other character; above 10^9 it counts as 10^9.
 */
uint64_t option_number(const BootInfo *info, const char *key, uint64_t absent);
bool option_is(const BootInfo *info, const char *key, const char *value);

/* splitmix64 (Steele, Lea, Flood 2014): any state is a good seed. */
uint64_t random_next(uint64_t *state);

#endif
#endif
