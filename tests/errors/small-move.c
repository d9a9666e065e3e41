/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest writes when its dirty log is collected for the first time, and
 * again while it is being stopped, so that there are a second pass and pages
 * in the last one.  What it wrote is kept on the side: that, and nothing else,
 * must be in the source's RAM at the end.
 */
#include "tests/errors/small-move.h"

#include <string.h>

#include "migration/internal.h"
#include "migration/pack/codec.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"

#define TEXT_PAGE  0u
#define NOISE_PAGE 2u
#define NOISE_STEP 500u
#define NOISE_ENDS 64u
/* ThreadSanitizer looks for races, which are not in the bytes. */
#if defined(__SANITIZE_THREAD__)
#define BYTE_STEP 7u
#else
#define BYTE_STEP 1u
#endif

#define ZERO_PAGE  4u /* from here to the end of the first block */
static const uint64_t pages[FAKE_BLOCKS_MAX] = { 7, 2 };

const MoveKind move_zlib = { "zlib", MIG_METHOD_ZLIB, false };

MoveKind move_kind(MigMethod method)
{
    return (MoveKind){ codec_by_method(method)->name, method,
                       method == MIG_METHOD_LZ4 };
}

bool move_kind_works(const MoveKind *kind)
{
    if (!codec_by_method(kind->method)->available) {
        g_test_skip("this compress-method was NOT BUILT IN");
        return false;
    }
    return true;
}

static uint8_t *page_of(FakeHost *host, size_t block, uint64_t page)
{
    return host->block[block].host + page * MIG_PAGE_SIZE;
}

static void fill_noise(uint8_t *page)
{
    uint32_t x = 1;

    for (unsigned i = 0; i < MIG_PAGE_SIZE; i++) {
        x = x * 1664525u + 1013904223u;
        page[i] = (uint8_t)(x >> 24);
    }
}

static void fill(FakeHost *host)
{
    for (size_t i = 0; i < host->blocks; i++) {
        memset(host->block[i].host, 0, host->block[i].length);
    }
    memset(page_of(host, 0, TEXT_PAGE), 'a', MIG_PAGE_SIZE);
    fill_noise(page_of(host, 0, NOISE_PAGE));
    memset(page_of(host, 0, 3), 'b', MIG_PAGE_SIZE / 2);
    memset(page_of(host, 1, 1), 'c', MIG_PAGE_SIZE);
    host->state.extra_used = true;
    host->state.extra = 77;
}

static void guest_writes(SmallMove *move, FakeHost *host, size_t block,
                         uint64_t page)
{
    fake_host_write(host, block, page, 0x01010101);
    memcpy(move->ram[block] + page * MIG_PAGE_SIZE,
           page_of(host, block, page), MIG_PAGE_SIZE);
}

static bool hook(FakeHost *host, FakePoint point, unsigned nth, GError **errp)
{
    SmallMove *move = host->hook_data;
    const FailCall *fail = &move->fail;

    if (point == FAKE_LOG_COLLECT && nth == 1) {
        guest_writes(move, host, 0, TEXT_PAGE);
    }
    if (point == FAKE_VM_STOP) {
        guest_writes(move, host, 1, 0);
    }
    if (fail->point == point && fail->nth == nth &&
        fail->at_dst == (host == move->pair->dst_host)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, FAULT_TEXT);
        return false;
    }
    return true;
}

SmallMove *small_move_new(const MoveKind *kind, const FailCall *fail)
{
    SmallMove *move = g_new0(SmallMove, 1);
    Pair *pair = pair_new_sized(pages);

    move->pair = pair;
    move->fail = fail ? *fail : (FailCall){ .nth = 0 };
    pair_set(pair, MIG_OPT_COMPRESS, true);
    pair_set(pair, MIG_OPT_COMPRESS_METHOD, kind->method);
    pair_set(pair, MIG_OPT_VERIFY, kind->verify);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0); /* until nothing is dirty */
    fill(pair->src_host);
    pair->src_host->hook = pair->dst_host->hook = hook;
    pair->src_host->hook_data = pair->dst_host->hook_data = move;
    for (size_t i = 0; i < FAKE_BLOCKS_MAX; i++) {
        move->ram[i] = g_memdup2(pair->src_host->block[i].host,
                                 pair->src_host->block[i].length);
    }
    move->device = pair->src_host->state;
    return move;
}

void small_move_free(SmallMove *move)
{
    pair_free(move->pair);
    for (size_t i = 0; i < FAKE_BLOCKS_MAX; i++) {
        g_free(move->ram[i]);
    }
    g_free(move);
}

void small_move_send(SmallMove *move, IoChannel *channel)
{
    Pair *pair = move->pair;

    pair->src = migration_new(&pair->src_calls, pair->src_host, &pair->options,
                              &pair->clock.clock);
    g_assert_true(mig_send(pair->src, channel, NULL));
}

void small_move_receive(SmallMove *move, IoChannel *channel)
{
    Pair *pair = move->pair;

    pair->dst = migration_new(&pair->dst_calls, pair->dst_host, &pair->options,
                              &pair->clock.clock);
    g_assert_true(mig_receive(pair->dst, channel, NULL));
}

