/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HELLO, heads and batches: what is written is read, and nothing else is. */
#include <string.h>

#include "tests/lib/mem-channel.h"
#include "tools/relay/relay-batch.h"
#include "tools/relay/relay-reverse.h"

#define FRAME_MAX (RELAY_HEAD_SIZE + RELAY_BODY_MAX(RELAY_PAGES))

/* The CRC-32 of Ethernet, whatever library computes it, in whatever pieces. */
static void test_checksum(void)
{
    g_autofree uint8_t *bytes = g_malloc(70000);
    uint32_t whole;

    g_assert_cmphex(frame_checksum_add(0, "123456789", 9), ==, 0xcbf43926);
    for (unsigned i = 0; i < 70000; i++) {
        bytes[i] = (uint8_t)(i * i >> 5);
    }
    whole = frame_checksum_add(0, bytes, 70000);
    for (unsigned cut = 0; cut <= 70000; cut += 777) {
        uint32_t sum = frame_checksum_add(0, bytes, cut);

        g_assert_cmphex(frame_checksum_add(sum, bytes + cut, 70000 - cut), ==,
                        whole);
    }
    g_assert_cmphex(frame_checksum_begin(0), ==, 0x6522df69);
}

/* HELLO */

static GBytes *hello_bytes(const Hello *hello)
{
    MemWriter *w = mem_writer_new();

    g_assert_true(hello_write(w->channel, hello, NULL));
    return mem_writer_finish(w);
}

static bool read_hello(const void *data, size_t size, Hello *hello)
{
    g_autoptr(MemReader) r = mem_reader_new_static(data, size);
    g_autoptr(GError) err = NULL;
    bool ok = hello_read(r->stream, hello, &err);

    g_assert_true(ok == !err);
    return ok;
}

static void test_hello(void)
{
    const Hello hello = { 1, 64, "zlib", "", { 0x0123456789abcdef } };
    const Hello no = { 1, 64, "zstd", "why" };
    g_autoptr(GBytes) bytes = hello_bytes(&hello);
    g_autoptr(GBytes) refusal = hello_bytes(&no);
    size_t size, long_size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);
    const uint8_t *long_data = g_bytes_get_data(refusal, &long_size);
    Hello got;

    g_assert_cmpuint(size, ==, 36);
    g_assert_true(read_hello(data, size, &got));
    g_assert_cmpuint(got.pages, ==, 64);
    g_assert_cmpstr(got.method, ==, "zlib");
    g_assert_cmpstr(got.reason, ==, "");
    g_assert_cmphex(got.nonce, ==, 0x0123456789abcdef);
    /* A relay that knows of no nonce takes 16 bytes for the name. */
    g_assert_cmpstr((const char *)data + 16, ==, "zlib");
    g_assert_true(read_hello(long_data, long_size, &got));
    g_assert_cmpstr(got.reason, ==, "why");
    g_assert_cmphex(got.nonce, ==, 0);
    for (size_t cut = 0; cut < long_size; cut++) {
        g_assert_false(read_hello(long_data, cut, &got));
    }
}

static void test_hello_damaged(void)
{
    const Hello hello = { 1, 64, "zlib", "reason" };
    g_autoptr(GBytes) bytes = hello_bytes(&hello);
    size_t size;
    g_autofree uint8_t *data = g_memdup2(g_bytes_get_data(bytes, &size),
                                         g_bytes_get_size(bytes));
    Hello got;

    size = g_bytes_get_size(bytes);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= 1 << bit % 8;
        g_assert_false(read_hello(data, size, &got));
        data[bit / 8] ^= 1 << bit % 8;
    }
}

static void test_hello_limits(void)
{
    const Hello bad[] = {
        { 0, 64, "zlib", "" },
        { 1, 0, "zlib", "" },
        { 1, RELAY_PAGES_MAX + 1, "zlib", "" },
    };
    Hello got;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = hello_bytes(&bad[i]);

        g_assert_false(read_hello(g_bytes_get_data(bytes, NULL),
                                  g_bytes_get_size(bytes), &got));
    }
}

/* Heads */

static const char *head_fault(const FrameHead *head)
{
    uint8_t bytes[RELAY_HEAD_SIZE];
    FrameHead got;

    frame_put_head(bytes, head);
    return frame_get_head(bytes, RELAY_PAGES_MAX, &got);
}

