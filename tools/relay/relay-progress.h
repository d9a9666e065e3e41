/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a migration has come, by the places of the pages that pass. */
#ifndef RELAY_PROGRESS_H
#define RELAY_PROGRESS_H

#include "migration/ram/blocks.h"
#include "tools/relay/relay-scan.h"
#include "tools/relay/relay-stats.h"
#include "util/clock.h"

/* The thread's that scans the stream.  All but the stats is its own. */
typedef struct RelayProgress {
    RelayStats *stats;
    const Clock *clock;
    uint64_t *start;   /* of each block: bytes of those in front; NULL: RAM has
                        * not begun */
    uint64_t next;     /* behind the page that came last */
    uint64_t pages;    /* of this pass */
    int64_t began;     /* this pass, */
    int64_t time;      /* and how long the one before it took; 0: none */
} RelayProgress;

void progress_init(RelayProgress *p, RelayStats *stats, const Clock *clock);
void progress_clear(RelayProgress *p);

/* RAM begins.  blocks may be freed afterwards. */
void progress_begin(RelayProgress *p, const RamBlocks *blocks);

/* A page passes.  One of a stream whose RAM has not begun is not counted. */
void progress_page(RelayProgress *p, const RamBlock *block, uint64_t offset);

/* A phase later than PHASE_AGAIN begins. */
void progress_reached(RelayProgress *p, ScanPlace place);

#endif
