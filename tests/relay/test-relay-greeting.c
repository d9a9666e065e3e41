/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which peer is taken for what, and how soon. */
#include <glib.h>
#include <string.h>

#include "tools/relay/relay-greeting.h"
#include "tools/relay/relay-wire.h"

static const struct {
    const char *bytes;
    size_t needed; /* of them to tell */
    Greeting means;
} rows[] = {
    { RELAY_MAGIC, 8, GREETING_RELAY },
    { "QEVM\0\0\0\3", 4, GREETING_QEMU },
    { "\x11\x22\x33\x44\0\0\0\1", 4, GREETING_QEMU },
    { "\x16\x03\x01\x02\0\1\0\1", 2, GREETING_QEMU },
    { "\x08\x00\x0a\x00\x07\x06pc", 3, GREETING_QEMU },
    { "GET / HT", 1, GREETING_STRANGER },
    { "QUIT\r\n\r\n", 2, GREETING_STRANGER },
    { "QEVN\0\0\0\3", 4, GREETING_STRANGER },
    { "SSH-2.0-", 1, GREETING_STRANGER },
    { "\x08\x00\x01\x00\x00\x08\x00\x02", 3, GREETING_STRANGER },
    { "\x16\x16\x16\x16\x16\x16\x16\x16", 2, GREETING_STRANGER },
    { "\x11\x22\x33\x55\0\0\0\0", 4, GREETING_STRANGER },
    { "\xfe""FRELAZ\n", 7, GREETING_STRANGER },
    { "\0\0\0\0\0\0\0\0", 1, GREETING_STRANGER },
};

static void test_table(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (size_t size = 1; size <= GREETING_MAX; size++) {
            Greeting wanted = size < rows[i].needed ? GREETING_UNFINISHED
                                                    : rows[i].means;

            g_assert_cmpint(
                greeting_of((const uint8_t *)rows[i].bytes, size), ==,
                wanted);
        }
    }
}

/* However a connection begins, it can be told. */
static void test_all(void)
{
    for (unsigned n = 0; n < 100000; n++) {
        uint8_t bytes[GREETING_MAX];

        for (unsigned i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)g_test_rand_int();
        }
        g_assert_cmpint(greeting_of(bytes, sizeof(bytes)), !=,
                        GREETING_UNFINISHED);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/greeting/table", test_table);
    g_test_add_func("/relay/greeting/all", test_all);
    return g_test_run();
}