void small_move_start(SmallMove *move, const Fault fault[PLACES])
{
    FaultPlan plan[2] = {
        { .read = fault[SRC_READ], .write = fault[SRC_WRITE] },
        { .read = fault[DST_READ], .write = fault[DST_WRITE] },
    };
    IoChannel *ends[2];

    fault_channel_pair(ends, plan);
    small_move_receive(move, ends[1]);
    small_move_send(move, ends[0]);
}

static void assert_source_whole(const SmallMove *move)
{
    FakeHost *host = move->pair->src_host;

    for (size_t i = 0; i < FAKE_BLOCKS_MAX; i++) {
        g_assert_true(!memcmp(host->block[i].host, move->ram[i],
                              host->block[i].length));
    }
    g_assert_true(!memcmp(&host->state, &move->device, sizeof(host->state)));
    g_assert_false(host->logging);
}

void small_move_assert_arrived(const SmallMove *move)
{
    for (size_t i = 0; i < FAKE_BLOCKS_MAX; i++) {
        const MigRamBlock *block = &move->pair->dst_host->block[i];

        g_assert_cmpmem(block->host, block->length, move->ram[i],
                        block->length);
    }
}

Outcome small_move_end(SmallMove *move)
{
    Pair *pair = move->pair;
    bool src, dst;

    if (pair->src) {
        g_autoptr(GError) err = NULL;
        bool gone = mig_wait(pair->src, &err) ||
                    g_error_matches(err, MIG_ERROR, MIG_ERROR_OUTCOME);

        g_assert_true(gone != fake_host_running(pair->src_host));
    }
    if (pair->dst) {
        bool come = mig_wait(pair->dst, NULL);

        g_assert_true(come == fake_host_running(pair->dst_host));
    }
    src = fake_host_running(pair->src_host);
    dst = fake_host_running(pair->dst_host);
    assert_source_whole(move);
    g_assert_false(src && dst);
    return src ? STAYED : dst ? MOVED : NEITHER;
}

char *small_move_error(Migration *m)
{
    MigInfo info;
    char *text;

    mig_query(m, &info);
    g_assert_cmpint(info.state, ==, MIG_STATE_FAILED);
    text = g_strdup(info.error);
    mig_info_clear(&info);
    g_assert_nonnull(text);
    return text;
}

/* The run that all goes well in */

static uint64_t find(const void *in, size_t in_size, const void *what,
                     size_t size)
{
    const uint8_t *found = memmem(in, in_size, what, size);

    g_assert_nonnull(found);
    return (uint64_t)(found - (const uint8_t *)in);
}

/* Its ends may have become part of something else. */
uint64_t stream_find_noise(const void *stream, size_t size)
{
    uint8_t page[MIG_PAGE_SIZE];

    fill_noise(page);
    return find(stream, size, page + NOISE_ENDS,
                sizeof(page) - 2 * NOISE_ENDS) - NOISE_ENDS;
}

uint64_t stream_find_description(const void *stream, size_t size)
{
    return find(stream, size, "{\"page_size\"", 12) - sizeof(uint32_t) - 1;
}

/* The records that must exist so that their bytes are tried. */
static void assert_has_records(const GByteArray *stream, const MoveKind *kind)
{
    static const RamPages packed = { 3, { TEXT_PAGE, NOISE_PAGE, 3 } };
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    size_t size = ram_record_put_zero_range(head, ZERO_PAGE * MIG_PAGE_SIZE,
                                            NULL, pages[0] - ZERO_PAGE);

    find(stream->data, stream->len, head, size);
    if (codec_by_method(kind->method)->batch_pages > 1) {
        /* But for its length. */
        size = ram_record_put_pack(head, &packed, NULL, 0);
        find(stream->data, stream->len, head, size - sizeof(uint32_t));
    }
}

void golden_record(Golden *golden, const MoveKind *kind)
{
    SmallMove *move = small_move_new(kind, NULL);
    Pair *pair = move->pair;
    Fault fault[PLACES] = { 0 };
    GByteArray *stream;

    for (unsigned i = 0; i < PLACES; i++) {
        fault[i].copy = golden->copy[i] = g_byte_array_new();
    }
    small_move_start(move, fault);
    g_assert_cmpint(small_move_end(move), ==, MOVED);
    fake_host_assert_same(pair->src_host, pair->dst_host);
    for (unsigned i = 0; i < FAKE_POINTS; i++) {
        golden->calls[false][i] = fake_host_calls(pair->src_host, i);
        golden->calls[true][i] = fake_host_calls(pair->dst_host, i);
    }
    stream = golden->copy[DST_READ];
    golden->hello = find(stream->data, stream->len, "FRY1", 4) + 4;
    golden->description = stream_find_description(stream->data, stream->len);
    golden->go = find(stream->data, stream->len, "\10\0\2\0\4FRGO", 9);
    golden->noise = stream_find_noise(stream->data, stream->len);
    assert_has_records(stream, kind);
    small_move_free(move);
}

void golden_clear(Golden *golden)
{
    for (unsigned i = 0; i < PLACES; i++) {
        g_byte_array_unref(golden->copy[i]);
    }
}

uint64_t golden_next(uint64_t noise, uint64_t at)
{
    uint64_t last = noise + MIG_PAGE_SIZE - 1;

    if (at <= noise || at >= last) {
        return at + BYTE_STEP;
    }
    return MIN(at + NOISE_STEP, last);
}
