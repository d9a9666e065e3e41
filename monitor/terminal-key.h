/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the bytes that a terminal sends to keys.
 *
 * A key may send several bytes: an escape sequence, or a character in UTF-8.
 * libedit would read on in the middle of one, and wait there; so it is given
 * whole keys only.
 */
#ifndef FERRY_MONITOR_TERMINAL_KEY_H
#define FERRY_MONITOR_TERMINAL_KEY_H

#include <stddef.h>
#include <wchar.h>

#define TERMINAL_KEY_BYTES 16

typedef struct TerminalKey {
    char bytes[TERMINAL_KEY_BYTES]; /* of a key that is not complete */
    size_t count;
    wchar_t one[2]; /* holds what was returned last */
} TerminalKey;

/*
 * The next byte.  Returns what libedit is to read for the key that it
 * completes (control characters, or escape and a letter, for keys without a
 * character of their own), "" for a key that means nothing here, or NULL when
 * more bytes belong to the key.
 */
const wchar_t *terminal_key_push(TerminalKey *key, char c);

#endif
