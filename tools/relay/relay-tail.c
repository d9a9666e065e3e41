/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A description begins with seven bytes: EOF, its type, a length that is
 * allowed and '{'.  A device's state hardly ever looks like that.  If it does,
 * more bytes follow than that length announces, and the search goes on.
 */
#include "tools/relay/relay-tail.h"

#include "migration/wire/wire.h"

/* The command PING with GO. */
static const uint8_t go_bytes[TAIL_GO_SIZE] = {
    WIRE_COMMAND, 0, WIRE_CMD_PING, 0, sizeof(uint32_t), 'F', 'R', 'G', 'O',
};

/* The length of a description that begins with the last of these bytes, or
 * 0. */
static uint32_t description_begins(uint64_t last)
{
    uint32_t length = (uint32_t)(last >> 8);

    return (last >> 40 & 0xffff) == (WIRE_EOF << 8 | WIRE_VMDESCRIPTION) &&
                   (last & 0xff) == '{' && length <= WIRE_VMDESC_MAX
               ? length
               : 0;
}

static void look_for_description(StreamTail *tail, uint8_t byte)
{
    uint32_t length;

    tail->last = tail->last << 8 | byte;
    length = description_begins(tail->last);
    if (length) {
        tail->left = length - 1;
        tail->behind = 0;
        tail->last = 0;
        tail->place = tail->left ? TAIL_DESCRIPTION : TAIL_BEHIND;
    }
}

static void look_for_go(StreamTail *tail, uint8_t byte)
{
    if (tail->behind < TAIL_GO_SIZE && byte == go_bytes[tail->behind]) {
        tail->behind++;
    } else {
        tail->place = TAIL_DEVICES;
        look_for_description(tail, byte);
    }
}

void tail_feed(StreamTail *tail, const uint8_t *buf, size_t size)
{
    while (size) {
        size_t part = 1;

        switch (tail->place) {
        case TAIL_DEVICES:
            look_for_description(tail, *buf);
            break;
        case TAIL_DESCRIPTION:
            part = size < tail->left ? size : tail->left;
            tail->left -= (uint32_t)part;
            if (!tail->left) {
                tail->place = TAIL_BEHIND;
            }
            break;
        case TAIL_BEHIND:
            look_for_go(tail, *buf);
            break;
        }
        buf += part;
        size -= part;
    }
}

/* The end of a stream without a description: a footer (u8, u32) and EOF. */
static bool ends_with_eof(const StreamTail *tail)
{
    return (tail->last >> 40 & 0xff) == WIRE_FOOTER &&
           (tail->last & 0xff) == WIRE_EOF;
}

bool tail_is_whole(const StreamTail *tail, bool has_footer)
{
    switch (tail->place) {
    case TAIL_DEVICES:
        return has_footer && ends_with_eof(tail);
    case TAIL_DESCRIPTION:
        return false;
    case TAIL_BEHIND:
        return tail->behind == 0 || tail_has_go(tail);
    }
    return false;
}

bool tail_has_go(const StreamTail *tail)
{
    return tail->place == TAIL_BEHIND && tail->behind == TAIL_GO_SIZE;
}
