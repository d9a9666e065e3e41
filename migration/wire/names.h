/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for numbers in a stream, and for what may come in place of a stream. */
#ifndef MIGRATION_WIRE_NAMES_H
#define MIGRATION_WIRE_NAMES_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What begins with these four bytes instead of a migration stream: "a qcow2
 * disk image", perhaps with advice.  NULL: nothing that is known. */
const char *wire_magic_name(uint32_t magic);

/* "PING"; NULL when the number is not known. */
const char *wire_command_name(uint16_t number);

/* How many bytes of payload it has.  False when the number is not known. */
bool wire_command_size(uint16_t number, size_t *min, size_t *max);

/* "command 7 (PACKAGED, postcopy)", or "command 99".  To be freed by
 * g_free(). */
char *wire_command_text(uint16_t number);

#endif
