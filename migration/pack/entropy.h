/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is it worth while to encode? */
#ifndef MIGRATION_PACK_ENTROPY_H
#define MIGRATION_PACK_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Do these bytes look like random ones: encrypted, or compressed already?  It
 * looks at one byte of 61 only.  False where they are too few to tell. */
bool entropy_is_full(const uint8_t *buf, size_t size);

#endif
