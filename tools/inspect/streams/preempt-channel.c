/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The connection has records of pages like the ram section's, plain or zero,
 * and nothing before them: neither a header nor a section.  7.2 ends it by EOS;
 * 11.1 just ends it.
 *
 * A page goes over it when the destination waits for it, and then not over the
 * main channel.  So once the main channel has been read, these pages are the
 * last versions.
 */
#include "tools/inspect/streams/preempt-channel.h"

#include <string.h>

#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "util/endian.h"

/* The offset's upper half is that of a block of less than 16 TiB. */
bool preempt_channel_may_begin(const uint8_t *head, size_t size)
{
    return size >= 4 && load_be32(head) < 1u << 12;
}

/* The first record names its block. */
bool preempt_channel_begins(const uint8_t *head, size_t size)
{
    uint64_t flags, length;

    if (size < 10) {
        return false;
    }
    flags = load_be64(head) % MIG_PAGE_SIZE;
    length = head[8];
    if ((flags != WIRE_RAM_PLAIN && flags != WIRE_RAM_ZERO) || !length ||
        size < 9 + length) {
        return false;
    }
    for (unsigned i = 0; i < length; i++) {
        if (head[9 + i] < ' ' || head[9 + i] > '~') {
            return false;
        }
    }
    return true;
}

static bool take_content(Stream *s, InspectRam *ram, uint8_t *to, GError **errp)
{
    bool ok = to ? stream_get_bytes(s, to, MIG_PAGE_SIZE, errp)
                 : stream_skip(s, MIG_PAGE_SIZE, errp);

    if (!ok) {
        inspect_ram_untake(ram);
    }
    return ok;
}

static bool take_record(Stream *s, InspectRam *ram, const RamRecord *record,
                        const char *block, GError **errp)
{
    const SidePage page = {
        .block = block,
        .offset = record->offset,
        .zero = record->type == WIRE_RAM_ZERO,
    };
    uint8_t *to;

    if (!page.zero && record->type != WIRE_RAM_PLAIN) {
        stream_bad(s, errp, "a record that postcopy-preempt does not have");
        return false;
    }
    return inspect_ram_take(ram, s, &page, &to, errp) &&
           (page.zero || take_content(s, ram, to, errp));
}

static bool read_records(Stream *s, InspectRam *ram, GError **errp)
{
    char block[sizeof(((RamRecord *)NULL)->name)] = "";
    bool ended = false;

    for (;;) {
        RamRecord record;
        size_t size;

        if (!stream_peek_some(s, 1, &size, errp)) {
            return false;
        }
        if (size == 0) {
            return true;
        }
        if (ended) {
            stream_bad(s, errp, "something behind the end");
            return false;
        }
        if (!ram_record_get(s, &record, errp)) {
            return false;
        }
        if (record.has_name) {
            memcpy(block, record.name, sizeof(block));
        }
        ended = record.type == WIRE_RAM_EOS;
        if (!ended && !take_record(s, ram, &record, block, errp)) {
            return false;
        }
    }
}

bool preempt_channel_read(Stream *stream, InspectRam *ram, GError **errp)
{
    bool ok = read_records(stream, ram, errp);

    if (!ok) {
        g_prefix_error(errp, "the channel of postcopy-preempt: ");
    }
    return ok;
}
