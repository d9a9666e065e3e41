/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every call of the host that can fail, failing each time that it is made:
 * the guest runs on at the source, whole, and both sides say why.
 */
#include <string.h>

#include "tests/errors/small-move.h"
#include "tests/lib/watchdog.h"

typedef struct PointCase {
    const char *name;
    bool at_dst;
    FakePoint point;
    unsigned at_least; /* times that the call is made */
} PointCase;

static const PointCase points[] = {
    { "log-start", false, FAKE_LOG_START, 1 },
    { "log-collect", false, FAKE_LOG_COLLECT, 3 },
    { "log-collect-part", false, FAKE_LOG_COLLECT_PART, 3 },
    { "vm-stop", false, FAKE_VM_STOP, 1 },
    { "pre-save", false, FAKE_PRE_SAVE, 1 },
    { "post-load", true, FAKE_POST_LOAD, 1 },
};

static void assert_told(SmallMove *move, const PointCase *c)
{
    g_autofree char *src = small_move_error(move->pair->src);
    g_autofree char *dst = small_move_error(move->pair->dst);

    g_assert_nonnull(strstr(src, FAULT_TEXT));
    if (c->at_dst) {
        g_assert_nonnull(strstr(src, "the destination failed: "));
        g_assert_nonnull(strstr(dst, FAULT_TEXT));
    }
}

static void fail_nth(const PointCase *c, unsigned nth)
{
    SmallMove *move = small_move_new(
        MOVE_ZLIB, &(FailCall){ c->at_dst, c->point, nth });
    const Fault none[PLACES] = { 0 };

    small_move_start(move, none);
    g_assert_cmpint(small_move_end(move), ==, STAYED);
    assert_told(move, c);
    small_move_free(move);
}

static void test_point(gconstpointer data)
{
    const PointCase *c = data;
    Watchdog *dog = watchdog_new();
    Golden golden;
    unsigned calls;

    golden_record(&golden, MOVE_ZLIB);
    calls = golden.calls[c->at_dst][c->point];
    g_assert_cmpuint(calls, >=, c->at_least);
    for (unsigned nth = 1; nth <= calls; nth++) {
        watchdog_feed(dog, "%s number %u", c->name, nth);
        fail_nth(c, nth);
    }
    golden_clear(&golden);
    watchdog_free(dog);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
        g_autofree char *path = g_strdup_printf("/fault-calls/%s",
                                                points[i].name);

        g_test_add_data_func(path, &points[i], test_point);
    }
    return g_test_run();
}
