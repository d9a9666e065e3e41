/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fault at every byte of a migration, in both directions and at both ends.
 * Whatever it is, until GO is sent the guest runs on at the source, whole, and
 * nowhere else; and both sides say what was wrong.
 */
#include <string.h>

#include "tests/errors/small-move.h"
#include "tests/lib/watchdog.h"

typedef struct Walk {
    Golden golden;
    Watchdog *dog;
} Walk;

typedef struct WalkCase {
    const char *name;
    Place place;
    FaultKind kind;
} WalkCase;

static void walk_begin(Walk *walk)
{
    golden_record(&walk->golden, false);
    walk->dog = watchdog_new();
}

static void walk_end(Walk *walk)
{
    watchdog_free(walk->dog);
    golden_clear(&walk->golden);
}

static SmallMove *start_with(Place place, const Fault *fault)
{
    SmallMove *move = small_move_new(&(FailCall){ .nth = 0 });
    Fault all[PLACES] = { 0 };

    all[place] = *fault;
    small_move_start(move, all);
    return move;
}

static bool is_stream(Place place)
{
    return place == SRC_WRITE || place == DST_READ;
}

/* Bytes that pass this place when all goes well. */
static uint64_t size_at(const Walk *walk, Place place)
{
    return walk->golden.copy[place]->len;
}

static uint64_t next_byte(const Walk *walk, Place place, uint64_t at)
{
    return is_stream(place) ? golden_next(walk->golden.noise, at) : at + 1;
}

static void assert_has(const char *text, const char *what)
{
    if (!strstr(text, what)) {
        g_error("\"%s\" does not say \"%s\"", text, what);
    }
}

/* Nothing more comes, or the connection breaks */

/* The source writes GO whole; where the destination's end breaks before it has
 * read any of that, nobody can say who was first. */
static bool is_expected(const Walk *walk, Place place, uint64_t at,
                        Outcome outcome)
{
    if (place != DST_READ || at < walk->golden.go) {
        return outcome == STAYED;
    }
    return outcome == NEITHER || (at == walk->golden.go && outcome == STAYED);
}

/* Who met the fault says so; so does the other side, when it can know. */
static void check_causes(const Walk *walk, const WalkCase *c, uint64_t at,
                         const SmallMove *move)
{
    bool at_dst = c->place == DST_READ || c->place == DST_WRITE;
    g_autofree char *src = NULL;
    g_autofree char *dst = NULL;
    g_autofree char *cause = g_strdup(FAULT_TEXT);

    if (c->kind == FAULT_EOF) {
        g_free(cause);
        cause = g_strdup_printf("the channel ended at byte %" G_GUINT64_FORMAT
                                " of", at);
    }
    src = small_move_error(move->pair->src);
    dst = small_move_error(move->pair->dst);
    /* A connection that breaks under two threads is found by either. */
    if (c->place != SRC_READ || c->kind != FAULT_ERROR) {
        assert_has(at_dst ? dst : src, cause);
    }
    if (c->place == DST_READ && c->kind == FAULT_EOF &&
        at >= walk->golden.hello) {
        assert_has(src, "the destination failed: ");
        assert_has(src, cause);
    }
}

static void break_at(const Walk *walk, const WalkCase *c, uint64_t at)
{
    Fault fault = { .kind = c->kind, .at = at };
    SmallMove *move = start_with(c->place, &fault);
    Outcome outcome = small_move_end(move);

    g_assert_true(is_expected(walk, c->place, at, outcome));
    if (outcome == STAYED && at < walk->golden.go) {
        check_causes(walk, c, at, move);
    }
    small_move_free(move);
}

static const WalkCase breaks[] = {
    { "stream/read-eof", DST_READ, FAULT_EOF },
    { "stream/read-error", DST_READ, FAULT_ERROR },
    { "stream/write-error", SRC_WRITE, FAULT_ERROR },
    { "return-path/read-eof", SRC_READ, FAULT_EOF },
    { "return-path/read-error", SRC_READ, FAULT_ERROR },
    { "return-path/write-error", DST_WRITE, FAULT_ERROR },
};

