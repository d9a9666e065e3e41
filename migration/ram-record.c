/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram-record.h"

#include <string.h>

#include "migration/wire.h"
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

void ram_record_put_mem_size(Stream *s, uint64_t total)
{
    stream_put_be64(s, total | WIRE_RAM_MEM_SIZE);
}

void ram_record_put_eos(Stream *s)
{
    stream_put_be64(s, WIRE_RAM_EOS);
}

/* What QEMU may send and Ferry does not take, by name. */
static const char *unsupported_name(unsigned type)
{
    switch (type) {
    case WIRE_RAM_XBZRLE:
        return "XBZRLE";
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

static bool get_data_head(Stream *s, RamRecord *r, GError **errp)
{
    uint8_t fill;

    if (r->type == WIRE_RAM_ZERO) {
        if (!stream_get_u8(s, &fill, errp)) {
            return false;
        }
        if (fill) {
            stream_bad(s, errp, "a zero page filled with 0x%02x", fill);
            return false;
        }
    }
    if (r->type == WIRE_RAM_COMPRESSED) {
        if (!stream_get_be32(s, &r->length, errp)) {
            return false;
        }
        if (r->length == 0 || r->length > WIRE_COMPRESSED_MAX) {
            stream_bad(s, errp, "a compressed page of %u bytes", r->length);
            return false;
        }
    }
    return true;
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
    r->offset = head & ~WIRE_RAM_FLAGS;
    r->length = 0;
    switch (r->type) {
    case WIRE_RAM_ZERO:
    case WIRE_RAM_PLAIN:
    case WIRE_RAM_COMPRESSED:
        r->has_name = !(flags & WIRE_RAM_CONTINUE);
        return (!r->has_name || stream_get_name(s, r->name, errp)) &&
               get_data_head(s, r, errp);
    case WIRE_RAM_MEM_SIZE:
    case WIRE_RAM_EOS:
        if (flags == r->type && (r->type == WIRE_RAM_MEM_SIZE ||
                                 r->offset == 0)) {
            r->has_name = false;
            return true;
        }
        /* fall through */
    default:
        return bad_type(s, flags, errp);
    }
}
