/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compress-method: the guest moves whole with each, and a peer that does not
 * read it is told from one that does before any page is sent.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "migration/pack/pack.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tests/lib/bare-peer.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/pair.h"
#include "util/endian.h"

static bool can_run(MigMethod method)
{
    const Codec *codec = codec_by_method(method);

    if (!codec->available) {
        g_autofree char *why = g_strdup_printf("%s was NOT BUILT IN",
                                               codec->name);

        g_test_skip(why);
    }
    return codec->available;
}

static Pair *new_pair(MigMethod method, unsigned level)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_COMPRESS, 1);
    pair_set(pair, MIG_OPT_COMPRESS_METHOD, method);
    pair_set(pair, MIG_OPT_COMPRESS_LEVEL, level);
    return pair;
}

static void test_levels(gconstpointer data)
{
    MigMethod method = GPOINTER_TO_UINT(data);

    for (unsigned level = 0; level <= 9 && can_run(method); level += 3) {
        Pair *pair = new_pair(method, level);
        MigInfo src, dst;

        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->src, &src);
        mig_query(pair->dst, &dst);
        g_assert_cmpuint(src.compression.pages > 100, ==,
                         method != MIG_METHOD_ZLIB || level > 0);
        g_assert_cmpuint(src.compression.pages, ==, dst.compression.pages);
        g_assert_cmpuint(src.compression.compressed_size, ==,
                         dst.compression.compressed_size);
        g_assert_cmpuint(src.ram.normal + src.ram.duplicate +
                         src.compression.pages, ==, 370);
        g_assert_cmpuint(src.ram.duplicate, ==, dst.ram.duplicate);
        g_assert_cmpuint(src.ram.transferred, ==, dst.ram.transferred);
        g_assert_cmpstr(src.compression.encoder, ==,
                        mig_encoder(&pair->options));
        pair_free(pair);
    }
}

static bool write_pages(FakeHost *host, FakePoint point, unsigned nth,
                        GError **errp)
{
    static const unsigned pages[] = { 0, 200, 100, 30, 0, 5 };

    if (point == FAKE_LOG_COLLECT && nth < G_N_ELEMENTS(pages)) {
        for (unsigned i = 0; i < pages[nth]; i++) {
            fake_host_write(host, i % 2, i * 7 % 70, nth * 1000 + i);
        }
    }
    return true;
}

static void test_writing_guest(gconstpointer data)
{
    MigMethod method = GPOINTER_TO_UINT(data);

    for (unsigned threads = 1; threads <= 8 && can_run(method);
         threads += 7) {
        Pair *pair = new_pair(method, 1);

        pair_set(pair, MIG_OPT_COMPRESS_THREADS, threads);
        pair_set(pair, MIG_OPT_DECOMPRESS_THREADS, threads);
        pair_set(pair, MIG_OPT_COMPRESS_WAIT_THREAD, threads == 1);
        pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
        pair->src_host->hook = write_pages;
        pair_start(pair);
        pair_assert_moved(pair);
        pair_free(pair);
    }
}

/* With each method, and without compress. */
static void test_xbzrle(void)
{
    for (unsigned i = 0; i <= 2 * MIG_METHOD__COUNT; i++) {
        MigMethod method = i / 2 % MIG_METHOD__COUNT;
        Pair *pair;
        MigInfo src;

        if (!codec_without_packs(method)->available) {
            continue;
        }
        pair = new_pair(method, 1);
        pair_set(pair, MIG_OPT_COMPRESS, i < 2 * MIG_METHOD__COUNT);
        pair_set(pair, MIG_OPT_XBZRLE, 1);
        pair_set(pair, MIG_OPT_XBZRLE_CACHE_SIZE, i % 2 ? 16384 : 1 << 20);
        pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
        pair->src_host->hook = write_pages;
        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->src, &src);
        g_assert_true(src.xbzrle);
        g_assert_cmpuint(src.xbzrle_cache.pages, >, 0);
        g_assert_cmpuint(src.xbzrle_cache.cache_miss, >, 0);
        pair_free(pair);
    }
}

/* What is at work is told, and why. */
static void assert_told(const MigCompressionInfo *info)
{
    const char *const methods[] = { "plain", "lz4", "zstd", NULL };

    g_assert_nonnull(info->method);
    g_assert_true(g_strv_contains(methods, info->method));
    g_assert_cmpuint(info->level, <=, CODEC_LEVEL_MAX);
    g_assert_cmpstr(info->encoder, ==, !strcmp(info->method, "plain")
                                           ? "none" : info->method);
}

/* auto between two Ferrys: packs, or pages as they are. */
static void test_auto(void)
{
    for (unsigned threads = 1; threads <= 8; threads += 7) {
        Pair *pair = new_pair(MIG_METHOD_AUTO, 1);
        MigInfo src, dst;

        pair_set(pair, MIG_OPT_COMPRESS_THREADS, threads);
        pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
        pair->src_host->hook = write_pages;
        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->src, &src);
        mig_query(pair->dst, &dst);
        assert_told(&src.compression);
        g_assert_null(dst.compression.method);
        g_assert_cmpuint(src.compression.pages, ==, dst.compression.pages);
        g_assert_cmpuint(src.ram.normal, ==, dst.ram.normal);
        g_assert_cmpuint(src.ram.transferred, ==, dst.ram.transferred);
        pair_free(pair);
    }
}

