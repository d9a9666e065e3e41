/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a destination, and of a relay that receives, stays within the
 * guest's RAM, the history and CONSTANT bytes, whatever is sent; and a history
 * that was announced takes memory only where packs have filled it.
 *
 * Each case is a process of its own, of which the most memory that it ever had
 * in use is measured (VmHWM).  There is one decompression thread.
 */
#include <pthread.h>
#include <string.h>

#include "migration/pack/pack.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tests/fuzz/memory-kit.h"
#include "tests/lib/fake-host.h"
#include "tests/lib/mem-channel.h"
#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-receive.h"
#include "util/endian.h"

/* Of these, 4 MiB are the slots of sixteen packs that are at work, and 10 MiB
 * their bytes, encoded and decoded. */
#define CONSTANT (20 << 20)
#define MIB      (UINT64_C(1) << 20)

typedef struct Case {
    uint64_t history;  /* of the one that is attacked */
    unsigned window;   /* what the attacker says */
    unsigned packs;    /* what it sends */
    PackKind kind;     /* of all pages in these: NEW or PATTERN */
    uint64_t least;    /* bytes that this has to take, or nothing was tested, */
    uint64_t most;     /* and may, besides CONSTANT */
    const char *says;  /* a part of the error */
} Case;

static const Case announced = {
    2048 * MIB, 8192, 1, PACK_NEW, 0, 0, "ended"
};
/* Around the ring once and a half. */
static const Case filled = {
    64 * MIB, 256, 400, PACK_NEW, 64 * MIB, 64 * MIB, "ended"
};
static const Case patterns = {
    64 * MIB, 256, 20000, PACK_PATTERN, 0, 64 * MIB, "ended"
};
static const Case too_much = {
    64 * MIB, 257, 1, PACK_NEW, 0, 0, "with a history"
};

/* Packs */

typedef struct Attacker {
    const Case *attack;
    IoChannel *channel;
    uint64_t noise;
    uint8_t pack[PACK_SIZE_MAX];
} Attacker;

static uint8_t *put_noise(Attacker *a, uint8_t *to, size_t size)
{
    for (uint8_t *end = to + size; to < end; to += sizeof(uint64_t)) {
        a->noise = a->noise * UINT64_C(6364136223846793005) + 1;
        store_be64(to, a->noise);
    }
    return to;
}

static void hash_page(PackPage *page, const uint8_t *bytes, PackKind kind)
{
    uint8_t whole[MIG_PAGE_SIZE];

    for (size_t at = 0; kind == PACK_PATTERN && at < MIG_PAGE_SIZE; at += 8) {
        memcpy(whole + at, bytes, 8);
    }
    page->hash = pack_hash(kind == PACK_PATTERN ? whole : bytes,
                           MIG_PAGE_SIZE);
}

/* A whole pack in a->pack.  Its pages' keys are key, key + step, ..., its extra
 * bytes are zero.  Returns its size. */
static size_t make_pack(Attacker *a, uint64_t number, uint64_t key,
                        unsigned step, unsigned extra)
{
    static const uint8_t zeros[2 * PACK_PAGES];
    PackHead head = { .pages = PACK_PAGES, .extra = (uint16_t)extra };
    PackSlot slot = { .pages = PACK_PAGES };
    uint8_t *table = a->pack + PACK_HEAD_SIZE;
    uint8_t *to = a->attack->kind == PACK_NEW ? table + PACK_PAGES : table;

    for (unsigned i = 0; i < PACK_PAGES; i++) {
        uint8_t *bytes;

        if (a->attack->kind == PACK_NEW) {
            table[i] = PACK_NEW;
            bytes = to;
            to = put_noise(a, to, MIG_PAGE_SIZE);
        } else {
            *to++ = PACK_PATTERN;
            bytes = to;
            to = put_noise(a, to, sizeof(uint64_t));
        }
        slot.page[i].key = key + i * step;
        hash_page(&slot.page[i], bytes, a->attack->kind);
    }
    memcpy(to, zeros, extra);
    to += extra;
    head.body = (uint32_t)(to - table);
    head.checksum = pack_checksum(number, &slot, zeros, extra);
    pack_put_head(a->pack, &head);
    return (size_t)(to - a->pack);
}

/* Memory */

static void check_memory(const Case *attack, uint64_t before)
{
    uint64_t taken = memory_of("VmHWM") - before;

    g_test_message("%" G_GUINT64_FORMAT " KiB", taken / 1024);
    g_assert_cmpuint(taken, >=, attack->least);
    g_assert_cmpuint(taken, <=, attack->most + CONSTANT);
}

static void assert_says(const Case *attack, const GError *err)
{
    if (!strstr(err->message, attack->says)) {
        g_error("\"%s\" does not say \"%s\"", err->message, attack->says);
    }
}

static pthread_t start(void *(*main)(void *), void *opaque)
{
    pthread_t thread;

    g_assert_cmpint(pthread_create(&thread, NULL, main, opaque), ==, 0);
    return thread;
}

/* An attack in this process: an attacker's thread, which sends by `main`, and
 * `victim`, which returns the error that it ends with. */
static void attack_here(const Case *attack, void *(*main)(void *),
                        GError *(*victim)(const Case *, IoChannel *))
{
    g_autofree Attacker *a = g_new0(Attacker, 1);
    g_autoptr(GError) err = NULL;
    IoChannel *ends[2];
    pthread_t sender, dropper;
    uint64_t before;

    memset(a->pack, 1, sizeof(a->pack)); /* what it takes is not the victim's */
    before = memory_of("VmRSS");
    g_assert_true(io_channel_pair(ends, NULL));
    a->attack = attack;
    a->channel = ends[0];
    sender = start(main, a);
    dropper = start(memory_drop_main, ends[0]);
    err = victim(attack, ends[1]);
    pthread_join(sender, NULL);
    pthread_join(dropper, NULL);
    io_channel_free(ends[0]);
    g_assert_nonnull(err);
    assert_says(attack, err);
    check_memory(attack, before);
}

