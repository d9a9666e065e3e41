/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packs with earlier pages as their dictionary: which pages those are, that the
 * pack comes back and in time, and what is refused.
 */
#include <string.h>

#include "migration/pack/dictionary.h"
#include "migration/pack/packer.h"
#include "migration/ram/unpack-pages.h"
#include "tests/lib/test-ram.h"
#include "tests/lib/unpack-now.h"
#include "util/endian.h"

enum { PAGES = 200, NEAREST = DICTIONARY_NEAREST, THREADS = 4 };

/* Both ends of a stream of packs by zstd. */
typedef struct World {
    TestRam *from, *to;
    Packer *packer;
    CodecWorker *encoder;
    UnpackWorker *decoder;
    Unpacker *unpacker;
    PackJob job; /* the last pack, */
    uint64_t key[PACK_PAGES];
    unsigned pages;
    uint8_t *bytes; /* [PACK_SIZE_MAX]: encoded, */
    size_t size;
    uint8_t *body;
} World;

static void world_init(World *w, unsigned window)
{
    CodecWorkerConfig config = {
        .codec = &codec_zstd, .level = 1, .scratch_size = PACK_SCRATCH_SIZE
    };

    *w = (World){
        .from = test_ram_new(PAGES, 1),
        .to = test_ram_new(PAGES, 1),
        .packer = packer_new(window, 1, NULL),
        .encoder = codec_worker_new_encoder(&config, NULL),
        .decoder = unpack_worker_new(NULL, NULL),
        .unpacker = unpacker_new(window, 2, NULL),
        .bytes = g_malloc(PACK_SIZE_MAX),
        .body = g_malloc(PACK_BODY_MAX),
    };
}

static void world_destroy(World *w)
{
    test_ram_free(w->from);
    test_ram_free(w->to);
    packer_free(w->packer);
    codec_worker_free(w->encoder);
    unpack_worker_free(w->decoder);
    unpacker_free(w->unpacker);
    g_free(w->bytes);
    g_free(w->body);
}

static uint8_t *page_of(World *w, uint64_t page)
{
    return ram_block_page(w->from->a, page);
}

static void begin(World *w, bool dictionary)
{
    packer_begin(w->packer, &w->job, dictionary);
    w->pages = 0;
}

static void add(World *w, uint64_t page)
{
    packer_add(w->packer, page, page, page_of(w, page));
    w->key[w->pages++] = page;
}

static UnpackJob begin_unpacking(World *w)
{
    UnpackJob job;

    unpacker_begin(w->unpacker, &job, w->key, w->pages);
    job.in = w->bytes;
    job.size = w->size;
    job.body = w->body;
    return job;
}

/* What is wrong with the encoded pack, or NULL, and it has the right pages. */
static const char *unpack(World *w)
{
    UnpackJob job = begin_unpacking(w);
    const char *fault = unpack_now(w->unpacker, &job, w->decoder);

    for (unsigned i = 0; !fault && i < w->pages; i++) {
        unpack_assert_page(&job, i, page_of(w, w->key[i]));
    }
    return fault;
}

static void end(World *w)
{
    w->size = pack_encode(&w->job, w->encoder, w->bytes);
    g_assert_cmpuint(w->size, <=, PACK_SIZE_MAX);
    g_assert_cmpstr(unpack(w), ==, NULL);
}

/* A pack of one page. */
static void send_one(World *w, uint64_t page, bool dictionary)
{
    begin(w, dictionary);
    add(w, page);
    end(w);
}

/* So many packs of a page that looks like no other. */
static void send_others(World *w, unsigned count, uint32_t seed)
{
    for (unsigned i = 0; i < count; i++) {
        test_page_fill(page_of(w, PAGES - 1), PAGE_NOISE, seed + i);
        send_one(w, PAGES - 1, true);
    }
}

/* Make a page of parts of two others: no word is where it was. */
static void mix(World *w, uint64_t page, uint64_t a, uint64_t b)
{
    uint8_t *to = page_of(w, page);

    memcpy(to, page_of(w, a) + 2045, 2051);
    memcpy(to + 2051, page_of(w, b) + 5, 2040);
    memset(to + 4091, 7, 5);
}

