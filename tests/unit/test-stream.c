/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/stream.h, over memory. */
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

/* More than the stream's own buffer, which is 256 KiB. */
enum { LARGE = 700001 };

static uint8_t *pattern(size_t size)
{
    uint8_t *buf = g_malloc(size);

    for (size_t i = 0; i < size; i++) {
        buf[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    }
    return buf;
}

static void assert_flush(Stream *s)
{
    g_autoptr(GError) err = NULL;

    stream_flush(s, &err);
    g_assert_no_error(err);
}

/* Types */

static const uint8_t all_types[] = {
    0x01,                                           /* u8 */
    0x23, 0x45,                                     /* be16 */
    0x67, 0x89, 0xab, 0xcd,                         /* be32 */
    0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, /* be64 */
    'b',  'y',  't',  'e',  's',                    /* bytes */
    4,    'n',  'a',  'm',  'e',                    /* name */
};

static GBytes *write_all_types(void)
{
    MemWriter *w = mem_writer_new();

    stream_put_u8(w->stream, 0x01);
    stream_put_be16(w->stream, 0x2345);
    stream_put_be32(w->stream, 0x6789abcd);
    stream_put_be64(w->stream, UINT64_C(0xeffedcba98765432));
    stream_put_bytes(w->stream, "bytes", 5);
    stream_put_name(w->stream, "name");
    g_assert_cmpuint(stream_position(w->stream), ==, sizeof(all_types));
    return mem_writer_finish(w);
}

/* Both ends know the same sum of the same bytes, however they were put and got;
 * those from before it began do not count. */
static void test_sum(void)
{
    enum { SIZE = 600000 };
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autofree uint8_t *bytes = g_malloc(SIZE);
    const GOutputVector vectors[] = { { bytes, 7 }, { bytes + 7, SIZE - 7 } };
    g_autoptr(GBytes) written = NULL;
    g_autoptr(MemReader) r = NULL;
    uint64_t sum, changed;

    for (unsigned i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * i >> 7);
    }
    stream_put_be32(w->stream, 1);
    g_assert_cmpuint(stream_sum(w->stream), ==, 0);
    stream_sum_begin(w->stream);
    stream_put_name(w->stream, "name");
    g_assert_true(stream_writev(w->stream, vectors, 2, NULL));
    sum = stream_sum(w->stream);
    stream_put_u8(w->stream, 0);
    changed = stream_sum(w->stream);
    g_assert_cmpuint(sum, !=, changed);
    written = mem_writer_finish(g_steal_pointer(&w));

    r = mem_reader_new(written);
    g_assert_true(stream_skip(r->stream, 4, NULL));
    stream_sum_begin(r->stream);
    g_assert_nonnull(stream_peek(r->stream, 1000, NULL));
    g_assert_true(stream_skip(r->stream, 100, NULL));
    g_assert_true(stream_get_bytes(r->stream, bytes, SIZE - 95, NULL));
    g_assert_cmpuint(stream_sum(r->stream), ==, sum);
    g_assert_true(stream_get_u8(r->stream, bytes, NULL));
    g_assert_cmpuint(stream_sum(r->stream), ==, changed);
}

/* Bytes that are read while the sum is held are added by the reader, or not at
 * all. */
static void test_sum_held(void)
{
    g_autoptr(GBytes) written = g_bytes_new_static("abcdef", 6);
    g_autoptr(MemReader) whole = mem_reader_new(written);
    g_autoptr(MemReader) held = mem_reader_new(written);
    uint64_t sum;

    stream_sum_begin(whole->stream);
    stream_sum_begin(held->stream);
    g_assert_true(stream_skip(whole->stream, 5, NULL));
    g_assert_true(stream_skip(held->stream, 2, NULL));
    sum = stream_sum(held->stream);
    stream_sum_hold(held->stream);
    g_assert_true(stream_skip(held->stream, 4, NULL));
    g_assert_cmpuint(stream_sum(held->stream), ==, sum);
    stream_sum_add(held->stream, "cd", 2);
    stream_sum_add(held->stream, "e", 1);
    g_assert_cmpuint(stream_sum(held->stream), ==, stream_sum(whole->stream));
}

