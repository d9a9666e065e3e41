/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/pack/packer.h and unpacker.h: what goes in comes out, in the fewest
 * bytes; and what no packer makes is refused.
 */
#include <string.h>
#include <sys/resource.h>

#include "migration/pack/packer.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/test-ram.h"
#include "tests/lib/unpack-now.h"
#include "util/endian.h"

enum { KEYS = 300, IN_FLIGHT = 3 };

/* Both ends, and the pages of a guest. */
typedef struct World {
    Packer *packer;
    Unpacker *unpacker;
    CodecWorker *encoder;
    UnpackWorker *decoder;
    uint8_t (*guest)[MIG_PAGE_SIZE]; /* [KEYS] */
    uint8_t *body;
} World;

/* One pack on its way. */
typedef struct Trip {
    PackJob job;
    unsigned pages;
    uint64_t key[PACK_PAGES];
    uint8_t (*expected)[MIG_PAGE_SIZE]; /* [PACK_PAGES] */
    uint8_t *bytes;                     /* [PACK_SIZE_MAX] */
    size_t size;
} Trip;

static void world_init(World *w, const Codec *codec, unsigned window)
{
    CodecWorkerConfig config = {
        .codec = codec, .level = 1, .scratch_size = PACK_SCRATCH_SIZE
    };

    w->packer = packer_new(window, IN_FLIGHT, NULL);
    w->unpacker = unpacker_new(window, IN_FLIGHT, NULL);
    w->encoder = codec_worker_new_encoder(&config, NULL);
    w->decoder = unpack_worker_new(NULL, NULL);
    w->guest = g_malloc0((gsize)KEYS * MIG_PAGE_SIZE);
    w->body = g_malloc(PACK_BODY_MAX);
}

static void world_destroy(World *w)
{
    packer_free(w->packer);
    unpacker_free(w->unpacker);
    codec_worker_free(w->encoder);
    unpack_worker_free(w->decoder);
    g_free(w->guest);
    g_free(w->body);
}

static void trip_init(Trip *t)
{
    t->expected = g_malloc((gsize)PACK_PAGES * MIG_PAGE_SIZE);
    t->bytes = g_malloc(PACK_SIZE_MAX);
}

static void trip_destroy(Trip *t)
{
    g_free(t->expected);
    g_free(t->bytes);
}

static void begin(World *w, Trip *t)
{
    packer_begin(w->packer, &t->job,
                 codec_wants_dictionary(w->encoder->codec, 1));
    t->pages = 0;
}

static void add(World *w, Trip *t, uint64_t key)
{
    packer_add(w->packer, key, key, w->guest[key]);
    memcpy(t->expected[t->pages], w->guest[key], MIG_PAGE_SIZE);
    t->key[t->pages++] = key;
}

static void encode(World *w, Trip *t)
{
    t->size = pack_encode(&t->job, w->encoder, t->bytes);
    g_assert_cmpuint(t->size, <=, PACK_SIZE_MAX);
}

static UnpackJob begin_unpacking(World *w, const Trip *t)
{
    UnpackJob job;

    unpacker_begin(w->unpacker, &job, t->key, t->pages);
    job.in = t->bytes;
    job.size = t->size;
    job.body = w->body;
    return job;
}

/* A finished pack's pages are those that were packed. */
static void check_pages(const UnpackJob *job, const Trip *t)
{
    for (unsigned i = 0; i < t->pages; i++) {
        unpack_assert_page(job, i, t->expected[i]);
    }
}

/* What is wrong, or NULL and the pages are those that were packed. */
static const char *unpack(World *w, const Trip *t)
{
    UnpackJob job = begin_unpacking(w, t);
    const char *fault = unpack_now(w->unpacker, &job, w->decoder);

    if (!fault) {
        check_pages(&job, t);
    }
    return fault;
}

