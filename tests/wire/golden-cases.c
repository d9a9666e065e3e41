/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything here is a function of constants, so that a recorded stream stays
 * what the source writes.  RAM is mostly zero, to keep the files small.
 */
#include "tests/wire/golden-cases.h"

#include <string.h>

/* RAM */

static uint8_t *page_of(FakeHost *host, size_t block, uint64_t page)
{
    return host->block[block].host + page * MIG_PAGE_SIZE;
}

void golden_text(uint8_t *page, unsigned seed)
{
    memset(page, 0, MIG_PAGE_SIZE);
    for (unsigned i = 0; i < MIG_PAGE_SIZE; i += 32) {
        g_snprintf((char *)page + i, 32, "page %u, line %u", seed,
                   i / 32 % 7);
    }
}

static void fill_noise(uint8_t *page, uint32_t seed)
{
    for (unsigned i = 0; i < MIG_PAGE_SIZE; i++) {
        seed = seed * 1664525u + 1013904223u;
        page[i] = (uint8_t)(seed >> 24);
    }
}

/* Zero pages first, last and between. */
static void fill_few(FakeHost *host)
{
    golden_text(page_of(host, 0, 1), 1);
    page_of(host, 0, 3)[MIG_PAGE_SIZE - 1] = 1;
}

/* More than two batches; one page does not shrink. */
static void fill_many(FakeHost *host)
{
    for (unsigned p = 0; p < 150; p += 5) {
        golden_text(page_of(host, 0, p), p);
    }
    fill_noise(page_of(host, 0, 33), 33);
}

/* A page of each kind of pack, but for those that need an earlier one. */
static void fill_packs(FakeHost *host)
{
    fill_many(host);
    memcpy(page_of(host, 0, 11), page_of(host, 0, 10), MIG_PAGE_SIZE);
    memcpy(page_of(host, 0, 149), page_of(host, 0, 10), MIG_PAGE_SIZE);
    memset(page_of(host, 0, 12), 0xcc, MIG_PAGE_SIZE);
}

/* As many packs as the history has.  The last one has most of a page of the
 * first one, but no word of it in its place. */
static void fill_history(FakeHost *host)
{
    for (unsigned p = 0; p < 1024; p += 64) {
        golden_text(page_of(host, 0, p), p);
    }
    fill_noise(page_of(host, 0, 1), 1);
    memcpy(page_of(host, 0, 1023), page_of(host, 0, 1) + 5, MIG_PAGE_SIZE - 5);
}

/* A batch must not reach over the end of a block. */
static void fill_two(FakeHost *host)
{
    golden_text(page_of(host, 0, 69), 69);
    golden_text(page_of(host, 1, 0), 70);
}

static void fill_one(FakeHost *host)
{
    golden_text(page_of(host, 0, 0), 7);
}

/* The dirty log stays empty: one pass and an empty last one. */
static void fill_nothing(FakeHost *host)
{
}

/*
 * Three passes, and the guest's last words before it stops.  Text turns into
 * other text, into zero, and zero into text.
 */
static bool script_three_passes(FakeHost *host, FakePoint point, unsigned nth,
                                GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth == 1) {
        fake_host_write(host, 0, 0, 0x11111111);
        fake_host_write(host, 0, 1, 0x22222222);
        memset(page_of(host, 0, 5), 0, MIG_PAGE_SIZE);
        fake_host_write(host, 0, 5, 0);
    } else if (point == FAKE_LOG_COLLECT && nth == 2) {
        fake_host_write(host, 0, 0, 0x33333333);
    } else if (point == FAKE_VM_STOP) {
        fake_host_write(host, 0, 0, 0x44444444);
        fake_host_write(host, 0, 149, 0x55555555);
    }
    return true;
}

/*
 * Pages that come for the third time, as changes: none, two runs with the
 * page's last byte in one of them, and such that make a page of a zero page.
 */
static bool script_changes(FakeHost *host, FakePoint point, unsigned nth,
                           GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth == 1) {
        fake_host_write(host, 0, 0, 0x11111111);
        fake_host_write(host, 0, 1, 0x22222222);
    } else if (point == FAKE_LOG_COLLECT && nth == 2) {
        fake_host_write(host, 0, 0, 0x11111111);
        page_of(host, 0, 1)[MIG_PAGE_SIZE - 1] = 2;
        fake_host_write(host, 0, 1, 0x44444444);
    } else if (point == FAKE_LOG_COLLECT && nth == 3) {
        memset(page_of(host, 0, 0), 0, MIG_PAGE_SIZE);
        fake_host_write(host, 0, 0, 0);
    } else if (point == FAKE_VM_STOP) {
        fake_host_write(host, 0, 0, 0x66666666);
        fake_host_write(host, 0, 1, 0x77777777);
    }
    return true;
}

