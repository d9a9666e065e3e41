/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A head is found by what is fixed in it, in time that is linear in the bytes:
 * START by the name, instance and version, PART and END by the id and, where
 * there are footers, by the type of the one in front.  What is found may be
 * anything.  The caller tries to read on from there, and searches on when that
 * makes no sense.
 */
#include "tools/relay/relay-search.h"

#include <glib.h>
#include <string.h>

#include "migration/wire/wire.h"
#include "util/endian.h"

/* START: u8 type, u32 id, and this. */
static const uint8_t start_tail[] = {
    3, 'r', 'a', 'm', 0, 0, 0, WIRE_RAM_INSTANCE, 0, 0, 0, WIRE_RAM_VERSION,
};

#define START_LEAD (1 + 4)
#define FOOTER     (1 + 4)
#define PART_HEAD  (1 + 4)

G_STATIC_ASSERT(START_LEAD + sizeof(start_tail) - 1 == SEARCH_KEEP);
G_STATIC_ASSERT(FOOTER + PART_HEAD - 1 <= SEARCH_KEEP);

/* These functions return where a head ends, or NULL. */

static const uint8_t *find_start(const uint8_t *bytes, size_t size,
                                 RamHead *head)
{
    const uint8_t *end = bytes + size, *at = bytes;

    while ((at = memmem(at, (size_t)(end - at), start_tail,
                        sizeof(start_tail)))) {
        if (at - bytes >= START_LEAD && at[-START_LEAD] == WIRE_START) {
            *head = (RamHead){ WIRE_START, load_be32(at - 4) };
            return at + sizeof(start_tail);
        }
        at++;
    }
    return NULL;
}

static bool is_part(const uint8_t *at, uint32_t id)
{
    return (at[0] == WIRE_PART || at[0] == WIRE_END) &&
           load_be32(at + 1) == id;
}

static const uint8_t *take_part(const uint8_t *at, uint32_t id, RamHead *head)
{
    *head = (RamHead){ at[0], id };
    return at + PART_HEAD;
}

static const uint8_t *find_behind_footer(const uint8_t *bytes, size_t size,
                                         uint32_t id, RamHead *head)
{
    const uint8_t *end = bytes + size, *at = bytes;

    while ((at = memchr(at, WIRE_FOOTER, (size_t)(end - at))) &&
           end - at >= FOOTER + PART_HEAD) {
        if (is_part(at + FOOTER, id)) {
            return take_part(at + FOOTER, id, head);
        }
        at++;
    }
    return NULL;
}

/* A machine type before 2.4 */
static const uint8_t *find_bare(const uint8_t *bytes, size_t size, uint32_t id,
                                RamHead *head)
{
    const uint8_t *end = bytes + size, *at = bytes;
    uint8_t wanted[4];

    store_be32(wanted, id);
    while ((at = memmem(at, (size_t)(end - at), wanted, sizeof(wanted)))) {
        if (at > bytes && is_part(at - 1, id)) {
            return take_part(at - 1, id, head);
        }
        at++;
    }
    return NULL;
}

static const uint8_t *find_head(const RamSearch *search, const uint8_t *bytes,
                                size_t size, RamHead *head)
{
    if (!search->has_ram) {
        return find_start(bytes, size, head);
    }
    return search->has_footers
               ? find_behind_footer(bytes, size, search->id, head)
               : find_bare(bytes, size, search->id, head);
}

size_t ram_search_feed(RamSearch *search, const uint8_t *bytes, size_t size,
                       RamHead *head)
{
    uint8_t joint[2 * SEARCH_KEEP]; /* the last bytes, and the next ones */
    size_t kept = search->kept, more = MIN(size, SEARCH_KEEP);
    const uint8_t *end;

    *head = (RamHead){ 0 };
    memcpy(joint, search->last, kept);
    memcpy(joint + kept, bytes, more);
    end = find_head(search, joint, kept + more, head);
    if (end) {
        return (size_t)(end - joint) - kept;
    }
    end = find_head(search, bytes, size, head);
    if (end) {
        return (size_t)(end - bytes);
    }
    if (size >= SEARCH_KEEP) {
        search->kept = SEARCH_KEEP;
        memcpy(search->last, bytes + size - SEARCH_KEEP, SEARCH_KEEP);
    } else {
        search->kept = MIN(kept + size, SEARCH_KEEP);
        memcpy(search->last, joint + kept + size - search->kept, search->kept);
    }
    return size;
}