/* Change a page as a guest might, in one of many ways. */
static void change(World *w, uint64_t key)
{
    uint8_t *page = w->guest[key];
    unsigned words = (unsigned)g_test_rand_int_range(1, 400);

    switch (g_test_rand_int_range(0, 7)) {
    case 0:
        memset(page, 0, MIG_PAGE_SIZE);
        break;
    case 1:
        memset(page, g_test_rand_int_range(1, 256), MIG_PAGE_SIZE);
        break;
    case 2:
        memcpy(page, w->guest[g_test_rand_int_range(0, KEYS)], MIG_PAGE_SIZE);
        break;
    case 3:
        test_page_fill(page, PAGE_TEXT, (uint32_t)g_test_rand_int());
        break;
    case 4:
        test_page_fill(page, PAGE_NOISE, (uint32_t)g_test_rand_int());
        break;
    default:
        for (unsigned i = 0; i < words; i++) {
            store_be64(page + 8 * g_test_rand_int_range(0, PACK_WORDS),
                       (uint64_t)g_test_rand_int());
        }
    }
}

static void random_trip(World *w, Trip *t)
{
    unsigned pages = (unsigned)g_test_rand_int_range(1, PACK_PAGES + 1);
    uint64_t key = (uint64_t)g_test_rand_int_range(0, KEYS);

    begin(w, t);
    for (unsigned i = 0; i < pages; i++) {
        key = (key + (uint64_t)g_test_rand_int_range(1, 9)) % KEYS;
        if (g_test_rand_bit()) {
            change(w, key);
        }
        add(w, t, key);
    }
}

static void check_random(const Codec *codec, unsigned window)
{
    World w;
    Trip t;

    if (!codec->available) {
        return;
    }
    world_init(&w, codec, window);
    trip_init(&t);
    for (unsigned i = 0; i < 300; i++) {
        random_trip(&w, &t);
        encode(&w, &t);
        g_assert_cmpstr(unpack(&w, &t), ==, NULL);
    }
    trip_destroy(&t);
    world_destroy(&w);
}

static void test_random(void)
{
    const unsigned window[] = { 0, 1, 2, 7, 40 };

    for (unsigned i = 0; i < G_N_ELEMENTS(window); i++) {
        check_random(&codec_zstd, window[i]);
        check_random(&codec_lz4, window[i]);
        check_random(&codec_zlib, window[i]);
    }
}

/* Encode the pack once more: the bytes do not depend on when that is. */
static void encode_again(World *w, Trip *t)
{
    g_autofree uint8_t *before = g_malloc(t->size);
    size_t size = t->size;

    memcpy(before, t->bytes, size);
    encode(w, t);
    g_assert_cmpmem(t->bytes, t->size, before, size);
}

/* As many packs as may be are encoded, and decoded, last one first: the bytes
 * and what comes out are the same. */
static void test_order(void)
{
    Trip t[IN_FLIGHT];
    UnpackJob job[IN_FLIGHT];
    uint8_t *body[IN_FLIGHT];
    World w;

    world_init(&w, &codec_zlib, 5);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        trip_init(&t[i]);
        body[i] = g_malloc(PACK_BODY_MAX);
    }
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            random_trip(&w, &t[i]);
        }
        for (unsigned i = IN_FLIGHT; i-- > 0;) {
            encode(&w, &t[i]);
        }
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            encode_again(&w, &t[i]);
            job[i] = begin_unpacking(&w, &t[i]);
            job[i].body = body[i];
        }
        for (unsigned i = IN_FLIGHT; i-- > 0;) {
            g_assert_true(unpack_is_ready(w.unpacker, &job[i]));
            unpack_decode(&job[i], w.decoder);
        }
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            g_assert_cmpstr(unpack_finish(w.unpacker, &job[i]), ==, NULL);
            check_pages(&job[i], &t[i]);
        }
    }
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        trip_destroy(&t[i]);
        g_free(body[i]);
    }
    world_destroy(&w);
}

