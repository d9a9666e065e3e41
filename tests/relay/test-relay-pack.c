/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From QEMU's stream to frames and back, through the pools of two relays that
 * keep a history.  What is damaged or forged on the link is refused.
 */
#include <string.h>

#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"
#include "tests/lib/unpack-now.h"
#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-receive.h"
#include "tools/relay/relay-send.h"
#include "util/endian.h"

#define RAM_ID 2u

/* Streams */

static void put_start(Stream *s)
{
    const Identity identity = { .machine = "pc-i440fx-7.2" };
    SectionHeader start = { WIRE_START, RAM_ID, "ram", 0, WIRE_RAM_VERSION };

    section_put_preamble(s, &identity);
    section_put_open_return_path(s);
    section_put_header(s, &start);
    ram_record_put_mem_size(s, 2 << 20);
    stream_put_name(s, "pc.ram");
    stream_put_be64(s, 2 << 20);
    ram_record_put_eos(s);
    section_put_footer(s, RAM_ID);
}

static void put_page(Stream *s, uint64_t page, const uint8_t *bytes,
                     const char *name)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    size_t size = ram_record_put_plain(head, page * MIG_PAGE_SIZE, name);

    stream_put_bytes(s, head, size);
    stream_put_bytes(s, bytes, MIG_PAGE_SIZE);
}

/* The content of a page in a pass: all kinds that a pack knows. */
static void fill(uint8_t bytes[MIG_PAGE_SIZE], unsigned page, unsigned pass)
{
    static const PageKind kinds[] = { PAGE_TEXT, PAGE_NOISE, PAGE_ZERO };

    if (page % 5 == 3) {
        memset(bytes, page, MIG_PAGE_SIZE); /* a pattern */
        return;
    }
    /* Every second one is as the one before. */
    test_page_fill(bytes, kinds[page / 2 % 3], page / 2);
    if (page % 2) {
        store_be64(bytes + 8 * (page % 500), pass);
    }
}

typedef void Fill(uint8_t bytes[MIG_PAGE_SIZE], unsigned page, unsigned pass);

static GBytes *make_stream_of(Fill *fill_page, unsigned pages, unsigned passes)
{
    MemWriter *w = mem_writer_new();

    put_start(w->stream);
    for (unsigned pass = 0; pass < passes; pass++) {
        SectionHeader part = {
            pass == passes - 1 ? WIRE_END : WIRE_PART, RAM_ID
        };

        section_put_header(w->stream, &part);
        for (unsigned page = 0; page < pages; page++) {
            uint8_t bytes[MIG_PAGE_SIZE];

            fill_page(bytes, page, pass);
            put_page(w->stream, page, bytes, page ? NULL : "pc.ram");
        }
        ram_record_put_eos(w->stream);
        section_put_footer(w->stream, RAM_ID);
    }
    stream_put_u8(w->stream, WIRE_EOF);
    return mem_writer_finish(w);
}

/* So many pages, again in each pass, with few changes. */
static GBytes *make_stream(unsigned pages, unsigned passes)
{
    return make_stream_of(fill, pages, passes);
}

/* Both relays */

typedef struct Setting {
    unsigned version, window, threads;
    const Codec *codec;
    bool chooses; /* compress-method auto */
} Setting;

/* All frames, from a HELLO's end on. */
static GBytes *send_stream(GBytes *stream, const Setting *as,
                           uint64_t *history)
{
    g_autoptr(MemReader) from = mem_reader_new(stream);
    MemWriter *to = mem_writer_new();
    RelayStats stats = { 0 };
    RelayFindings findings = { .number = 1 };
    ReturnWatch back = { .lost = false };
    LinkWriter link;
    TrunkConfig trunk = {
        .link = &link,
        .version = as->version,
        .window = as->window,
        .codec = as->codec,
        .level = 1,
        .threads = as->threads,
        .ladder = as->chooses ? ladder_of_all(codec_features())
                              : ladder_of_one(as->codec, 1),
        .stats = &stats,
    };
    RelaySendConfig config = {
        .from = from->stream,
        .findings = &findings,
        .back = &back,
    };
    RelaySend *send;

    link_writer_init(&link, to->channel);
    config.trunk = trunk_new(&trunk, NULL);
    send = relay_send_new(&config);
    g_assert_true(relay_send_run(send, NULL));
    relay_send_free(send);
    trunk_free(config.trunk);
    link_writer_destroy(&link);
    relay_findings_clear(&findings);
    *history = relay_stats_get(&stats.history);
    return mem_writer_finish(to);
}

