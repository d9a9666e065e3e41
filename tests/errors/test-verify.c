/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capability verify: a guest whose RAM was damaged on the way stays. */
#include <string.h>

#include "migration/internal.h"
#include "migration/wire/wire.h"
#include "tests/errors/small-move.h"
#include "tests/lib/bare-peer.h"
#include "tests/lib/hand-clock.h"
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

/* After any damage, a guest that moves has all of its RAM. */
static void test_everywhere(void)
{
    Watchdog *dog;
    Golden golden;

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

/* Peers that cannot compare */

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

/*
 * A destination that needs many times the source's stall-timeout for its
 * digests, and gets on with them.
 */
#define LIMIT  60 /* seconds of stall-timeout */
#define STEP   40 /* seconds that a chunk takes */
#define CHUNKS 10

/* The destination's clock.  While it computes digests it looks at it once for
 * each chunk: then the source waits, and has heard of the chunk before. */
typedef struct SlowClock {
    Clock clock;
    HandClock source; /* the source's stall is by this one */
    Pair *pair;
    Stall *stall; /* atomic: the source's, while digests are computed */
    int64_t now;  /* atomic */
    unsigned chunks;
} SlowClock;

static int64_t slow_now(const Clock *clock)
{
    SlowClock *slow = (SlowClock *)clock;
    Stall *stall = g_atomic_pointer_get(&slow->stall);

    if (stall) {
        while (stall_since(stall) != clock_now(&slow->source.clock) &&
               !stall_found(stall, NULL)) {
            g_thread_yield();
        }
        hand_clock_advance(&slow->source, STEP * NS_PER_S);
        slow->chunks++;
    }
    return __atomic_add_fetch(&slow->now, STEP * NS_PER_S, __ATOMIC_SEQ_CST);
}

static uint64_t transferred(Migration *m)
{
    MigInfo info;

    mig_query(m, &info);
    mig_info_clear(&info);
    return info.ram.transferred;
}

/* The destination has loaded the last of RAM, but for the section's footer. */
static void await_ram(Pair *pair)
{
    while (transferred(pair->dst) + 5 < transferred(pair->src)) {
        g_thread_yield();
    }
}

/* Digests are computed from when the source has sent its own to when the
 * destination loads the device. */
static bool slow_hook(FakeHost *host, FakePoint point, unsigned nth,
                      GError **errp)
{
    SlowClock *slow = host->hook_data;

    if (point == FAKE_PRE_SAVE) {
        await_ram(slow->pair);
        g_atomic_pointer_set(&slow->stall, slow->pair->src->stall);
    } else if (point == FAKE_POST_LOAD) {
        g_atomic_pointer_set(&slow->stall, NULL);
    }
    return true;
}

static void test_slow_digests(void)
{
    static const uint64_t pages[FAKE_BLOCKS_MAX] = {
        CHUNKS * (WIRE_VERIFY_CHUNK / MIG_PAGE_SIZE), 1
    };
    SlowClock slow = { .clock = clock_monotonic };
    Pair *pair;
    IoChannel *ends[2];

    pair = slow.pair = pair_new_sized(pages);
    hand_clock_init(&slow.source);
    slow.clock.now = slow_now;
    pair_set(pair, MIG_OPT_VERIFY, true);
    pair->src_host->hook = pair->dst_host->hook = slow_hook;
    pair->src_host->hook_data = pair->dst_host->hook_data = &slow;
    g_assert_true(io_channel_pair(ends, NULL));
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    stall_free(pair->src->stall);
    pair->src->stall = stall_new(&slow.source.clock, LIMIT);
    pair->dst = migration_new(&fake_mig_host, pair->dst_host, &pair->options,
                              &slow.clock);
    g_assert_true(mig_receive(pair->dst, ends[1], NULL));
    g_assert_true(mig_send(pair->src, ends[0], NULL));
    pair_assert_moved(pair);
    g_assert_cmpuint(slow.chunks, >=, CHUNKS);
    pair_free(pair);
    hand_clock_destroy(&slow.source);
}

/* A source that has asked to hear when the destination is at work, and says
 * VERIFY when everything is loaded and only GO may come. */
static void test_instead_of_go(void)
{
    static const char asks[] = "\10\0\1\0\0" "\10\0\2\0\4FRY1"
                               "\10\0\2\0\4FRWK";
    static const char verify[] = "\10\x46\x56\0\15\4ram0\0\0\0\0\0\0\0\0";
    static const uint64_t pages[FAKE_BLOCKS_MAX] = { 5, 2 };
    Pair *pair = pair_new_sized(pages);
    g_autoptr(GBytes) stream = peer_recorded_stream(pair);
    size_t size, head = 8 + 1 + 4 + strlen(fake_mig_host.machine);
    const char *bytes = g_bytes_get_data(stream, &size);
    GOutputVector parts[] = {
        { bytes, head }, { asks, sizeof(asks) - 1 },
        { bytes + head, size - head }, { verify, sizeof(verify) - 1 },
    };
    SlowClock slow = { .clock = clock_monotonic }; /* it is time to say so */
    IoChannel *ends[2];

    slow.clock.now = slow_now;
    g_assert_true(io_channel_pair(ends, NULL));
    pair->dst = migration_new(&fake_mig_host, pair->dst_host, &pair->options,
                              &slow.clock);
    g_assert_true(mig_receive(pair->dst, ends[1], NULL));
    g_assert_true(io_channel_writev(ends[0], parts, G_N_ELEMENTS(parts),
                                    NULL));
    g_assert_false(mig_wait(pair->dst, NULL));
    assert_says(pair->dst, "another command instead of GO");
    g_assert_cmpuint(fake_host_calls(pair->dst_host, FAKE_VM_START), ==, 0);
    io_channel_free(ends[0]);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/verify/plain-page", test_plain_page);
    g_test_add_func("/verify/everywhere", test_everywhere);
    g_test_add_func("/verify/one-way", test_one_way);
    g_test_add_func("/verify/other-peer", test_other_peer);
    g_test_add_func("/verify/slow-digests", test_slow_digests);
    g_test_add_func("/verify/instead-of-go", test_instead_of_go);
    return g_test_run();
}
