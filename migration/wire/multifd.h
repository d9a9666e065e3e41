/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packets of multifd's side channels, as QEMU writes them. */
#ifndef MIGRATION_WIRE_MULTIFD_H
#define MIGRATION_WIRE_MULTIFD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/stream.h"

#define MULTIFD_PAGES 128u /* in a packet, at most */

/* What each channel begins with. */
typedef struct MultifdHello {
    uint8_t uuid[16]; /* the guest's */
    uint8_t id;       /* of the channel */
} MultifdHello;

typedef enum {
    MULTIFD_NONE = 0, /* pages as they are */
    MULTIFD_ZLIB = 1,
    MULTIFD_ZSTD = 2,
    MULTIFD_QPL = 4,
    MULTIFD_UADK = 8,
    MULTIFD_QATZIP = 16,
} MultifdMethod;

typedef struct MultifdPacket {
    bool sync;          /* the channel's part of a round ends with it */
    bool is_device;     /* no pages, but a part of a device's state */
    unsigned method;    /* a MultifdMethod, or a number that is not known */
    unsigned normal;    /* pages with data, */
    unsigned zero;      /* and zero ones, together at most MULTIFD_PAGES */
    uint32_t size;      /* bytes of data that follow; 0 without normal pages */
    uint64_t number;    /* counts all packets of all channels */
    char block[256];    /* of the pages; "" when there are none */
    uint64_t offset[MULTIFD_PAGES]; /* first the normal ones, whose data is in
                                     * this order; multiples of the page */
} MultifdPacket;

bool multifd_get_hello(Stream *s, MultifdHello *hello, GError **errp);

/* Read a packet up to its data.  *end: there is none, because the channel has
 * ended. */
bool multifd_get_packet(Stream *s, MultifdPacket *packet, bool *end,
                        GError **errp);

#endif