/* Two pages of noise, other packs, and what the two have in common with a third
 * one: the pages of its dictionary. */
static unsigned try_distance(unsigned window, unsigned others, bool dictionary)
{
    World w;
    unsigned pages;

    world_init(&w, window);
    test_page_fill(page_of(&w, 0), PAGE_NOISE, 1);
    test_page_fill(page_of(&w, 1), PAGE_NOISE, 2);
    mix(&w, 2, 0, 1);
    begin(&w, dictionary);
    add(&w, 0);
    add(&w, 1);
    end(&w);
    send_others(&w, others, 3);
    send_one(&w, 2, dictionary);
    pages = w.job.dictionary.pages;
    if (pages) {
        g_assert_cmpuint(w.size, <, 150);
        g_assert_cmpuint(w.bytes[16], ==, pages);
    } else {
        g_assert_cmpuint(w.size, >, MIG_PAGE_SIZE);
        g_assert_cmpuint(w.bytes[16], ==, 0);
    }
    for (unsigned i = 0; i < pages; i++) {
        g_assert_cmpuint(w.job.dictionary.page[i].back, ==, others + 1);
        g_assert_cmpuint(w.job.dictionary.page[i].index, ==, i);
    }
    world_destroy(&w);
    return pages;
}

static void test_distance(void)
{
    g_assert_cmpuint(try_distance(40, NEAREST - 1, true), ==, 2);
    g_assert_cmpuint(try_distance(40, 39, true), ==, 2);
    g_assert_cmpuint(try_distance(40, 40, true), ==, 0);
    g_assert_cmpuint(try_distance(40, NEAREST - 2, true), ==, 0);
    g_assert_cmpuint(try_distance(40, 20, false), ==, 0);
    g_assert_cmpuint(try_distance(NEAREST - 1, NEAREST, true), ==, 0);
    g_assert_cmpuint(try_distance(0, NEAREST, true), ==, 0);
}

/* None is looked for where the window has no page that it might have. */
static void test_reach(void)
{
    for (unsigned window = 0; window < 2 * NEAREST; window++) {
        World w;

        world_init(&w, window);
        begin(&w, true);
        g_assert_cmpint(w.job.wants_dictionary, ==, window >= NEAREST);
        add(&w, 0);
        end(&w);
        begin(&w, false);
        g_assert_false(w.job.wants_dictionary);
        world_destroy(&w);
    }
}

/* There is no room for all, and those that there are stand in order. */
static void test_room(void)
{
    const PackRef *page;
    World w;

    world_init(&w, 100);
    for (unsigned i = 0; i < 2 * PACK_DICTIONARY_PAGES; i++) {
        test_page_fill(page_of(&w, i), PAGE_NOISE, i);
        if (i % PACK_PAGES == 0) {
            begin(&w, true);
        }
        add(&w, i);
        if (i % PACK_PAGES == PACK_PAGES - 1) {
            end(&w);
        }
    }
    send_others(&w, NEAREST, 1000);
    begin(&w, true);
    for (unsigned i = 0; i < PACK_PAGES; i++) {
        uint64_t target = PAGES - 2 - i;

        mix(&w, target, (7 * i) % 128, (7 * i + 64) % 128);
        add(&w, target);
    }
    end(&w);
    g_assert_cmpuint(w.job.dictionary.pages, ==, PACK_DICTIONARY_PAGES);
    page = w.job.dictionary.page;
    for (unsigned i = 1; i < PACK_DICTIONARY_PAGES; i++) {
        g_assert_true(page[i].back < page[i - 1].back ||
                      (page[i].back == page[i - 1].back &&
                       page[i].index > page[i - 1].index));
    }
    world_destroy(&w);
}

/* What was there before */

/* Change words of a page, in runs of so many with a word between them. */
static void change_words(World *w, uint64_t page, unsigned words, unsigned run)
{
    for (unsigned i = 0; i < words; i++) {
        page_of(w, page)[8 * (i / run * (run + 1) + i % run)] ^= 1;
    }
}

static PackKind kind_of(const World *w, unsigned index)
{
    return w->job.slot->page[index].kind;
}