/* auto to a destination that takes no packs is what every QEMU reads. */
static void test_auto_without_packs(void)
{
    Pair *pair = new_pair(MIG_METHOD_AUTO, 1);
    MigInfo info;

    pair_set(pair, MIG_OPT_RETURN_PATH, 0);
    pair_start(pair);
    pair_assert_moved(pair);
    mig_query(pair->src, &info);
    g_assert_cmpstr(info.compression.method, ==, "zlib");
    g_assert_cmpuint(info.compression.level, ==, 1);
    g_assert_null(info.compression.reason);
    g_assert_cmpuint(info.compression.pages, >, 100);
    pair_free(pair);
}

/* Both ends tell which history they have agreed on: the smaller of what is set,
 * cut to what RAM has in whole packs. */
static void test_history(void)
{
    static const uint64_t set[][2] = {
        { 0, 0 }, { 1 << 20, 1 << 20 }, { 64 << 20, 5 * PACK_SLOT_BYTES },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(set) && can_run(MIG_METHOD_LZ4); i++) {
        Pair *pair = new_pair(MIG_METHOD_LZ4, 1);
        MigInfo src, dst;

        pair_set(pair, MIG_OPT_COMPRESS_HISTORY, set[i][0]);
        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->src, &src);
        mig_query(pair->dst, &dst);
        g_assert_cmpuint(src.compression.history, ==, set[i][1]);
        g_assert_cmpuint(dst.compression.history, ==, set[i][1]);
        pair_free(pair);
    }
}

/* The capability must be on: the method alone changes nothing. */
static void test_method_alone(void)
{
    Pair *pair = new_pair(MIG_METHOD_LZ4, 1);
    MigInfo info;

    if (can_run(MIG_METHOD_LZ4)) {
        pair_set(pair, MIG_OPT_COMPRESS, 0);
        pair_start(pair);
        pair_assert_moved(pair);
        mig_query(pair->dst, &info);
        g_assert_cmpuint(info.compression.pages, ==, 0);
    }
    pair_free(pair);
}

/* Peers made of a bare socket */

static void say_pong(int peer, uint32_t value)
{
    uint8_t message[8] = { 0, WIRE_RP_PONG, 0, 4 };

    store_be32(message + 4, value);
    peer_say(peer, message);
}

/* The source has failed with these words, and has sent no page. */
static void assert_refused(Pair *pair, const char *says)
{
    g_autoptr(GError) err = NULL;
    MigInfo info;

    g_assert_false(mig_wait(pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_PEER);
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, says));
    mig_query(pair->src, &info);
    g_assert_cmpuint(info.ram.normal + info.ram.duplicate +
                     info.compression.pages, ==, 0);
    g_assert_true(fake_host_running(pair->src_host));
    g_assert_cmpuint(fake_host_calls(pair->src_host, FAKE_VM_STOP), ==, 0);
    mig_info_clear(&info);
}

static void test_qemu_peer(gconstpointer data)
{
    MigMethod method = GPOINTER_TO_UINT(data);
    Pair *pair = new_pair(method, 1);

    if (can_run(method)) {
        g_autofree char *says = g_strdup_printf(
            "the destination is not Ferry: compress-method %s needs it; use "
            "zlib", codec_by_method(method)->name);
        int peer = peer_start(pair);

        say_pong(peer, WIRE_FERRY_HELLO);
        assert_refused(pair, says);
        close(peer);
    }
    pair_free(pair);
}

/* One that was built without. */
static void test_ferry_peer(gconstpointer data)
{
    MigMethod method = GPOINTER_TO_UINT(data);
    Pair *pair = new_pair(method, 1);

    if (can_run(method)) {
        g_autofree char *says = g_strdup_printf(
            "built without compress-method %s", codec_by_method(method)->name);
        int peer = peer_start(pair);

        say_pong(peer, WIRE_FERRY_FEATURES |
                           (0xffff & ~codec_by_method(method)->feature));
        say_pong(peer, WIRE_FERRY_HELLO);
        assert_refused(pair, says);
        close(peer);
    }
    pair_free(pair);
}

/* A Ferry that is too old for what the user has asked for. */
static void test_xbzrle_old_peer(void)
{
    Pair *pair = pair_new();
    int peer;

    pair_set(pair, MIG_OPT_XBZRLE, 1);
    peer = peer_start(pair);
    say_pong(peer, WIRE_FERRY_FEATURES | (0xffff & ~WIRE_FERRY_PACKS));
    say_pong(peer, WIRE_FERRY_HELLO);
    assert_refused(pair, "too old for the capability xbzrle");
    close(peer);
    pair_free(pair);
}