/* A page of the first pack, with 32 other words in a row. */
static bool script_long_run(FakeHost *host, FakePoint point, unsigned nth,
                            GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth == 1) {
        memset(page_of(host, 0, 1) + 256, 0x5a, 256);
        fake_host_write(host, 0, 1, 0x5a5a5a5a);
    }
    return true;
}

const GoldenCase golden_cases[] = {
    { .name = "plain", .pages = { 5 }, .blocks = 1, .fill = fill_few },
    { .name = "compressed", .pages = { 150 }, .blocks = 1, .compress = true,
      .fill = fill_many },
    { .name = "three-passes", .pages = { 150 }, .blocks = 1,
      .compress = true, .fill = fill_many, .script = script_three_passes },
    { .name = "two-blocks", .pages = { 70, 3 }, .blocks = 2,
      .fill = fill_two },
    { .name = "boards", .pages = { 1 }, .blocks = 1, .boards = true,
      .fill = fill_nothing },
    { .name = "ferry-peer", .pages = { 2 }, .blocks = 1, .compress = true,
      .peer = PEER_FERRY, .fill = fill_one },
    { .name = "other-peer", .pages = { 2 }, .blocks = 1, .compress = true,
      .peer = PEER_OTHER, .fill = fill_one },
    { .name = "batches", .pages = { 150 }, .blocks = 1, .compress = true,
      .method = MIG_METHOD_LZ4, .fill = fill_many },
    { .name = "older-ferry", .pages = { 150 }, .blocks = 1,
      .compress = true, .method = MIG_METHOD_LZ4, .peer = PEER_BATCHES,
      .fill = fill_many },
    { .name = "packs", .pages = { 150 }, .blocks = 1, .compress = true,
      .method = MIG_METHOD_LZ4, .peer = PEER_PACKS, .fill = fill_packs,
      .script = script_three_passes },
    { .name = "dictionary", .pages = { 1040 }, .blocks = 1,
      .compress = true, .method = MIG_METHOD_ZSTD, .peer = PEER_HISTORY,
      .fill = fill_history, .script = script_long_run },
    { .name = "changes", .pages = { 2 }, .blocks = 1, .xbzrle = true,
      .fill = fill_one, .script = script_changes },
    { .name = "zero-range", .pages = { 70 }, .blocks = 1,
      .peer = PEER_RANGES, .fill = fill_one },
    { .name = NULL },
};

/* Devices */

typedef struct Timer {
    uint64_t deadline;
    bool armed;
} Timer;

typedef struct Board {
    uint8_t irq;
    uint16_t port;
    uint32_t status;
    uint32_t added; /* since version 3 */
    uint64_t count[3];
    Timer timer[2];
    uint8_t fifo[5];
    /* subsections */
    uint32_t lost; /* needed unless 0 */
    bool debug;    /* needed when true */
    uint8_t watch[2];
} Board;

enum { BOARD_0, BOARD_IDLE, BOARD_1, BOARD_PLAIN, BOARDS };

struct Boards {
    Board board[BOARDS];
    MigDevice device[BOARDS];
};

static const MigVMStateField timer_fields[] = {
    MIG_VMSTATE_U64(Timer, deadline),
    MIG_VMSTATE_BOOL(Timer, armed),
    MIG_VMSTATE_END
};

static const MigVMState timer_state = {
    .name = "timer", .version = 1, .minimum_version = 1,
    .fields = timer_fields,
};

static const MigVMStateField lost_fields[] = {
    MIG_VMSTATE_U32(Board, lost),
    MIG_VMSTATE_END
};

static bool lost_needed(const void *data)
{
    return ((const Board *)data)->lost != 0;
}

static const MigVMState lost_state = {
    .name = "board/lost", .version = 2, .minimum_version = 1,
    .fields = lost_fields, .needed = lost_needed,
};

static const MigVMStateField debug_fields[] = {
    MIG_VMSTATE_BOOL(Board, debug),
    MIG_VMSTATE_BUFFER(Board, watch),
    MIG_VMSTATE_END
};

static bool debug_needed(const void *data)
{
    return ((const Board *)data)->debug;
}

