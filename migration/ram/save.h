/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The save loop: dirty pages to RAM records. */
#ifndef MIGRATION_RAM_SAVE_H
#define MIGRATION_RAM_SAVE_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/options.h"
#include "migration/pack/ladder.h"
#include "migration/ram/blocks.h"
#include "migration/ram/dirty.h"
#include "migration/ram/stats.h"
#include "migration/wire/stream.h"

typedef struct RamSave RamSave;

/* All arguments are borrowed and must outlive the result. */
RamSave *ram_save_new(Stream *stream, const RamBlocks *blocks,
                      const MigOptions *options, StatsChannel *counted);
void ram_save_free(RamSave *save);

/* The reader takes ranges of zero pages.  Called before the first pass. */
void ram_save_use_ranges(RamSave *save);

/* The reader takes packs, with a window of so many, which may be encoded like
 * this.  Called before the first pass. */
void ram_save_use_packs(RamSave *save, unsigned window, const Ladder *ladder);

/* Of a page that is sent again, send what has changed, if that is short.
 * Called before the first pass.  False when there is no memory for the
 * copies. */
bool ram_save_use_xbzrle(RamSave *save, GError **errp);

/* The content of the START section. */
void ram_save_setup(RamSave *save);

/* The guest stops: the last pass is sent as the one before was at its end, so
 * that it takes what was expected. */
void ram_save_settle(RamSave *save);

/* Send every page that is dirty now, but for those that the reader is known to
 * have as they are: the content of one PART or END section.  Each page is sent
 * once, because the order within a section is not defined. */
bool ram_save_pass(RamSave *save, RamDirty *dirty, GError **errp);

#endif
