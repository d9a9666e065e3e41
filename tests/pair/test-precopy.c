/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest moves whole: with every option, and while it writes. */
#include <glib.h>

#include <string.h>

#include "migration/pack/codec.h"
#include "tests/lib/pair.h"
#include "util/bitmap.h"

static void test_plain(void)
{
    g_autofree char *states = NULL;
    Pair *pair = pair_new();
    MigInfo src, dst;

    pair_start(pair);
    pair_assert_moved(pair);
    states = fake_host_states(pair->src_host);
    g_assert_cmpstr(states, ==, "setup,active,device,completed");
    g_clear_pointer(&states, g_free);
    states = fake_host_states(pair->dst_host);
    g_assert_cmpstr(states, ==, "setup,active,completed");

    mig_query(pair->src, &src);
    mig_query(pair->dst, &dst);
    g_assert_cmpuint(src.ram.total, ==, 370 * MIG_PAGE_SIZE);
    g_assert_cmpuint(src.ram.normal + src.ram.duplicate, ==, 370);
    g_assert_cmpuint(src.ram.transferred, ==, dst.ram.transferred);
    g_assert_cmpuint(src.ram.normal, ==, dst.ram.normal);
    g_assert_cmpuint(src.ram.duplicate, ==, dst.ram.duplicate);
    g_assert_cmpuint(src.ram.remaining, ==, 0);
    g_assert_cmpuint(src.compression.pages, ==, 0);
    g_assert_cmpuint(src.ram.precopy_bytes + src.ram.downtime_bytes, ==,
                     src.ram.transferred);
    pair_free(pair);
}

static void test_compress(void)
{
    Pair *pair = pair_new();
    MigInfo src, dst;

    pair_set(pair, MIG_OPT_COMPRESS, 1);
    pair_start(pair);
    pair_assert_moved(pair);
    mig_query(pair->src, &src);
    mig_query(pair->dst, &dst);
    g_assert_cmpuint(src.compression.pages, >, 100);
    g_assert_cmpuint(src.compression.pages, ==, dst.compression.pages);
    g_assert_cmpuint(src.compression.compressed_size, ==,
                     dst.compression.compressed_size);
    g_assert_cmpfloat(src.compression.rate, >, 1.5);
    g_assert_cmpuint(src.ram.normal + src.ram.duplicate +
                     src.compression.pages, ==, 370);
    g_assert_cmpuint(src.ram.transferred, ==, dst.ram.transferred);
    pair_free(pair);
}

static void test_levels(void)
{
    for (unsigned level = 0; level <= 9; level++) {
        Pair *pair = pair_new();
        MigInfo info;

        pair_set(pair, MIG_OPT_COMPRESS, 1);
        pair_set(pair, MIG_OPT_COMPRESS_METHOD, MIG_METHOD_ZLIB);
        pair_set(pair, MIG_OPT_COMPRESS_LEVEL, level);
        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->src, &info);
        /* Stored pages do not shrink, and so go plain. */
        g_assert_cmpint(info.compression.pages > 0, ==, level > 0);
        pair_free(pair);
    }
}

static void test_threads(void)
{
    for (unsigned threads = 1; threads <= 64; threads *= 2) {
        Pair *pair = pair_new();

        pair_set(pair, MIG_OPT_COMPRESS, 1);
        pair_set(pair, MIG_OPT_COMPRESS_THREADS, threads);
        pair_set(pair, MIG_OPT_DECOMPRESS_THREADS, threads);
        pair_start(pair);
        pair_assert_moved(pair);
        pair_free(pair);
    }
}

static void test_no_wait_thread(void)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_COMPRESS, 1);
    pair_set(pair, MIG_OPT_COMPRESS_LEVEL, 9);
    pair_set(pair, MIG_OPT_COMPRESS_THREADS, 1);
    pair_set(pair, MIG_OPT_COMPRESS_WAIT_THREAD, 0);
    pair_start(pair);
    pair_assert_moved(pair);
    pair_free(pair);
}

