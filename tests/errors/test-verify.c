/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capability verify: a guest whose RAM was damaged on the way stays. */
#include <string.h>

#include "migration/ram-digest.h"
#include "tests/errors/small-move.h"
#include "tests/lib/watchdog.h"

#define DIFFERS "RAM block 'ram0' is not the same as at the source"
#define PAGE_STEP 97u

/* Pages that are plain have no checksum of their own. */
static const MoveKind zlib = { "zlib", MIG_METHOD_ZLIB, true };

/* Also where it is not built in. */
static SmallMove *verified_move(void)
{
    SmallMove *move = small_move_new(&zlib, NULL);

    pair_set(move->pair, MIG_OPT_VERIFY, true);
    return move;
}

static SmallMove *flipped_move(uint64_t at, uint8_t bits)
{
    SmallMove *move = verified_move();
    Fault fault[PLACES] = {
        [DST_READ] = { .kind = FAULT_FLIP, .at = at, .flip = bits },
    };

    small_move_start(move, fault);
    return move;
}

static bool skips(void)
{
    if (!ram_digest_features()) {
        g_test_skip("built without xxhash");
    }
    return !ram_digest_features();
}

static void assert_says(Migration *m, const char *what)
{
    g_autofree char *error = small_move_error(m);

    g_test_message("%s", error);
    g_assert_nonnull(strstr(error, what));
}

/* Where nothing else would notice. */
static void test_plain_page(void)
{
    Golden golden;

    if (skips()) {
        return;
    }
    golden_record(&golden, &zlib);
    for (unsigned i = 0; i < MIG_PAGE_SIZE; i += PAGE_STEP) {
        SmallMove *move = flipped_move(golden.noise + i,
                                       (uint8_t)(1u << i % 8));

        g_assert_cmpint(small_move_end(move), ==, STAYED);
        assert_says(move->pair->src, DIFFERS);
        assert_says(move->pair->src, "the destination failed: ");
        assert_says(move->pair->dst, DIFFERS);
        small_move_free(move);
    }
    golden_clear(&golden);
}

/* Whatever is damaged, a guest that moves has its RAM. */
static void test_everywhere(void)
{
    Watchdog *dog;
    Golden golden;

    if (skips()) {
        return;
    }
    dog = watchdog_new();
    golden_record(&golden, &zlib);
    for (uint64_t at = 0; at < golden.go;
         at = golden_next(golden.noise, at)) {
        SmallMove *move = flipped_move(at, (uint8_t)(1u << at % 8));

        watchdog_feed(dog, "byte %" G_GUINT64_FORMAT, at);
        if (small_move_end(move) == MOVED) {
            small_move_assert_arrived(move);
        }
        small_move_free(move);
    }
    golden_clear(&golden);
    watchdog_free(dog);
}

/* Who cannot compare */

static void test_one_way(void)
{
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();
    SmallMove *move = verified_move();

    small_move_send(move, io_channel_new("memory", NULL, out));
    g_assert_cmpint(small_move_end(move), ==, STAYED);
    assert_says(move->pair->src, "capability verify needs a return path");
    small_move_free(move);
}

static const char no_ferry[] = "\0\2\0\4FRY1";
static const char other_ferry[] = "\0\2\0\4FF\0\1\0\2\0\4FRY1";

static void answered_with(const char *answer, size_t size)
{
    SmallMove *move = verified_move();
    IoChannel *ends[2];

    g_assert_true(io_channel_pair(ends, NULL));
    small_move_send(move, ends[0]);
    g_assert_true(io_channel_writev(ends[1],
                                    &(GOutputVector){ answer, size }, 1,
                                    NULL));
    g_assert_cmpint(small_move_end(move), ==, STAYED);
    assert_says(move->pair->src,
                "capability verify needs a Ferry with xxhash");
    g_assert_cmpuint(fake_host_calls(move->pair->src_host, FAKE_VM_STOP), ==,
                     0);
    small_move_free(move);
    io_channel_free(ends[1]);
}

static void test_other_peer(void)
{
    answered_with(no_ferry, sizeof(no_ferry) - 1);
    answered_with(other_ferry, sizeof(other_ferry) - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/verify/plain-page", test_plain_page);
    g_test_add_func("/verify/everywhere", test_everywhere);
    g_test_add_func("/verify/one-way", test_one_way);
    g_test_add_func("/verify/other-peer", test_other_peer);
    return g_test_run();
}
