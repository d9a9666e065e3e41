/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a relay says of a migration that has ended, and what it says it from:
 * the end of the stream, and the return path. */
#include "tools/relay/relay-outcome.h"

#include <string.h>

#include "tools/relay/relay-tail.h"

#define PONG     "\0\2\0\4\0\0\0\1"
#define SHUT_0   "\0\1\0\4\0\0\0\0"
#define SHUT_1   "\0\1\0\4\0\0\0\1"
#define FEATURES "\0\2\0\4FF\0\1"
#define WHY      "\x46\x52\0\3why"
#define PAGES    "\0\4\0\14\0\0\0\0\0\0\0\0\0\0\20\0"
#define TLS      "\x16\3\3\0\172\2\0\0\166"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

/* The outcome */

typedef struct Row {
    const uint8_t *back;
    size_t size;
    StreamEnd end;
    bool has_go;
    RelayOutcome outcome;
    const char *why;
} Row;

static const Row rows[] = {
    /* The destination's own word. */
    { BYTES(PONG SHUT_0), END_ASKED, false, RELAY_COMPLETED, NULL },
    { BYTES(PONG SHUT_0), END_WHOLE, false, RELAY_COMPLETED, NULL },
    { BYTES(PONG SHUT_0), END_OPAQUE, false, RELAY_COMPLETED, NULL },
    { BYTES(PONG SHUT_0), END_UNTOLD, false, RELAY_COMPLETED, NULL },
    { BYTES(PONG SHUT_0), END_CUT, false, RELAY_COMPLETED, NULL },
    { BYTES(PONG PAGES PAGES SHUT_0), END_OPAQUE, false, RELAY_COMPLETED,
      NULL },
    { BYTES(PONG SHUT_1), END_ASKED, false, RELAY_FAILED, "not load" },
    { BYTES(PONG SHUT_1), END_OPAQUE, false, RELAY_FAILED, "not load" },
    { BYTES(FEATURES PONG WHY SHUT_1), END_ASKED, true, RELAY_FAILED,
      "not load the guest: why" },
    /* It has said nothing of it. */
    { BYTES(""), END_WHOLE, false, RELAY_COMPLETED, NULL },
    { BYTES(""), END_CUT, false, RELAY_FAILED, "reason" },
    { BYTES(""), END_OPAQUE, false, RELAY_UNKNOWN, "reason" },
    { BYTES(""), END_UNTOLD, false, RELAY_UNKNOWN, "older" },
    { BYTES(""), END_ASKED, false, RELAY_UNKNOWN, "without saying" },
    { BYTES(PONG), END_ASKED, false, RELAY_UNKNOWN, "without saying" },
    { BYTES(PONG), END_CUT, false, RELAY_FAILED, "reason" },
    { BYTES(PONG), END_OPAQUE, false, RELAY_UNKNOWN, "reason" },
    /* Bytes that are no return path are not believed, nor any after them. */
    { BYTES(TLS), END_OPAQUE, false, RELAY_UNKNOWN, "reason" },
    { BYTES(TLS SHUT_0), END_ASKED, false, RELAY_UNKNOWN, "without saying" },
    { BYTES("\0\1\0\5\0\0\0\0\0" SHUT_0), END_OPAQUE, false, RELAY_UNKNOWN,
      "reason" },
    { BYTES("\0\5\0\4\0\0\0\0" SHUT_0), END_OPAQUE, false, RELAY_UNKNOWN,
      "reason" },
    { BYTES("\0\1\0\4\0\0\0"), END_OPAQUE, false, RELAY_UNKNOWN, "reason" },
    /* Between two Ferry ends the guest moves by GO. */
    { BYTES(FEATURES PONG SHUT_0), END_ASKED, true, RELAY_COMPLETED, NULL },
    { BYTES(FEATURES PONG SHUT_0), END_ASKED, false, RELAY_FAILED, "GO" },
    { BYTES(FEATURES PONG SHUT_0), END_CUT, false, RELAY_FAILED, "reason" },
    { BYTES(FEATURES PONG SHUT_0), END_OPAQUE, false, RELAY_UNKNOWN,
      "reason" },
};

