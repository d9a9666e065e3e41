/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fault at every byte of a migration, in both directions and at both ends.
 * Until GO is sent, the guest runs on at the source, whole, and nowhere else,
 * and both sides say what was wrong.  pair/commit tests destinations that are
 * not Ferry and know no GO.
 */
#include <string.h>

#include "migration/pack/codec.h"
#include "tests/errors/small-move.h"
#include "tests/lib/watchdog.h"

typedef struct Walk {
    const MoveKind *kind;
    Golden golden;
    Watchdog *dog;
} Walk;

typedef struct WalkCase {
    const char *name;
    Place place;
    FaultKind fault;
    bool every_kind; /* and not only zlib, where it is the same for all */
    const MoveKind *kind;
} WalkCase;

static void walk_begin(Walk *walk, const MoveKind *kind)
{
    walk->kind = kind;
    golden_record(&walk->golden, kind);
    walk->dog = watchdog_new();
}

static void walk_end(Walk *walk)
{
    watchdog_free(walk->dog);
    golden_clear(&walk->golden);
}

static SmallMove *start_with(const MoveKind *kind, Place place,
                             const Fault *fault)
{
    SmallMove *move = small_move_new(kind, NULL);
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

/* The source writes all of GO at once.  If the destination's end breaks before
 * it has read any of GO, either may have come first. */
static bool is_expected(const Walk *walk, Place place, uint64_t at,
                        Outcome outcome)
{
    if (place != DST_READ || at < walk->golden.go) {
        return outcome == STAYED;
    }
    return outcome == NEITHER || (at == walk->golden.go && outcome == STAYED);
}

/* The side that met the fault says so, and the other side when it can know. */
static void check_causes(const Walk *walk, const WalkCase *c, uint64_t at,
                         const SmallMove *move)
{
    bool at_dst = c->place == DST_READ || c->place == DST_WRITE;
    g_autofree char *src = NULL;
    g_autofree char *dst = NULL;
    g_autofree char *cause = g_strdup(FAULT_TEXT);

    if (c->fault == FAULT_EOF) {
        g_free(cause);
        cause = g_strdup_printf("the channel ended at byte %" G_GUINT64_FORMAT
                                " of", at);
    }
    src = small_move_error(move->pair->src);
    dst = small_move_error(move->pair->dst);
    /* A connection that breaks under two threads is found by either. */
    if (c->place != SRC_READ || c->fault != FAULT_ERROR) {
        assert_has(at_dst ? dst : src, cause);
    }
    if (c->place == DST_READ && c->fault == FAULT_EOF &&
        at >= walk->golden.hello) {
        assert_has(src, "the destination failed: ");
        assert_has(src, cause);
    }
}

static void break_at(const Walk *walk, const WalkCase *c, uint64_t at)
{
    Fault fault = { .kind = c->fault, .at = at };
    SmallMove *move = start_with(c->kind, c->place, &fault);
    Outcome outcome = small_move_end(move);

    g_assert_true(is_expected(walk, c->place, at, outcome));
    if (outcome == STAYED && at < walk->golden.go) {
        check_causes(walk, c, at, move);
    }
    small_move_free(move);
}

/* Nothing moves: somebody gives it up */

static void stall_at(const Walk *walk, const WalkCase *c, uint64_t at)
{
    Gate stalled;
    Fault fault = { .kind = FAULT_STALL, .at = at, .stalled = &stalled };
    SmallMove *move;
    Outcome outcome;

    gate_init(&stalled);
    move = start_with(c->kind, c->place, &fault);
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

static void test_walk(gconstpointer data)
{
    const WalkCase *c = data;
    Walk walk;

    if (!move_kind_works(c->kind)) {
        return;
    }
    walk_begin(&walk, c->kind);
    for (uint64_t at = 0; at < size_at(&walk, c->place);
         at = next_byte(&walk, c->place, at)) {
        watchdog_feed(walk.dog, "%s %s at byte %" G_GUINT64_FORMAT,
                      c->kind->name, c->name, at);
        if (c->fault == FAULT_STALL) {
            stall_at(&walk, c, at);
        } else {
            break_at(&walk, c, at);
        }
    }
    walk_end(&walk);
}

/*
 * A byte that is another one.  With zlib not every one can be noticed: only the
 * data of compressed pages has a checksum, and the guest moves.  Where packs
 * come, the guest only moves as it is, with its devices; what stands before
 * PACKS cannot make another guest of it.  Where the destination cannot read GO,
 * because that was damaged or because it looks for it too early, the guest may
 * be lost; but it never runs twice.
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
    SmallMove *move = start_with(walk->kind, place, &fault);
    Outcome outcome = small_move_end(move);

    if (outcome == NEITHER && !may_lose(walk, place, at)) {
        g_error("the guest is lost");
    }
    if (outcome == MOVED && walk->kind->method != MIG_METHOD_ZLIB) {
        small_move_assert_arrived(move);
        fake_host_assert_same_devices(move->pair->src_host,
                                      move->pair->dst_host);
    }
    small_move_free(move);
}

static void test_flip_stream(gconstpointer kind)
{
    Walk walk;

    if (!move_kind_works(kind)) {
        return;
    }
    walk_begin(&walk, kind);
    for (uint64_t at = 0; at < size_at(&walk, DST_READ);
         at = next_byte(&walk, DST_READ, at)) {
        watchdog_feed(walk.dog, "flip at byte %" G_GUINT64_FORMAT, at);
        flip_at(&walk, DST_READ, at, (uint8_t)(1u << at % 8));
        flip_at(&walk, DST_READ, at, 0xff);
    }
    walk_end(&walk);
}

/* The answers are few: every bit. */
static void test_flip_answers(gconstpointer kind)
{
    Walk walk;

    if (!move_kind_works(kind)) {
        return;
    }
    walk_begin(&walk, kind);
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
        SmallMove *move = small_move_new(MOVE_ZLIB, NULL);
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
 * alone with its fault.  From EOF on the source cannot tell whether the other
 * end runs the guest.
 */
static void write_error_at(uint64_t at, uint64_t eof)
{
    Fault fault = { .kind = FAULT_ERROR, .at = at };
    g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable();
    g_autoptr(GOutputStream) out = fault_output_new(memory, NULL, &fault);
    SmallMove *move = small_move_new(MOVE_ZLIB, NULL);
    g_autofree char *error = NULL;

    small_move_send(move, io_channel_new("faulty", NULL, out));
    g_assert_cmpint(small_move_end(move), ==, at < eof ? STAYED : NEITHER);
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
    SmallMove *move = small_move_new(MOVE_ZLIB, NULL);
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
    SmallMove *move = small_move_new(MOVE_ZLIB, NULL);

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

    write_error_at(at, loaded - 1);
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
    size_t size;
    const void *data = g_bytes_get_data(stream, &size);
    uint64_t noise = stream_find_noise(data, size);
    uint64_t loaded = stream_find_description(data, size);
    Watchdog *dog = watchdog_new();

    for (uint64_t at = 0; at < size; at = golden_next(noise, at)) {
        watchdog_feed(dog, "one-way, byte %" G_GUINT64_FORMAT, at);
        one_way_at(stream, loaded, at);
    }
    watchdog_free(dog);
}

static const WalkCase walks[] = {
    { "stream/read-eof", DST_READ, FAULT_EOF, true, NULL },
    { "stream/read-error", DST_READ, FAULT_ERROR, false, NULL },
    { "stream/write-error", SRC_WRITE, FAULT_ERROR, false, NULL },
    { "return-path/read-eof", SRC_READ, FAULT_EOF, true, NULL },
    { "return-path/read-error", SRC_READ, FAULT_ERROR, false, NULL },
    { "return-path/write-error", DST_WRITE, FAULT_ERROR, false, NULL },
    { "stream/read-stall", DST_READ, FAULT_STALL, true, NULL },
    { "stream/write-stall", SRC_WRITE, FAULT_STALL, false, NULL },
    { "return-path/read-stall", SRC_READ, FAULT_STALL, false, NULL },
    { "return-path/write-stall", DST_WRITE, FAULT_STALL, false, NULL },
};

static void add(const MoveKind *kind, const char *name, gconstpointer data,
                GTestDataFunc test)
{
    g_autofree char *path = g_strdup_printf("/fault-bytes/%s/%s", kind->name,
                                            name);

    g_test_add_data_func(path, data, test);
}

/* cases: room for one of each walk. */
static void add_kind(const MoveKind *kind, WalkCase *cases)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(walks); i++) {
        cases[i] = walks[i];
        cases[i].kind = kind;
        if (kind->method == MIG_METHOD_ZLIB || cases[i].every_kind) {
            add(kind, cases[i].name, &cases[i], test_walk);
        }
    }
    add(kind, "stream/flip", kind, test_flip_stream);
    add(kind, "return-path/flip", kind, test_flip_answers);
}

int main(int argc, char **argv)
{
    MoveKind kinds[CODEC_COUNT];
    WalkCase cases[CODEC_COUNT][G_N_ELEMENTS(walks)];

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        kinds[i] = move_kind(i);
        add_kind(&kinds[i], cases[i]);
    }
    g_test_add_func("/fault-bytes/one-way", test_one_way);
    g_test_add_func("/fault-bytes/short", test_short);
    return g_test_run();
}