/* A destination */

static void put_beginning(const Attacker *a, Stream *s)
{
    const Identity id = { .machine = fake_mig_host.machine, .method = "lz4" };
    SectionHeader section = { WIRE_START, 1, WIRE_RAM_NAME, WIRE_RAM_INSTANCE,
                              WIRE_RAM_VERSION };

    section_put_preamble(s, &id);
    section_put_open_return_path(s);
    section_put_ping(s, WIRE_FERRY_HELLO);
    section_put_header(s, &section);
    ram_record_put_mem_size(s, PACK_PAGES * MIG_PAGE_SIZE);
    stream_put_name(s, "ram0");
    stream_put_be64(s, PACK_PAGES * MIG_PAGE_SIZE);
    ram_record_put_eos(s);
    section_put_footer(s, 1);
    section_put_packs(s, a->attack->window);
    section.type = WIRE_PART;
    section_put_header(s, &section);
}

static void *source_main(void *opaque)
{
    Attacker *a = opaque;
    Stream *s = stream_new(a->channel);
    RamPages pages = { .count = PACK_PAGES };
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    bool ok = true;

    for (unsigned i = 0; i < PACK_PAGES; i++) {
        pages.page[i] = i;
    }
    put_beginning(a, s);
    for (unsigned n = 0; ok && n < a->attack->packs; n++) {
        size_t size = make_pack(a, n, 0, 1, 0);

        stream_put_bytes(s, head, ram_record_put_pack(head, &pages, "ram0",
                                                      (uint32_t)size));
        stream_put_bytes(s, a->pack, size);
        ok = stream_flush(s, NULL);
    }
    stream_flush(s, NULL);
    stream_free(s);
    io_channel_finish(a->channel, NULL);
    return NULL;
}

static GError *run_destination(const Case *attack, IoChannel *channel)
{
    return memory_receive(channel, PACK_PAGES, attack->history);
}

/* A relay */

static void *relay_main(void *opaque)
{
    Attacker *a = opaque;
    FrameHead head = {
        .type = RELAY_PACK,
        .pages = PACK_PAGES,
        .bytes = PACK_PAGES * MIG_PAGE_SIZE,
        .window = a->attack->window,
    };
    uint8_t bytes[RELAY_HEAD_SIZE];
    bool ok = true;

    for (unsigned n = 0; ok && n < a->attack->packs; n++) {
        size_t size = make_pack(a, n, (uint64_t)n * head.bytes, 0,
                                2 * PACK_PAGES);
        GOutputVector vectors[] = { { bytes, sizeof(bytes) },
                                    { a->pack, size } };

        head.body = head.packed = (uint32_t)size;
        frame_put_head(bytes, &head);
        ok = io_channel_writev(a->channel, vectors, 2, NULL);
    }
    io_channel_finish(a->channel, NULL);
    return NULL;
}

static GError *run_relay(const Case *attack, IoChannel *channel)
{
    RelayStats stats = { 0 };
    Ending ending = { .end = END_UNTOLD };
    IoChannel *ends[2];
    RelayReceiveConfig config = {
        .version = RELAY_VERSION,
        .window = (unsigned)(attack->history / PACK_SLOT_BYTES),
        .codec = &codec_zlib,
        .pages = RELAY_PAGES,
        .threads = 1,
        .stats = &stats,
        .ending = &ending,
    };
    RelayReceive *receive;
    pthread_t destination;
    GError *err = NULL;
    uint64_t total;

    g_assert_true(io_channel_pair(ends, NULL));
    config.from = stream_new(channel);
    config.to = ends[0];
    destination = start(memory_drop_main, ends[1]);
    receive = relay_receive_new(&config, NULL);
    g_assert_nonnull(receive);
    g_assert_false(relay_receive_run(receive, &total, &err));
    relay_receive_free(receive);
    stream_free(config.from);
    io_channel_free(channel);
    io_channel_free(ends[0]);
    pthread_join(destination, NULL);
    io_channel_free(ends[1]);
    ending_clear(&ending);
    return err;
}

/* Cases */

static void in_process_of_its_own(const Case *attack, void *(*main)(void *),
                                  GError *(*victim)(const Case *,
                                                    IoChannel *))
{
    if (g_test_subprocess()) {
        attack_here(attack, main, victim);
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
}

static void test_destination(gconstpointer attack)
{
    if (!codec_by_method(MIG_METHOD_LZ4)->available) {
        g_test_skip("lz4 was NOT BUILT IN");
        return;
    }
    in_process_of_its_own(attack, source_main, run_destination);
}

static void test_relay(gconstpointer attack)
{
    in_process_of_its_own(attack, relay_main, run_relay);
}

static void add(const char *name, const Case *attack)
{
    g_autofree char *destination =
        g_strdup_printf("/history-memory/destination/%s", name);
    g_autofree char *relay = g_strdup_printf("/history-memory/relay/%s", name);

    g_test_add_data_func(destination, attack, test_destination);
    g_test_add_data_func(relay, attack, test_relay);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("announced", &announced);
    add("filled", &filled);
    add("patterns", &patterns);
    add("too-much", &too_much);
    return g_test_run();
}