static void test_put_types(void)
{
    g_autoptr(GBytes) bytes = write_all_types();

    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    all_types, sizeof(all_types));
}

/* Values, as far as the stream goes; its end is reported in err. */
static bool read_all_types(Stream *s, GError **err)
{
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    char bytes[5], name[256];

    if (!stream_get_u8(s, &u8, err) || !stream_get_be16(s, &u16, err) ||
        !stream_get_be32(s, &u32, err) || !stream_get_be64(s, &u64, err) ||
        !stream_get_bytes(s, bytes, sizeof(bytes), err) ||
        !stream_get_name(s, name, err)) {
        return false;
    }
    g_assert_cmphex(u8, ==, 0x01);
    g_assert_cmphex(u16, ==, 0x2345);
    g_assert_cmphex(u32, ==, 0x6789abcd);
    g_assert_cmphex(u64, ==, UINT64_C(0xeffedcba98765432));
    g_assert_cmpmem(bytes, sizeof(bytes), "bytes", 5);
    g_assert_cmpstr(name, ==, "name");
    return true;
}

/* However small the pieces are in which the bytes come. */
static void test_get_types(void)
{
    g_autoptr(GBytes) bytes = write_all_types();

    for (size_t chunk = 1; chunk <= sizeof(all_types); chunk++) {
        g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, chunk);
        g_autoptr(GError) err = NULL;

        read_all_types(r->stream, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(stream_position(r->stream), ==, sizeof(all_types));
    }
}

static void test_eof_at_each_byte(void)
{
    for (size_t size = 0; size < sizeof(all_types); size++) {
        g_autoptr(MemReader) r = mem_reader_new_static(all_types, size);
        g_autofree char *text = g_strdup_printf("at byte %zu of", size);
        g_autoptr(GError) err = NULL;

        g_assert_false(read_all_types(r->stream, &err));
        expect_error(&err, MIG_ERROR_EOF, text);
    }
}

/* Names */

static void test_names(void)
{
    for (size_t length = 1; length <= 255; length++) {
        MemWriter *w = mem_writer_new();
        g_autofree char *name = g_strnfill(length, 'n');
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(MemReader) r = NULL;
        g_autoptr(GError) err = NULL;
        char got[256];

        stream_put_name(w->stream, name);
        bytes = mem_writer_finish(w);
        g_assert_cmpuint(g_bytes_get_size(bytes), ==, 1 + length);
        r = mem_reader_new(bytes);
        stream_get_name(r->stream, got, &err);
        g_assert_no_error(err);
        g_assert_cmpstr(got, ==, name);
    }
}

static void refuse_name(const char *bytes, size_t size, const char *text)
{
    g_autoptr(MemReader) r = mem_reader_new_static(bytes, size);
    g_autoptr(GError) err = NULL;
    char name[256];

    g_assert_false(stream_get_name(r->stream, name, &err));
    expect_error(&err, MIG_ERROR_STREAM, text);
}

static void test_bad_names(void)
{
    refuse_name("\0", 1, "an empty name, before byte 1 of the stream");
    refuse_name("\1\0", 2, "NUL byte");
    refuse_name("\3a\0b", 4, "a name with a NUL byte in it, before byte 4");
    refuse_name("\3ab\0", 4, "NUL byte");
}

/* Large reads and writes */

/* A small put, a large one, again: across the buffer at every place. */
static void test_put_large(void)
{
    static const size_t fronts[] = {
        0, 1, 262143, 262144, 262145, 524287, 524288,
    };
    g_autofree uint8_t *data = pattern(2 * LARGE);

    for (unsigned i = 0; i < G_N_ELEMENTS(fronts); i++) {
        MemWriter *w = mem_writer_new();
        g_autoptr(GBytes) bytes = NULL;

        stream_put_bytes(w->stream, data, fronts[i]);
        stream_put_bytes(w->stream, data + fronts[i], LARGE);
        stream_put_u8(w->stream, data[fronts[i] + LARGE]);
        g_assert_cmpuint(stream_position(w->stream), ==,
                         fronts[i] + LARGE + 1);
        bytes = mem_writer_finish(w);
        g_assert_cmpmem(g_bytes_get_data(bytes, NULL),
                        g_bytes_get_size(bytes), data, fronts[i] + LARGE + 1);
    }
}