/* A page of noise, other packs, and the page again with such changes. */
static PackKind try_change(unsigned words, unsigned run, unsigned others,
                           bool dictionary)
{
    PackKind kind;
    World w;

    world_init(&w, 40);
    test_page_fill(page_of(&w, 0), PAGE_NOISE, 1);
    send_one(&w, 0, true);
    send_others(&w, others, 2);
    change_words(&w, 0, words, run);
    send_one(&w, 0, dictionary);
    kind = kind_of(&w, 0);
    if (kind == PACK_NEW && words <= PACK_DELTA_WORDS) {
        g_assert_cmpuint(w.size, <, 1000);
        g_assert_cmpuint(w.job.dictionary.pages, ==, 1);
        g_assert_cmpuint(w.job.dictionary.page[0].back, ==, others + 1);
        g_assert_cmpuint(w.job.dictionary.page[0].index, ==, 0);
    } else {
        g_assert_cmpuint(w.job.dictionary.pages, ==, 0);
    }
    world_destroy(&w);
    return kind;
}

/* Many words in long runs are left to the codec, which is given the page that
 * was there, once; all others are changes of that page. */
static void test_change(void)
{
    static const struct {
        unsigned words, run, others;
        bool dictionary;
        PackKind kind;
    } rows[] = {
        { 16, 16, NEAREST, true, PACK_DELTA },
        { 17, 17, NEAREST, true, PACK_NEW },
        { 200, 4, NEAREST, true, PACK_NEW },
        { 200, 3, NEAREST, true, PACK_DELTA },
        { 200, 1, NEAREST, true, PACK_DELTA },
        { 256, 256, NEAREST, true, PACK_NEW },
        { 200, 200, NEAREST - 1, true, PACK_NEW },
        { 200, 200, NEAREST - 2, true, PACK_DELTA },
        { 200, 200, 39, true, PACK_NEW },
        { 200, 200, NEAREST, false, PACK_DELTA },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("row %u", i);
        g_assert_cmpint(try_change(rows[i].words, rows[i].run, rows[i].others,
                                   rows[i].dictionary), ==, rows[i].kind);
    }
}

/* When the dictionary is full, what has changed in long runs is a delta. */
static void test_change_without_room(void)
{
    World w;

    world_init(&w, 100);
    begin(&w, true);
    for (unsigned i = 0; i < PACK_PAGES; i++) {
        test_page_fill(page_of(&w, i), PAGE_NOISE, i);
        add(&w, i);
    }
    end(&w);
    send_others(&w, NEAREST, 1000);
    begin(&w, true);
    for (unsigned i = 0; i < PACK_PAGES / 2; i++) {
        mix(&w, 100 + i, i, 32 + i);
        add(&w, 100 + i);
    }
    g_assert_cmpuint(w.job.dictionary.pages, ==, PACK_DICTIONARY_PAGES);
    change_words(&w, 5, 200, 200);
    add(&w, 5);
    end(&w);
    g_assert_cmpuint(w.job.dictionary.pages, ==, PACK_DICTIONARY_PAGES);
    g_assert_cmpint(kind_of(&w, PACK_PAGES / 2), ==, PACK_DELTA);
    world_destroy(&w);
}

/* Forgery */

/* A pack of one page, with any dictionary: of the world's pages, by the
 * references that are said.  Its number is that of the next one. */
typedef struct Forged {
    const Codec *codec; /* NULL: the body is as it is */
    unsigned pages;     /* of the dictionary */
    PackRef ref[2];     /* of the first two; the others are as the first */
    const char *fault;
} Forged;

static void put_forged_head(World *w, uint64_t number, const Forged *f)
{
    PackSlot slot = { .pages = 1, .page = { {
        .key = w->key[0],
        .hash = pack_hash(page_of(w, w->key[0]), MIG_PAGE_SIZE),
    } } };
    PackHead head = {
        .checksum = pack_checksum(number, &slot, NULL, 0),
        .body = 1 + MIG_PAGE_SIZE,
        .codec = f->codec ? (uint8_t)(codec_method(f->codec) + 1) : 0,
        .pages = 1,
        .dictionary = (uint8_t)f->pages,
    };

    pack_put_head(w->bytes, &head);
}

