/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source's thread: what its files share. */
#ifndef MIGRATION_SOURCE_H
#define MIGRATION_SOURCE_H

#include "migration/converge.h"
#include "migration/internal.h"
#include "migration/ram/blocks.h"
#include "migration/ram/dirty.h"
#include "migration/ram/save.h"
#include "migration/return-path.h"
#include "migration/wire/device.h"
#include "migration/wire/stream.h"

/* The thread's own: nobody else reads or sets any of it. */
typedef struct Source {
    Migration *m;
    IoChannel *channel; /* the migration's */
    Stream *stream;
    StatsChannel counted; /* of stream */
    ReturnPath *rp;     /* NULL: one-way */
    bool met;           /* the destination has answered */
    RamBlocks *blocks;
    RamDirty *dirty;
    Devices *devices;
    RamSave *ram;
    bool logging;       /* the dirty log is on */
    bool stopped;       /* the guest is stopped */
    bool exposed;       /* the destination may run it without our leave */
    unsigned pass;      /* the number of the last; 0: none yet */
    int64_t collected;  /* when the dirty log was collected last */
    ThrottleDecision throttle;
    /* as measured by the passes so far */
    double last_per_page; /* bytes, in the last pass */
    double bytes_per_page; /* to be expected of the next one */
    double bytes_per_second;
    /* what converge_decide() wants to be told again */
    double least_ms;
    unsigned drains;
} Source;

/* precopy.c */

/* The header of ram's section, whose type is WIRE_START, WIRE_PART or WIRE_END;
 * and its footer. */
void source_begin_ram(Source *s, uint8_t type);
void source_end_ram(Source *s);

/* Look at what the guest has written. */
bool source_collect_dirty(Source *s, GError **errp);

/* One section with all that is dirty now. */
bool source_send_pass(Source *s, uint8_t type, GError **errp);

/* Passes, until the rest fits the downtime limit. */
bool source_precopy(Source *s, GError **errp);

/* The guest gets its CPU time back. */
void source_end_throttle(Source *s);

/* switchover.c */

/* The guest stops, and the rest is sent. */
bool source_switch_over(Source *s, GError **errp);

/* The destination gets the guest. */
bool source_hand_over(Source *s, GError **errp);

/* After a failure, err: is it certain that the destination does not run the
 * guest? */
bool source_is_still_ours(Source *s, const GError *err);

#endif
