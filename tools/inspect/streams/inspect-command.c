/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSTCOPY_RAM_DISCARD: u8 version 0; u8 n, n bytes, the name of a block; u8 0;
 * then pairs of u64, the start and the length of ranges, in bytes.
 */
#include "tools/inspect/streams/inspect-command.h"

#define HEAD_MIN   4u /* version, a name, and 0 */
#define RANGE_SIZE 16u

static bool bad(Stream *s, const Command *command, GError **errp)
{
    stream_bad(s, errp, "a POSTCOPY_RAM_DISCARD of %u bytes that is malformed",
               command->length);
    return false;
}

static bool discard_range(Stream *s, InspectRam *ram, const char *name,
                          GError **errp)
{
    uint64_t start, length;

    return stream_get_be64(s, &start, errp) &&
           stream_get_be64(s, &length, errp) &&
           inspect_ram_discard(ram, name, start, length, errp);
}

bool inspect_command_discard(Stream *s, const Command *command,
                             InspectRam *ram, GError **errp)
{
    uint64_t end = stream_position(s) + command->length, left;
    uint8_t version, nul;
    char name[256];

    if (command->length < HEAD_MIN) {
        return bad(s, command, errp);
    }
    if (!stream_get_u8(s, &version, errp) ||
        !stream_get_name(s, name, errp) || !stream_get_u8(s, &nul, errp)) {
        return false;
    }
    left = end - stream_position(s);
    if (version || nul || stream_position(s) > end || left % RANGE_SIZE) {
        return bad(s, command, errp);
    }
    for (; left; left -= RANGE_SIZE) {
        if (!discard_range(s, ram, name, errp)) {
            return false;
        }
    }
    return true;
}