static void read_in_steps(GBytes *bytes, size_t chunk, size_t step)
{
    g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, chunk);
    g_autoptr(GError) err = NULL;
    size_t size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);
    g_autofree uint8_t *got = g_malloc(size);

    for (size_t at = 0; at < size; at += step) {
        stream_get_bytes(r->stream, got + at, MIN(step, size - at), &err);
        g_assert_no_error(err);
        g_assert_cmpuint(stream_position(r->stream), ==,
                         MIN(at + step, size));
    }
    g_assert_cmpmem(got, size, data, size);
}

static void test_get_large(void)
{
    static const size_t chunks[] = { 4093, 262144, 300000, 2 * LARGE };
    static const size_t steps[] = { 1000, 262143, 262144, 262145, LARGE };
    g_autofree uint8_t *data = pattern(LARGE);
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, LARGE);

    for (unsigned i = 0; i < G_N_ELEMENTS(chunks); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(steps); k++) {
            read_in_steps(bytes, chunks[i], steps[k]);
        }
    }
}

/* With bytes in the buffer in front, and the end in the middle. */
static void test_get_large_eof(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    g_autofree uint8_t *got = g_malloc(2 * LARGE);
    g_autoptr(MemReader) r = mem_reader_new_static(data, LARGE);
    g_autoptr(GError) err = NULL;
    uint8_t first;

    g_assert_true(stream_get_u8(r->stream, &first, NULL));
    g_assert_false(stream_get_bytes(r->stream, got, 2 * LARGE, &err));
    expect_error(&err, MIG_ERROR_EOF, "at byte 700001 of");
    g_assert_cmpmem(got, LARGE - 1, data + 1, LARGE - 1);
}

static void test_skip(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, LARGE);
    g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, 5000);
    g_autoptr(GError) err = NULL;
    uint8_t byte;

    g_assert_true(stream_skip(r->stream, 0, NULL));
    g_assert_true(stream_skip(r->stream, 3, NULL));
    g_assert_true(stream_get_u8(r->stream, &byte, NULL));
    g_assert_cmpuint(byte, ==, data[3]);
    g_assert_true(stream_skip(r->stream, 600000, NULL));
    g_assert_true(stream_get_u8(r->stream, &byte, NULL));
    g_assert_cmpuint(byte, ==, data[600004]);
    g_assert_cmpuint(stream_position(r->stream), ==, 600005);
    g_assert_false(stream_skip(r->stream, LARGE, &err));
    expect_error(&err, MIG_ERROR_EOF, "at byte 700001 of");
}

/* As much as one read of the channel gave, or what is left of it. */
static void test_get_some(void)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static("abcdefgh", 8);
    g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, 5);
    g_autoptr(GError) err = NULL;
    uint8_t byte;
    char got[8];
    size_t n;

    g_assert_true(stream_get_u8(r->stream, &byte, NULL));
    g_assert_true(stream_get_some(r->stream, got, sizeof(got), &n, NULL));
    g_assert_cmpmem(got, n, "bcde", 4);
    g_assert_true(stream_get_some(r->stream, got, 2, &n, NULL));
    g_assert_cmpmem(got, n, "fg", 2);
    g_assert_true(stream_get_some(r->stream, got, sizeof(got), &n, NULL));
    g_assert_cmpmem(got, n, "h", 1);
    stream_get_some(r->stream, got, sizeof(got), &n, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(n, ==, 0);
    g_assert_cmpuint(stream_position(r->stream), ==, 8);
}

