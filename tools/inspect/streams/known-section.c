/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each is a row of records, of which the last one says that it is the last.
 * As found in streams of QEMU 7.2 to 11.1:
 *
 *   dirty-bitmap   u8 flags, then by flag: DEVICE_NAME and BITMAP_NAME a name
 *                  each; START u32 granularity, u8; BITS u64 first sector, u32
 *                  sectors and, without ZEROES, u64 n, n bytes
 *   block          u64, with flags in the low 9 bits; DEVICE_BLOCK a name and,
 *                  without ZERO_BLOCK, 1 MiB
 */
#include "tools/inspect/streams/known-section.h"

#include <string.h>

#define BITMAP_EOS         0x01u
#define BITMAP_ZEROES      0x02u
#define BITMAP_NAME        0x04u
#define BITMAP_DEVICE_NAME 0x08u
#define BITMAP_START       0x10u
#define BITMAP_COMPLETE    0x20u
#define BITMAP_BITS        0x40u
#define BITMAP_FLAGS       0x7fu
#define BITMAP_START_SIZE  5u
#define BITMAP_BITS_SIZE   12u

#define BLOCK_FLAGS        0x1ffu
#define BLOCK_DEVICE_BLOCK 0x01u
#define BLOCK_EOS          0x02u
#define BLOCK_PROGRESS     0x04u
#define BLOCK_ZERO_BLOCK   0x08u
#define BLOCK_SIZE         (1u << 20)

typedef enum {
    RECORD_MORE,    /* another one follows */
    RECORD_LAST,
    RECORD_FOREIGN, /* of a form that is not known */
} RecordKind;

typedef bool RecordSkip(Stream *s, RecordKind *kind, GError **errp);

static bool skip_name(Stream *s, GError **errp)
{
    uint8_t length;

    return stream_get_u8(s, &length, errp) && stream_skip(s, length, errp);
}

static bool skip_bits(Stream *s, bool zeroes, GError **errp)
{
    uint64_t size;

    if (!stream_skip(s, BITMAP_BITS_SIZE, errp)) {
        return false;
    }
    return zeroes || (stream_get_be64(s, &size, errp) &&
                      stream_skip(s, size, errp));
}

static bool skip_bitmap_record(Stream *s, RecordKind *kind, GError **errp)
{
    uint8_t flags;

    if (!stream_peek_u8(s, &flags, errp)) {
        return false;
    }
    if (flags == 0 || flags & ~BITMAP_FLAGS) {
        *kind = RECORD_FOREIGN;
        return true;
    }
    *kind = flags & BITMAP_EOS ? RECORD_LAST : RECORD_MORE;
    return stream_get_u8(s, &flags, errp) &&
           (!(flags & BITMAP_DEVICE_NAME) || skip_name(s, errp)) &&
           (!(flags & BITMAP_NAME) || skip_name(s, errp)) &&
           (!(flags & BITMAP_START) ||
            stream_skip(s, BITMAP_START_SIZE, errp)) &&
           (!(flags & BITMAP_BITS) ||
            skip_bits(s, flags & BITMAP_ZEROES, errp));
}

static bool skip_block_record(Stream *s, RecordKind *kind, GError **errp)
{
    uint64_t word;
    unsigned flags;

    if (!stream_get_be64(s, &word, errp)) {
        return false;
    }
    flags = word & BLOCK_FLAGS;
    *kind = flags & BLOCK_EOS ? RECORD_LAST : RECORD_MORE;
    if (flags & BLOCK_DEVICE_BLOCK) {
        return skip_name(s, errp) && (flags & BLOCK_ZERO_BLOCK ||
                                      stream_skip(s, BLOCK_SIZE, errp));
    }
    if (!(flags & (BLOCK_EOS | BLOCK_PROGRESS))) {
        *kind = RECORD_FOREIGN;
    }
    return true;
}

static const struct {
    const char *name;
    RecordSkip *skip;
} sections[] = {
    { "dirty-bitmap", skip_bitmap_record },
    { "block", skip_block_record },
};

static RecordSkip *find_section(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(sections); i++) {
        if (!strcmp(sections[i].name, name)) {
            return sections[i].skip;
        }
    }
    return NULL;
}

bool known_section_skip(Stream *s, const char *name, bool *skipped,
                        GError **errp)
{
    RecordSkip *skip = find_section(name);
    RecordKind kind = skip ? RECORD_MORE : RECORD_FOREIGN;

    while (kind == RECORD_MORE) {
        if (!skip(s, &kind, errp)) {
            return false;
        }
    }
    *skipped = kind == RECORD_LAST;
    return true;
}