/* Dirty fewer pages from pass to pass, and some while the guest stops. */
static bool dirty_less_and_less(FakeHost *host, FakePoint point, unsigned nth,
                                GError **errp)
{
    static const unsigned pages[] = { 0, 200, 100, 30, 0, 5 };

    if (point == FAKE_LOG_COLLECT && nth < G_N_ELEMENTS(pages)) {
        for (unsigned i = 0; i < pages[nth]; i++) {
            fake_host_write(host, i % 2, i / 5, nth * 1000 + i);
        }
    }
    return true;
}

/* Move a guest that does what hook says, at 1 ms for a page. */
static Pair *move_slowly(bool compress, uint64_t limit_ms, FakeHook *hook,
                         MigInfo *info)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_COMPRESS, compress);
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 4096000);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, limit_ms);
    pair->src_host->hook = hook;
    pair_start(pair);
    pair_assert_moved(pair);
    mig_query(pair->src, info);
    return pair;
}

/* Nothing may be left when the guest stops. */
static void test_dirtying(bool compress)
{
    MigInfo info;
    Pair *pair = move_slowly(compress, 0, dirty_less_and_less, &info);

    g_assert_cmpuint(pair->src_host->passes, ==, 4);
    g_assert_cmpuint(info.ram.dirty_sync_count, ==, 6);
    g_assert_cmpuint(info.ram.downtime_bytes, >, 0);
    pair_free(pair);
}

static void test_dirtying_plain(void)
{
    test_dirtying(false);
}

static void test_dirtying_compress(void)
{
    test_dirtying(true);
}

/* The guest writes everywhere, before each look at the log, what is there. */
static bool write_the_same(FakeHost *host, FakePoint point, unsigned nth,
                           GError **errp)
{
    if (point == FAKE_LOG_COLLECT) {
        pthread_mutex_lock(&host->lock);
        for (unsigned i = 0; i < host->blocks; i++) {
            bitmap_fill(host->dirty[i], host->block[i].length / MIG_PAGE_SIZE);
        }
        pthread_mutex_unlock(&host->lock);
    }
    return true;
}

/* As if it wrote nothing: no pass but the first has pages.  One pass of that
 * kind could be the exception, two are believed. */
static void test_unchanged(void)
{
    MigInfo info;
    Pair *pair = move_slowly(true, 1, write_the_same, &info);

    g_assert_cmpuint(info.ram.normal + info.ram.duplicate +
                     info.compression.pages, ==, 370);
    g_assert_cmpuint(pair->src_host->passes, ==, 3);
    g_assert_cmpuint(info.compression.unchanged, ==, 3 * 370);
    g_assert_cmpuint(info.ram.remaining, ==, 0);
    g_assert_cmpuint(info.ram.downtime_bytes, <, 4096);
    pair_free(pair);
}

/* One pass finds in half a second that nothing has changed: the second, or the
 * third with xbzrle, which keeps nothing in the first.  From then on the guest
 * changes some pages. */
static bool change_later(FakeHost *host, FakePoint point, unsigned nth,
                         GError **errp)
{
    Pair *pair = host->hook_data;
    unsigned idle = pair->options.value[MIG_OPT_XBZRLE] ? 2 : 1;

    if (point == FAKE_LOG_COLLECT_PART &&
        fake_host_calls(host, FAKE_LOG_COLLECT) == idle) {
        fake_clock_advance(&pair->clock, NS_PER_S / 2);
    }
    if (point != FAKE_LOG_COLLECT || nth <= idle) {
        return write_the_same(host, point, nth, errp);
    }
    for (unsigned i = 0; i < 40; i++) {
        fake_host_write(host, 0, i, 1000 * nth + i);
    }
    return true;
}

/* A pass without bytes does not look like a slow link. */
static void test_unchanged_rate(gconstpointer data)
{
    bool xbzrle = GPOINTER_TO_UINT(data);
    Pair *pair = pair_new();

    pair_set(pair, xbzrle ? MIG_OPT_XBZRLE : MIG_OPT_COMPRESS, 1);
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 10 << 20);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 25);
    pair->src_host->hook = change_later;
    pair->src_host->hook_data = pair;
    pair_start(pair);
    pair_assert_moved(pair);
    g_assert_cmpuint(pair->src_host->passes, ==, xbzrle ? 4 : 3);
    pair_free(pair);
}