static void test_peek(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("ab", 2);
    g_autoptr(GError) err = NULL;
    uint8_t byte;

    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(stream_peek_u8(r->stream, &byte, NULL));
        g_assert_cmpuint(byte, ==, 'a');
        g_assert_cmpuint(stream_position(r->stream), ==, 0);
    }
    g_assert_true(stream_get_u8(r->stream, &byte, NULL));
    g_assert_cmpuint(byte, ==, 'a');
    g_assert_true(stream_peek_u8(r->stream, &byte, NULL));
    g_assert_cmpuint(byte, ==, 'b');
    g_assert_true(stream_get_u8(r->stream, &byte, NULL));
    g_assert_false(stream_peek_u8(r->stream, &byte, &err));
    expect_error(&err, MIG_ERROR_EOF, "at byte 2 of");
}

/* More than one read gives, from wherever the stream is. */
static void test_peek_many(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    g_autoptr(GBytes) bytes = g_bytes_new(data, 100);

    for (size_t chunk = 1; chunk < 20; chunk++) {
        g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, chunk);
        g_autoptr(GError) err = NULL;
        const uint8_t *seen;
        uint8_t got[50];

        g_assert_true(stream_get_bytes(r->stream, got, 50, NULL));
        seen = stream_peek(r->stream, 30, &err);
        g_assert_no_error(err);
        g_assert_cmpmem(seen, 30, data + 50, 30);
        g_assert_cmpuint(stream_position(r->stream), ==, 50);
        g_assert_null(stream_peek(r->stream, 51, &err));
        expect_error(&err, MIG_ERROR_EOF, "at byte 50 of");
        /* What there is can still be had. */
        g_assert_true(stream_get_bytes(r->stream, got, 50, NULL));
        g_assert_cmpmem(got, 50, data + 50, 50);
    }
}

static void test_peek_some(void)
{
    g_autofree uint8_t *data = pattern(LARGE);

    for (size_t chunk = 1000; chunk < LARGE; chunk += 70000) {
        g_autoptr(GBytes) bytes = g_bytes_new(data, LARGE);
        g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, chunk);
        g_autoptr(GError) err = NULL;
        const uint8_t *seen;
        size_t got;

        /* All over the buffer, and up to the end. */
        for (size_t at = 0; at < LARGE; at += 30011) {
            size_t left = LARGE - at;

            seen = stream_peek_some(r->stream, 50000, &got, &err);
            g_assert_no_error(err);
            g_assert_cmpuint(got, >=, MIN(50000, left));
            g_assert_cmpuint(got, <=, left);
            g_assert_cmpmem(seen, got, data + at, got);
            g_assert_true(stream_skip(r->stream, MIN(30011, left), NULL));
        }
        g_assert_nonnull(stream_peek_some(r->stream, 1, &got, &err));
        g_assert_cmpuint(got, ==, 0);
    }
}

static void test_restart(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("abcdef", 6);
    g_autoptr(GError) err = NULL;

    g_assert_true(stream_skip(r->stream, 4, NULL));
    stream_restart(r->stream);
    g_assert_cmpuint(stream_position(r->stream), ==, 0);
    g_assert_false(stream_skip(r->stream, 3, &err));
    expect_error(&err, MIG_ERROR_EOF, "at byte 2 of");
}

static bool on_leap(void *opaque, uint64_t size, uint64_t *leapt,
                    GError **errp)
{
    int fd = *(int *)opaque;
    off_t at = lseek(fd, 0, SEEK_CUR);

    *leapt = MIN(size, (uint64_t)(LARGE - at));
    return lseek(fd, (off_t)*leapt, SEEK_CUR) >= 0;
}

/* A file is passed over without being read; whoever wants to see all bytes
 * still sees them. */