/* What a QEMU does when it has read the configuration. */
static void test_peer_leaves(gconstpointer data)
{
    MigMethod method = GPOINTER_TO_UINT(data);
    Pair *pair = new_pair(method, 1);

    if (can_run(method)) {
        int peer = peer_start(pair);

        close(peer);
        assert_refused(pair, "left before it had answered");
    }
    pair_free(pair);
}

/* A Ferry's stream, from its beginning to the header of its RAM; the length is
 * that of "compress-method-" and the method. */
#define BEGINNING(length, method)                                    \
    "QEVM\0\0\0\3\7\0\0\0\10fake-1.0"                              \
    "\5\032configuration/capabilities\0\0\0\1\0\0\0\1"             \
    length "compress-method-" method                                 \
    "\10\0\1\0\0\10\0\2\0\4FRY1"                                   \
    "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4"

/* A destination that is sent these bytes fails with these words, of which it
 * tells its source the last one. */
static void assert_refuses(GBytes *stream, MigErrorCode code,
                           const char *says, const char *last)
{
    Pair *pair = pair_new();
    g_autoptr(GError) err = NULL;
    char heard[256] = { 0 };
    size_t length = 0, n, size;
    const void *data = g_bytes_get_data(stream, &size);
    IoChannel *ends[2];

    g_assert_true(io_channel_pair(ends, NULL));
    pair->dst = mig_new(&fake_mig_host, pair->dst_host, &pair->options);
    g_assert_true(mig_receive(pair->dst, ends[1], NULL));
    g_assert_true(io_channel_writev(ends[0], &(GOutputVector){ data, size }, 1,
                                    NULL));
    g_assert_false(mig_wait(pair->dst, &err));
    expect_error(&err, code, says);
    do {
        g_assert_true(io_channel_read(ends[0], heard + length,
                                      sizeof(heard) - length, &n, NULL));
        length += n;
    } while (n);
    g_assert_nonnull(memmem(heard, length, last, strlen(last)));
    io_channel_free(ends[0]);
    pair_free(pair);
}

/* A destination is sent what it was not built with: it says so, and its
 * source is told. */
static void test_unknown_method(void)
{
    static const char stream[] = BEGINNING("\026", "brotli");
    g_autoptr(GBytes) bytes = g_bytes_new_static(stream, sizeof(stream) - 1);

    assert_refuses(bytes, MIG_ERROR_UNSUPPORTED,
                   "compress-method brotli, which is not built in here",
                   "brotli");
}

static void put_blocks(Stream *s, Pair *pair)
{
    size_t count;
    const MigRamBlock *block =
        fake_mig_host.ram_blocks(pair->dst_host, &count);
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += block[i].length;
    }
    ram_record_put_mem_size(s, total);
    for (size_t i = 0; i < count; i++) {
        stream_put_name(s, block[i].name);
        stream_put_be64(s, block[i].length);
    }
    ram_record_put_eos(s);
    section_put_footer(s, 1);
}

/* Batches and packs may not be mixed: not even one page may have come. */
static void test_late_packs(void)
{
    static const char beginning[] = BEGINNING("\023", "lz4");
    const SectionHeader part = { .type = WIRE_PART, .id = 1 };
    Pair *pair = pair_new();
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    if (can_run(MIG_METHOD_LZ4)) {
        stream_put_bytes(w->stream, beginning, sizeof(beginning) - 1);
        put_blocks(w->stream, pair);
        section_put_header(w->stream, &part);
        stream_put_bytes(w->stream, head,
                         ram_record_put_zero(head, 0, "ram0"));
        ram_record_put_eos(w->stream);
        section_put_footer(w->stream, 1);
        section_put_packs(w->stream, 0);
        bytes = mem_writer_finish(g_steal_pointer(&w));
        assert_refuses(bytes, MIG_ERROR_STREAM,
                       "packs are announced in a wrong place", "place");
    }
    pair_free(pair);
}

static void add(const char *what, GTestDataFunc func, MigMethod from)
{
    for (unsigned i = from; i < CODEC_COUNT; i++) {
        g_autofree char *path = g_strdup_printf(
            "/method/%s/%s", what, codec_by_method(i)->name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), func);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("levels", test_levels, MIG_METHOD_ZLIB);
    add("writing-guest", test_writing_guest, MIG_METHOD_ZLIB);
    g_test_add_func("/method/xbzrle", test_xbzrle);
    g_test_add_func("/method/xbzrle-old-peer", test_xbzrle_old_peer);
    g_test_add_func("/method/auto", test_auto);
    g_test_add_func("/method/auto-without-packs", test_auto_without_packs);
    g_test_add_func("/method/alone", test_method_alone);
    add("qemu-peer", test_qemu_peer, MIG_METHOD_ZSTD);
    add("ferry-peer", test_ferry_peer, MIG_METHOD_ZSTD);
    add("peer-leaves", test_peer_leaves, MIG_METHOD_ZSTD);
    g_test_add_func("/method/unknown", test_unknown_method);
    g_test_add_func("/method/late-packs", test_late_packs);
    g_test_add_func("/method/history", test_history);
    return g_test_run();
}