static void test_heads(void)
{
    const FrameHead good[] = {
        { RELAY_DATA, 0, 1, 1, 1 },
        { RELAY_DATA, 1, 4096, 2, 2 },
        { RELAY_DATA, RELAY_PAGES, RELAY_BYTES_MAX(RELAY_PAGES),
          RELAY_BODY_MAX(RELAY_PAGES), 1 },
        { RELAY_END, 0, 0, 8, 8 },
        { RELAY_DELIVERED, 0, 0, 8, 8 },
        { RELAY_ABORT, 0, 0, RELAY_REASON_MAX, RELAY_REASON_MAX },
        { RELAY_PACK, 1, 4096, 18, 18, { 0 } },
        { RELAY_PACK, PACK_PAGES, RELAY_BYTES_MAX(PACK_PAGES), PACK_SIZE_MAX,
          PACK_SIZE_MAX, { PACK_WINDOW_MAX } },
        { RELAY_VERDICT, 0, 0, 1, 1 },
        { RELAY_VERDICT, 0, 0, 1 + RELAY_REASON_MAX, 1 + RELAY_REASON_MAX },
    };
    const FrameHead bad[] = {
        { 0, 0, 1, 1, 1 },
        { 7, 0, 0, 8, 8 },
        { RELAY_DATA, 0, 0, 1, 1 },
        { RELAY_DATA, 0, 1, 1, 0 },
        { RELAY_DATA, 0, 1, 1, 2 },
        { RELAY_DATA, 1, 4095, 2, 2 },
        { RELAY_DATA, RELAY_PAGES_MAX + 1, RELAY_BYTES_MAX(RELAY_PAGES_MAX + 1),
          1, 1 },
        { RELAY_DATA, 0, RELAY_BYTES_MAX(0) + 1, 1, 1 },
        { RELAY_DATA, 0, 1, RELAY_BODY_MAX(0) + 1, 1 },
        { RELAY_DATA, 0, 32000, 1, 1 }, /* more than it has */
        { RELAY_DATA, 0, 1, 2, 2 },
        { RELAY_PACK, 0, 1, 18, 18 },
        { RELAY_PACK, 1, 4095, 18, 18 },
        { RELAY_PACK, 1, RELAY_BYTES_MAX(1) + 1, 18, 18 },
        { RELAY_PACK, PACK_PAGES + 1, RELAY_BYTES_MAX(PACK_PAGES + 1), 99, 99 },
        { RELAY_PACK, 1, 4096, 17, 17 },
        { RELAY_PACK, 1, 4096, 19, 18 },
        { RELAY_PACK, 1, 4096, PACK_SIZE_MAX + 1, PACK_SIZE_MAX + 1 },
        { RELAY_PACK, 1, 4096, 18, 18, { PACK_WINDOW_MAX + 1 } },
        { RELAY_END, 0, 0, 7, 7 },
        { RELAY_END, 0, 1, 8, 8 },
        { RELAY_END, 0, 0, 8, 7 },
        { RELAY_ABORT, 0, 0, RELAY_REASON_MAX + 1, RELAY_REASON_MAX + 1 },
        { RELAY_VERDICT, 0, 0, 0, 0 },
        { RELAY_VERDICT, 0, 1, 2, 2 },
        { RELAY_VERDICT, 0, 0, 2 + RELAY_REASON_MAX, 2 + RELAY_REASON_MAX },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_cmpstr(head_fault(&good[i]), ==, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpstr(head_fault(&bad[i]), !=, NULL);
    }
}

static void test_head_damaged(void)
{
    const FrameHead head = { RELAY_DATA, 1, 4100, 600, 60,
                             { 0x12345678 } };
    uint8_t bytes[RELAY_HEAD_SIZE], again[RELAY_HEAD_SIZE];
    FrameHead got;

    frame_put_head(bytes, &head);
    g_assert_cmpstr(frame_get_head(bytes, RELAY_PAGES, &got), ==, NULL);
    g_assert_cmpuint(got.bytes, ==, 4100);
    frame_put_head(again, &got);
    g_assert_cmpmem(again, sizeof(again), bytes, sizeof(bytes));
    for (unsigned bit = 0; bit < 8 * RELAY_HEAD_SIZE; bit++) {
        bytes[bit / 8] ^= 1 << bit % 8;
        g_assert_cmpstr(frame_get_head(bytes, RELAY_PAGES, &got), !=, NULL);
        bytes[bit / 8] ^= 1 << bit % 8;
    }
}

/* Batches */

typedef struct Sample {
    Batch batch;
    GByteArray *bytes; /* what it stands for */
    uint8_t *frame;
    size_t frame_size;
} Sample;

static void sample_literal(Sample *s, unsigned size)
{
    g_autofree uint8_t *text = g_malloc(size + 1);

    for (unsigned i = 0; i < size; i++) {
        text[i] = (uint8_t)g_test_rand_int();
    }
    g_assert_cmpuint(batch_add_literal(&s->batch, text, size), ==, size);
    g_byte_array_append(s->bytes, text, size);
}

static void sample_page(Sample *s, unsigned kind)
{
    uint8_t page[MIG_PAGE_SIZE] = { 0 };

    for (unsigned i = 0; kind && i < sizeof(page); i++) {
        page[i] = kind == 1 ? (uint8_t)(i / 100) : (uint8_t)g_test_rand_int();
    }
    g_assert_true(batch_add_page(&s->batch, page));
    g_byte_array_append(s->bytes, page, sizeof(page));
}

static void sample_init(Sample *s, uint64_t position)
{
    batch_reset(&s->batch, 0, position);
    s->bytes = g_byte_array_new();
    s->frame = g_malloc(FRAME_MAX);
}

static void sample_pack(Sample *s)
{
    const CodecWorkerConfig config = { .codec = &codec_zlib, .level = 1 };
    CodecWorker *worker = codec_worker_new_encoder(&config, NULL);

    s->frame_size = batch_pack(&s->batch, worker, s->frame);
    g_assert_cmpuint(s->frame_size, <=, FRAME_MAX);
    codec_worker_free(worker);
}

static void sample_destroy(Sample *s)
{
    g_byte_array_unref(s->bytes);
    g_free(s->frame);
}

/* Unpack a frame; what is wrong, or NULL and the bytes must be these. */
static const char *unpack(const Sample *s, uint64_t position)
{
    const CodecWorkerConfig config = {
        .codec = &codec_zlib, .scratch_size = RELAY_BODY_MAX(RELAY_PAGES)
    };
    g_autofree uint8_t *out = g_malloc(RELAY_BYTES_MAX(RELAY_PAGES));
    CodecWorker *worker = codec_worker_new_decoder(&config, NULL);
    FrameHead head;
    Unpack u = { &head, position, s->frame + RELAY_HEAD_SIZE, out };
    const char *fault = frame_get_head(s->frame, RELAY_PAGES, &head);

    fault = fault ? fault : batch_unpack(&u, worker);
    if (!fault) {
        g_assert_cmpmem(out, head.bytes, s->bytes->data, s->bytes->len);
    }
    codec_worker_free(worker);
    return fault;
}

static void fill(Sample *s)
{
    sample_literal(s, 9);
    sample_page(s, 1);
    sample_page(s, 0);
    sample_literal(s, 300);
    sample_page(s, 2);
    sample_literal(s, 8);
    sample_page(s, 1);
    sample_literal(s, 77);
}

static void test_batch(void)
{
    Sample s;

    sample_init(&s, 12345);
    fill(&s);
    sample_pack(&s);
    g_assert_cmpuint(s.frame_size, <, s.bytes->len - 2 * MIG_PAGE_SIZE);
    g_assert_cmpuint(s.batch.zero_pages, ==, 1);
    g_assert_cmpstr(unpack(&s, 12345), ==, NULL);
    g_assert_cmpstr(unpack(&s, 12346), !=, NULL);
    sample_destroy(&s);
}

static void test_batch_random(void)
{
    for (unsigned n = 0; n < 200; n++) {
        unsigned items = g_test_rand_int_range(1, 40);
        Sample s;

        sample_init(&s, n);
        sample_literal(&s, 1);
        for (unsigned i = 0; i < items; i++) {
            unsigned kind = g_test_rand_int_range(0, 6);

            if (kind < 3) {
                sample_page(&s, kind);
            } else {
                sample_literal(&s, g_test_rand_int_range(0, 700));
            }
        }
        sample_pack(&s);
        g_assert_cmpstr(unpack(&s, n), ==, NULL);
        sample_destroy(&s);
    }
}

static void test_batch_full(void)
{
    uint8_t page[MIG_PAGE_SIZE] = { 1 };
    Sample s;

    sample_init(&s, 0);
    for (unsigned i = 0; i < RELAY_PAGES; i++) {
        sample_page(&s, 2);
    }
    g_assert_false(batch_add_page(&s.batch, page));
    sample_literal(&s, RELAY_LITERAL_MAX);
    g_assert_cmpuint(batch_add_literal(&s.batch, page, 5), ==, 0);
    sample_pack(&s);
    g_assert_cmpstr(unpack(&s, 0), ==, NULL);
    sample_destroy(&s);
}

/* If any byte of a frame changes, no wrong bytes come out.  unpack() compares
 * the bytes if the change did not matter to the decoder. */
static void test_batch_damaged(void)
{
    unsigned refused = 0, tried = 0;
    Sample s;

    sample_init(&s, 7);
    fill(&s);
    sample_pack(&s);
    for (size_t i = 0; i < s.frame_size; i += i < 200 ? 1 : 17) {
        s.frame[i] ^= 0x40;
        refused += unpack(&s, 7) != NULL;
        tried++;
        g_assert_true(i >= RELAY_HEAD_SIZE || refused == tried);
        s.frame[i] ^= 0x40;
    }
    g_assert_cmpuint(refused, >, tried - 10);
    g_assert_cmpstr(unpack(&s, 7), ==, NULL);
    sample_destroy(&s);
}

/* A table that does not fit the body, under checksums that are right. */
static void test_batch_table(void)
{
    const struct {
        uint32_t bytes, body;
        uint16_t pages;
        uint8_t table[4];
    } rows[] = {
        { 4096, 2, 1, { 0x00, 0x00 } },         /* no page there */
        { 4096, 2, 1, { 0x80, 0x01 } },         /* no literal there */
        { 4097, 2, 1, { 0x80, 0x00 } },         /* bytes is wrong */
        { 8192, 4, 2, { 0x80, 0x00, 0x00, 0x00 } },
        { 8192, 3, 2, { 0x80, 0x00, 0x80 } },   /* half a table */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        FrameHead head = { RELAY_DATA, rows[i].pages, rows[i].bytes,
                           rows[i].body, rows[i].body };
        CodecWorker none = { .codec = &codec_zlib };
        uint8_t out[3 * MIG_PAGE_SIZE];
        Unpack u = { &head, 0, rows[i].table, out };

        g_assert_cmpstr(batch_unpack(&u, &none), ==,
                        "the parts of a frame do not add up");
    }
}

/* The link */

static GBytes *link_bytes(void)
{
    MemWriter *w = mem_writer_new();
    LinkWriter link = { w->channel };

    g_assert_true(link_write_data(&link, 0, "hello", 5, NULL));
    g_assert_true(link_write_data(&link, 0, "world!", 6, NULL));
    g_assert_true(link_write_total(&link, 0, RELAY_END, 11, NULL));
    link_write_abort(&link, "because");
    return mem_writer_finish(w);
}

/* Read it all; the error there is at last. */
static GError *read_link(MemReader *r)
{
    LinkReader link = { .stream = r->stream };
    uint8_t body[16];
    FrameHead head;
    uint64_t total;
    GError *err = NULL;

    if (link_read_head(&link, &head, &err) &&
        link_read_plain(&link, &head, body, &err) &&
        link_read_head(&link, &head, &err) &&
        link_read_plain(&link, &head, body, &err) &&
        link_read_head(&link, &head, &err) &&
        link_read_total(&link, &head, &total, &err) &&
        link_read_head(&link, &head, &err)) {
        g_assert_cmpuint(link.position[0], ==, 11);
        g_assert_cmpuint(total, ==, 11);
        link_read_abort(&link, &head, &err);
    }
    g_assert_nonnull(err);
    return err;
}

static void test_link(void)
{
    g_autoptr(GBytes) bytes = link_bytes();
    size_t size = g_bytes_get_size(bytes);

    for (size_t chunk = 1; chunk < 60; chunk++) {
        g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, chunk);
        g_autoptr(GError) err = read_link(r);

        g_assert_cmpstr(err->message, ==, "the other relay says: because");
    }
    for (size_t cut = 0; cut < size; cut++) {
        g_autoptr(GBytes) part = g_bytes_new_from_bytes(bytes, 0, cut);
        g_autoptr(MemReader) r = mem_reader_new(part);
        g_autoptr(GError) err = read_link(r);

        g_assert_error(err, MIG_ERROR, MIG_ERROR_EOF);
    }
}

