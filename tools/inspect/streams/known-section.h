/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Iterable sections besides ram whose content tells where it ends. */
#ifndef TOOLS_INSPECT_KNOWN_SECTION_H
#define TOOLS_INSPECT_KNOWN_SECTION_H

#include <glib.h>
#include <stdbool.h>

#include "migration/wire/stream.h"

/*
 * Skip the content of a section with this name.  *skipped says whether all of
 * it is behind; if not, the name is unknown, or the content is of another form
 * from there on.
 */
bool known_section_skip(Stream *s, const char *name, bool *skipped,
                        GError **errp);

#endif