/* What comes out of them; *ok: it is all. */
static GBytes *receive_frames(GBytes *link, const Setting *as, bool *ok)
{
    g_autoptr(MemReader) from = mem_reader_new(link);
    MemWriter *to = mem_writer_new();
    RelayStats stats = { 0 };
    Ending ending = { .end = END_UNTOLD };
    RelayReceiveConfig config = {
        .from = from->stream,
        .to = to->channel,
        .version = as->version,
        .window = as->window,
        .codec = as->codec,
        .pages = RELAY_PAGES,
        .threads = as->threads,
        .stats = &stats,
        .ending = &ending,
    };
    RelayReceive *receive = relay_receive_new(&config, NULL);
    uint64_t total;

    *ok = relay_receive_run(receive, &total, NULL);
    relay_receive_free(receive);
    ending_clear(&ending);
    return mem_writer_finish(to);
}

static void assert_same(GBytes *a, GBytes *b)
{
    g_assert_cmpmem(g_bytes_get_data(a, NULL), g_bytes_get_size(a),
                    g_bytes_get_data(b, NULL), g_bytes_get_size(b));
}

static void assert_received(GBytes *link, const Setting *as, GBytes *stream)
{
    bool ok;
    g_autoptr(GBytes) out = receive_frames(link, as, &ok);

    g_assert_true(ok);
    assert_same(out, stream);
}

/* The head of a frame, which begins at *at of the link; *at is set to its end.
 * False behind the last frame. */
static bool next_frame(GBytes *link, size_t *at, FrameHead *head)
{
    size_t size;
    const uint8_t *data = g_bytes_get_data(link, &size);

    if (*at == size) {
        return false;
    }
    g_assert_cmpstr(frame_get_head(data + *at, RELAY_PAGES, head), ==, NULL);
    *at += RELAY_HEAD_SIZE + head->packed;
    return true;
}

static unsigned count_frames(GBytes *link, unsigned type)
{
    unsigned count = 0;
    FrameHead head;
    size_t at = 0;

    while (next_frame(link, &at, &head)) {
        count += head.type == type;
    }
    return count;
}

/* Was the stream cut into the same frames?  A batch that the system holds up
 * for long makes the next ones smaller. */
static bool is_cut_alike(GBytes *a, GBytes *b)
{
    FrameHead head = { 0 }, other = { 0 };
    size_t at = 0, at_other = 0;

    while (next_frame(a, &at, &head)) {
        if (!next_frame(b, &at_other, &other) || head.pages != other.pages ||
            head.bytes != other.bytes) {
            return false;
        }
    }
    return true;
}

/* The bytes do not depend on threads and timing, except for where they cut. */
static void check_again(GBytes *link, GBytes *stream, const Setting *as)
{
    uint64_t history;
    g_autoptr(GBytes) again = send_stream(stream, as, &history);

    if (is_cut_alike(link, again)) {
        assert_same(link, again);
    } else {
        g_test_message("the stream was cut elsewhere");
    }
}

static void check_threads(GBytes *stream, const Codec *codec, unsigned window)
{
    const unsigned threads[] = { 1, 2, 8 };
    Setting as = { RELAY_VERSION, window, 1, codec };
    uint64_t history;
    g_autoptr(GBytes) link = send_stream(stream, &as, &history);

    g_assert_cmpuint(history, ==, (uint64_t)window * PACK_SLOT_BYTES);
    g_assert_cmpuint(count_frames(link, RELAY_PACK), >, 3);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        as.threads = threads[i];
        check_again(link, stream, &as);
        assert_received(link, &as, stream);
    }
    as.window = PACK_WINDOW_MAX / 16; /* more than the sender's */
    assert_received(link, &as, stream);
}

static void test_threads(void)
{
    const Codec *codecs[] = { &codec_zlib, &codec_zstd, &codec_lz4 };
    const unsigned windows[] = { 0, 1, 256 };
    g_autoptr(GBytes) stream = make_stream(200, 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(codecs); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(windows); k++) {
            if (codecs[i]->available) {
                check_threads(stream, codecs[i], windows[k]);
            }
        }
    }
}