/* Two frames that have changed places are found. */
static void test_link_order(void)
{
    g_autoptr(GBytes) bytes = link_bytes();
    const uint8_t *data = g_bytes_get_data(bytes, NULL);
    size_t first = RELAY_HEAD_SIZE + 5, second = RELAY_HEAD_SIZE + 6;
    g_autoptr(GByteArray) swapped = g_byte_array_new();
    g_autoptr(MemReader) r = NULL;
    g_autoptr(GError) err = NULL;

    g_byte_array_append(swapped, data + first, second);
    g_byte_array_append(swapped, data, first);
    r = mem_reader_new_static(swapped->data, swapped->len);
    err = read_link(r);
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

static bool send_verdict(StreamEnd end, const char *reason, Ending *ending)
{
    MemWriter *w = mem_writer_new();
    LinkWriter to = { w->channel };
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    LinkReader link = { 0 };
    FrameHead head;

    g_assert_true(link_write_verdict(&to, end, reason, NULL));
    bytes = mem_writer_finish(w);
    r = mem_reader_new(bytes);
    link.stream = r->stream;
    g_assert_true(link_read_head(&link, &head, NULL));
    g_assert_cmpuint(head.type, ==, RELAY_VERDICT);
    return link_read_verdict(&link, &head, ending, NULL);
}

static void test_link_verdict(void)
{
    g_autofree char *longest = g_strnfill(RELAY_REASON_MAX, 'r');
    const char *reasons[] = { NULL, "why", longest };
    Ending ending = { .end = END_UNTOLD };

    for (StreamEnd end = END_WHOLE; end <= END_ASKED; end++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(reasons); i++) {
            g_assert_true(send_verdict(end, reasons[i], &ending));
            g_assert_cmpint(ending.end, ==, end);
            g_assert_cmpstr(ending.reason, ==,
                            reasons[i] ? reasons[i] : "");
        }
    }
    g_assert_false(send_verdict(END_UNTOLD, NULL, &ending));
    g_assert_false(send_verdict(END_ASKED + 1, NULL, &ending));
    ending_clear(&ending);
}