static void forge(World *w, uint64_t number, uint64_t page,
                  const uint8_t *dictionary, const Forged *f)
{
    uint8_t *refs = w->bytes + PACK_HEAD_SIZE;
    uint8_t *to = refs + (size_t)f->pages * PACK_REF_SIZE;

    w->pages = 1;
    w->key[0] = page;
    w->body[0] = PACK_NEW;
    memcpy(w->body + 1, page_of(w, page), MIG_PAGE_SIZE);
    put_forged_head(w, number, f);
    for (unsigned i = 0; i < f->pages; i++) {
        pack_put_ref(refs + (size_t)i * PACK_REF_SIZE, f->ref[i == 1]);
    }
    if (dictionary) {
        codec_zstd.encoder_set_dictionary(w->encoder->encoder, dictionary,
                                          MIG_PAGE_SIZE);
    }
    w->size = (size_t)(to - w->bytes) +
              codec_zstd.encode(w->encoder->encoder, w->body,
                                1 + MIG_PAGE_SIZE, to, PACK_BODY_MAX);
}

/* Pack 0 has a zero page and one of text, pack 1 is to be forged. */
static const char *try_forged(unsigned window, const Forged *f)
{
    const char *fault;
    World w;

    world_init(&w, window);
    test_page_fill(page_of(&w, 1), PAGE_TEXT, 1);
    test_page_fill(page_of(&w, 2), PAGE_TEXT, 2);
    begin(&w, false);
    add(&w, 0);
    add(&w, 1);
    w.size = pack_encode(&w.job, w.encoder, w.bytes);
    g_assert_cmpstr(unpack(&w), ==, NULL);
    forge(&w, 1, 2, f->pages ? page_of(&w, 1) : NULL, f);
    fault = unpack(&w);
    world_destroy(&w);
    return fault;
}