/* The address, not the key, says which page may be the one before. */
static void test_address(void)
{
    PackCounts counts;
    World w;
    Trip t;

    world_init(&w, &codec_zlib, 1);
    trip_init(&t);
    for (uint64_t address = 0; address < 2; address++) {
        test_page_fill(w.guest[address], PAGE_NOISE, (uint32_t)address);
    }
    for (unsigned round = 0; round < 2; round++) {
        begin(&w, &t);
        for (uint64_t address = 0; address < 2; address++) {
            w.guest[address][round] ^= 1;
            packer_add(w.packer, 7, address, w.guest[address]);
            memcpy(t.expected[address], w.guest[address], MIG_PAGE_SIZE);
            t.key[t.pages++] = 7;
        }
        counts = pack_counts(&t.job);
        encode(&w, &t);
        g_assert_cmpstr(unpack(&w, &t), ==, NULL);
    }
    g_assert_cmpuint(counts.kind[PACK_DELTA], ==, 2);
    trip_destroy(&t);
    world_destroy(&w);
}

/* What became of the only page of a pack. */
static unsigned kind_of_one(World *w, Trip *t, uint64_t key)
{
    PackCounts counts;
    unsigned kind = 0;

    begin(w, t);
    add(w, t, key);
    counts = pack_counts(&t->job);
    while (!counts.kind[kind]) {
        kind++;
    }
    encode(w, t);
    g_assert_cmpstr(unpack(w, t), ==, NULL);
    return kind;
}

static void test_kinds(void)
{
    World w;
    Trip t;

    world_init(&w, &codec_zlib, 2);
    trip_init(&t);
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_ZERO);
    memset(w.guest[0], 0xcc, MIG_PAGE_SIZE);
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_PATTERN);
    g_assert_cmpuint(t.size, ==, PACK_HEAD_SIZE + 9);

    test_page_fill(w.guest[0], PAGE_NOISE, 1);
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_NEW);
    g_assert_cmpuint(t.size, >, MIG_PAGE_SIZE);
    test_page_fill(w.guest[2], PAGE_TEXT, 1);
    g_assert_cmpuint(kind_of_one(&w, &t, 2), ==, PACK_NEW);
    g_assert_cmpuint(t.size, <, MIG_PAGE_SIZE);
    /* the same again, in place and elsewhere, from a pack before */
    memcpy(w.guest[1], w.guest[0], MIG_PAGE_SIZE);
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_SAME);
    g_assert_cmpuint(t.size, ==, PACK_HEAD_SIZE + 4);
    g_assert_cmpuint(kind_of_one(&w, &t, 1), ==, PACK_SAME);
    /* another word in it */
    w.guest[0][2000] ^= 1;
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_DELTA);
    g_assert_cmpuint(t.size, <=, PACK_HEAD_SIZE + 4 + PACK_MAP_BYTES + 8);
    /* more words than are worth it, and just not */
    for (unsigned i = 0; i <= PACK_DELTA_WORDS; i++) {
        w.guest[0][8 * i] ^= 1;
    }
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_NEW);
    for (unsigned i = 0; i < PACK_DELTA_WORDS; i++) {
        w.guest[0][8 * i + 8] ^= 2;
    }
    g_assert_cmpuint(kind_of_one(&w, &t, 0), ==, PACK_DELTA);
    trip_destroy(&t);
    world_destroy(&w);
}