/* compress-method auto: every pack says by itself how it was encoded. */
static void test_auto(void)
{
    const Codec *codec = codec_zstd.available ? &codec_zstd : &codec_zlib;
    const Setting as = { RELAY_VERSION, 64, 2, codec, true };
    g_autoptr(GBytes) stream = make_stream(4000, 2);
    uint64_t history;
    g_autoptr(GBytes) link = send_stream(stream, &as, &history);

    g_assert_cmpuint(count_frames(link, RELAY_PACK), >, 100);
    assert_received(link, &as, stream);
}

/* The pages of the second pass are found by their addresses. */
static void test_history(void)
{
    const Setting with = { RELAY_VERSION, 64, 1, &codec_zlib };
    const Setting without = { RELAY_VERSION, 0, 1, &codec_zlib };
    g_autoptr(GBytes) stream = make_stream(400, 2);
    uint64_t history;
    g_autoptr(GBytes) small = send_stream(stream, &with, &history);
    g_autoptr(GBytes) large = send_stream(stream, &without, &history);

    g_assert_cmpuint(g_bytes_get_size(small), <,
                     g_bytes_get_size(large) * 11 / 20);
}

/* Noise, and later the same at other places in pages. */
enum { NOISE = 9 * PACK_PAGES, AGAIN = 2 * PACK_PAGES };

static void fill_again(uint8_t bytes[MIG_PAGE_SIZE], unsigned page,
                       unsigned pass)
{
    test_page_fill(bytes, PAGE_NOISE, page % NOISE);
    if (page >= NOISE) {
        memmove(bytes, bytes + 5, MIG_PAGE_SIZE - 5);
    }
}

/* What is not new is in dictionaries, whose packs the receiver finishes before
 * it decodes what needs them. */
static void test_dictionary(void)
{
    Setting as = { RELAY_VERSION, 256, 1, &codec_zstd };
    g_autoptr(GBytes) stream = make_stream_of(fill_again, NOISE + AGAIN, 1);
    const unsigned threads[] = { 1, 2, 8 };
    g_autoptr(GBytes) link = NULL;
    uint64_t history;

    if (!codec_zstd.available) {
        g_test_skip("built without zstd");
        return;
    }
    link = send_stream(stream, &as, &history);
    g_assert_cmpuint(g_bytes_get_size(link), <,
                     (NOISE + AGAIN / 4) * MIG_PAGE_SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        as.threads = threads[i];
        check_again(link, stream, &as);
        assert_received(link, &as, stream);
    }
}

/* Without pages nothing is kept, and an older relay is sent DATA only. */
static void test_no_packs(void)
{
    const Setting as = { RELAY_VERSION, 16, 1, &codec_zlib };
    const Setting older = { RELAY_PACK_FROM - 1, 16, 1, &codec_zlib };
    g_autoptr(GBytes) empty = make_stream(0, 2);
    g_autoptr(GBytes) full = make_stream(100, 2);
    uint64_t history;
    g_autoptr(GBytes) link = send_stream(empty, &as, &history);
    g_autoptr(GBytes) older_link = NULL;

    g_assert_cmpuint(history, ==, 0);
    g_assert_cmpuint(count_frames(link, RELAY_PACK), ==, 0);
    assert_received(link, &as, empty);
    older_link = send_stream(full, &older, &history);
    g_assert_cmpuint(history, ==, 0);
    g_assert_cmpuint(count_frames(older_link, RELAY_PACK), ==, 0);
    assert_received(older_link, &older, full);
    assert_received(older_link, &as, full);
}

/* Damage and forgery */

/* What packs are unpacked with, without a pool. */
typedef struct Reader {
    UnpackWorker *worker;
    uint8_t *body; /* [PACK_BODY_MAX] */
    PumpJob out;
} Reader;