static void test_forged(void)
{
    static const char none[] =
        "the dictionary of a pack has a page that is not there";
    static const Forged rows[] = {
        { &codec_zstd, 0, { { 0, 0 } }, NULL },
        { &codec_zstd, 1, { { 1, 1 } }, NULL },
        /* the same page twice, and as often as there is room */
        { &codec_zstd, 2, { { 1, 1 }, { 1, 1 } }, NULL },
        { &codec_zstd, PACK_DICTIONARY_PAGES, { { 1, 1 }, { 1, 1 } }, NULL },
        { &codec_zstd, PACK_DICTIONARY_PAGES + 1, { { 1, 1 }, { 1, 1 } },
          "a pack whose dictionary has too many pages" },
        { &codec_zstd, 255, { { 1, 1 }, { 1, 1 } },
          "a pack whose dictionary has too many pages" },
        { &codec_zstd, 1, { { 0, 0 } }, none },      /* itself */
        { &codec_zstd, 2, { { 1, 1 }, { 0, 0 } }, none },
        { &codec_zstd, 1, { { 1, 0 } }, none },      /* a zero page */
        { &codec_zstd, 1, { { 1, 2 } }, none },      /* no such page */
        { &codec_zstd, 1, { { 1, 255 } }, none },
        { &codec_zstd, 1, { { 2, 0 } }, none },      /* before the first */
        { &codec_zstd, 1, { { 3, 1 } }, none },
        { &codec_zstd, 1, { { 65535, 1 } }, none },
        { NULL, 1, { { 1, 1 } }, "a pack whose dictionary has too many pages" },
        { &codec_zlib, 1, { { 1, 1 } },
          "a dictionary for a method that takes none" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpstr(try_forged(4, &rows[i]), ==, rows[i].fault);
    }
    g_assert_cmpstr(try_forged(0, &rows[1]), ==, none);
}

/* The slot has a page, but the pack is outside of the window. */
static void test_forged_window(void)
{
    Forged f = { &codec_zstd, 1, { { 2, 0 } },
                 "the dictionary of a pack has a page that is not there" };
    World w;

    world_init(&w, 1);
    send_others(&w, 2, 1);
    test_page_fill(page_of(&w, 0), PAGE_TEXT, 1);
    forge(&w, 2, 0, page_of(&w, PAGES - 1), &f);
    g_assert_cmpstr(unpack(&w), ==, f.fault);
    world_destroy(&w);
}

/* It ends amid the references. */
static void test_cut(void)
{
    const Forged f = { &codec_zstd, 2, { { 1, 0 }, { 1, 0 } }, NULL };

    for (size_t i = 0; i <= 2 * PACK_REF_SIZE; i++) {
        World w;

        world_init(&w, 4);
        test_page_fill(page_of(&w, 0), PAGE_TEXT, 1);
        send_one(&w, 0, false);
        forge(&w, 1, 0, page_of(&w, 0), &f);
        w.size = PACK_HEAD_SIZE + i;
        if (i < 2 * PACK_REF_SIZE) {
            g_assert_cmpstr(unpack(&w), ==, "a pack without its dictionary");
        } else {
            g_assert_nonnull(unpack(&w)); /* zstd says it in its way */
        }
        world_destroy(&w);
    }
}

/* Whatever byte changes of a pack with a dictionary, wrong pages do not come
 * out of it.  A decoder that has refused a pack is as good as a new one. */
static void test_damaged(void)
{
    const Forged plain = { &codec_zstd, 0, { { 0, 0 } }, NULL };
    const Forged f = { &codec_zstd, 1, { { 1, 0 } }, NULL };
    unsigned refused = 0, tried = 0;
    World w;

    world_init(&w, 4);
    test_page_fill(page_of(&w, 0), PAGE_TEXT, 1);
    memcpy(page_of(&w, 1), page_of(&w, 0) + 99, MIG_PAGE_SIZE - 99);
    do {
        unpacker_free(w.unpacker);
        w.unpacker = unpacker_new(4, 2, NULL);
        forge(&w, 0, 0, NULL, &plain);
        g_assert_cmpstr(unpack(&w), ==, NULL);
        forge(&w, 1, 1, page_of(&w, 0), &f);
        w.bytes[tried++] ^= 0x10;
        refused += unpack(&w) != NULL;
    } while (tried < w.size);
    g_assert_cmpuint(refused, >, tried - 5); /* zstd has unused bits */
    world_destroy(&w);
}

/* In time */

/* Not ready as long as the pack before is at work. */
static void test_ready(void)
{
    const Forged f = { &codec_zstd, 1, { { 1, 0 } }, NULL };
    UnpackJob first, second;
    g_autofree uint8_t *first_bytes = g_malloc(PACK_SIZE_MAX);
    World w;

    world_init(&w, 4);
    test_page_fill(page_of(&w, 0), PAGE_TEXT, 1);
    test_page_fill(page_of(&w, 1), PAGE_TEXT, 2);
    begin(&w, false);
    add(&w, 0);
    w.size = pack_encode(&w.job, w.encoder, w.bytes);
    memcpy(first_bytes, w.bytes, w.size);
    first = begin_unpacking(&w);
    first.in = first_bytes;
    g_assert_true(unpack_is_ready(w.unpacker, &first));
    forge(&w, 1, 1, page_of(&w, 0), &f);
    second = begin_unpacking(&w);
    g_assert_false(unpack_is_ready(w.unpacker, &second));
    unpack_decode(&first, w.decoder);
    g_assert_false(unpack_is_ready(w.unpacker, &second));
    g_assert_cmpstr(unpack_finish(w.unpacker, &first), ==, NULL);
    g_assert_true(unpack_is_ready(w.unpacker, &second));
    unpack_decode(&second, w.decoder);
    g_assert_cmpstr(unpack_finish(w.unpacker, &second), ==, NULL);
    world_destroy(&w);
}

/* Page i is what page i - 1 is, but nothing is where it was. */
static void fill_like_last(World *w, uint64_t i)
{
    if (i == 0) {
        test_page_fill(page_of(w, 0), PAGE_TEXT, 1);
        return;
    }
    memcpy(page_of(w, i), page_of(w, i - 1) + 13, MIG_PAGE_SIZE - 13);
    memcpy(page_of(w, i) + MIG_PAGE_SIZE - 13, page_of(w, i - 1), 13);
    store_be64(page_of(w, i) + 20 * i, i);
}

/* Many packs, each with the page of the one just before as its dictionary, and
 * many workers: memory is right in the end. */
static void test_chain(void)
{
    const Forged f = { &codec_zstd, 1, { { 1, 0 } }, NULL };
    const Forged plain = { &codec_zstd, 0, { { 0, 0 } }, NULL };
    g_autoptr(GError) err = NULL;
    UnpackPages *unpack;
    RamPlace *place;
    World w;

    world_init(&w, 4);
    place = ram_place_new(w.to->blocks);
    unpack = unpack_pages_new(4, THREADS, w.to->blocks, place, &err);
    g_assert_no_error(err);
    for (uint64_t i = 0; i < PAGES; i++) {
        RamRecord record = {
            .type = WIRE_RAM_PACK, .pages = { .count = 1, .page = { i } }
        };
        uint8_t *to;

        fill_like_last(&w, i);
        forge(&w, i, i, i ? page_of(&w, i - 1) : NULL, i ? &f : &plain);
        record.length = (uint32_t)w.size;
        to = unpack_pages_add(unpack, w.to->a, &record, &err);
        g_assert_no_error(err);
        memcpy(to, w.bytes, w.size);
    }
    unpack_pages_drain(unpack, &err);
    g_assert_no_error(err);
    unpack_pages_free(unpack);
    ram_place_free(place);
    g_assert_cmpmem(w.from->a->host, PAGES * MIG_PAGE_SIZE, w.to->a->host,
                    PAGES * MIG_PAGE_SIZE);
    world_destroy(&w);
}

/* A pack of the dictionary is bad: that is what is said, and nothing hangs. */
static void test_bad_chain(void)
{
    const Forged f = { &codec_zstd, 1, { { 1, 0 } }, NULL };
    g_autoptr(GError) err = NULL;
    UnpackPages *unpack;
    RamPlace *place;
    bool ok = true;
    World w;

    world_init(&w, 4);
    place = ram_place_new(w.to->blocks);
    unpack = unpack_pages_new(4, THREADS, w.to->blocks, place, NULL);
    for (uint64_t i = 0; ok && i < 3; i++) {
        RamRecord record = {
            .type = WIRE_RAM_PACK, .pages = { .count = 1, .page = { i } },
            .position = i,
        };
        uint8_t *to;

        test_page_fill(page_of(&w, i), PAGE_TEXT, (uint32_t)i);
        forge(&w, i, i, page_of(&w, 0), &f); /* of pack -1 */
        record.length = (uint32_t)w.size;
        to = unpack_pages_add(unpack, w.to->a, &record, &err);
        ok = to != NULL;
        if (ok) {
            memcpy(to, w.bytes, w.size);
        }
    }
    ok = ok && unpack_pages_drain(unpack, &err);
    g_assert_false(ok);
    g_assert_nonnull(strstr(err->message, "byte 0 of the stream is bad: the "
                                          "dictionary of a pack"));
    unpack_pages_free(unpack);
    ram_place_free(place);
    world_destroy(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!codec_zstd.available) {
        return 77;
    }
    g_test_add_func("/pack-dictionary/distance", test_distance);
    g_test_add_func("/pack-dictionary/reach", test_reach);
    g_test_add_func("/pack-dictionary/room", test_room);
    g_test_add_func("/pack-dictionary/change", test_change);
    g_test_add_func("/pack-dictionary/change-without-room",
                    test_change_without_room);
    g_test_add_func("/pack-dictionary/forged", test_forged);
    g_test_add_func("/pack-dictionary/forged-window", test_forged_window);
    g_test_add_func("/pack-dictionary/cut", test_cut);
    g_test_add_func("/pack-dictionary/damaged", test_damaged);
    g_test_add_func("/pack-dictionary/ready", test_ready);
    g_test_add_func("/pack-dictionary/chain", test_chain);
    g_test_add_func("/pack-dictionary/bad-chain", test_bad_chain);
    return g_test_run();
}
