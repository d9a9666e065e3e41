/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden streams: what the source writes for a scripted guest is, byte for
 * byte, what was recorded; and the destination loads what was recorded.
 *
 *     test-golden --record      writes tests/wire/golden anew
 *
 * To be run after a change of the stream that is meant, with the new files
 * looked at by read_stream.py.
 *
 * Another zlib or zstd may compress a page to other bytes.  Whether the one in
 * use does is seen from a page recorded along with the streams; then the
 * compressed streams are compared by read_stream.py instead, which looks at
 * what the pages inflate to.
 */
#include <string.h>
#include <unistd.h>

#include "migration/internal.h"
#include "migration/pack/codec.h"
#include "tests/lib/fake-clock.h"
#include "tests/wire/golden-cases.h"
#include "tests/wire/golden-peer.h"

#define KNOWN_PAGE "known-page"
#define LEVEL      1

/* One guest and its host. */
typedef struct Machine {
    const GoldenCase *c;
    FakeClock clock;
    MigHost calls;
    MigOptions options;
    FakeHost *host;
    Boards *boards; /* NULL: the fake host's own device */
} Machine;

static const MigDevice *machine_devices(void *opaque, size_t *count)
{
    FakeHost *host = opaque;

    return boards_devices(host->hook_data, count);
}

static void set_option(Machine *vm, MigOptionId id, uint64_t value)
{
    g_assert_true(mig_options_set(&vm->options, mig_option(id), value, NULL));
}

/* A machine with nothing in it. */
static Machine *machine_new(const GoldenCase *c)
{
    Machine *vm = g_new0(Machine, 1);

    vm->c = c;
    vm->calls = fake_mig_host;
    vm->host = fake_host_new(c->pages, c->blocks);
    fake_clock_init(&vm->clock);
    mig_options_init(&vm->options);
    set_option(vm, MIG_OPT_MAX_BANDWIDTH, 0);
    set_option(vm, MIG_OPT_DOWNTIME_LIMIT, 0); /* until nothing is dirty */
    set_option(vm, MIG_OPT_COMPRESS, c->compress);
    set_option(vm, MIG_OPT_XBZRLE, c->xbzrle);
    set_option(vm, MIG_OPT_COMPRESS_LEVEL, LEVEL);
    set_option(vm, MIG_OPT_COMPRESS_METHOD, c->method);
    if (c->boards) {
        vm->boards = boards_new();
        vm->host->hook_data = vm->boards;
        vm->calls.devices = machine_devices;
    }
    return vm;
}

/* One with the guest that the case describes, running. */
static Machine *machine_new_source(const GoldenCase *c)
{
    Machine *vm = machine_new(c);
    FakeDevice *device = &vm->host->state;

    c->fill(vm->host);
    vm->host->hook = c->script;
    vm->host->running = true;
    device->counter = UINT64_C(0x0123456789abcdef);
    device->reg[0] = 1;
    device->reg[1] = 0xfffffffe;
    device->flag = true;
    memcpy(device->fifo, "0123456789abcdef", sizeof(device->fifo));
    if (vm->boards) {
        boards_fill(vm->boards);
    }
    return vm;
}

static void machine_free(Machine *vm)
{
    fake_host_free(vm->host);
    boards_free(vm->boards);
    g_free(vm);
}

static Migration *machine_migration(Machine *vm)
{
    return migration_new(&vm->calls, vm->host, &vm->options,
                         &vm->clock.clock);
}

/* What the source writes */

static GBytes *send_one_way(Migration *m)
{
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();
    GError *err = NULL;

    mig_send(m, io_channel_new("golden", NULL, out), &err);
    g_assert_no_error(err);
    mig_wait(m, &err);
    g_assert_no_error(err);
    return g_memory_output_stream_steal_as_bytes(G_MEMORY_OUTPUT_STREAM(out));
}

static GBytes *send_two_way(Migration *m, GoldenPeer peer)
{
    IoChannel *ends[2];
    GError *err = NULL;
    GBytes *bytes;

    io_channel_pair(ends, &err);
    g_assert_no_error(err);
    mig_send(m, ends[0], &err);
    g_assert_no_error(err);
    bytes = golden_play_destination(ends[1], peer);
    mig_wait(m, &err);
    g_assert_no_error(err);
    io_channel_free(ends[1]);
    return bytes;
}

static GBytes *machine_send(Machine *vm)
{
    Migration *m = machine_migration(vm);
    GBytes *bytes = vm->c->peer == PEER_NONE
                        ? send_one_way(m)
                        : send_two_way(m, vm->c->peer);

    mig_free(m);
    g_assert_false(fake_host_running(vm->host));
    return bytes;
}