static void test_break(gconstpointer data)
{
    const WalkCase *c = data;
    Walk walk;

    walk_begin(&walk);
    for (uint64_t at = 0; at < size_at(&walk, c->place);
         at = next_byte(&walk, c->place, at)) {
        watchdog_feed(walk.dog, "%s at byte %" G_GUINT64_FORMAT, c->name, at);
        break_at(&walk, c, at);
    }
    walk_end(&walk);
}

/* Nothing moves: somebody gives it up */

static void stall_at(const Walk *walk, const WalkCase *c, uint64_t at)
{
    Gate stalled;
    Fault fault = { .kind = FAULT_STALL, .at = at, .stalled = &stalled };
    SmallMove *move;
    Outcome outcome;

    gate_init(&stalled);
    move = start_with(c->place, &fault);
    gate_await(&stalled);
    mig_cancel(move->pair->src, NULL);
    mig_wait(move->pair->src, NULL);
    /* It may have said that it has everything; then only this ends it. */
    mig_free(g_steal_pointer(&move->pair->dst));
    outcome = small_move_end(move);
    g_assert_true(is_expected(walk, c->place, at, outcome));
    small_move_free(move);
    gate_destroy(&stalled);
}

static const WalkCase stalls[] = {
    { "stream/read-stall", DST_READ, FAULT_STALL },
    { "stream/write-stall", SRC_WRITE, FAULT_STALL },
    { "return-path/read-stall", SRC_READ, FAULT_STALL },
    { "return-path/write-stall", DST_WRITE, FAULT_STALL },
};

static void test_stall(gconstpointer data)
{
    const WalkCase *c = data;
    Walk walk;

    walk_begin(&walk);
    for (uint64_t at = 0; at < size_at(&walk, c->place);
         at = next_byte(&walk, c->place, at)) {
        watchdog_feed(walk.dog, "%s at byte %" G_GUINT64_FORMAT, c->name, at);
        stall_at(&walk, c, at);
    }
    walk_end(&walk);
}

/*
 * A byte that is another one.  Not every one can be noticed: a page that was
 * not compressed has no checksum, nor have the devices.  Then the guest moves.
 * It may be lost, but never runs twice, where the destination can not read GO:
 * because that is what was damaged, or because it looks for it too early.
 */
static bool may_lose(const Walk *walk, Place place, uint64_t at)
{
    uint64_t length = walk->golden.description + 1;

    return place == DST_READ &&
           (at >= walk->golden.go ||
            (at >= length && at < length + sizeof(uint32_t)));
}

static void flip_at(const Walk *walk, Place place, uint64_t at, uint8_t bits)
{
    Fault fault = { .kind = FAULT_FLIP, .at = at, .flip = bits };
    SmallMove *move = start_with(place, &fault);
    Outcome outcome = small_move_end(move);

    if (outcome == NEITHER && !may_lose(walk, place, at)) {
        g_error("the guest is lost");
    }
    small_move_free(move);
}

static void test_flip_stream(void)
{
    Walk walk;

    walk_begin(&walk);
    for (uint64_t at = 0; at < size_at(&walk, DST_READ);
         at = next_byte(&walk, DST_READ, at)) {
        watchdog_feed(walk.dog, "flip at byte %" G_GUINT64_FORMAT, at);
        flip_at(&walk, DST_READ, at, (uint8_t)(1u << at % 8));
        flip_at(&walk, DST_READ, at, 0xff);
    }
    walk_end(&walk);
}

/* The answers are few: every bit. */
static void test_flip_answers(void)
{
    Walk walk;

    walk_begin(&walk);
    for (uint64_t bit = 0; bit < 8 * size_at(&walk, SRC_READ); bit++) {
        watchdog_feed(walk.dog, "bit %" G_GUINT64_FORMAT " of the answers",
                      bit);
        flip_at(&walk, SRC_READ, bit / 8, (uint8_t)(1u << bit % 8));
    }
    walk_end(&walk);
}

/* Short reads and writes are no fault. */
static void test_short(void)
{
    static const size_t chunks[] = { 1, 2, 3, 7, 4096 };
    Watchdog *dog = watchdog_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(chunks); i++) {
        SmallMove *move = small_move_new(&(FailCall){ .nth = 0 });
        Fault fault[PLACES];

        for (unsigned p = 0; p < PLACES; p++) {
            fault[p] = (Fault){ .chunk = chunks[i] };
        }
        watchdog_feed(dog, "pieces of %zu bytes", chunks[i]);
        small_move_start(move, fault);
        g_assert_cmpint(small_move_end(move), ==, MOVED);
        fake_host_assert_same(move->pair->src_host, move->pair->dst_host);
        small_move_free(move);
    }
    watchdog_free(dog);
}

