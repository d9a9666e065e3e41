/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Each place where a footer stands is looked at once, and at most ITEM_MAX
 * bytes behind it, so the work grows with the size of what is skipped.
 *
 * What is taken for an item is narrow: ids are below ID_MAX, names are ASCII,
 * commands have the length that their number has, and a PART is of a section
 * that has begun.  The five bytes of a footer come by chance once in a
 * terabyte, and a head behind them far less often.  But somebody who writes a
 * section's content can place them there.  Then the rest of the stream does not
 * fit, which is told like any damage.
 *
 * Machine types before 2.4 have no footers.  There the end of a section is the
 * head of the next one, which is longer and so even less likely to be a chance.
 */
#include "tools/inspect/streams/guess.h"

#include <string.h>

#include "migration/wire/names.h"
#include "migration/wire/wire.h"
#include "util/endian.h"

#define ID_MAX      (1u << 20)
#define VERSION_MAX (1u << 16)
#define FOOTER_SIZE 5u
#define HEAD_FIXED  14u /* a head, without its name */

typedef enum {
    GUESS_NO,
    GUESS_YES,
    GUESS_SHORT, /* more bytes are needed to tell */
} Guess;

static bool is_name(const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (name[i] < ' ' || name[i] > '~') {
            return false;
        }
    }
    return length > 0;
}

/* The head of a START or FULL. */
static Guess guess_head(const uint8_t *at, size_t size)
{
    size_t length = size > 5 ? at[5] : 0;

    if (size > 4 && load_be32(at + 1) >= ID_MAX) {
        return GUESS_NO;
    }
    if (size <= 5) {
        return GUESS_SHORT;
    }
    if (!is_name(at + 6, MIN(length, size - 6)) && (length == 0 || size > 6)) {
        return GUESS_NO;
    }
    if (size < HEAD_FIXED + length) {
        return GUESS_SHORT;
    }
    return load_be32(at + 10 + length) < VERSION_MAX ? GUESS_YES : GUESS_NO;
}

static Guess guess_part(const uint8_t *at, size_t size, const GArray *begun)
{
    if (size < 5) {
        return GUESS_SHORT;
    }
    for (unsigned i = 0; i < begun->len; i++) {
        if (load_be32(at + 1) == g_array_index(begun, uint32_t, i)) {
            return GUESS_YES;
        }
    }
    return GUESS_NO;
}

static Guess guess_command(const uint8_t *at, size_t size)
{
    size_t min, max;

    if (size < 5) {
        return GUESS_SHORT;
    }
    return wire_command_size(load_be16(at + 1), &min, &max) &&
                   load_be16(at + 3) >= min && load_be16(at + 3) <= max
               ? GUESS_YES : GUESS_NO;
}

/* Does an item of a stream begin here? */
static Guess guess_item(const uint8_t *at, size_t size,
                        const GuessRules *rules)
{
    if (size == 0) {
        return GUESS_SHORT;
    }
    switch (at[0]) {
    case WIRE_START:
    case WIRE_FULL:
        return guess_head(at, size);
    case WIRE_PART:
    case WIRE_END:
        return rules->lacks_footers ? GUESS_NO
                                    : guess_part(at, size, rules->begun);
    case WIRE_COMMAND:
        return rules->lacks_footers ? GUESS_NO : guess_command(at, size);
    default:
        return GUESS_NO;
    }
}

size_t guess_device(const uint8_t *bytes, size_t size)
{
    return size > 5 && bytes[0] == WIRE_FULL &&
                   guess_head(bytes, size) == GUESS_YES
               ? HEAD_FIXED + bytes[5] : 0;
}

/* Where in these bytes may a section end?  size when nowhere. */
static size_t next_place(const uint8_t *bytes, size_t from, size_t size,
                         bool lacks_footers)
{
    const uint8_t *footer;

    if (!lacks_footers) {
        footer = from < size ? memchr(bytes + from, WIRE_FOOTER, size - from)
                             : NULL;
        return footer ? (size_t)(footer - bytes) : size;
    }
    while (from < size && bytes[from] != WIRE_FULL &&
           bytes[from] != WIRE_START) {
        from++;
    }
    return from;
}

/* Does the section end at this place, where the footer is, if there are any?
 * at_end: what is behind these bytes is the stream's end. */
static Guess guess_place(const uint8_t *at, size_t size, uint32_t id,
                         const GuessRules *rules, bool at_end)
{
    size_t footer = rules->lacks_footers ? 0 : FOOTER_SIZE;
    Guess guess;

    if (size < footer) {
        return at_end ? GUESS_NO : GUESS_SHORT;
    }
    if (footer && load_be32(at + 1) != id) {
        return GUESS_NO;
    }
    if (at_end && size == footer) {
        return GUESS_YES;
    }
    guess = guess_item(at + footer, size - footer, rules);
    return guess == GUESS_SHORT && at_end ? GUESS_NO : guess;
}

/* Look through the bytes from *at on.  Moves *at behind what is no end. */
static Guess look(const uint8_t *bytes, size_t size, size_t *at, uint32_t id,
                  const GuessRules *rules, bool at_end)
{
    Guess guess = GUESS_NO;

    for (*at = next_place(bytes, *at, size, rules->lacks_footers); *at < size;
         *at = next_place(bytes, *at + 1, size, rules->lacks_footers)) {
        guess = guess_place(bytes + *at, size - *at, id, rules, at_end);
        if (guess != GUESS_NO) {
            return guess;
        }
    }
    return GUESS_NO;
}

static bool no_end(const Stream *s, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "the channel ended at byte %" G_GUINT64_FORMAT
                " of the stream, in a section whose end was not found",
                stream_position(s));
    return false;
}

bool guess_skip(Stream *s, uint32_t id, const GuessRules *rules,
                GError **errp)
{
    size_t wanted = FOOTER_SIZE;

    for (;;) {
        uint64_t left = rules->end - stream_position(s);
        size_t size, at = 0;
        const uint8_t *bytes =
            stream_peek_some(s, MIN(wanted, left), &size, errp);
        Guess guess;
        bool at_end;

        if (!bytes) {
            return false;
        }
        at_end = size >= left || size < wanted;
        size = MIN(size, left);
        guess = look(bytes, size, &at, id, rules, at_end);
        if (!stream_skip(s, at, errp)) {
            return false;
        }
        if (guess == GUESS_YES) {
            return true;
        }
        if (at_end && guess == GUESS_NO) {
            return no_end(s, errp);
        }
        wanted = guess == GUESS_SHORT ? size - at + 1 : FOOTER_SIZE;
    }
}

size_t guess_end(const uint8_t *bytes, size_t size, size_t from, uint32_t id,
                 const GuessRules *rules)
{
    size_t at = from;

    if (look(bytes, size, &at, id, rules, true) == GUESS_YES) {
        return at + (rules->lacks_footers ? 0 : FOOTER_SIZE);
    }
    return rules->lacks_footers && size > from ? size : 0;
}