/* The packs that are at work beside a window take no entries. */
static void test_table_size(void)
{
    static const struct {
        unsigned window, entries;
        size_t size;
    } rows[] = {
        { 0, 4, 1 << 12 },    { 16, 4, 1 << 12 },   { 17, 4, 1 << 13 },
        { 255, 32, 1 << 19 }, { 256, 32, 1 << 19 }, { 257, 32, 1 << 20 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpuint(pack_table_size(rows[i].window, rows[i].entries), ==,
                         rows[i].size);
    }
}

/* The window's oldest pack can be referred to, the one before it cannot. */
static void test_window(void)
{
    enum { WINDOW = 3 };

    for (unsigned apart = WINDOW; apart <= WINDOW + 1; apart++) {
        World w;
        Trip t;

        world_init(&w, &codec_zlib, WINDOW);
        trip_init(&t);
        test_page_fill(w.guest[0], PAGE_TEXT, 1);
        kind_of_one(&w, &t, 0);
        for (unsigned i = 1; i < apart; i++) {
            test_page_fill(w.guest[i], PAGE_TEXT, i + 1);
            kind_of_one(&w, &t, i);
        }
        g_assert_cmpuint(kind_of_one(&w, &t, 0), ==,
                         apart == WINDOW ? PACK_SAME : PACK_NEW);
        trip_destroy(&t);
        world_destroy(&w);
    }
}

/* A page that repeats one of the same pack. */
static void test_same_pack(void)
{
    World w;
    Trip t;

    world_init(&w, &codec_zlib, 0);
    trip_init(&t);
    test_page_fill(w.guest[0], PAGE_NOISE, 1);
    memcpy(w.guest[5], w.guest[0], MIG_PAGE_SIZE);
    begin(&w, &t);
    add(&w, &t, 0);
    add(&w, &t, 5);
    encode(&w, &t);
    g_assert_cmpuint(pack_counts(&t.job).kind[PACK_SAME], ==, 1);
    g_assert_cmpstr(unpack(&w, &t), ==, NULL);
    trip_destroy(&t);
    world_destroy(&w);
}

static void test_extra(void)
{
    static const uint8_t extra[] = "what stands between the pages";
    UnpackJob job;
    World w;
    Trip t;

    world_init(&w, &codec_zlib, 1);
    trip_init(&t);
    begin(&w, &t);
    add(&w, &t, 0);
    t.job.extra = extra;
    t.job.extra_size = sizeof(extra);
    encode(&w, &t);
    job = begin_unpacking(&w, &t);
    g_assert_true(unpack_is_ready(w.unpacker, &job));
    unpack_decode(&job, w.decoder);
    g_assert_cmpstr(unpack_finish(w.unpacker, &job), ==, NULL);
    g_assert_cmpmem(job.extra, job.head.extra, extra, sizeof(extra));
    trip_destroy(&t);
    world_destroy(&w);
}

/* Whatever byte changes, wrong pages never come out: unpack() compares them
 * where it is not refused.  So also where the pack comes for another page, or
 * for the second time. */
static void test_damaged(void)
{
    enum { PACKS = 4 };
    unsigned refused = 0, tried = 0;
    Trip t[PACKS];
    World w;

    world_init(&w, &codec_zlib, PACKS);
    for (unsigned i = 0; i < PACKS; i++) {
        trip_init(&t[i]);
        random_trip(&w, &t[i]);
        encode(&w, &t[i]);
    }
    for (size_t at = 0; at < t[PACKS - 1].size; at += at < 99 ? 1 : 97) {
        unpacker_free(w.unpacker);
        w.unpacker = unpacker_new(PACKS, IN_FLIGHT, NULL);
        for (unsigned i = 0; i < PACKS - 1; i++) {
            g_assert_cmpstr(unpack(&w, &t[i]), ==, NULL);
        }
        t[PACKS - 1].bytes[at] ^= 0x10;
        refused += unpack(&w, &t[PACKS - 1]) != NULL;
        tried++;
        t[PACKS - 1].bytes[at] ^= 0x10;
    }
    /* zlib has bits without effect, as in the lengths of codes it never uses:
     * 2 to 10 of these 300 to 400 bytes. */
    g_assert_cmpuint(refused, >, tried - tried / 10);
    unpacker_free(w.unpacker);
    w.unpacker = unpacker_new(PACKS, IN_FLIGHT, NULL);
    t[0].key[0] += KEYS;
    g_assert_cmpstr(unpack(&w, &t[0]), ==, "the checksum of a pack is wrong");
    t[0].key[0] -= KEYS;
    g_assert_cmpstr(unpack(&w, &t[0]), ==, "the checksum of a pack is wrong");
    for (unsigned i = 0; i < PACKS; i++) {
        trip_destroy(&t[i]);
    }
    world_destroy(&w);
}

/* A pack whose body, as it is, follows; one zero page and one new page have
 * gone before, in packs of their own. */
typedef struct Forged {
    unsigned pages;
    uint8_t table[16];
    unsigned table_size;
    unsigned zeros; /* bytes behind the table */
    const char *fault;
} Forged;

static const char *unpack_forged(World *w, const Forged *f)
{
    PackHead head = {
        .body = f->table_size + f->zeros, .pages = (uint8_t)f->pages,
    };
    g_autofree uint8_t *bytes = g_malloc0(PACK_HEAD_SIZE + head.body);
    Trip t = { .pages = f->pages, .bytes = bytes };

    pack_put_head(bytes, &head);
    memcpy(bytes + PACK_HEAD_SIZE, f->table, f->table_size);
    t.size = PACK_HEAD_SIZE + head.body;
    return unpack(w, &t);
}

static void test_forged(void)
{
    static const char parts[] = "the parts of a pack do not add up";
    static const char none[] =
        "a page of a pack refers to one that is not there";
    static const char sum[] = "the checksum of a pack is wrong";
    static const Forged rows[] = {
        { 1, { PACK_KINDS }, 1, 0, parts },
        { 1, { PACK_PATTERN, 1, 2 }, 3, 0, parts },
        { 1, { PACK_SAME, 0 }, 2, 0, parts },
        { 1, { PACK_NEW }, 1, MIG_PAGE_SIZE - 1, parts },
        { 1, { PACK_NEW }, 1, MIG_PAGE_SIZE + 1, parts },
        { 1, { PACK_ZERO }, 1, 1, parts },
        { 1, { PACK_DELTA, 0, 1, 0 }, 4, PACK_MAP_BYTES - 1, parts },
        /* a map with two words, of which there is one */
        { 1, { PACK_DELTA, 0, 1, 0, 3 }, 5, PACK_MAP_BYTES - 1 + 8, parts },
        { 1, { PACK_SAME, 0, 0, 0 }, 4, 0, none },  /* itself */
        { 2, { PACK_SAME, 0, 0, 1, PACK_ZERO }, 5, 0, none }, /* behind it */
        { 1, { PACK_SAME, 0, 1, 1 }, 4, 0, none },  /* no such page */
        { 1, { PACK_SAME, 0, 1, 255 }, 4, 0, none },
        { 1, { PACK_SAME, 0, 2, 0 }, 4, 0, none },  /* a zero page */
        { 1, { PACK_SAME, 0, 3, 0 }, 4, 0, none },  /* before the first */
        /* the ring's slot for "pack -4" is the one of pack 1 */
        { 1, { PACK_SAME, 0, 6, 0 }, 4, 0, none },
        { 1, { PACK_SAME, 0, 9, 0 }, 4, 0, none },
        { 1, { PACK_SAME, 255, 255, 0 }, 4, 0, none },
        { 1, { PACK_DELTA, 0, 0, 0 }, 4, PACK_MAP_BYTES, none },
        /* all is well but the checksum */
        { 1, { PACK_SAME, 0, 1, 0 }, 4, 0, sum },
        { 1, { PACK_DELTA, 0, 1, 0 }, 4, PACK_MAP_BYTES, sum },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        World w;
        Trip t;

        world_init(&w, &codec_zlib, 8);
        trip_init(&t);
        kind_of_one(&w, &t, 0);
        test_page_fill(w.guest[1], PAGE_TEXT, 1);
        kind_of_one(&w, &t, 1);
        g_assert_cmpstr(unpack_forged(&w, &rows[i]), ==, rows[i].fault);
        trip_destroy(&t);
        world_destroy(&w);
    }
}

/* The slots that these refer to have pages, but not for this pack. */
static void test_forged_window(void)
{
    enum { WINDOW = 1, PACKS = WINDOW + IN_FLIGHT + 1 };
    static const char none[] =
        "a page of a pack refers to one that is not there";
    static const Forged rows[] = {
        /* behind the last page of a slot that has had more */
        { 1, { PACK_SAME, 0, 1, 1 }, 4, 0, none },
        /* a pack that is still in the ring, outside the window */
        { 1, { PACK_SAME, 0, 2, 0 }, 4, 0, none },
        { 1, { PACK_DELTA, 0, 2, 0 }, 4, PACK_MAP_BYTES, none },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        World w;
        Trip t;

        world_init(&w, &codec_zlib, WINDOW);
        trip_init(&t);
        for (unsigned pack = 0; pack < PACKS; pack++) {
            begin(&w, &t);
            for (unsigned key = pack ? 1 : 0; key < 2; key++) {
                test_page_fill(w.guest[key], PAGE_NOISE, 2 * pack + key);
                add(&w, &t, key);
            }
            encode(&w, &t);
            g_assert_cmpstr(unpack(&w, &t), ==, NULL);
        }
        g_assert_cmpstr(unpack_forged(&w, &rows[i]), ==, rows[i].fault);
        trip_destroy(&t);
        world_destroy(&w);
    }
}

/* A world whose first pack has one zero page, and is encoded. */
static void begin_with_zero(World *w, Trip *t)
{
    world_init(w, &codec_zlib, 1);
    trip_init(t);
    begin(w, t);
    add(w, t, 0);
    encode(w, t);
}

/* An encoded body is shorter than a decoded one, or it would not be sent. */
static void test_long_encoding(void)
{
    World w;
    Trip t;

    begin_with_zero(&w, &t);
    t.bytes[12] = 1; /* the codec */
    g_assert_cmpstr(unpack(&w, &t), ==,
                    "a pack that encoding has not made shorter");
    trip_destroy(&t);
    world_destroy(&w);
}

/* What can be wrong with a good pack's size, or with its carrier. */
static void test_wrong_size(void)
{
    static const char size[] =
        "a pack whose body has another size than it says";
    static const struct {
        unsigned pages;
        size_t size;
        const char *fault;
    } rows[] = {
        { 1, 0, "a pack without a head" },
        { 1, PACK_HEAD_SIZE - 1, "a pack without a head" },
        { 1, PACK_HEAD_SIZE, size },
        { 1, PACK_HEAD_SIZE + 2, size },
        { 0, PACK_HEAD_SIZE + 1, "a pack of another number of pages" },
        { 2, PACK_HEAD_SIZE + 1, "a pack of another number of pages" },
        { 1, PACK_HEAD_SIZE + 1, NULL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        World w;
        Trip t;

        begin_with_zero(&w, &t);
        g_assert_cmpuint(t.size, ==, PACK_HEAD_SIZE + 1);
        t.bytes[t.size] = 0;
        t.key[1] = 1;
        t.pages = rows[i].pages;
        t.size = rows[i].size;
        g_assert_cmpstr(unpack(&w, &t), ==, rows[i].fault);
        trip_destroy(&t);
        world_destroy(&w);
    }
}

/* More words than a delta may have. */
static void test_long_delta(void)
{
    uint8_t body[4 + PACK_MAP_BYTES + 8 * (PACK_DELTA_WORDS + 1)] = {
        PACK_DELTA, 0, 1, 0
    };
    Forged f = { 1, { 0 }, 0, sizeof(body), NULL };
    uint8_t bytes[PACK_HEAD_SIZE + sizeof(body)];
    PackHead head = { .body = sizeof(body), .pages = 1 };
    Trip t = { .pages = f.pages, .bytes = bytes, .size = sizeof(bytes) };
    World w;
    Trip first;

    memset(body + 4, 0xff, PACK_DELTA_WORDS / 8);
    body[4 + PACK_DELTA_WORDS / 8] = 1;
    pack_put_head(bytes, &head);
    memcpy(bytes + PACK_HEAD_SIZE, body, sizeof(body));
    world_init(&w, &codec_zlib, 8);
    trip_init(&first);
    test_page_fill(w.guest[1], PAGE_TEXT, 1);
    kind_of_one(&w, &first, 1);
    g_assert_cmpstr(unpack(&w, &t), ==, "the parts of a pack do not add up");
    trip_destroy(&first);
    world_destroy(&w);
}

static void test_heads(void)
{
    static const PackHead bad[] = {
        { .pages = 0, .body = 100 },
        { .pages = PACK_PAGES + 1, .body = 100 },
        { .pages = 2, .body = 1 },
        { .pages = 1, .body = 10, .extra = 10 },
        { .pages = 1, .body = PACK_BODY_MAX + 1 },
        { .pages = 1, .body = 100, .dictionary = 1 },
        { .pages = 1, .body = 100, .codec = 1,
          .dictionary = PACK_DICTIONARY_PAGES + 1 },
    };
    PackHead head = { .checksum = 1, .body = PACK_BODY_MAX, .codec = 2,
                      .pages = PACK_PAGES, .extra = PACK_EXTRA_MAX,
                      .dictionary = PACK_DICTIONARY_PAGES }, got;
    uint8_t bytes[PACK_HEAD_SIZE], again[PACK_HEAD_SIZE];

    pack_put_head(bytes, &head);
    g_assert_cmpstr(pack_get_head(bytes, &got), ==, NULL);
    pack_put_head(again, &got);
    g_assert_cmpmem(bytes, sizeof(bytes), again, sizeof(again));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        pack_put_head(bytes, &bad[i]);
        g_assert_nonnull(pack_get_head(bytes, &got));
    }
}

/* The largest history does not fit: an error, and nobody aborts.  Sanitizers
 * need more room than that for themselves. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void test_no_memory(void)
{
    const struct rlimit limit = { UINT64_C(1) << 30, UINT64_C(1) << 30 };
    GError *err = NULL;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        return;
    }
    g_assert_cmpint(setrlimit(RLIMIT_AS, &limit), ==, 0);
    g_assert_null(packer_new(PACK_WINDOW_MAX, IN_FLIGHT, &err));
    expect_error(&err, MIG_ERROR_HOST, "no memory for the history");
    g_assert_null(unpacker_new(PACK_WINDOW_MAX, IN_FLIGHT, &err));
    expect_error(&err, MIG_ERROR_HOST, "no memory for the history");
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    g_test_add_func("/pack/no-memory", test_no_memory);
#endif
    g_test_add_func("/pack/random", test_random);
    g_test_add_func("/pack/order", test_order);
    g_test_add_func("/pack/address", test_address);
    g_test_add_func("/pack/kinds", test_kinds);
    g_test_add_func("/pack/table-size", test_table_size);
    g_test_add_func("/pack/window", test_window);
    g_test_add_func("/pack/same-pack", test_same_pack);
    g_test_add_func("/pack/extra", test_extra);
    g_test_add_func("/pack/damaged", test_damaged);
    g_test_add_func("/pack/forged", test_forged);
    g_test_add_func("/pack/forged-window", test_forged_window);
    g_test_add_func("/pack/wrong-size", test_wrong_size);
    g_test_add_func("/pack/long-delta", test_long_delta);
    g_test_add_func("/pack/long-encoding", test_long_encoding);
    g_test_add_func("/pack/heads", test_heads);
    return g_test_run();
}