/* The frame's bytes, which must be those of the stream; or what is wrong. */
static const char *unpack(Reader *r, Unpacker *unpacker, const uint8_t *frame,
                          const FrameHead *head, uint64_t position,
                          const uint8_t *stream)
{
    const uint8_t *from = stream + position;
    const char *fault;
    UnpackJob job;

    relay_pack_begin(unpacker, &job, head, position);
    job.in = frame + RELAY_HEAD_SIZE;
    job.size = head->packed;
    job.body = r->body;
    fault = unpack_now(unpacker, &job, r->worker);
    r->out.pieces = 0;
    fault = fault ? fault : relay_pack_join(head, &job, &r->out);
    for (unsigned i = 0; !fault && i < r->out.pieces; i++) {
        size_t size = r->out.piece[i].size;

        g_assert_cmpmem(r->out.piece[i].buffer, size, from, size);
        from += size;
    }
    return fault;
}

/* All packs of a link: what is wrong with the first bad one. */
static const char *unpack_all(Reader *r, const uint8_t *link, size_t size,
                              const uint8_t *stream)
{
    Unpacker *unpacker = unpacker_new(2, 1, NULL);
    const char *fault = NULL;
    uint64_t position = 0;
    FrameHead head;

    for (size_t at = 0; !fault && at < size;
         at += RELAY_HEAD_SIZE + head.packed) {
        fault = frame_get_head(link + at, RELAY_PAGES, &head);
        if (!fault && head.type == RELAY_PACK) {
            fault = unpack(r, unpacker, link + at, &head, position, stream);
        }
        position += head.bytes;
    }
    unpacker_free(unpacker);
    return fault;
}

/* A bit of any byte of a pack: there is an error, unless the decoder did not
 * need the bit, and then nothing has changed. */
static void test_damaged_packs(void)
{
    const Setting as = { RELAY_VERSION, 2, 1, &codec_zlib };
    g_autoptr(GBytes) stream = make_stream(8, 10);
    uint64_t history;
    g_autoptr(GBytes) link = send_stream(stream, &as, &history);
    const uint8_t *whole = g_bytes_get_data(stream, NULL);
    size_t size = g_bytes_get_size(link), at = 0, end = 0, unseen = 0;
    g_autofree uint8_t *data = g_memdup2(g_bytes_get_data(link, NULL), size);
    Reader r = { unpack_worker_new(NULL, NULL), g_malloc(PACK_BODY_MAX) };
    FrameHead head;

    g_assert_cmpuint(count_frames(link, RELAY_PACK), >=, 2);
    g_assert_cmpstr(unpack_all(&r, data, size, whole), ==, NULL);
    for (; next_frame(link, &end, &head); at = end) {
        for (size_t i = at; head.type == RELAY_PACK && i < end; i++) {
            data[i] ^= 1 << i % 8;
            unseen += unpack_all(&r, data, size, whole) == NULL;
            data[i] ^= 1 << i % 8;
        }
    }
    g_assert_cmpuint(unseen, <, size / 100);
    unpack_worker_free(r.worker);
    g_free(r.body);
}

/* What comes out of a damaged link is never wrong. */
static void test_damaged(void)
{
    const Setting as = { RELAY_VERSION, 2, 1, &codec_zlib };
    g_autoptr(GBytes) stream = make_stream(8, 10);
    uint64_t history;
    g_autoptr(GBytes) link = send_stream(stream, &as, &history);
    const char *whole = g_bytes_get_data(stream, NULL);
    size_t size = g_bytes_get_size(link);
    g_autofree uint8_t *data = g_memdup2(g_bytes_get_data(link, NULL), size);

    for (size_t i = 0; i < size; i += 61) {
        g_autoptr(GBytes) damaged = NULL, out = NULL;
        bool ok;

        data[i] ^= 1 << i % 8;
        damaged = g_bytes_new_static(data, size);
        out = receive_frames(damaged, &as, &ok);
        g_assert_cmpmem(g_bytes_get_data(out, NULL), g_bytes_get_size(out),
                        whole, g_bytes_get_size(out));
        g_assert_true(!ok ||
                      g_bytes_get_size(out) == g_bytes_get_size(stream));
        data[i] ^= 1 << i % 8;
    }
}

/* Say of the nth pack that it was made with a history of so many packs. */
static GBytes *with_window(GBytes *link, unsigned n, uint32_t window)
{
    size_t size = g_bytes_get_size(link), at = 0, end = 0;
    uint8_t *data = g_memdup2(g_bytes_get_data(link, NULL), size);
    FrameHead head;

    do {
        at = end;
        g_assert_true(next_frame(link, &end, &head));
    } while (head.type != RELAY_PACK || n-- > 0);
    head.window = window;
    frame_put_head(data + at, &head);
    return g_bytes_new_take(data, size);
}

