/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As found in captures of QEMU 5.2, 7.2, 10.0 and 11.1, with pages of 4 KiB:
 *
 *     hello    u32 magic, u32 version 1, 16 bytes UUID, u8 id, 39 unused
 *     packet   u32 magic, u32 version 1, u32 flags, u32 room for pages, u32
 *              normal pages, u32 bytes of data, u64 number, u32 zero pages
 *              (from 9.0 on, else 0), 28 unused, 256 bytes name of the block,
 *              128 times u64 offset; then the data
 *
 * A packet with flag SYNC may have pages, too, in 7.2.  Without normal pages
 * there is no data, whatever the packet says: an old size stands there.
 *
 * A part of a device's state (from 10.0 on, vfio) has another form behind the
 * flags: 256 bytes name, u32 instance, u32 size, and as many bytes.
 */
#include "migration/wire/multifd.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "util/endian.h"

#define VERSION     1u
#define HELLO_SIZE  64u
#define START_SIZE  12u /* magic, version, flags */
#define REST_SIZE   (52u + 256u + MULTIFD_PAGES * 8u)
#define DEVICE_SIZE (256u + 4u + 4u)

#define FLAG_SYNC    0x01u
#define METHOD_SHIFT 1
#define METHOD_MASK  0x1fu
#define FLAG_DEVICE  0x40u

static bool check_start(const Stream *s, const uint8_t *at, GError **errp)
{
    if (load_be32(at) == WIRE_MULTIFD && load_be32(at + 4) == VERSION) {
        return true;
    }
    stream_bad(s, errp, "no packet of multifd, but 0x%08x, version %u",
               load_be32(at), load_be32(at + 4));
    return false;
}

bool multifd_get_hello(Stream *s, MultifdHello *hello, GError **errp)
{
    uint8_t bytes[HELLO_SIZE];

    if (!stream_get_bytes(s, bytes, sizeof(bytes), errp) ||
        !check_start(s, bytes, errp)) {
        return false;
    }
    memcpy(hello->uuid, bytes + 8, sizeof(hello->uuid));
    hello->id = bytes[24];
    return true;
}

static bool get_device(Stream *s, MultifdPacket *p, GError **errp)
{
    uint8_t bytes[DEVICE_SIZE];

    p->is_device = true;
    if (!stream_get_bytes(s, bytes, sizeof(bytes), errp)) {
        return false;
    }
    p->size = load_be32(bytes + 260);
    return true;
}

static bool get_block(const Stream *s, const uint8_t *name, MultifdPacket *p,
                      GError **errp)
{
    if (p->normal + p->zero == 0) {
        return true;
    }
    memcpy(p->block, name, sizeof(p->block));
    if (p->block[0] && !p->block[sizeof(p->block) - 1]) {
        return true;
    }
    stream_bad(s, errp, "a packet of multifd whose block has no name");
    return false;
}

static bool get_offsets(const Stream *s, const uint8_t *at, MultifdPacket *p,
                        GError **errp)
{
    for (unsigned i = 0; i < p->normal + p->zero; i++) {
        p->offset[i] = load_be64(at + 8 * i);
        if (p->offset[i] % MIG_PAGE_SIZE) {
            stream_bad(s, errp, "a page at offset 0x%" G_GINT64_MODIFIER "x",
                       p->offset[i]);
            return false;
        }
    }
    return true;
}

static bool get_pages(Stream *s, MultifdPacket *p, GError **errp)
{
    uint8_t bytes[REST_SIZE];
    uint32_t normal, zero;

    if (!stream_get_bytes(s, bytes, sizeof(bytes), errp)) {
        return false;
    }
    normal = load_be32(bytes + 4);
    zero = load_be32(bytes + 20);
    if (normal > MULTIFD_PAGES || zero > MULTIFD_PAGES - normal) {
        stream_bad(s, errp, "a packet of multifd with %u pages and %u zero "
                   "pages", normal, zero);
        return false;
    }
    p->normal = normal;
    p->zero = zero;
    p->size = normal ? load_be32(bytes + 8) : 0;
    p->number = load_be64(bytes + 12);
    return get_block(s, bytes + 52, p, errp) &&
           get_offsets(s, bytes + 52 + sizeof(p->block), p, errp);
}

bool multifd_get_packet(Stream *s, MultifdPacket *p, bool *end,
                        GError **errp)
{
    uint8_t start[START_SIZE];
    uint32_t flags;
    size_t size;

    *end = false;
    if (!stream_peek_some(s, 1, &size, errp)) {
        return false;
    }
    if (size == 0) {
        *end = true;
        return true;
    }
    if (!stream_get_bytes(s, start, sizeof(start), errp) ||
        !check_start(s, start, errp)) {
        return false;
    }
    memset(p, 0, sizeof(*p));
    flags = load_be32(start + 8);
    p->sync = flags & FLAG_SYNC;
    p->method = flags >> METHOD_SHIFT & METHOD_MASK;
    return flags & FLAG_DEVICE ? get_device(s, p, errp)
                               : get_pages(s, p, errp);
}
