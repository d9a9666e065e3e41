/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ram section: blocks, passes, pages; and what becomes of the pages. */
#ifndef TOOLS_INSPECT_RAM_H
#define TOOLS_INSPECT_RAM_H

#include "tools/inspect/inspect-stream.h"
#include "migration/wire/section.h"

typedef struct InspectRam InspectRam;

/* Read the content of START.  All is borrowed and must outlive it. */
InspectRam *inspect_ram_new(Stream *stream, const InspectConfig *config,
                            InspectReport *report, RamListForm form,
                            GError **errp);

/* Read the rest of a PART or END, whose type byte was at offset. */
bool inspect_ram_section(InspectRam *ram, const SectionHeader *section,
                         uint64_t offset, GError **errp);

/* RAM has ended: complete what was extracted. */
bool inspect_ram_finish(InspectRam *ram, GError **errp);
void inspect_ram_free(InspectRam *ram); /* NULL is fine */

#endif