static GBytes *stream_of(const GoldenCase *c, unsigned threads,
                         unsigned level)
{
    Machine *vm = machine_new_source(c);
    GBytes *bytes;

    set_option(vm, MIG_OPT_COMPRESS_THREADS, threads);
    set_option(vm, MIG_OPT_COMPRESS_LEVEL, level);
    bytes = machine_send(vm);
    machine_free(vm);
    return bytes;
}

/* Files */

static char *golden_path(const char *name, const char *ending)
{
    g_autofree char *file = g_strconcat(name, ending, NULL);

    return g_test_build_filename(G_TEST_DIST, "golden", file, NULL);
}

static GBytes *read_file(const char *path)
{
    GError *err = NULL;
    char *data;
    size_t size;

    g_file_get_contents(path, &data, &size, &err);
    g_assert_no_error(err);
    return g_bytes_new_take(data, size);
}

static void write_file(const char *path, GBytes *bytes)
{
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    GError *err = NULL;

    g_file_set_contents(path, data, (gssize)size, &err);
    g_assert_no_error(err);
}

/* What read_stream.py sees in a stream, made by any zlib. */
static char *canonical(const char *path)
{
    const char *python = g_getenv("PYTHON");
    g_autofree char *reader = g_test_build_filename(G_TEST_DIST,
                                                    "read_stream.py", NULL);
    const char *argv[] = { python ? python : "python3", reader,
                           "--canonical", path, NULL };
    GError *err = NULL;
    char *text;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                 &text, NULL, &status, &err);
    g_assert_no_error(err);
    g_spawn_check_wait_status(status, &err);
    g_assert_no_error(err);
    return text;
}