/* All pages are as they were in the second pass, and others after it. */
static bool change_all_later(FakeHost *host, FakePoint point, unsigned nth,
                             GError **errp)
{
    if (point != FAKE_LOG_COLLECT || nth != 2) {
        return nth > 2 || write_the_same(host, point, nth, errp);
    }
    for (unsigned i = 0; i < 300; i++) {
        fake_host_write(host, 0, i, 1000 + i);
    }
    return true;
}

/* A pass without bytes does not make the pages cheap that come after it. */
static void test_unchanged_price(void)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_COMPRESS, 1);
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 2 << 20);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 25);
    pair->src_host->hook = change_all_later;
    pair_start(pair);
    pair_assert_moved(pair);
    g_assert_cmpuint(pair->src_host->passes, ==, 3);
    pair_free(pair);
}

/* The guest writes what is there, and refuses the first time that it is to
 * stop. */
static bool refuse_to_stop(FakeHost *host, FakePoint point, unsigned nth,
                           GError **errp)
{
    if (point == FAKE_VM_STOP && nth == 1) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_HOST, "no");
        return false;
    }
    return write_the_same(host, point, nth, errp);
}

/* What a destination got that failed, the next one does not have. */
static void test_unchanged_again(void)
{
    static const uint64_t pages[] = { 300, 70 };
    Pair *pair = pair_new();
    MigInfo info;

    pair_set(pair, MIG_OPT_COMPRESS, 1);
    pair->src_host->hook = refuse_to_stop;
    pair_start(pair);
    pair_assert_stayed(pair, MIG_STATE_FAILED);
    mig_free(pair->src);
    mig_free(pair->dst);
    fake_host_free(pair->dst_host);
    pair->dst_host = fake_host_new(pages, FAKE_BLOCKS_MAX);
    pair->src_host->passes = 0;
    pair_start(pair);
    g_assert_true(mig_wait(pair->src, NULL));
    g_assert_true(mig_wait(pair->dst, NULL));
    fake_host_assert_same(pair->src_host, pair->dst_host);
    mig_query(pair->src, &info);
    g_assert_cmpuint(info.ram.normal + info.ram.duplicate +
                     info.compression.pages, ==, 370);
    pair_free(pair);
}

/* Pages become zero and stop being zero between passes. */
static bool zero_and_back(FakeHost *host, FakePoint point, unsigned nth,
                          GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth <= 3) {
        for (unsigned i = 0; i < 60; i++) {
            uint8_t *page = host->block[0].host + i * MIG_PAGE_SIZE;

            memset(page, 0, MIG_PAGE_SIZE);
            fake_host_write(host, 0, i, (i + nth) % 2 ? 0 : 77);
        }
    }
    return true;
}

static void test_zero_and_back(void)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_COMPRESS, 1);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
    pair->src_host->hook = zero_and_back;
    pair_start(pair);
    pair_assert_moved(pair);
    pair_free(pair);
}

static bool stop_guest_at_fourth(FakeHost *host, FakePoint point,
                                 unsigned nth, GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth == 4) {
        fake_host_quiet_guest(host);
    }
    return true;
}

/* A guest that writes all the time, also into pages that are in the hands of
 * a worker: no record may be torn, nothing may be lost.  The second block is so
 * small that its pages are written many times while each is compressed. */
static void move_live_guest(MigMethod method, bool waits)
{
    static const uint64_t pages[] = { 3000, 2 };

    for (unsigned round = 0; round < 3; round++) {
        Pair *pair = pair_new_sized(pages);
        MigInfo info;

        pair_set(pair, MIG_OPT_COMPRESS, 1);
        pair_set(pair, MIG_OPT_COMPRESS_METHOD, method);
        pair_set(pair, MIG_OPT_COMPRESS_WAIT_THREAD, waits);
        pair_set(pair, MIG_OPT_COMPRESS_LEVEL, 9);
        /* Four passes with the guest writing, then it ends. */
        pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 100 << 20);
        pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
        pair->src_host->hook = stop_guest_at_fourth;
        fake_host_start_guest(pair->src_host);
        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->src, &info);
        g_assert_cmpuint(info.ram.dirty_sync_count, >=, 4);
        pair_free(pair);
    }
}

