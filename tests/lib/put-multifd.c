/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/put-multifd.h"

#include <glib.h>
#include <string.h>

#include "migration/wire/multifd.h"
#include "migration/wire/wire.h"

#define VERSION   1u
#define HELLO     64u
#define NAME_SIZE 256u

void put_multifd_first(Stream *s, unsigned channel)
{
    const uint8_t unused[HELLO - 25] = { 0 };
    const uint8_t uuid[WIRE_UUID_SIZE] = { 0 };

    stream_put_be32(s, WIRE_MULTIFD);
    stream_put_be32(s, VERSION);
    stream_put_bytes(s, uuid, sizeof(uuid));
    stream_put_u8(s, (uint8_t)channel);
    stream_put_bytes(s, unused, sizeof(unused));
}

static void put_counts(Stream *s, const PutMultifd *p)
{
    const uint8_t unused[28] = { 0 };

    stream_put_be32(s, MULTIFD_PAGES);
    stream_put_be32(s, p->normal);
    stream_put_be32(s, p->size);
    stream_put_be64(s, 1); /* the packet's number */
    stream_put_be32(s, p->zero);
    stream_put_bytes(s, unused, sizeof(unused));
}

void put_multifd_head(Stream *s, const PutMultifd *p)
{
    char name[NAME_SIZE] = "";

    if (p->name) {
        g_assert(strlen(p->name) <= sizeof(name));
        memcpy(name, p->name, strlen(p->name));
    }
    stream_put_be32(s, p->magic ? p->magic : WIRE_MULTIFD);
    stream_put_be32(s, p->version ? p->version : VERSION);
    stream_put_be32(s, p->flags);
    if (p->flags & PUT_MULTIFD_DEVICE) {
        stream_put_bytes(s, name, sizeof(name));
        stream_put_be32(s, 0); /* the device's instance */
        stream_put_be32(s, p->size);
        return;
    }
    put_counts(s, p);
    stream_put_bytes(s, name, sizeof(name));
    for (uint64_t i = 0; i < MULTIFD_PAGES; i++) {
        stream_put_be64(s, i < p->normal + p->zero
                               ? p->offset + i * MIG_PAGE_SIZE : 0);
    }
}