static void assert_refused(GBytes *link, const Setting *as)
{
    bool ok;
    g_autoptr(GBytes) out = receive_frames(link, as, &ok);

    g_assert_false(ok);
}

static void test_not_agreed(void)
{
    Setting as = { RELAY_VERSION, 2, 1, &codec_zlib };
    g_autoptr(GBytes) stream = make_stream(200, 2);
    uint64_t history;
    g_autoptr(GBytes) link = send_stream(stream, &as, &history);
    g_autoptr(GBytes) larger = with_window(link, 0, 3);
    g_autoptr(GBytes) changed = with_window(link, 1, 1);

    assert_received(link, &as, stream);
    assert_refused(larger, &as);
    assert_refused(changed, &as);
    as.window = 1;
    assert_refused(link, &as);
    as.window = 2;
    as.version = RELAY_PACK_FROM - 1;
    assert_refused(link, &as);
}

/* A pack of one page, with such extra bytes, in a frame that stands for so
 * many bytes: what is wrong. */
static const char *join(const uint8_t *extra, uint16_t size, uint32_t bytes)
{
    const CodecWorkerConfig config = {
        .codec = &codec_zlib, .scratch_size = PACK_SCRATCH_SIZE
    };
    CodecWorker *encoder = codec_worker_new_encoder(&config, NULL);
    UnpackWorker *decoder = unpack_worker_new(NULL, NULL);
    g_autofree uint8_t *in = g_malloc(PACK_SIZE_MAX);
    g_autofree uint8_t *body = g_malloc(PACK_BODY_MAX);
    g_autofree PumpJob *out = g_new0(PumpJob, 1);
    const uint8_t page[MIG_PAGE_SIZE] = { 1 };
    FrameHead head = { RELAY_PACK, 1, bytes };
    Packer *packer = packer_new(0, 1, NULL);
    Unpacker *unpacker = unpacker_new(0, 1, NULL);
    UnpackJob unpack;
    PackJob pack;
    const char *fault;

    packer_begin(packer, &pack, false);
    packer_add(packer, 5, 0, page);
    pack.extra = extra;
    pack.extra_size = size;
    relay_pack_begin(unpacker, &unpack, &head, 5);
    unpack.in = in;
    unpack.size = pack_encode(&pack, encoder, in);
    unpack.body = body;
    g_assert_cmpstr(unpack_now(unpacker, &unpack, decoder), ==, NULL);
    fault = relay_pack_join(&head, &unpack, out);
    codec_worker_free(encoder);
    unpack_worker_free(decoder);
    packer_free(packer);
    unpacker_free(unpacker);
    return fault;
}

static void test_table(void)
{
    const uint8_t none[] = { 0, 0 }, one[] = { 'x', 0, 1 };
    const uint8_t two[] = { 'x', 0, 2 }, zero[] = { 'x', 0x80, 1 };
    const char *wrong = "the parts of a frame do not add up";

    g_assert_cmpstr(join(none, 2, 4096), ==, NULL);
    g_assert_cmpstr(join(one, 3, 4097), ==, NULL);
    g_assert_cmpstr(join(none, 2, 4097), ==, wrong);
    g_assert_cmpstr(join(one, 3, 4096), ==, wrong);
    g_assert_cmpstr(join(two, 3, 4097), ==, wrong);
    g_assert_cmpstr(join(zero, 3, 4097), ==, wrong);
    g_assert_cmpstr(join(none, 1, 4096), ==,
                    "a frame without a whole table");
    g_assert_cmpstr(join(none, 0, 4096), ==,
                    "a frame without a whole table");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/pack/threads", test_threads);
    g_test_add_func("/relay/pack/auto", test_auto);
    g_test_add_func("/relay/pack/history", test_history);
    g_test_add_func("/relay/pack/dictionary", test_dictionary);
    g_test_add_func("/relay/pack/no-packs", test_no_packs);
    g_test_add_func("/relay/pack/damaged", test_damaged);
    g_test_add_func("/relay/pack/damaged-packs", test_damaged_packs);
    g_test_add_func("/relay/pack/not-agreed", test_not_agreed);
    g_test_add_func("/relay/pack/table", test_table);
    return g_test_run();
}