static void test_skip_file(void)
{
    static const StreamTap tap = { NULL, NULL };
    g_autofree uint8_t *data = pattern(LARGE);

    for (unsigned watched = 0; watched < 2; watched++) {
        g_autoptr(GFileIOStream) io = NULL;
        g_autoptr(GFile) file = g_file_new_tmp(NULL, &io, NULL);
        g_autofree char *path = g_file_get_path(file);
        g_autoptr(GInputStream) in = NULL;
        IoChannel *channel;
        uint8_t got[10];
        Stream *s;
        int fd;

        g_file_set_contents(path, (const char *)data, LARGE, NULL);
        fd = open(path, O_RDONLY);
        in = g_unix_input_stream_new(fd, TRUE);
        channel = io_channel_new("file", in, NULL);
        s = stream_new(channel);
        stream_set_leap(s, on_leap, &fd);
        if (watched) {
            stream_set_tap(s, &tap, NULL);
        }
        g_assert_true(stream_get_bytes(s, got, 10, NULL));
        g_assert_true(stream_skip(s, LARGE - 30, NULL));
        g_assert_cmpuint(stream_position(s), ==, LARGE - 20);
        g_assert_true(stream_get_bytes(s, got, 10, NULL));
        g_assert_cmpmem(got, 10, data + LARGE - 20, 10);
        g_assert_false(stream_skip(s, 1 << 20, NULL));
        g_assert_cmpuint(stream_position(s), ==, LARGE);
        stream_free(s);
        io_channel_free(channel);
        unlink(path);
    }
}

static void test_drain(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    static const size_t got_before[] = { 0, 1, 1000, LARGE };

    for (unsigned i = 0; i < G_N_ELEMENTS(got_before); i++) {
        size_t rest = LARGE - got_before[i];
        g_autoptr(MemReader) r = mem_reader_new_static(data, LARGE);
        g_autoptr(GError) err = NULL;

        g_assert_true(stream_skip(r->stream, got_before[i], NULL));
        g_assert_true(stream_drain(r->stream, rest, &err));
        g_assert_no_error(err);
        g_assert_cmpuint(stream_position(r->stream), ==, LARGE);
        /* The stream is at its end, also if the buffer had bytes. */
        g_assert_false(stream_skip(r->stream, 1, &err));
        expect_error(&err, MIG_ERROR_EOF, "at byte 700001 of");
    }
}

static void test_drain_limit(void)
{
    static const size_t limits[] = { 0, 1, 262144, LARGE - 1 };
    g_autofree uint8_t *data = pattern(LARGE);

    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_autoptr(MemReader) r = mem_reader_new_static(data, LARGE);
        g_autoptr(GError) err = NULL;
        uint8_t byte;

        g_assert_true(stream_peek_u8(r->stream, &byte, NULL));
        g_assert_false(stream_drain(r->stream, limits[i], &err));
        expect_error(&err, MIG_ERROR_STREAM, "bytes after the end");
    }
}

/* Vectors */

static void test_writev(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    GOutputVector vectors[512];
    size_t front, bytes = 0;

    for (unsigned i = 0; i < 512; i++) {
        vectors[i] = (GOutputVector){ data + bytes, i };
        bytes += i;
    }
    for (front = 0; front <= 9; front += 3) {
        MemWriter *w = mem_writer_new();
        g_autoptr(GBytes) got = NULL;
        g_autoptr(GError) err = NULL;

        stream_put_bytes(w->stream, "in front!", front);
        stream_writev(w->stream, vectors, 512, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(stream_position(w->stream), ==, front + bytes);
        stream_put_bytes(w->stream, "behind", 6);
        got = mem_writer_finish(w);
        g_assert_cmpuint(g_bytes_get_size(got), ==, front + bytes + 6);
        g_assert_cmpmem(g_bytes_get_data(got, NULL), front, "in front!",
                        front);
        g_assert_cmpmem((const uint8_t *)g_bytes_get_data(got, NULL) + front,
                        bytes, data, bytes);
    }
}

/* The caller's array is its own: a partial write does not show in it. */
static void test_writev_keeps_vectors(void)
{
    GOutputVector vectors[] = { { "one", 3 }, { "two", 3 } };
    GOutputVector before[2];
    g_autoptr(MemWriter) w = mem_writer_new();

    memcpy(before, vectors, sizeof(vectors));
    g_assert_true(stream_writev(w->stream, vectors, 2, NULL));
    g_assert_cmpmem(vectors, sizeof(vectors), before, sizeof(before));
}

static void test_writev_nothing(void)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) got = NULL;
    g_autoptr(GError) err = NULL;

    stream_writev(w->stream, NULL, 0, &err);
    g_assert_no_error(err);
    stream_put_u8(w->stream, 'x');
    stream_writev(w->stream, NULL, 0, &err);
    g_assert_no_error(err);
    got = mem_writer_peek(w);
    g_assert_cmpuint(g_bytes_get_size(got), ==, 1);
    mem_writer_free(w);
}

