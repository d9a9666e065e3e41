/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a section ends whose content is not known.  Only a footer with its id
 * marks the end, and those five bytes may be in its content, too.  So what
 * follows them must look like an item of a stream.
 */
#ifndef TOOLS_INSPECT_GUESS_H
#define TOOLS_INSPECT_GUESS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/wire/stream.h"

typedef struct GuessRules {
    bool lacks_footers;  /* a section ends where another one begins */
    const GArray *begun; /* of uint32_t: the ids of iterable sections */
    uint64_t end;        /* the stream ends here; UINT64_MAX: not known */
} GuessRules;

/*
 * Skip the content of a section, up to its footer.  MIG_ERROR_EOF when the
 * channel ends before an end was found.
 */
bool guess_skip(Stream *s, uint32_t id, const GuessRules *rules,
                GError **errp);

/*
 * The same in memory, where the stream's end is known: the place behind the
 * footer of the section whose content begins at `from`; 0 when there is none.
 * end is not looked at.
 */
size_t guess_end(const uint8_t *bytes, size_t size, size_t from, uint32_t id,
                 const GuessRules *rules);

/* Does the head of a FULL section stand here?  Returns its size, or 0. */
size_t guess_device(const uint8_t *bytes, size_t size);

#endif
