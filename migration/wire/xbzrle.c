/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A page is a row of runs: so many bytes that stay, so many that change, with
 * the new bytes, and so on.  Each count is a ULEB128 of one or two bytes, which
 * reaches to 16383.  The bytes behind the last change are not mentioned.
 *
 * Pages are compared in words of eight bytes, wherever these begin.  A run of
 * changed bytes goes on over one or two that have stayed, because two more
 * counts would not be shorter.
 */
#include "migration/wire/xbzrle.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "ferry/host.h"

#define WORD          sizeof(uint64_t)
#define ONES          UINT64_C(0x0101010101010101)
#define SHORTEST_STAY 3u /* bytes that end a run of changed ones */

static uint64_t difference(const uint8_t *a, const uint8_t *b, size_t at)
{
    uint64_t x, y;

    memcpy(&x, a + at, WORD);
    memcpy(&y, b + at, WORD);
    return x ^ y;
}

static bool has_zero_byte(uint64_t word)
{
    return (word - ONES) & ~word & (ONES << 7);
}

/* The end of the bytes from at on that are the same. */
static size_t skip_same(const uint8_t *a, const uint8_t *b, size_t at)
{
    while (at + WORD <= MIG_PAGE_SIZE && difference(a, b, at) == 0) {
        at += WORD;
    }
    while (at < MIG_PAGE_SIZE && a[at] == b[at]) {
        at++;
    }
    return at;
}

/* The end of the run of changed bytes that begins at at. */
static size_t skip_changed(const uint8_t *a, const uint8_t *b, size_t at)
{
    size_t end = at;

    while (at < MIG_PAGE_SIZE && at - end < SHORTEST_STAY) {
        if (at + WORD <= MIG_PAGE_SIZE &&
            !has_zero_byte(difference(a, b, at))) {
            end = at += WORD;
        } else if (a[at] != b[at]) {
            end = ++at;
        } else {
            at++;
        }
    }
    return end;
}

static size_t count_size(size_t count)
{
    return count < 0x80 ? 1 : 2;
}

static uint8_t *put_count(uint8_t *to, size_t count)
{
    if (count >= 0x80) {
        *to++ = (uint8_t)(count | 0x80);
        count >>= 7;
    }
    *to++ = (uint8_t)count;
    return to;
}

size_t xbzrle_encode(const uint8_t *before, const uint8_t *now, uint8_t *out,
                     size_t room)
{
    uint8_t *to = out;
    size_t at = 0;

    for (;;) {
        size_t from = skip_same(before, now, at), end, size;

        if (from == MIG_PAGE_SIZE) {
            return (size_t)(to - out);
        }
        end = skip_changed(before, now, from);
        size = end - from;
        if (count_size(from - at) + count_size(size) + size >
            room - (size_t)(to - out)) {
            return XBZRLE_OVERFLOW;
        }
        to = put_count(to, from - at);
        to = put_count(to, size);
        memcpy(to, now + from, size);
        to += size;
        at = end;
    }
}

/* What is left of the changes. */
typedef struct Changes {
    const uint8_t *at, *end;
} Changes;

static bool get_count(Changes *c, size_t *count)
{
    if (c->at == c->end) {
        return false;
    }
    *count = *c->at++;
    if (*count & 0x80) {
        if (c->at == c->end || *c->at & 0x80) {
            return false;
        }
        *count = (*count & 0x7f) | (size_t)*c->at++ << 7;
    }
    return true;
}

const char *xbzrle_decode(const uint8_t *changes, size_t size, uint8_t *page)
{
    Changes c = { changes, changes + size };
    size_t at = 0, stay, change;

    do {
        if (!get_count(&c, &stay) || !get_count(&c, &change)) {
            return "a count is cut off or too long";
        }
        if ((stay == 0 && at > 0) || change == 0) {
            return "a run of no bytes";
        }
        if (stay + change > MIG_PAGE_SIZE - at) {
            return "it reaches over the end of the page";
        }
        if (change > (size_t)(c.end - c.at)) {
            return "it ends before its bytes";
        }
        memcpy(page + at + stay, c.at, change);
        c.at += change;
        at += stay + change;
    } while (c.at < c.end);
    return NULL;
}