/* Nothing goes out before it must; all of it after a flush. */
static void test_buffering(void)
{
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GBytes) before = NULL, after = NULL;

    stream_put_be64(w->stream, 1);
    before = mem_writer_peek(w);
    g_assert_cmpuint(g_bytes_get_size(before), ==, 0);
    assert_flush(w->stream);
    after = mem_writer_peek(w);
    g_assert_cmpuint(g_bytes_get_size(after), ==, 8);
}

/* Errors */

static void test_sticky_error(void)
{
    g_autoptr(MemWriter) w = mem_writer_new_bounded(10);
    GOutputVector vector = { "0123456789", 10 };
    g_autoptr(GError) err = NULL;
    g_autoptr(GBytes) before = NULL, after = NULL;

    g_assert_true(stream_writev(w->stream, &vector, 1, NULL));
    g_assert_false(stream_writev(w->stream, &vector, 1, &err));
    expect_error(&err, MIG_ERROR_IO, "memory: ");
    /* From now on everything fails, and nothing is written. */
    before = mem_writer_peek(w);
    stream_put_u8(w->stream, 1);
    g_assert_false(stream_flush(w->stream, &err));
    expect_error(&err, MIG_ERROR_IO, "had failed before");
    g_assert_false(stream_writev(w->stream, &vector, 1, &err));
    expect_error(&err, MIG_ERROR_IO, "had failed before");
    after = mem_writer_peek(w);
    g_assert_true(g_bytes_equal(before, after));
}

/* A put that cannot be written out is reported by the next call that can. */
static void test_error_of_put(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    g_autoptr(MemWriter) w = mem_writer_new_bounded(10);
    g_autoptr(GError) err = NULL;

    stream_put_bytes(w->stream, data, LARGE);
    g_assert_cmpuint(stream_position(w->stream), ==, LARGE);
    g_assert_false(stream_flush(w->stream, &err));
    expect_error(&err, MIG_ERROR_IO, "memory: ");
}

/* Not reported, and not leaked. */
static void test_error_unreported(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    g_autoptr(MemWriter) w = mem_writer_new_bounded(10);

    stream_put_bytes(w->stream, data, LARGE);
    g_assert_cmpuint(stream_position(w->stream), ==, LARGE);
}

static void test_cancelled(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("abc", 3);
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GError) err = NULL;
    uint8_t byte;

    io_channel_abort(r->channel);
    g_assert_false(stream_get_u8(r->stream, &byte, &err));
    expect_error(&err, MIG_ERROR_CANCELLED, "");
    g_assert_false(stream_drain(r->stream, 100, &err));
    expect_error(&err, MIG_ERROR_CANCELLED, "");

    io_channel_abort(w->channel);
    stream_put_u8(w->stream, 1);
    g_assert_false(stream_flush(w->stream, &err));
    expect_error(&err, MIG_ERROR_CANCELLED, "");
}

static void test_wrong_direction(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("abc", 3);
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GError) err = NULL;
    uint8_t byte;

    g_assert_false(stream_get_u8(w->stream, &byte, &err));
    expect_error(&err, MIG_ERROR_IO, "can only be written to");
    stream_put_u8(r->stream, 1);
    g_assert_false(stream_flush(r->stream, &err));
    expect_error(&err, MIG_ERROR_IO, "can only be read from");
}

static void test_bad(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("abcdef", 6);
    g_autoptr(GError) err = NULL;

    g_assert_true(stream_skip(r->stream, 5, NULL));
    stream_bad(r->stream, &err, "%s of %u", "something", 7u);
    expect_error(&err, MIG_ERROR_STREAM,
                 "something of 7, before byte 5 of the stream");
}

/* The pacer */

typedef struct Pace {
    MemWriter *writer;
    unsigned calls;
    size_t bytes;
    size_t fail_at; /* fail when bytes would be more */
} Pace;

