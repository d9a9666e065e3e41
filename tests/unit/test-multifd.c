/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/multifd.h: heads of packets, good ones and bad ones. */
#include <string.h>

#include "migration/wire/multifd.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/put-multifd.h"

#define HEAD_SIZE  1344u
#define DEVICE_SIZE (12u + 256 + 4 + 4)

static GBytes *packet_bytes(const PutMultifd *put)
{
    MemWriter *w = mem_writer_new();

    put_multifd_head(w->stream, put);
    return mem_writer_finish(w);
}

static void test_hello(void)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    MultifdHello hello;

    put_multifd_first(w->stream, 7);
    bytes = mem_writer_finish(w);
    r = mem_reader_new(bytes);
    g_assert_true(multifd_get_hello(r->stream, &hello, NULL));
    g_assert_cmpuint(hello.id, ==, 7);
    g_assert_cmpuint(stream_position(r->stream), ==, 64);
}

/* As QEMU 5.2 to 11.1 write them. */
static void test_good(void)
{
    const struct {
        PutMultifd put;
        unsigned method;
        uint32_t size;
        size_t head;
        bool sync, is_device;
    } rows[] = {
        { { .normal = 3, .size = 3 * 4096, .name = "pc.ram" },
          MULTIFD_NONE, 3 * 4096, HEAD_SIZE },
        { { .normal = 28, .zero = 100, .size = 28 * 4096, .name = "pc.ram" },
          MULTIFD_NONE, 28 * 4096, HEAD_SIZE },
        { { .zero = 128, .name = "pc.ram", .offset = 1 << 20 },
          MULTIFD_NONE, 0, HEAD_SIZE },
        /* 10.0: the end of a round */
        { { .flags = PUT_MULTIFD_SYNC }, MULTIFD_NONE, 0, HEAD_SIZE,
          .sync = true },
        /* 7.2: the same, with an older packet's size and name */
        { { .flags = PUT_MULTIFD_SYNC, .size = 237568, .name = "pc.ram" },
          MULTIFD_NONE, 0, HEAD_SIZE, .sync = true },
        /* 7.2: the same, with the last pages */
        { { .flags = PUT_MULTIFD_SYNC, .normal = 1, .size = 4096,
            .name = "rsdp" },
          MULTIFD_NONE, 4096, HEAD_SIZE, .sync = true },
        { { .flags = PUT_MULTIFD_SYNC | PUT_MULTIFD_ZLIB, .normal = 1,
            .size = 62, .name = "rsdp" },
          MULTIFD_ZLIB, 62, HEAD_SIZE, .sync = true },
        { { .flags = PUT_MULTIFD_ZSTD, .normal = 2, .zero = 126, .size = 725,
            .name = "pc.ram" },
          MULTIFD_ZSTD, 725, HEAD_SIZE },
        { { .flags = PUT_MULTIFD_DEVICE, .size = 70000, .name = "vfio" },
          MULTIFD_NONE, 70000, DEVICE_SIZE, .is_device = true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) bytes = packet_bytes(&rows[i].put);
        g_autoptr(MemReader) r = mem_reader_new(bytes);
        MultifdPacket p;
        bool end;

        g_assert_true(multifd_get_packet(r->stream, &p, &end, NULL));
        g_assert_false(end);
        g_assert_cmpuint(p.method, ==, rows[i].method);
        g_assert_cmpuint(p.size, ==, rows[i].size);
        g_assert_cmpuint(p.normal, ==, rows[i].put.normal);
        g_assert_cmpuint(p.zero, ==, rows[i].put.zero);
        g_assert_cmpstr(p.block, ==,
                        p.normal + p.zero ? rows[i].put.name : "");
        g_assert_true(p.sync == rows[i].sync);
        g_assert_true(p.is_device == rows[i].is_device);
        for (unsigned k = 0; k < p.normal + p.zero; k++) {
            g_assert_cmpuint(p.offset[k], ==, rows[i].put.offset + k * 4096);
        }
        g_assert_cmpuint(stream_position(r->stream), ==, rows[i].head);
        g_assert_true(multifd_get_packet(r->stream, &p, &end, NULL));
        g_assert_true(end);
    }
}

static void test_bad(void)
{
    g_autofree char *endless = g_strnfill(256, 'n');
    const struct {
        PutMultifd put;
        const char *says;
    } rows[] = {
        { { .magic = 0x11223345 }, "0x11223345" },
        { { .version = 2 }, "version 2" },
        { { .normal = 129, .size = 129 * 4096, .name = "a" }, "129 pages" },
        { { .normal = 1, .zero = 128, .size = 4096, .name = "a" },
          "1 pages and 128 zero" },
        { { .zero = UINT32_MAX, .name = "a" }, "0 pages and 4294967295 zero" },
        { { .normal = 1, .size = 4096 }, "no name" },
        { { .normal = 1, .size = 4096, .name = "a", .offset = 8 },
          "offset 0x8" },
        { { .normal = 1, .size = 4096, .name = endless }, "no name" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) bytes = packet_bytes(&rows[i].put);
        g_autoptr(MemReader) r = mem_reader_new(bytes);
        GError *err = NULL;
        MultifdPacket p;
        bool end;

        multifd_get_packet(r->stream, &p, &end, &err);
        expect_error(&err, MIG_ERROR_STREAM, rows[i].says);
    }
}

static void test_truncated(void)
{
    const PutMultifd put = { .normal = 1, .size = 4096, .name = "a" };
    g_autoptr(GBytes) bytes = packet_bytes(&put);

    for (size_t cut = 1; cut < HEAD_SIZE; cut++) {
        g_autoptr(GBytes) part = g_bytes_new_from_bytes(bytes, 0, cut);
        g_autoptr(MemReader) r = mem_reader_new(part);
        g_autoptr(GError) err = NULL;
        MultifdPacket p;
        bool end;

        g_assert_false(multifd_get_packet(r->stream, &p, &end, &err));
        g_assert_error(err, MIG_ERROR, MIG_ERROR_EOF);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/multifd/hello", test_hello);
    g_test_add_func("/multifd/good", test_good);
    g_test_add_func("/multifd/bad", test_bad);
    g_test_add_func("/multifd/truncated", test_truncated);
    return g_test_run();
}
