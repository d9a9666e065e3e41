/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/wire/ram-record.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "util/endian.h"

static size_t put_head(uint8_t *to, uint64_t offset, unsigned type,
                       const char *name)
{
    size_t length;

    g_assert(offset % MIG_PAGE_SIZE == 0);
    if (!name) {
        store_be64(to, offset | type | WIRE_RAM_CONTINUE);
        return 8;
    }
    length = strlen(name);
    store_be64(to, offset | type);
    to[8] = (uint8_t)length;
    memcpy(to + 9, name, length);
    return 9 + length;
}

size_t ram_record_put_zero(uint8_t *to, uint64_t offset, const char *name)
{
    size_t n = put_head(to, offset, WIRE_RAM_ZERO, name);

    to[n] = 0;
    return n + 1;
}

size_t ram_record_put_plain(uint8_t *to, uint64_t offset, const char *name)
{
    return put_head(to, offset, WIRE_RAM_PLAIN, name);
}

size_t ram_record_put_compressed(uint8_t *to, uint64_t offset,
                                 const char *name, uint32_t length)
{
    size_t n = put_head(to, offset, WIRE_RAM_COMPRESSED, name);

    store_be32(to + n, length);
    return n + 4;
}

size_t ram_record_put_xbzrle(uint8_t *to, uint64_t offset, const char *name,
                             uint16_t length)
{
    size_t n = put_head(to, offset, WIRE_RAM_XBZRLE, name);

    to[n] = WIRE_XBZRLE_ENCODING;
    store_be16(to + n + 1, length);
    return n + 3;
}

size_t ram_record_put_zero_range(uint8_t *to, uint64_t offset,
                                 const char *name, uint64_t pages)
{
    size_t n = put_head(to, offset, WIRE_RAM_ZERO_RANGE, name);

    store_be64(to + n, pages);
    return n + 8;
}

size_t ram_record_put_zeros(uint8_t *to, uint64_t page, const char *name,
                            uint64_t count, bool as_range)
{
    size_t n = 0;

    if (as_range && count > 1) {
        return ram_record_put_zero_range(to, page * MIG_PAGE_SIZE, name,
                                         count);
    }
    for (uint64_t i = 0; i < count; i++) {
        n += ram_record_put_zero(to + n, (page + i) * MIG_PAGE_SIZE,
                                 i ? NULL : name);
    }
    return n;
}

static size_t put_pages(uint8_t *to, unsigned type, const RamPages *pages,
                        const char *name, uint32_t length)
{
    size_t n = put_head(to, pages->page[0] * MIG_PAGE_SIZE, type, name);

    to[n++] = (uint8_t)pages->count;
    for (unsigned i = 1; i < pages->count; i++) {
        store_be16(to + n, (uint16_t)(pages->page[i] - pages->page[i - 1]));
        n += 2;
    }
    store_be32(to + n, length);
    return n + 4;
}

size_t ram_record_put_batch(uint8_t *to, const RamPages *pages,
                            const char *name, uint32_t length)
{
    return put_pages(to, WIRE_RAM_BATCH, pages, name, length);
}

size_t ram_record_put_pack(uint8_t *to, const RamPages *pages,
                           const char *name, uint32_t length)
{
    return put_pages(to, WIRE_RAM_PACK, pages, name, length);
}

void ram_record_put_mem_size(Stream *s, uint64_t total)
{
    stream_put_be64(s, total | WIRE_RAM_MEM_SIZE);
}

void ram_record_put_eos(Stream *s)
{
    stream_put_be64(s, WIRE_RAM_EOS);
}

/* The name of a feature whose records Ferry does not take, or NULL. */
static const char *unsupported_name(unsigned type)
{
    switch (type) {
    case WIRE_RAM_HOOK:
        return "RDMA";
    case WIRE_RAM_MULTIFD:
        return "multifd";
    default:
        return NULL;
    }
}

static bool bad_type(Stream *s, unsigned flags, GError **errp)
{
    const char *name = unsupported_name(flags & ~WIRE_RAM_CONTINUE);

    if (name) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "the source uses %s, which is not supported", name);
    } else {
        stream_bad(s, errp, "a RAM record with flags 0x%03x", flags);
    }
    return false;
}

static bool get_fill(Stream *s, GError **errp)
{
    uint8_t fill;

    if (!stream_get_u8(s, &fill, errp)) {
        return false;
    }
    if (fill) {
        stream_bad(s, errp, "a zero page filled with 0x%02x", fill);
    }
    return fill == 0;
}

static bool get_length(Stream *s, RamRecord *r, GError **errp)
{
    if (!stream_get_be32(s, &r->length, errp)) {
        return false;
    }
    if (r->length == 0 || r->length > WIRE_COMPRESSED_MAX) {
        stream_bad(s, errp, "a compressed page of %u bytes", r->length);
        return false;
    }
    r->pages.count = 1;
    r->pages.page[0] = r->offset / MIG_PAGE_SIZE;
    return true;
}

