/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What differs between two guests. */
#ifndef TOOLS_INSPECT_GUEST_DIFF_H
#define TOOLS_INSPECT_GUEST_DIFF_H

#include "tools/inspect/devices/fields.h"
#include "tools/inspect/streams/inspect-ram.h"

typedef struct Guest {
    const char *name; /* of its stream */
    const InspectReport *report;
    const InspectRam *ram;
} Guest;

/* Is told only of what differs.  Of a pair one may be NULL: the other guest
 * does not have such a thing. */
typedef struct DiffPrinter {
    void (*begin)(void *opaque, const Guest *a, const Guest *b);
    void (*machine)(void *opaque, const char *a, const char *b);
    /* A block, the pages in it, and its end. */
    void (*block)(void *opaque, const RamListEntry *a, const RamListEntry *b);
    void (*pages)(void *opaque, uint64_t first, uint64_t count);
    void (*end_block)(void *opaque, uint64_t pages);
    /* All blocks are over, devices follow: one, the fields in it, its end. */
    void (*devices)(void *opaque);
    void (*device)(void *opaque, const InspectDevice *a,
                   const InspectDevice *b);
    void (*field)(void *opaque, const char *path, const Field *a,
                  const Field *b);
    void (*end_device)(void *opaque);
    void (*end)(void *opaque, bool same);
} DiffPrinter;

extern const DiffPrinter diff_text, diff_json; /* opaque: an Out */

/* True: nothing differs. */
bool guest_diff(const Guest *a, const Guest *b, const DiffPrinter *printer,
                void *opaque);

#endif