static void test_live_guest(void)
{
    move_live_guest(MIG_METHOD_ZLIB, true);
}

/* Where batches go uncompressed, too, the stream's checksum must be that of the
 * bytes that were sent. */
static void test_live_guest_packs(void)
{
    for (unsigned method = MIG_METHOD_ZSTD; method < MIG_METHOD__COUNT;
         method++) {
        if (codec_without_packs(method)->available) {
            move_live_guest(method, false);
        }
    }
}

/* max-bandwidth is kept to, and changed while the migration runs. */
static bool raise_limit(FakeHost *host, FakePoint point, unsigned nth,
                        GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth == 1) {
        Pair *pair = host->hook_data;
        GError *err = NULL;

        fake_host_write(host, 0, 0, 1);
        g_assert_true(mig_set_live(pair->src, MIG_OPT_MAX_BANDWIDTH, 0, &err));
        g_assert_no_error(err);
        g_assert_false(mig_set_live(pair->src, MIG_OPT_COMPRESS, 0, &err));
        g_assert_error(err, MIG_ERROR, MIG_ERROR_OPTION);
        g_clear_error(&err);
    }
    return true;
}

static void test_bandwidth(void)
{
    Pair *pair = pair_new();
    MigInfo info;

    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 1000000);
    pair->src_host->hook = raise_limit;
    pair->src_host->hook_data = pair;
    pair_start(pair);
    pair_assert_moved(pair);
    mig_query(pair->src, &info);
    /* The clock moves only when the limit makes somebody wait.  The last
     * batch is given its time, but nobody waits for it; 10 ms are credit. */
    g_assert_cmpint(info.total_time_ms, >=,
                    (int64_t)(info.ram.transferred - 64 * 4200) / 1000 - 20);
    g_assert_cmpint(info.total_time_ms, <=,
                    (int64_t)info.ram.transferred / 1000);
    pair_free(pair);
}

/* Twenty pairs at once, in one process. */
static void test_twenty(void)
{
    Pair *pair[20];

    for (unsigned i = 0; i < G_N_ELEMENTS(pair); i++) {
        pair[i] = pair_new();
        pair_set(pair[i], MIG_OPT_COMPRESS, i % 2);
        pair_set(pair[i], MIG_OPT_DOWNTIME_LIMIT, 20);
        pair_set(pair[i], MIG_OPT_MAX_BANDWIDTH, 100 << 20);
        fake_host_start_guest(pair[i]->src_host);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(pair); i++) {
        pair_start(pair[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(pair); i++) {
        pair_assert_moved(pair[i]);
        pair_free(pair[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/precopy/plain", test_plain);
    g_test_add_func("/precopy/compress", test_compress);
    g_test_add_func("/precopy/levels", test_levels);
    g_test_add_func("/precopy/threads", test_threads);
    g_test_add_func("/precopy/no-wait-thread", test_no_wait_thread);
    g_test_add_func("/precopy/dirtying/plain", test_dirtying_plain);
    g_test_add_func("/precopy/dirtying/compress", test_dirtying_compress);
    g_test_add_func("/precopy/unchanged", test_unchanged);
    g_test_add_data_func("/precopy/unchanged/rate", GUINT_TO_POINTER(0),
                         test_unchanged_rate);
    g_test_add_data_func("/precopy/unchanged/rate-xbzrle", GUINT_TO_POINTER(1),
                         test_unchanged_rate);
    g_test_add_func("/precopy/unchanged/price", test_unchanged_price);
    g_test_add_func("/precopy/unchanged/again", test_unchanged_again);
    g_test_add_func("/precopy/zero-and-back", test_zero_and_back);
    g_test_add_func("/precopy/live-guest", test_live_guest);
    g_test_add_func("/precopy/live-guest-packs", test_live_guest_packs);
    g_test_add_func("/precopy/bandwidth", test_bandwidth);
    g_test_add_func("/precopy/twenty", test_twenty);
    return g_test_run();
}