static void assert_same_to_reader(GBytes *bytes, const char *golden)
{
    g_autofree char *path = NULL;
    g_autofree char *expected = canonical(golden);
    g_autofree char *actual = NULL;
    int fd = g_file_open_tmp("ferry-golden-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    write_file(path, bytes);
    actual = canonical(path);
    unlink(path);
    g_assert_cmpstr(actual, ==, expected);
}

/* The encoder in use */

/* A page, with another one as its dictionary where the codec takes one. */
static GBytes *compress_known_page(const Codec *codec)
{
    uint8_t page[MIG_PAGE_SIZE], other[MIG_PAGE_SIZE], out[MIG_PAGE_SIZE];
    GError *err = NULL;
    void *encoder = codec->encoder_new(LEVEL, &err);
    size_t size;

    g_assert_no_error(err);
    golden_text(page, 1234);
    golden_text(other, 1233);
    if (codec->encoder_set_dictionary) {
        codec->encoder_set_dictionary(encoder, other, sizeof(other));
    }
    size = codec->encode(encoder, page, MIG_PAGE_SIZE, out, sizeof(out));
    g_assert_cmpuint(size, >, 0);
    codec->encoder_free(encoder);
    return g_bytes_new(out, size);
}

static char *known_page_path(const Codec *codec)
{
    g_autofree char *ending = g_strconcat(".", codec->name, NULL);

    return golden_path(KNOWN_PAGE, ending);
}

/* Another encoder than the one that recorded may write other bytes.  What lz4
 * writes is taken for what any version of it writes. */
static bool encoder_may_differ(const GoldenCase *c)
{
    return c->compress && c->method != MIG_METHOD_LZ4;
}

static bool encoder_is_the_recorded_one(const GoldenCase *c)
{
    const Codec *codec = codec_by_method(c->method);
    g_autofree char *path = known_page_path(codec);
    g_autoptr(GBytes) recorded = NULL;
    g_autoptr(GBytes) now = NULL;

    if (!encoder_may_differ(c)) {
        return true;
    }
    recorded = read_file(path);
    now = compress_known_page(codec);
    return g_bytes_equal(recorded, now);
}

/* Tests */

static void record(const void *data)
{
    const GoldenCase *c = data;
    const Codec *codec = codec_by_method(c->method);
    g_autofree char *path = golden_path(c->name, ".bin");
    g_autofree char *page_path = known_page_path(codec);
    g_autoptr(GBytes) bytes = stream_of(c, 1, LEVEL);
    g_autoptr(GBytes) page = compress_known_page(codec);

    write_file(path, bytes);
    if (encoder_may_differ(c)) {
        write_file(page_path, page);
    }
}

static void assert_same_bytes(GBytes *actual, GBytes *expected)
{
    size_t m, n, i = 0;
    const uint8_t *a = g_bytes_get_data(actual, &m);
    const uint8_t *e = g_bytes_get_data(expected, &n);

    while (i < MIN(m, n) && a[i] == e[i]) {
        i++;
    }
    if (i < MAX(m, n)) {
        g_test_message("%zu bytes, recorded are %zu; the first that differs "
                       "is %zu", m, n, i);
        g_test_fail();
    }
}

static bool can_run(const GoldenCase *c)
{
    const Codec *codec = codec_by_method(c->method);

    if (!codec->available) {
        g_autofree char *why = g_strdup_printf("%s was NOT BUILT IN",
                                               codec->name);

        g_test_skip(why);
    }
    return codec->available;
}

static void test_bytes(const void *data)
{
    static const unsigned threads[] = { 1, 2, 8 };
    const GoldenCase *c = data;
    g_autofree char *path = golden_path(c->name, ".bin");
    g_autoptr(GBytes) expected = read_file(path);
    bool by_reader;

    if (!can_run(c)) {
        return;
    }
    by_reader = !encoder_is_the_recorded_one(c);
    for (unsigned i = 0; i < (c->compress ? G_N_ELEMENTS(threads) : 1); i++) {
        g_autoptr(GBytes) actual = stream_of(c, threads[i], LEVEL);

        if (by_reader) {
            assert_same_to_reader(actual, path);
        } else {
            assert_same_bytes(actual, expected);
        }
    }
    if (by_reader) {
        g_autofree char *why = g_strdup_printf(
            "%s COMPRESSES TO OTHER BYTES than the one that recorded: "
            "compared by read_stream.py only",
            codec_by_method(c->method)->name);

        g_test_skip(why);
    }
}

/* The comparison by the reader, where it can be seen to look past the encoder
 * and not past anything else. */
static void test_reader_comparison(const void *data)
{
    const GoldenCase *c = data;
    g_autofree char *path = golden_path(c->name, ".bin");
    g_autofree char *other_path = golden_path("three-passes", ".bin");
    g_autofree char *text = canonical(path);
    g_autofree char *other_text = canonical(other_path);
    g_autoptr(GBytes) golden = read_file(path);
    g_autoptr(GBytes) actual = NULL;

    if (!can_run(c)) {
        return;
    }
    actual = stream_of(c, 2, 9);
    g_assert_false(g_bytes_equal(actual, golden));
    assert_same_to_reader(actual, path);
    g_assert_cmpstr(text, !=, other_text);
}

static void receive_one_way(Machine *vm, GBytes *bytes)
{
    g_autoptr(GInputStream) in = g_memory_input_stream_new_from_bytes(bytes);
    Migration *m = machine_migration(vm);
    GError *err = NULL;

    mig_receive(m, io_channel_new("golden", in, NULL), &err);
    g_assert_no_error(err);
    mig_wait(m, &err);
    g_assert_no_error(err);
    mig_free(m);
}

static void receive_two_way(Machine *vm, GBytes *bytes)
{
    Migration *m = machine_migration(vm);
    g_autoptr(GBytes) answers = NULL;
    IoChannel *ends[2];
    GError *err = NULL;

    io_channel_pair(ends, &err);
    g_assert_no_error(err);
    mig_receive(m, ends[1], &err);
    g_assert_no_error(err);
    answers = golden_play_source(ends[0], bytes);
    golden_assert_answers(answers);
    mig_wait(m, &err);
    if (vm->c->peer != PEER_OTHER) {
        g_assert_no_error(err);
    } else {
        /* There is no GO in it. */
        g_assert_error(err, MIG_ERROR, MIG_ERROR_EOF);
        g_error_free(err);
    }
    mig_free(m);
    io_channel_free(ends[0]);
}

static void test_load(const void *data)
{
    const GoldenCase *c = data;
    g_autofree char *path = golden_path(c->name, ".bin");
    g_autoptr(GBytes) golden = read_file(path);
    Machine *src = machine_new_source(c);
    Machine *dst = machine_new(c);
    g_autoptr(GBytes) sent = NULL;

    if (!can_run(c)) {
        machine_free(src);
        machine_free(dst);
        return;
    }
    sent = machine_send(src); /* src is as recorded now */
    if (c->peer == PEER_NONE) {
        receive_one_way(dst, golden);
    } else {
        receive_two_way(dst, golden);
    }
    g_assert_cmpint(fake_host_running(dst->host), ==, c->peer != PEER_OTHER);
    if (c->boards) {
        boards_assert_same(src->boards, dst->boards);
    } else {
        fake_host_assert_same(src->host, dst->host);
    }
    machine_free(src);
    machine_free(dst);
}

static void add(const char *what, const GoldenCase *c, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/golden/%s/%s", c->name, what);

    g_test_add_data_func(path, c, func);
}

int main(int argc, char **argv)
{
    bool recording = argc > 1 && !strcmp(argv[1], "--record");

    g_test_init(&argc, &argv, NULL);
    for (const GoldenCase *c = golden_cases; c->name; c++) {
        if (recording) {
            add("record", c, record);
        } else {
            add("bytes", c, test_bytes);
            add("load", c, test_load);
        }
        if (!recording && (!strcmp(c->name, "compressed") ||
                           !strcmp(c->name, "dictionary"))) {
            add("reader-comparison", c, test_reader_comparison);
        }
    }
    return g_test_run();
}
