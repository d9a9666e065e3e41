/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of ram's sections, without the frame around it, to be loaded. */
#ifndef TESTS_LOAD_SECTION_H
#define TESTS_LOAD_SECTION_H

#include "migration/ram/load.h"

/* START's: the list of blocks. */
bool load_blocks(RamLoad *load, Stream *s, GError **errp);

/* A PART's or END's: records up to EOS. */
bool load_section(RamLoad *load, Stream *s, GError **errp);

#endif
