/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the connections of a migration share at the source: one pool, one
 * history, one choice of how pages are packed, one direction of the link.
 *
 * Whoever fills a batch has the trunk for itself meanwhile: packs are filled
 * one after the other, in the order of the link.
 *
 *     job = trunk_next(t)    wait until nobody else has it; the batch to fill
 *     trunk_add_page(t)
 *     trunk_submit(t)        hand it to the workers, and write what is done
 *
 * A connection submits before it waits for its QEMU, or for credit, and leaves
 * no batch behind that was submitted and not written: it flushes, until
 * somebody else wants the trunk, who will do that.
 */
#ifndef RELAY_TRUNK_H
#define RELAY_TRUNK_H

#include <glib.h>
#include <stdbool.h>

#include "migration/pack/ladder.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-batch.h"
#include "tools/relay/relay-budget.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-pack.h"
#include "tools/relay/relay-pump.h"
#include "tools/relay/relay-stats.h"

typedef struct TrunkConfig {
    LinkWriter *link; /* borrowed; after ANSWER */
    unsigned version; /* that ANSWER agreed to */
    unsigned window;  /* packs of history, if the version has PACK */
    const Codec *codec; /* of DATA frames */
    unsigned level, threads;
    Ladder ladder;    /* of packs */
    RelayStats *stats;
    BudgetUser *budget; /* or NULL */
} TrunkConfig;

typedef struct TrunkJob {
    PumpJob pump;
    Batch batch;
    PackJob pack;    /* of the batch's pages; without a slot: it is DATA */
    unsigned window; /* of pack */
    Rung rung;       /* how the batch is encoded */
    uint8_t frame[RELAY_HEAD_SIZE + MAX(RELAY_BODY_MAX(RELAY_PAGES),
                                        PACK_SIZE_MAX)];
} TrunkJob;

typedef struct Trunk Trunk;

Trunk *trunk_new(const TrunkConfig *config, GError **errp);
void trunk_free(Trunk *trunk); /* NULL is fine */
const TrunkConfig *trunk_config(const Trunk *trunk);

/* A failure is the link's, unless it is one of memory, and is for good. */

/* First come, first served.  An empty batch, that of a channel whose bytes in
 * the batches before are `position`.  No more than a batch is read ahead from
 * the stream.  After a failure the trunk is not the caller's. */
TrunkJob *trunk_next(Trunk *trunk, unsigned channel, uint64_t position,
                     Stream *from, GError **errp);
/* False when the batch is full.  trunk_need_history() comes before. */
bool trunk_add_page(Trunk *trunk, TrunkJob *job, uint64_t address,
                    const uint8_t *data);
/* Pages have come, and may travel in packs. */
bool trunk_need_history(Trunk *trunk, GError **errp);
bool trunk_submit(Trunk *trunk, GError **errp);
/* Give the batch up, instead. */
void trunk_drop(Trunk *trunk);

/* Those below are for anybody who has no batch. */

/* Wait for all batches that were submitted, and write them. */
bool trunk_flush(Trunk *trunk, GError **errp);
/* The same, until from (or NULL) has something to be read, or somebody wants
 * the trunk. */
bool trunk_flush_idle(Trunk *trunk, const Stream *from, GError **errp);

/* Those below are for anybody. */

/* Batches are to be small from now on: somebody waits for pages behind them. */
void trunk_hurry(Trunk *trunk);
bool trunk_link_failed(const Trunk *trunk);

/* A connection begins to do something, which it does at first; or to wait for
 * its QEMU, which it does at last.  When all wait, the migration does. */
void trunk_wakes(Trunk *trunk);
void trunk_sleeps(Trunk *trunk);

#endif