static const MigVMState debug_state = {
    .name = "board/debug", .version = 1, .minimum_version = 1,
    .fields = debug_fields, .needed = debug_needed,
};

static const MigVMState *const board_subsections[] = {
    &lost_state, &debug_state, NULL
};

static const MigVMStateField board_fields[] = {
    MIG_VMSTATE_U8(Board, irq),
    MIG_VMSTATE_U16(Board, port),
    MIG_VMSTATE_U32(Board, status),
    MIG_VMSTATE_U32_SINCE(Board, added, 3),
    MIG_VMSTATE_U64_ARRAY(Board, count, 3),
    MIG_VMSTATE_STRUCT_ARRAY(Board, timer, 2, &timer_state),
    MIG_VMSTATE_BUFFER(Board, fifo),
    MIG_VMSTATE_END
};

static const MigVMState board_state = {
    .name = "board", .version = 3, .minimum_version = 2,
    .fields = board_fields, .subsections = board_subsections,
};

static const MigVMStateField plain_fields[] = {
    MIG_VMSTATE_STRUCT(Board, timer[0], &timer_state),
    MIG_VMSTATE_U32(Board, status),
    MIG_VMSTATE_END
};

static const MigVMState plain_state = {
    .name = "plain-board", .version = 1, .minimum_version = 1,
    .fields = plain_fields,
};

static bool never_needed(const void *data)
{
    return false;
}

static const MigVMState idle_state = {
    .name = "idle-board", .version = 1, .minimum_version = 1,
    .fields = plain_fields, .needed = never_needed,
};

Boards *boards_new(void)
{
    Boards *boards = g_new0(Boards, 1);
    Board *b = boards->board;

    boards->device[BOARD_0] =
        (MigDevice){ "board", 0, &board_state, &b[BOARD_0] };
    boards->device[BOARD_IDLE] =
        (MigDevice){ "idle-board", 0, &idle_state, &b[BOARD_IDLE] };
    boards->device[BOARD_1] =
        (MigDevice){ "board", 1, &board_state, &b[BOARD_1] };
    boards->device[BOARD_PLAIN] =
        (MigDevice){ "plain-board", 7, &plain_state, &b[BOARD_PLAIN] };
    return boards;
}

void boards_free(Boards *boards)
{
    g_free(boards);
}

void boards_fill(Boards *boards)
{
    Board b = {
        .irq = 0xfe, .port = 0x1234, .status = 0xdeadbeef, .added = 3,
        .count = { 1, UINT64_MAX, UINT64_C(0x8000000000000000) },
        .timer = { { 1000, true }, { 2000, false } },
        .fifo = { 0, 1, 2, 0xfe, 0xff },
    };

    boards->board[BOARD_1] = b;
    b.lost = 99;
    b.debug = true;
    memset(b.watch, 0x5a, sizeof(b.watch));
    boards->board[BOARD_0] = b;
    boards->board[BOARD_PLAIN] = (Board){
        .status = 0x01020304, .timer = { { 77, true } },
    };
}

static void assert_same_timer(const Timer *a, const Timer *b)
{
    g_assert_cmpuint(a->deadline, ==, b->deadline);
    g_assert_cmpint(a->armed, ==, b->armed);
}

static void assert_same_board(const Board *a, const Board *b)
{
    g_assert_cmpuint(a->irq, ==, b->irq);
    g_assert_cmpuint(a->port, ==, b->port);
    g_assert_cmpuint(a->status, ==, b->status);
    g_assert_cmpuint(a->added, ==, b->added);
    g_assert_cmpmem(a->count, sizeof(a->count), b->count, sizeof(b->count));
    assert_same_timer(&a->timer[0], &b->timer[0]);
    assert_same_timer(&a->timer[1], &b->timer[1]);
    g_assert_cmpmem(a->fifo, sizeof(a->fifo), b->fifo, sizeof(b->fifo));
    g_assert_cmpuint(a->lost, ==, b->lost);
    g_assert_cmpint(a->debug, ==, b->debug);
    g_assert_cmpmem(a->watch, sizeof(a->watch), b->watch, sizeof(b->watch));
}

void boards_assert_same(const Boards *a, const Boards *b)
{
    for (unsigned i = 0; i < BOARDS; i++) {
        assert_same_board(&a->board[i], &b->board[i]);
    }
}

const MigDevice *boards_devices(const Boards *boards, size_t *count)
{
    *count = BOARDS;
    return boards->device;
}
