/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/digest.h */
#include "migration/ram/digest.h"

#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/test-ram.h"

/* Of a page of zeros, by docs/stream.md: XXH3 of the big-endian XXH3. */
#define KNOWN UINT64_C(0xe3c13cd73608cdea)

#define CHUNK_PAGES (WIRE_VERIFY_CHUNK / MIG_PAGE_SIZE)

typedef struct Digests {
    uint64_t a, b;
} Digests;

static Digests digest(const TestRam *ram, unsigned threads)
{
    const RamDigestConfig config = { .threads = threads };
    uint64_t found[2] = { 0 };
    GError *err = NULL;

    ram_digest(ram->blocks, &config, found, &err);
    g_assert_no_error(err);
    return (Digests){ found[0], found[1] };
}

static void test_known(void)
{
    g_autoptr(TestRam) ram = test_ram_new(1, 0);

    g_assert_cmphex(digest(ram, 1).a, ==, KNOWN);
}

/* Several chunks, the last one short, and any number of threads. */
static void test_threads(void)
{
    static const unsigned threads[] = { 2, 3, 8 };
    g_autoptr(TestRam) ram = test_ram_new(3 * CHUNK_PAGES + 5, CHUNK_PAGES);
    Digests one;

    test_ram_fill(ram, 1);
    one = digest(ram, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        Digests many = digest(ram, threads[i]);

        g_assert_cmphex(many.a, ==, one.a);
        g_assert_cmphex(many.b, ==, one.b);
    }
}

/* First and last bytes of blocks and of chunks. */
static void test_every_byte_counts(void)
{
    static const uint64_t bytes[] = {
        0, WIRE_VERIFY_CHUNK - 1, WIRE_VERIFY_CHUNK,
        WIRE_VERIFY_CHUNK + MIG_PAGE_SIZE - 1,
    };
    g_autoptr(TestRam) ram = test_ram_new(CHUNK_PAGES + 1, 1);
    Digests before = digest(ram, 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(bytes); i++) {
        Digests after;

        ram->a->host[bytes[i]] ^= 1;
        after = digest(ram, 2);
        g_assert_cmphex(after.a, !=, before.a);
        g_assert_cmphex(after.b, ==, before.b);
        ram->a->host[bytes[i]] ^= 1;
    }
}

/* Chunks that change places. */
static void test_order_counts(void)
{
    g_autoptr(TestRam) ram = test_ram_new(2 * CHUNK_PAGES, 0);
    Digests first, second;

    ram->a->host[0] = 1;
    first = digest(ram, 2);
    ram->a->host[0] = 0;
    ram->a->host[WIRE_VERIFY_CHUNK] = 1;
    second = digest(ram, 2);
    g_assert_cmphex(first.a, !=, second.a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-digest/known", test_known);
    g_test_add_func("/ram-digest/threads", test_threads);
    g_test_add_func("/ram-digest/every-byte-counts", test_every_byte_counts);
    g_test_add_func("/ram-digest/order-counts", test_order_counts);
    return g_test_run();
}