static bool pace(void *opaque, size_t bytes, GError **errp)
{
    Pace *p = opaque;
    g_autoptr(GBytes) out = mem_writer_peek(p->writer);

    /* It is asked before the bytes go, and for all that did. */
    g_assert_cmpuint(g_bytes_get_size(out), ==, p->bytes);
    p->calls++;
    if (p->bytes + bytes > p->fail_at) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_CANCELLED, "no more");
        return false;
    }
    p->bytes += bytes;
    return true;
}

static void test_pacer_sees_all(void)
{
    g_autofree uint8_t *data = pattern(LARGE);
    g_autoptr(MemWriter) w = mem_writer_new();
    GOutputVector vectors[] = { { data, 100 }, { data, 50 } };
    Pace p = { .writer = w, .fail_at = SIZE_MAX };

    stream_set_pacer(w->stream, pace, &p);
    stream_put_bytes(w->stream, data, LARGE);
    assert_flush(w->stream);
    g_assert_cmpuint(p.bytes, ==, LARGE);
    stream_put_u8(w->stream, 0);
    g_assert_true(stream_writev(w->stream, vectors, 2, NULL));
    g_assert_cmpuint(p.bytes, ==, LARGE + 151);
    /* Where there is nothing to send, there is nothing to ask. */
    p.calls = 0;
    assert_flush(w->stream);
    g_assert_cmpuint(p.calls, ==, 0);
}

static void test_pacer_fails(void)
{
    g_autoptr(MemWriter) w = mem_writer_new();
    GOutputVector vector = { "0123456789", 10 };
    Pace p = { .writer = w, .fail_at = 25 };
    g_autoptr(GBytes) out = NULL;
    g_autoptr(GError) err = NULL;

    stream_set_pacer(w->stream, pace, &p);
    g_assert_true(stream_writev(w->stream, &vector, 1, NULL));
    g_assert_true(stream_writev(w->stream, &vector, 1, NULL));
    g_assert_false(stream_writev(w->stream, &vector, 1, &err));
    expect_error(&err, MIG_ERROR_CANCELLED, "no more");
    g_assert_false(stream_flush(w->stream, &err));
    expect_error(&err, MIG_ERROR_IO, "had failed before");
    g_assert_cmpuint(p.calls, ==, 3);
    out = mem_writer_peek(w);
    g_assert_cmpuint(g_bytes_get_size(out), ==, 20);
}

/* A tap that writes down what it sees. */
typedef struct Tapped {
    GString *given;
    unsigned waits, went_on;
    bool refuse;
} Tapped;

static bool tap_given(void *opaque, const void *buf, size_t size,
                        GError **errp)
{
    Tapped *w = opaque;

    if (w->refuse) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "refused");
        return false;
    }
    g_string_append_len(w->given, buf, size);
    return true;
}

static bool tap_idle(void *opaque, bool waits, GError **errp)
{
    Tapped *w = opaque;

    *(waits ? &w->waits : &w->went_on) += 1;
    return true;
}

static const StreamTap tap = { tap_given, tap_idle };

