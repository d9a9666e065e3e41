/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/xbzrle.h: both ways, byte by byte, and all that is illegal. */
#include "migration/wire/xbzrle.h"

#include <glib.h>
#include <string.h>

#include "ferry/host.h"

enum { PAGE = MIG_PAGE_SIZE };

typedef struct Pair {
    uint8_t before[PAGE], now[PAGE];
} Pair;

/* Equal pages of noise. */
static void pair_init(Pair *p, guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (unsigned i = 0; i < PAGE; i++) {
        p->before[i] = (uint8_t)g_rand_int(rand);
    }
    memcpy(p->now, p->before, PAGE);
}

static void change(Pair *p, unsigned at, unsigned count)
{
    for (unsigned i = at; i < at + count; i++) {
        p->now[i] ^= 0xff;
    }
}

/* Encode, and decode what fits; the bytes of the changes. */
static size_t round_trip(const Pair *p)
{
    uint8_t out[PAGE], page[PAGE];
    size_t size = xbzrle_encode(p->before, p->now, out, PAGE);

    if (size == 0) {
        g_assert_cmpmem(p->before, PAGE, p->now, PAGE);
    } else if (size != XBZRLE_OVERFLOW) {
        g_assert_cmpuint(size, <=, PAGE);
        memcpy(page, p->before, PAGE);
        g_assert_cmpstr(xbzrle_decode(out, size, page), ==, NULL);
        g_assert_cmpmem(page, PAGE, p->now, PAGE);
        /* There must be room for all of it, and no more. */
        g_assert_cmpuint(xbzrle_encode(p->before, p->now, page, size), ==,
                         size);
        g_assert_cmpmem(page, size, out, size);
        g_assert_true(xbzrle_encode(p->before, p->now, page, size - 1) ==
                      XBZRLE_OVERFLOW);
    }
    return size;
}

static void test_equal(void)
{
    Pair p;

    pair_init(&p, 1);
    g_assert_cmpuint(round_trip(&p), ==, 0);
    g_assert_cmpuint(xbzrle_encode(p.before, p.now, NULL, 0), ==, 0);
}

/* The bytes that QEMU reads. */
static void test_bytes(void)
{
    uint8_t out[PAGE];
    Pair p = { { 0 }, { 0 } };

    p.now[0] = 7;
    p.now[300] = p.now[301] = 8;
    g_assert_cmpmem(out, xbzrle_encode(p.before, p.now, out, PAGE),
                    "\0\1\7\xab\2\2\x08\x08", 8);
}

/* One run, at each place, of each of some lengths. */
static void test_one_run(void)
{
    static const unsigned lengths[] = { 1, 2, 3, 7, 8, 9, 15, 16, 17, 127,
                                        128, 129, 1000, 4000, 4090, 4091,
                                        4092, 4093 };
    Pair p;

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        unsigned length = lengths[i];

        for (unsigned at = 0; at + length <= PAGE; at++) {
            pair_init(&p, at);
            change(&p, at, length);
            g_assert_cmpuint(round_trip(&p), ==, (at < 128 ? 1 : 2) +
                             (length < 128 ? 1 : 2) + length);
        }
    }
}

/* Two runs, with each gap between them, across the borders of words. */
static void test_gaps(void)
{
    for (unsigned at = 0; at < 9; at++) {
        for (unsigned gap = 1; gap < 40; gap++) {
            Pair p;

            pair_init(&p, gap);
            change(&p, at, 5);
            change(&p, at + 5 + gap, 5);
            g_assert_cmpuint(round_trip(&p), ==,
                             gap < 3 ? 2 + 10 + gap : 2 * (2 + 5));
        }
    }
}

/* One or two bytes that stay at the end are not sent. */
static void test_end(void)
{
    for (unsigned stay = 0; stay < 9; stay++) {
        Pair p;

        pair_init(&p, stay);
        change(&p, PAGE - 20, 20 - stay);
        g_assert_cmpuint(round_trip(&p), ==, 2 + 1 + 20 - stay);
    }
}

