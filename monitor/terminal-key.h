/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts together keys from the bytes that a terminal sends.
 *
 * A key may send several bytes: an escape sequence, or a character in UTF-8.
 * libedit would wait in the middle of a key for its next byte, so it is given
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
 * Take the next byte.  Returns NULL when more bytes belong to the key.  When
 * the byte completes a key, returns what libedit is to read for it: the
 * character, or for a key without one a control character, or escape and a
 * letter.  "" for a key that means nothing here.
 */
const wchar_t *terminal_key_push(TerminalKey *key, char c);

#endif
