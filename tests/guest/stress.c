/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stress: a guest that dirties pages at a given rate and beats time.
 *
 *   ws=MiB         the working set, at the top of RAM (0: none, just beat)
 *   rate=PAGES     pages written a second (0: as many as the CPU can)
 *   words=N        random 64-bit words written to each, at random places (8)
 *   beat=MS        a '.' on the serial port every so many ms (100; 0: none)
 *   mark=PAGES     a '+' whenever so many pages have been written (0: none)
 *   seed=N         of the random numbers (1)
 *   fill=KIND      of the working set at the start: keep (RAM as it is), zero,
 *                  random, or text (deflates to about a third)
 *
 * Once the working set is filled one line tells where it is, then come the
 * signs, 64 a line.  Only CPU 0 works; the others halt.
 *
 *   stress: start=0x8000000 pages=32768 rate=15000 beat=100
 *
 * Time is guest time, by the PM timer.  Each turn of the loop, about a
 * millisecond, writes as many pages as the time since the last one is worth.
 * What was missed for lack of CPU is made up, but for not more than 100 ms, so
 * that a long delay is not followed by a long burst.  Beats are never dropped:
 * their number tells guest time.  The number of marks tells what was really
 * written.
 */
#include "tests/guest/guest.h"

enum {
    WORDS_PER_PAGE = PAGE_SIZE / 8,
    BATCH = 64,                 /* most pages between two looks at the clock */
    TURN_US = 1000,
    NAP_US = 100000,            /* a turn where there is nothing to write */
    SIGNS_PER_LINE = 64,
};

/* Counts in pages times TIMER_HZ, to be exact without fractions. */
typedef struct Pacer {
    uint64_t rate;
    uint64_t credit;
} Pacer;

/* A sign on the serial port whenever another `period` has passed; 0: never. */
typedef struct Ticker {
    char sign;
    uint64_t period;
    uint64_t passed;
} Ticker;

static Range working_set(const BootInfo *info)
{
    Range range = usable_ram(info);
    uint64_t pages = option_number(info, "ws", 0) * PAGES_PER_MIB;

    if (pages < range.pages) {
        range.start += (range.pages - pages) * PAGE_SIZE;
        range.pages = pages;
    }
    return range;
}

static volatile uint64_t *page_at(Range range, uint64_t index)
{
    return (volatile uint64_t *)(uintptr_t)(range.start + index * PAGE_SIZE);
}

/* Eight characters from one of 256 places in some prose. */
static uint64_t text_word(uint8_t place)
{
    static const char prose[] =
        "Far over the water a ferry was seen, carrying people and mail from "
        "one side of the strait to the other. Nobody on board had noticed "
        "that the engine stopped for a moment; the band played on, coffee "
        "stayed in its cups, and the far bank came slowly nearer, and was lit.";
    uint64_t word;

    _Static_assert(sizeof(prose) > UINT8_MAX + sizeof(word), "every place");
    __builtin_memcpy(&word, prose + place, sizeof(word));
    return word;
}

static void fill_with_text(Range range, uint64_t *seed)
{
    for (uint64_t i = 0; i < range.pages; i++) {
        volatile uint64_t *page = page_at(range, i);

        for (unsigned word = 0; word < WORDS_PER_PAGE; word += 8) {
            uint64_t places = random_next(seed);

            for (unsigned j = 0; j < 8; j++) {
                page[word + j] = text_word((uint8_t)(places >> (8 * j)));
            }
        }
    }
}

static void fill_with_random(Range range, uint64_t *seed)
{
    volatile uint64_t *words = page_at(range, 0);

    for (uint64_t i = 0; i < range.pages * WORDS_PER_PAGE; i++) {
        words[i] = random_next(seed);
    }
}

static void fill_with_zero(Range range)
{
    volatile uint64_t *words = page_at(range, 0);

    for (uint64_t i = 0; i < range.pages * WORDS_PER_PAGE; i++) {
        words[i] = 0;
    }
}

static void write_page(Range range, uint64_t words, uint64_t *seed)
{
    /* The upper half times the count, to be even without a division. */
    uint64_t index = ((random_next(seed) >> 32) * range.pages) >> 32;
    volatile uint64_t *page = page_at(range, index);

    for (uint64_t i = 0; i < words; i++) {
        uint64_t place = random_next(seed) % WORDS_PER_PAGE;

        page[place] = random_next(seed);
    }
}

/* How many pages to write now that `ticks` more have passed. */
static uint64_t pacer_take(Pacer *pacer, uint32_t ticks)
{
    uint64_t most = (pacer->rate / 10 + 1) * TIMER_HZ;
    uint64_t due;

    if (pacer->rate == 0) {
        return BATCH;
    }
    pacer->credit += pacer->rate * ticks;
    if (pacer->credit > most) {
        pacer->credit = most;
    }
    due = pacer->credit / TIMER_HZ;
    if (due > BATCH) {
        due = BATCH;
    }
    pacer->credit -= due * TIMER_HZ;
    return due;
}

static void put_sign(char sign, unsigned *column)
{
    put_char(sign);
    if (++*column == SIGNS_PER_LINE) {
        put_char('\n');
        *column = 0;
    }
}

static void ticker_advance(Ticker *ticker, uint64_t amount, unsigned *column)
{
    if (ticker->period == 0) {
        return;
    }
    for (ticker->passed += amount; ticker->passed >= ticker->period;
         ticker->passed -= ticker->period) {
        put_sign(ticker->sign, column);
    }
}

/* Up to the next beat, unless that is far away. */
static uint32_t nap_us(const Ticker *beat)
{
    uint64_t left = (beat->period - beat->passed) * 1000 / TIMER_HZ + 1;

    return beat->period && left < NAP_US ? (uint32_t)left : NAP_US;
}

static void print_start(Range range, uint64_t rate, uint64_t beat_ms)
{
    put_range("stress", range);
    put_string(" rate=");
    put_decimal(rate);
    put_string(" beat=");
    put_decimal(beat_ms);
    put_char('\n');
}

static void fill(Range range, const BootInfo *info, uint64_t *seed)
{
    if (option_is(info, "fill", "text")) {
        fill_with_text(range, seed);
    } else if (option_is(info, "fill", "random")) {
        fill_with_random(range, seed);
    } else if (option_is(info, "fill", "zero")) {
        fill_with_zero(range);
    }
}

void guest_main(const BootInfo *info, unsigned cpu)
{
    Range range = working_set(info);
    uint64_t words = option_number(info, "words", 8);
    uint64_t beat_ms = option_number(info, "beat", 100);
    uint64_t seed = option_number(info, "seed", 1);
    Pacer pacer = { .rate = option_number(info, "rate", 0) };
    /* In ticks times 1000, to be exact without fractions. */
    Ticker beat = { .sign = '.', .period = beat_ms * TIMER_HZ };
    Ticker mark = { .sign = '+', .period = option_number(info, "mark", 0) };
    unsigned column = 0;
    Clock clock = { 0 };

    if (cpu != 0) {
        return;
    }
    fill(range, info, &seed);
    print_start(range, pacer.rate, beat_ms);
    clock_advance(&clock);
    for (;;) {
        uint32_t ticks = clock_advance(&clock);
        uint64_t due = range.pages ? pacer_take(&pacer, ticks) : 0;

        ticker_advance(&beat, ticks * 1000ULL, &column);
        for (uint64_t i = 0; i < due; i++) {
            write_page(range, words, &seed);
        }
        ticker_advance(&mark, due, &column);
        if (due < BATCH) {
            idle(range.pages ? TURN_US : nap_us(&beat));
        }
    }
}
