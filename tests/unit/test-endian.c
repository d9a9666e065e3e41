/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/endian.h: the bytes on the wire, at every alignment. */
#include "util/endian.h"

static const uint8_t wire[] = {
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
};

static void test_store(void)
{
    for (unsigned shift = 0; shift < 8; shift++) {
        uint8_t buf[16] = { 0 };

        store_be16(buf + shift, 0x0123);
        g_assert_cmpmem(buf + shift, 2, wire, 2);
        g_assert_cmpuint(buf[shift + 2], ==, 0);
        store_be32(buf + shift, 0x01234567);
        g_assert_cmpmem(buf + shift, 4, wire, 4);
        g_assert_cmpuint(buf[shift + 4], ==, 0);
        store_be64(buf + shift, UINT64_C(0x0123456789abcdef));
        g_assert_cmpmem(buf + shift, 8, wire, 8);
        g_assert_cmpuint(buf[shift + 8], ==, 0);
    }
}

static void test_load(void)
{
    for (unsigned shift = 0; shift < 8; shift++) {
        uint8_t buf[16];

        memcpy(buf + shift, wire, sizeof(wire));
        g_assert_cmphex(load_be16(buf + shift), ==, 0x0123);
        g_assert_cmphex(load_be32(buf + shift), ==, 0x01234567);
        g_assert_cmphex(load_be64(buf + shift), ==,
                        UINT64_C(0x0123456789abcdef));
    }
}

static void test_extremes(void)
{
    uint8_t buf[8];

    store_be16(buf, UINT16_MAX);
    g_assert_cmphex(load_be16(buf), ==, UINT16_MAX);
    store_be32(buf, UINT32_MAX);
    g_assert_cmphex(load_be32(buf), ==, UINT32_MAX);
    store_be64(buf, UINT64_MAX - 1);
    g_assert_cmphex(load_be64(buf), ==, UINT64_MAX - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/endian/store", test_store);
    g_test_add_func("/endian/load", test_load);
    g_test_add_func("/endian/extremes", test_extremes);
    return g_test_run();
}