static void test_tap_given(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("abcdefghij", 10);
    Tapped w = { .given = g_string_new(NULL) };
    g_autoptr(GError) err = NULL;
    char buf[10];
    uint8_t byte;
    size_t n;

    stream_set_tap(r->stream, &tap, &w);
    g_assert_true(stream_peek_u8(r->stream, &byte, NULL));
    g_assert_cmpstr(w.given->str, ==, "");
    g_assert_true(stream_get_bytes(r->stream, buf, 3, NULL));
    g_assert_true(stream_skip(r->stream, 2, NULL));
    g_assert_true(stream_get_some(r->stream, buf, 2, &n, NULL));
    g_assert_cmpstr(w.given->str, ==, "abcdefg");
    /* What comes before the end is given to the tap only. */
    g_assert_false(stream_get_bytes(r->stream, buf, 10, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_EOF);
    g_assert_cmpstr(w.given->str, ==, "abcdefghij");
    g_string_free(w.given, TRUE);
}

static void test_tap_refuses(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("abcdefghij", 10);
    Tapped w = { .refuse = true };
    g_autoptr(GError) err = NULL;
    uint8_t byte;

    stream_set_tap(r->stream, &tap, &w);
    g_assert_false(stream_get_u8(r->stream, &byte, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_HOST);
}

/* Idle is when nothing is there, not when there is something or the end. */
static void test_tap_idle(void)
{
    Tapped w = { .given = g_string_new(NULL) };
    GOutputVector vector = { "xy", 2 };
    IoChannel *ends[2];
    Stream *s;
    uint8_t byte;

    g_assert_true(io_channel_pair(ends, NULL));
    g_assert_false(io_channel_has_input(ends[0]));
    s = stream_new(ends[0]);
    stream_set_tap(s, &tap, &w);
    g_assert_true(io_channel_writev(ends[1], &vector, 1, NULL));
    g_assert_true(io_channel_has_input(ends[0]));
    g_assert_true(stream_get_u8(s, &byte, NULL));
    g_assert_true(stream_get_u8(s, &byte, NULL));
    g_assert_true(io_channel_finish(ends[1], NULL));
    g_assert_true(io_channel_has_input(ends[0]));
    g_assert_false(stream_get_u8(s, &byte, NULL));
    g_assert_cmpuint(w.waits, ==, 0);
    stream_free(s);
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
    g_string_free(w.given, TRUE);
}

/* A memory stream cannot tell whether it has anything: always idle. */
static void test_tap_unknown(void)
{
    g_autoptr(MemReader) r = mem_reader_new_static("ab", 2);
    Tapped w = { .given = g_string_new(NULL) };
    uint8_t byte;

    stream_set_tap(r->stream, &tap, &w);
    g_assert_true(stream_get_u8(r->stream, &byte, NULL));
    g_assert_cmpuint(w.waits, ==, 1);
    g_assert_cmpuint(w.went_on, ==, 1);
    g_string_free(w.given, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/sum", test_sum);
    g_test_add_func("/stream/sum-held", test_sum_held);
    g_test_add_func("/stream/put/types", test_put_types);
    g_test_add_func("/stream/get/types", test_get_types);
    g_test_add_func("/stream/get/eof", test_eof_at_each_byte);
    g_test_add_func("/stream/names", test_names);
    g_test_add_func("/stream/names/bad", test_bad_names);
    g_test_add_func("/stream/put/large", test_put_large);
    g_test_add_func("/stream/get/large", test_get_large);
    g_test_add_func("/stream/get/large-eof", test_get_large_eof);
    g_test_add_func("/stream/skip", test_skip);
    g_test_add_func("/stream/get-some", test_get_some);
    g_test_add_func("/stream/peek", test_peek);
    g_test_add_func("/stream/peek/many", test_peek_many);
    g_test_add_func("/stream/peek/some", test_peek_some);
    g_test_add_func("/stream/restart", test_restart);
    g_test_add_func("/stream/skip/file", test_skip_file);
    g_test_add_func("/stream/drain", test_drain);
    g_test_add_func("/stream/drain/limit", test_drain_limit);
    g_test_add_func("/stream/writev", test_writev);
    g_test_add_func("/stream/writev/keeps-vectors",
                    test_writev_keeps_vectors);
    g_test_add_func("/stream/writev/nothing", test_writev_nothing);
    g_test_add_func("/stream/buffering", test_buffering);
    g_test_add_func("/stream/error/sticky", test_sticky_error);
    g_test_add_func("/stream/error/of-put", test_error_of_put);
    g_test_add_func("/stream/error/unreported", test_error_unreported);
    g_test_add_func("/stream/error/cancelled", test_cancelled);
    g_test_add_func("/stream/error/direction", test_wrong_direction);
    g_test_add_func("/stream/error/bad", test_bad);
    g_test_add_func("/stream/pacer/sees-all", test_pacer_sees_all);
    g_test_add_func("/stream/pacer/fails", test_pacer_fails);
    g_test_add_func("/stream/tap/given", test_tap_given);
    g_test_add_func("/stream/tap/refuses", test_tap_refuses);
    g_test_add_func("/stream/tap/idle", test_tap_idle);
    g_test_add_func("/stream/tap/unknown", test_tap_unknown);
    return g_test_run();
}
