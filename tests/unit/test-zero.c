/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/zero.h: one byte that is not zero is found wherever it stands. */
#include "util/zero.h"

#include <glib.h>
#include <stdint.h>
#include <string.h>

enum { PAGE = 4096 };

static void test_each_position(void)
{
    g_autofree uint8_t *page = g_malloc0(PAGE);

    g_assert_true(buffer_is_zero(page, PAGE));
    for (unsigned i = 0; i < PAGE; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            page[i] = (uint8_t)(1u << bit);
            g_assert_false(buffer_is_zero(page, PAGE));
        }
        page[i] = 0;
    }
    g_assert_true(buffer_is_zero(page, PAGE));
}

/* Nothing before the buffer or behind it counts. */
static void test_neighbours(void)
{
    g_autofree uint8_t *buf = g_malloc(PAGE);

    for (size_t size = 0; size <= 512; size += 64) {
        memset(buf, 0xff, PAGE);
        memset(buf + 8, 0, size);
        g_assert_true(buffer_is_zero(buf + 8, size));
    }
}

/* Two bytes that add up to nothing are still not zero. */
static void test_values_do_not_cancel(void)
{
    g_autofree uint8_t *page = g_malloc0(PAGE);

    page[0] = 0x80;
    page[8] = 0x80;
    g_assert_false(buffer_is_zero(page, PAGE));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/zero/each-position", test_each_position);
    g_test_add_func("/zero/neighbours", test_neighbours);
    g_test_add_func("/zero/values-do-not-cancel", test_values_do_not_cancel);
    return g_test_run();
}
