/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of multifd, as QEMU writes them. */
#ifndef TESTS_PUT_MULTIFD_H
#define TESTS_PUT_MULTIFD_H

#include <stdint.h>

#include "migration/wire/stream.h"

/* Flags */
#define PUT_MULTIFD_SYNC   0x01u
#define PUT_MULTIFD_ZLIB   0x02u
#define PUT_MULTIFD_ZSTD   0x04u
#define PUT_MULTIFD_DEVICE 0x40u

typedef struct PutMultifd {
    uint32_t magic, version; /* 0: the right ones */
    uint32_t flags;
    uint32_t normal, zero;
    uint32_t size;
    const char *name; /* NULL: none */
    uint64_t offset;  /* of the first page; the others follow it */
} PutMultifd;

void put_multifd_first(Stream *s, unsigned channel);

/* A packet's head; of a device's state, which has no pages, in the other
 * form. */
void put_multifd_head(Stream *s, const PutMultifd *packet);

#endif
