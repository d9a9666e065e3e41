/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A destination's memory stays within the guest's RAM and LOAD_MEMORY bytes,
 * whatever it is sent.  The kernel allows no more (RLIMIT_DATA), so an
 * allocation that is too large ends this program.  There is one decompression
 * thread, and LOAD_MEMORY includes two thread stacks and sixteen jobs.
 */
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

#include "migration/wire/ram-record.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tests/fuzz/memory-kit.h"
#include "tests/lib/fake-host.h"
#include "tests/lib/mem-channel.h"

#define LOAD_MEMORY (28 << 20)
#define FLOOD       (32 << 20) /* bytes of repeated pieces */
#define PAGES       4
#define HISTORY     (64 << 20)

/* A stream to send: a beginning, and then a piece again and again. */
typedef struct Attack {
    GBytes *head, *piece;
    size_t flood; /* bytes of pieces */
    IoChannel *channel;
} Attack;

static bool send_bytes(IoChannel *channel, GBytes *bytes)
{
    GOutputVector vector;

    vector.buffer = g_bytes_get_data(bytes, &vector.size);
    return io_channel_writev(channel, &vector, 1, NULL);
}

static void *send_main(void *opaque)
{
    Attack *attack = opaque;
    size_t piece = g_bytes_get_size(attack->piece);
    bool ok = send_bytes(attack->channel, attack->head);

    for (size_t sent = 0; ok && sent < attack->flood; sent += piece) {
        ok = send_bytes(attack->channel, attack->piece);
    }
    io_channel_finish(attack->channel, NULL);
    return NULL;
}

static void receive(IoChannel *channel, const char *says)
{
    g_autoptr(GError) err = memory_receive(channel, PAGES, HISTORY);

    g_test_message("%s", err->message);
    if (!strstr(err->message, says)) {
        g_error("\"%s\" does not say \"%s\"", err->message, says);
    }
}

/* With a stack that does not count. */
static pthread_t start(void *(*main)(void *), void *opaque)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    g_assert_cmpint(pthread_create(&thread, &attr, main, opaque), ==, 0);
    pthread_attr_destroy(&attr);
    return thread;
}

static void attack_with(MemWriter *head, MemWriter *piece, size_t flood,
                        const char *says)
{
    Attack a = { mem_writer_finish(head), mem_writer_finish(piece), flood,
                 NULL };
    IoChannel *ends[2];
    pthread_t sender, taker;

    g_assert_true(io_channel_pair(ends, NULL));
    a.channel = ends[0];
    sender = start(send_main, &a);
    taker = start(memory_drop_main, ends[0]);
    receive(ends[1], says);
    pthread_join(sender, NULL);
    pthread_join(taker, NULL);
    io_channel_free(ends[0]);
    g_bytes_unref(a.head);
    g_bytes_unref(a.piece);
}

static void attack(MemWriter *head, MemWriter *piece, const char *says)
{
    attack_with(head, piece, FLOOD, says);
}

/* Beginnings */

static MemWriter *preamble(void)
{
    Identity id = { .machine = fake_mig_host.machine };
    MemWriter *w = mem_writer_new();

    section_put_preamble(w->stream, &id);
    return w;
}

/* In the midst of the ram section, which has begun. */
static MemWriter *amid_ram(void)
{
    SectionHeader section = { WIRE_START, 1, WIRE_RAM_NAME, WIRE_RAM_INSTANCE,
                              WIRE_RAM_VERSION };
    MemWriter *w = preamble();

    section_put_header(w->stream, &section);
    ram_record_put_mem_size(w->stream, PAGES * MIG_PAGE_SIZE);
    stream_put_name(w->stream, "ram0");
    stream_put_be64(w->stream, PAGES * MIG_PAGE_SIZE);
    ram_record_put_eos(w->stream);
    section_put_footer(w->stream, 1);
    section.type = WIRE_PART;
    section_put_header(w->stream, &section);
    return w;
}

/* Pieces */

static void put_compressed(Stream *s, uint64_t offset, const void *data,
                           uLong size)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    stream_put_bytes(s, head, ram_record_put_compressed(head, offset, "ram0",
                                                        (uint32_t)size));
    stream_put_bytes(s, data, size);
}