/*
 * A one-way channel: nobody hears of the other's failure, so each side is
 * alone with its fault.
 */
static void write_error_at(uint64_t at)
{
    Fault fault = { .kind = FAULT_ERROR, .at = at };
    g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable();
    g_autoptr(GOutputStream) out = fault_output_new(memory, NULL, &fault);
    SmallMove *move = small_move_new(&(FailCall){ .nth = 0 });
    g_autofree char *error = NULL;

    small_move_send(move, io_channel_new("faulty", NULL, out));
    g_assert_cmpint(small_move_end(move), ==, STAYED);
    error = small_move_error(move->pair->src);
    assert_has(error, FAULT_TEXT);
    g_assert_cmpuint(g_memory_output_stream_get_data_size(
                         G_MEMORY_OUTPUT_STREAM(memory)), ==, at);
    small_move_free(move);
}

/* Does the destination run the guest? */
static bool load_with(GBytes *stream, const Fault *fault)
{
    g_autoptr(GInputStream) memory =
        g_memory_input_stream_new_from_bytes(stream);
    g_autoptr(GInputStream) in = fault_input_new(memory, NULL, fault);
    SmallMove *move = small_move_new(&(FailCall){ .nth = 0 });
    Outcome outcome;

    /* What was sent is not run where it was. */
    move->pair->src_host->running = false;
    small_move_receive(move, io_channel_new("faulty", in, NULL));
    outcome = small_move_end(move);
    small_move_free(move);
    return outcome == MOVED;
}

static GBytes *one_way_stream(void)
{
    g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable();
    SmallMove *move = small_move_new(&(FailCall){ .nth = 0 });

    small_move_send(move, io_channel_new("memory", NULL, memory));
    g_assert_cmpint(small_move_end(move), ==, NEITHER);
    small_move_free(move);
    return g_memory_output_stream_steal_as_bytes(
        G_MEMORY_OUTPUT_STREAM(memory));
}

/* loaded: the bytes that a destination must have to run the guest. */
static void one_way_at(GBytes *stream, uint64_t loaded, uint64_t at)
{
    static const FaultKind ends[] = { FAULT_EOF, FAULT_ERROR };
    const uint8_t flips[] = { (uint8_t)(1u << at % 8), 0xff };

    write_error_at(at);
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        Fault end = { .kind = ends[i], .at = at };

        g_assert_true(load_with(stream, &end) == (at >= loaded));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(flips); i++) {
        Fault flip = { .kind = FAULT_FLIP, .at = at, .flip = flips[i] };

        g_assert_true(load_with(stream, &flip) || at < loaded);
    }
}

static void test_one_way(void)
{
    g_autoptr(GBytes) stream = one_way_stream();
    size_t size = g_bytes_get_size(stream);
    uint64_t less; /* the commands before the list of blocks */
    Walk walk;

    walk_begin(&walk);
    less = walk.golden.go - size;
    for (uint64_t at = 0; at < size;
         at = golden_next(walk.golden.noise - less, at)) {
        watchdog_feed(walk.dog, "one-way, byte %" G_GUINT64_FORMAT, at);
        one_way_at(stream, walk.golden.description - less, at);
    }
    walk_end(&walk);
}

static void add(const WalkCase *c, GTestDataFunc test)
{
    g_autofree char *path = g_strdup_printf("/fault-bytes/%s", c->name);

    g_test_add_data_func(path, c, test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(breaks); i++) {
        add(&breaks[i], test_break);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(stalls); i++) {
        add(&stalls[i], test_stall);
    }
    g_test_add_func("/fault-bytes/stream/flip", test_flip_stream);
    g_test_add_func("/fault-bytes/return-path/flip", test_flip_answers);
    g_test_add_func("/fault-bytes/one-way", test_one_way);
    g_test_add_func("/fault-bytes/short", test_short);
    return g_test_run();
}