static void check_row(const Row *row, size_t piece)
{
    ReturnWatch back = { .lost = false };
    Ending ending = { .has_go = row->has_go };
    g_autofree char *why = NULL;

    ending.end = row->end;
    ending_set(&ending, row->end, ending_is_whole(&ending) ? NULL : "reason");
    for (size_t at = 0; at < row->size; at += piece) {
        return_watch_feed(&back, row->back + at, MIN(piece, row->size - at));
    }
    ending_expect_go(&ending, &back);
    g_assert_cmpint(relay_judge(&ending, &back, &why), ==, row->outcome);
    if (row->why) {
        g_assert_nonnull(strstr(why, row->why));
    } else {
        g_assert_null(why);
    }
    ending_clear(&ending);
    return_watch_clear(&back);
}

static void test_judge(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (size_t piece = 1; piece < 20; piece++) {
            check_row(&rows[i], piece);
        }
    }
}

/* The longest message that there may be, and one that is longer. */
static void test_long_reason(void)
{
    uint8_t message[RETURN_HEAD_SIZE + WIRE_REASON_MAX + 1] = { 0x46, 0x52 };

    memset(message + RETURN_HEAD_SIZE, 'w', WIRE_REASON_MAX + 1);
    for (unsigned more = 0; more < 2; more++) {
        ReturnWatch back = { .lost = false };

        message[2] = WIRE_REASON_MAX >> 8;
        message[3] = (uint8_t)more;
        return_watch_feed(&back, message, sizeof(message) - 1 + more);
        g_assert_true(back.lost == (more == 1));
        g_assert_true(more || strlen(back.reason) == WIRE_REASON_MAX);
        return_watch_clear(&back);
    }
}

/* The end of the stream */

#define DEVICE "\4\0\0\0\3\3dev\0\0\0\0\0\0\0\1state\x7e\0\0\0\3"
#define JSON   "\6\0\0\0\2{}"
#define GO     "\10\0\2\0\4FRGO"

static const struct {
    const uint8_t *bytes;
    size_t size;
    bool whole, has_go;
} tails[] = {
    { BYTES(DEVICE "\0" JSON), true, false },
    { BYTES(DEVICE "\0" JSON GO), true, true },
    { BYTES(DEVICE DEVICE "\0\6\0\0\0\11{\"a\": 1 }"), true, false },
    { BYTES(DEVICE "\0"), true, false }, /* suppress-vmdesc */
    { BYTES(""), false, false },
    { BYTES(DEVICE), false, false },
    { BYTES("\4\0\0\0\3\3dev\0\0\0"), false, false },
    { BYTES(DEVICE "\0\6\0\0\0"), false, false },
    { BYTES(DEVICE "\0\6\0\0\0\2{"), false, false },
    { BYTES(DEVICE "\0" JSON "\10\0\2\0\4FRG"), false, false },
    { BYTES(DEVICE "\0" JSON GO "x"), false, false },
    { BYTES(DEVICE "\0" JSON "x"), false, false },
    { BYTES(DEVICE "\0\6\2\0\0\0{}"), false, false }, /* too long */
    /* A device that looks like the end is not the end. */
    { BYTES("\4dev\0" JSON "more" DEVICE "\0" JSON), true, false },
    { BYTES("\4dev\0" JSON "\10\0\2" DEVICE "\0" JSON GO), true, true },
    { BYTES("\4dev\0" JSON "more" DEVICE), false, false },
};

static void test_tail(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tails); i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            StreamTail tail = { .place = TAIL_DEVICES };

            for (size_t at = 0; at < tails[i].size; at += piece) {
                tail_feed(&tail, tails[i].bytes + at,
                          MIN(piece, tails[i].size - at));
            }
            g_assert_true(tail_is_whole(&tail, true) == tails[i].whole);
            g_assert_true(tail_has_go(&tail) == tails[i].has_go);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/outcome", test_judge);
    g_test_add_func("/relay/outcome/long-reason", test_long_reason);
    g_test_add_func("/relay/outcome/tail", test_tail);
    return g_test_run();
}