/* Good pages, each of them again and again while it is still in flight. */
static void test_same_pages(void)
{
    static const uint8_t page[MIG_PAGE_SIZE] = { 1, 2, 3 };
    uint8_t data[MIG_PAGE_SIZE];
    uLong size = sizeof(data);
    MemWriter *piece = mem_writer_new();

    compress(data, &size, page, sizeof(page));
    for (unsigned i = 0; i < PAGES; i++) {
        put_compressed(piece->stream, i * MIG_PAGE_SIZE, data, size);
    }
    attack(amid_ram(), piece, "the channel ended");
}

/* A page that would be a gigabyte. */
static void test_bomb(void)
{
    uint8_t data[WIRE_COMPRESSED_MAX];
    g_autofree uint8_t *in = g_malloc0(1 << 20);
    z_stream z = { .next_out = data, .avail_out = sizeof(data) };
    MemWriter *piece = mem_writer_new();

    deflateInit(&z, 9);
    while (z.avail_out > 0) {
        z.next_in = in;
        z.avail_in = 1 << 20;
        deflate(&z, Z_NO_FLUSH);
    }
    deflateEnd(&z);
    put_compressed(piece->stream, 0, data, sizeof(data));
    attack(amid_ram(), piece, "is bad");
}

static void test_zero_pages(void)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    MemWriter *piece = mem_writer_new();

    stream_put_bytes(piece->stream, head,
                     ram_record_put_zero(head, 0, "ram0"));
    attack(amid_ram(), piece, "the channel ended");
}

static void test_pings(void)
{
    MemWriter *head = preamble();
    MemWriter *piece = mem_writer_new();

    section_put_open_return_path(head->stream);
    for (unsigned i = 0; i < 1000; i++) {
        section_put_ping(piece->stream, i);
    }
    /* Each has an answer of its own, which takes time. */
    attack_with(head, piece, FLOOD / 8, "the channel ended");
}

/* A list of blocks that never ends. */
static void test_blocks(void)
{
    SectionHeader section = { WIRE_START, 1, WIRE_RAM_NAME, WIRE_RAM_INSTANCE,
                              WIRE_RAM_VERSION };
    g_autofree char *name = g_strnfill(255, 'x');
    MemWriter *head = preamble();
    MemWriter *piece = mem_writer_new();

    section_put_header(head->stream, &section);
    ram_record_put_mem_size(head->stream, UINT64_C(1) << 60);
    stream_put_name(piece->stream, name);
    stream_put_be64(piece->stream, MIG_PAGE_SIZE);
    attack(head, piece, "");
}

/* A machine type, a list of capabilities: as long as can be said. */
static void test_preamble(void)
{
    for (unsigned i = 0; i < 2; i++) {
        MemWriter *head = i ? preamble() : mem_writer_new();
        MemWriter *piece = mem_writer_new();

        if (i) {
            stream_put_u8(head->stream, WIRE_SUBSECTION);
            stream_put_name(head->stream, "configuration/capabilities");
            stream_put_be32(head->stream, 1);
            stream_put_be32(head->stream, UINT32_MAX);
        } else {
            stream_put_be32(head->stream, WIRE_MAGIC);
            stream_put_be32(head->stream, WIRE_VERSION);
            stream_put_u8(head->stream, WIRE_CONFIGURATION);
            stream_put_be32(head->stream, UINT32_MAX);
        }
        stream_put_name(piece->stream, "late-block-activate");
        attack(head, piece, "");
    }
}

/* Room for what is there already, and for so much. */
static void limit_memory(void)
{
    struct rlimit limit;

    limit.rlim_cur = limit.rlim_max = memory_of("VmData") + LOAD_MEMORY;
    g_assert_cmpint(setrlimit(RLIMIT_DATA, &limit), ==, 0);
}

/* That the limit is one. */
static void test_limit(void)
{
    g_assert_null(g_try_malloc(LOAD_MEMORY + (1 << 20)));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/load-memory/limit", test_limit);
    g_test_add_func("/load-memory/same-pages", test_same_pages);
    g_test_add_func("/load-memory/bomb", test_bomb);
    g_test_add_func("/load-memory/zero-pages", test_zero_pages);
    g_test_add_func("/load-memory/pings", test_pings);
    g_test_add_func("/load-memory/blocks", test_blocks);
    g_test_add_func("/load-memory/preamble", test_preamble);
    limit_memory();
    return g_test_run();
}
