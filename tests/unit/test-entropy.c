/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/pack/entropy.h */
#include "migration/pack/entropy.h"

#include "migration/pack/packer.h"
#include "tests/lib/test-ram.h"

enum { PAGES = 64, SIZE = PAGES * MIG_PAGE_SIZE };

static uint8_t *random_bytes(uint32_t seed)
{
    uint8_t *bytes = g_malloc(SIZE);

    for (unsigned i = 0; i < PAGES; i++) {
        test_page_fill(bytes + i * MIG_PAGE_SIZE, PAGE_NOISE, seed + i);
    }
    return bytes;
}

static void test_random(void)
{
    for (unsigned i = 0; i < 200; i++) {
        g_autofree uint8_t *bytes = random_bytes(1000 * i);

        g_assert_true(entropy_is_full(bytes, SIZE));
    }
}

/* Bytes of six bits, as in base64, in which no byte string comes twice. */
static void test_six_bits(void)
{
    g_autofree uint8_t *bytes = random_bytes(1);

    for (unsigned i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(32 + bytes[i] % 64);
    }
    g_assert_false(entropy_is_full(bytes, SIZE));
}

static void test_text(void)
{
    g_autofree uint8_t *bytes = random_bytes(2);

    for (unsigned i = 0; i < PAGES; i += 16) {
        test_page_fill(bytes + i * MIG_PAGE_SIZE, PAGE_TEXT, i);
    }
    g_assert_false(entropy_is_full(bytes, SIZE));
}

static void test_few(void)
{
    g_autofree uint8_t *bytes = random_bytes(3);

    g_assert_false(entropy_is_full(bytes, 0));
    g_assert_false(entropy_is_full(bytes, 63));
    g_assert_false(entropy_is_full(bytes, 14 * MIG_PAGE_SIZE));
}

static size_t never_encode(void *encoder, const uint8_t *in, size_t in_size,
                           uint8_t *out, size_t max)
{
    g_assert_not_reached();
}

/* A pack of such pages is stored, and no time is spent on it. */
static void test_pack(void)
{
    const Codec codec = { .name = "never", .encode = never_encode };
    g_autofree uint8_t *bytes = random_bytes(4);
    g_autofree uint8_t *out = g_malloc(PACK_SIZE_MAX);
    g_autofree uint8_t *scratch = g_malloc(PACK_SCRATCH_SIZE);
    const CodecWorker worker = { .codec = &codec, .scratch = scratch };
    Packer *packer = packer_new(0, 1, NULL);
    PackHead head;
    PackJob job;

    packer_begin(packer, &job, false);
    for (unsigned i = 0; i < PAGES; i++) {
        packer_add(packer, i, i, bytes + i * MIG_PAGE_SIZE);
    }
    g_assert_cmpuint(pack_encode(&job, &worker, out), ==,
                     PACK_HEAD_SIZE + PAGES + SIZE);
    g_assert_null(pack_get_head(out, &head));
    g_assert_cmpuint(head.codec, ==, 0);
    packer_free(packer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/entropy/random", test_random);
    g_test_add_func("/entropy/six-bits", test_six_bits);
    g_test_add_func("/entropy/text", test_text);
    g_test_add_func("/entropy/few", test_few);
    g_test_add_func("/entropy/pack", test_pack);
    return g_test_run();
}