static void test_overflow(void)
{
    Pair p;

    pair_init(&p, 1);
    change(&p, 0, PAGE);
    g_assert_true(round_trip(&p) == XBZRLE_OVERFLOW);
    pair_init(&p, 1);
    change(&p, 0, PAGE - 3);
    g_assert_cmpuint(round_trip(&p), ==, PAGE);
    pair_init(&p, 1);
    change(&p, 0, PAGE - 2);
    g_assert_true(round_trip(&p) == XBZRLE_OVERFLOW);
    pair_init(&p, 1); /* many runs of one byte */
    for (unsigned i = 0; i < PAGE; i += 4) {
        change(&p, i, 1);
    }
    g_assert_cmpuint(round_trip(&p), ==, PAGE / 4 * 3);
}

static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(12);

    for (unsigned n = 0; n < 20000; n++) {
        unsigned runs = (unsigned)g_rand_int_range(rand, 1, 60);
        int most = g_rand_int_range(rand, 1, 200);
        Pair p;

        pair_init(&p, n);
        for (unsigned i = 0; i < runs; i++) {
            unsigned length = (unsigned)g_rand_int_range(rand, 0, most + 1);

            change(&p, (unsigned)g_rand_int_range(rand, 0,
                                                  PAGE + 1 - (int)length),
                   length);
        }
        round_trip(&p);
    }
}

/* Decoding */

static void test_legal(void)
{
    static const struct {
        const char *bytes;
        size_t size, at;
    } rows[] = {
        { "\0\1x", 3, 0 },
        { "\xff\x1f\1x", 4, PAGE - 1 },
        { "\x81\0\1x", 4, 1 }, /* longer than it need be */
        { "\1\1y\1\1x", 6, 3 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t page[PAGE] = { 0 };

        g_assert_cmpstr(xbzrle_decode((const uint8_t *)rows[i].bytes,
                                      rows[i].size, page), ==, NULL);
        g_assert_cmpuint(page[rows[i].at], ==, 'x');
    }
}

static void test_illegal(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *fault;
    } rows[] = {
        { "", 0, "a count is cut off or too long" },
        { "\0", 1, "a count is cut off or too long" },
        { "\x80", 1, "a count is cut off or too long" },
        { "\0\x80", 2, "a count is cut off or too long" },
        { "\x80\x80\1", 3, "a count is cut off or too long" },
        { "\1\1x\5", 4, "a count is cut off or too long" },
        { "\0\0", 2, "a run of no bytes" },
        { "\5\0", 2, "a run of no bytes" },
        { "\0\1x\0\1x", 6, "a run of no bytes" },
        { "\x80\x20\1x", 4, "it reaches over the end of the page" },
        { "\xff\x1f\2xx", 5, "it reaches over the end of the page" },
        { "\xff\x7f\xff\x7f", 4, "it reaches over the end of the page" },
        { "\xff\x1f\1x\1\1x", 7, "it reaches over the end of the page" },
        { "\0\2x", 3, "it ends before its bytes" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree uint8_t *bytes = g_memdup2(rows[i].bytes, rows[i].size);
        uint8_t page[PAGE] = { 0 };

        g_assert_cmpstr(xbzrle_decode(bytes, rows[i].size, page), ==,
                        rows[i].fault);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xbzrle/equal", test_equal);
    g_test_add_func("/xbzrle/bytes", test_bytes);
    g_test_add_func("/xbzrle/one-run", test_one_run);
    g_test_add_func("/xbzrle/gaps", test_gaps);
    g_test_add_func("/xbzrle/end", test_end);
    g_test_add_func("/xbzrle/overflow", test_overflow);
    g_test_add_func("/xbzrle/random", test_random);
    g_test_add_func("/xbzrle/decode/legal", test_legal);
    g_test_add_func("/xbzrle/decode/illegal", test_illegal);
    return g_test_run();
}