/* What the reverse direction is sent: E for END, D for DELIVERED, V for
 * VERDICT, else DATA. */
static bool take_back(const char *frames)
{
    MemWriter *w = mem_writer_new(), *qemu = mem_writer_new();
    LinkWriter to = { w->channel };
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    RelayStats stats = { 0 };
    ReturnWatch seen = { .lost = false };
    const ReverseWatch watch = { &stats, &seen };
    LinkReader link = { 0 };
    uint64_t delivered;
    bool ok;

    for (; *frames; frames++) {
        if (*frames == 'E' || *frames == 'D') {
            link_write_total(&to, 0,
                             *frames == 'E' ? RELAY_END : RELAY_DELIVERED,
                             to.position[0], NULL);
        } else if (*frames == 'V') {
            link_write_verdict(&to, END_WHOLE, NULL, NULL);
        } else {
            link_write_data(&to, 0, frames, 1, NULL);
        }
    }
    bytes = mem_writer_finish(w);
    r = mem_reader_new(bytes);
    link.stream = r->stream;
    ok = reverse_from_link(&link, qemu->channel, &watch, &delivered, NULL);
    mem_writer_free(qemu);
    return ok;
}

static void test_link_back(void)
{
    const char *bad[] = { "", "x", "D", "xD", "E", "xE", "ExD", "EED",
                          "VED", "EVD" };

    g_assert_true(take_back("ED"));
    g_assert_true(take_back("xyED"));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(take_back(bad[i]));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/checksum", test_checksum);
    g_test_add_func("/relay/hello", test_hello);
    g_test_add_func("/relay/hello/damaged", test_hello_damaged);
    g_test_add_func("/relay/hello/limits", test_hello_limits);
    g_test_add_func("/relay/head", test_heads);
    g_test_add_func("/relay/head/damaged", test_head_damaged);
    g_test_add_func("/relay/batch", test_batch);
    g_test_add_func("/relay/batch/random", test_batch_random);
    g_test_add_func("/relay/batch/full", test_batch_full);
    g_test_add_func("/relay/batch/damaged", test_batch_damaged);
    g_test_add_func("/relay/batch/table", test_batch_table);
    g_test_add_func("/relay/link", test_link);
    g_test_add_func("/relay/link/order", test_link_order);
    g_test_add_func("/relay/link/back", test_link_back);
    g_test_add_func("/relay/link/verdict", test_link_verdict);
    return g_test_run();
}
