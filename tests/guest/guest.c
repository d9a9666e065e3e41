/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guests share: serial port, clock, command line, random numbers.
 *
 * Nothing here keeps state, so that any CPU may call it.  The PM timer is 24
 * bits wide in QEMU and 32 in ferry-vm: only the low 24 are looked at, and a
 * difference modulo 2^24 is right across the wrap.
 */
#include <stddef.h>

#include "tests/guest/guest.h"

enum {
    UART_DATA = 0x3f8,
    UART_LINE_STATUS = 0x3fd,
    UART_CAN_SEND = 0x20,
    PM_TIMER = 0x608,
    PM_TIMER_MASK = 0xffffff,
    IDLE = 0xfe10,
    NUMBER_MAX = 1000000000,
};

static const uint64_t MAPPED_BYTES = 1ULL << 32;

/* The first byte after the image, its stacks included (guest.ld). */
extern const char guest_end[];

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

Range usable_ram(const BootInfo *info)
{
    uint64_t start = ((uintptr_t)guest_end + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t end = info->ram_bytes < MAPPED_BYTES ? info->ram_bytes
                                                  : MAPPED_BYTES;

    return (Range){ start * PAGE_SIZE, end / PAGE_SIZE - start };
}

void put_char(char c)
{
    while (!(in8(UART_LINE_STATUS) & UART_CAN_SEND)) {
    }
    out8(UART_DATA, (uint8_t)c);
}

void put_string(const char *s)
{
    while (*s) {
        put_char(*s++);
    }
}

static void put_number(uint64_t n, unsigned base)
{
    char digits[20];
    int length = 0;

    do {
        digits[length++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (length) {
        put_char(digits[--length]);
    }
}

void put_decimal(uint64_t n)
{
    put_number(n, 10);
}

void put_range(const char *name, Range range)
{
    put_string(name);
    put_string(": start=0x");
    put_number(range.start, 16);
    put_string(" pages=");
    put_decimal(range.pages);
}

uint32_t clock_advance(Clock *clock)
{
    uint32_t now = in32(PM_TIMER);
    uint32_t passed = (now - clock->last) & PM_TIMER_MASK;

    clock->last = now;
    return passed;
}

void idle(uint32_t microseconds)
{
    out32(IDLE, microseconds);
}

/* What follows `prefix` in `s`, or NULL where `s` begins otherwise. */
static const char *after(const char *s, const char *prefix)
{
    while (*prefix) {
        if (*s++ != *prefix++) {
            return NULL;
        }
    }
    return s;
}

/* The value of `key` up to the end of the command line, or NULL. */
static const char *option_find(const BootInfo *info, const char *key)
{
    const char *word = (const char *)(uintptr_t)info->cmdline;

    while (*word) {
        const char *rest = after(word, key);

        if (rest && *rest == '=') {
            return rest + 1;
        }
        while (*word && *word++ != ' ') {
        }
    }
    return NULL;
}

uint64_t option_number(const BootInfo *info, const char *key, uint64_t absent)
{
    const char *s = option_find(info, key);
    uint64_t n = 0;

    if (!s) {
        return absent;
    }
    for (; *s >= '0' && *s <= '9' && n < NUMBER_MAX; s++) {
        n = n * 10 + (uint64_t)(*s - '0');
    }
    return n < NUMBER_MAX ? n : NUMBER_MAX;
}

bool option_is(const BootInfo *info, const char *key, const char *value)
{
    const char *found = option_find(info, key);
    const char *rest = found ? after(found, value) : NULL;

    return rest && (*rest == '\0' || *rest == ' ');
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