static bool get_xbzrle(Stream *s, RamRecord *r, GError **errp)
{
    uint8_t encoding;
    uint16_t length;

    if (!stream_get_u8(s, &encoding, errp) ||
        !stream_get_be16(s, &length, errp)) {
        return false;
    }
    if (encoding != WIRE_XBZRLE_ENCODING) {
        stream_bad(s, errp, "changes of a page in encoding %u", encoding);
        return false;
    }
    if (length == 0 || length > MIG_PAGE_SIZE) {
        stream_bad(s, errp, "changes of a page in %u bytes", length);
        return false;
    }
    r->length = length;
    return true;
}

static bool get_range(Stream *s, RamRecord *r, GError **errp)
{
    if (!stream_get_be64(s, &r->range, errp)) {
        return false;
    }
    if (r->range == 0) {
        stream_bad(s, errp, "a range of no pages");
    }
    return r->range != 0;
}

static bool get_batch_pages(Stream *s, RamPages *pages, uint64_t first,
                            GError **errp)
{
    uint8_t count;

    if (!stream_get_u8(s, &count, errp)) {
        return false;
    }
    if (count == 0 || count > WIRE_BATCH_PAGES_MAX) {
        stream_bad(s, errp, "a batch of %u pages", count);
        return false;
    }
    pages->page[0] = first;
    for (pages->count = 1; pages->count < count; pages->count++) {
        uint16_t gap;

        if (!stream_get_be16(s, &gap, errp)) {
            return false;
        }
        if (gap == 0) {
            stream_bad(s, errp, "a batch with a page twice");
            return false;
        }
        pages->page[pages->count] = pages->page[pages->count - 1] + gap;
    }
    return true;
}

/* A batch that does not shrink is not sent, but a pack is. */
static uint32_t most_bytes(const RamRecord *r)
{
    unsigned count = r->pages.count;

    return r->type == WIRE_RAM_PACK
               ? WIRE_PACK_HEAD + count * (WIRE_PACK_ENTRY + MIG_PAGE_SIZE)
               : count * MIG_PAGE_SIZE - 1;
}

static bool get_batch(Stream *s, RamRecord *r, GError **errp)
{
    if (!get_batch_pages(s, &r->pages, r->offset / MIG_PAGE_SIZE, errp) ||
        !stream_get_be32(s, &r->length, errp)) {
        return false;
    }
    if (r->length == 0 || r->length > most_bytes(r)) {
        stream_bad(s, errp, "a %s of %u pages in %u bytes",
                   r->type == WIRE_RAM_PACK ? "pack" : "batch",
                   r->pages.count, r->length);
        return false;
    }
    return true;
}

static bool get_data_head(Stream *s, RamRecord *r, GError **errp)
{
    switch (r->type) {
    case WIRE_RAM_ZERO:
        r->range = 1;
        return get_fill(s, errp);
    case WIRE_RAM_COMPRESSED:
        return get_length(s, r, errp);
    case WIRE_RAM_XBZRLE:
        return get_xbzrle(s, r, errp);
    case WIRE_RAM_ZERO_RANGE:
        return get_range(s, r, errp);
    case WIRE_RAM_BATCH:
    case WIRE_RAM_PACK:
        return get_batch(s, r, errp);
    default:
        return true;
    }
}

bool ram_record_get(Stream *s, RamRecord *r, GError **errp)
{
    uint64_t head;
    unsigned flags;

    r->position = stream_position(s);
    if (!stream_get_be64(s, &head, errp)) {
        return false;
    }
    flags = head & WIRE_RAM_FLAGS;
    r->type = flags & ~WIRE_RAM_CONTINUE;
    r->has_name = !(flags & WIRE_RAM_CONTINUE);
    r->offset = head & ~WIRE_RAM_FLAGS;
    r->length = 0;
    switch (r->type) {
    case WIRE_RAM_ZERO:
    case WIRE_RAM_PLAIN:
    case WIRE_RAM_XBZRLE:
    case WIRE_RAM_COMPRESSED:
    case WIRE_RAM_BATCH:
    case WIRE_RAM_PACK:
    case WIRE_RAM_ZERO_RANGE:
        return (!r->has_name || stream_get_name(s, r->name, errp)) &&
               get_data_head(s, r, errp);
    case WIRE_RAM_MEM_SIZE:
    case WIRE_RAM_EOS:
        if (flags == r->type && (r->type == WIRE_RAM_MEM_SIZE ||
                                 r->offset == 0)) {
            r->has_name = false;
            return true;
        }
        break;
    default:
        break;
    }
    return bad_type(s, flags, errp);
}
