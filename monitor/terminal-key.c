/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys.  Escape sequences are those of ECMA-48: ESC [, parameters, and a final
 * byte, or ESC O and a final byte; ESC and anything else is that key with Alt.
 * All terminals of today send the same bytes for the few keys that matter, so
 * terminfo is not asked.
 */
#include "monitor/terminal-key.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define ESC '\033'

/* The bytes after ESC, and the emacs key that means the same. */
static const struct {
    const char *bytes;
    const wchar_t *keys;
} sequences[] = {
    { "[A", L"\020" },        { "OA", L"\020" },   /* up: ^P */
    { "[B", L"\016" },        { "OB", L"\016" },   /* down: ^N */
    { "[C", L"\006" },        { "OC", L"\006" },   /* right: ^F */
    { "[D", L"\002" },        { "OD", L"\002" },   /* left: ^B */
    { "[H", L"\001" },        { "OH", L"\001" },   /* home: ^A */
    { "[1~", L"\001" },       { "[7~", L"\001" },  /* home */
    { "[F", L"\005" },        { "OF", L"\005" },   /* end: ^E */
    { "[4~", L"\005" },       { "[8~", L"\005" },  /* end */
    { "[3~", L"\004" },                            /* delete: ^D */
    { "[1;5C", L"\033f" },    { "f", L"\033f" },   /* a word to the right */
    { "[1;5D", L"\033b" },    { "b", L"\033b" },   /* a word to the left */
    { "d", L"\033d" },        { "\177", L"\027" }, /* delete words */
};

static const wchar_t *look_up(TerminalKey *key)
{
    const char *bytes = key->bytes + 1;
    size_t count = key->count - 1;

    key->count = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(sequences); i++) {
        if (strlen(sequences[i].bytes) == count &&
            memcmp(sequences[i].bytes, bytes, count) == 0) {
            return sequences[i].keys;
        }
    }
    return L"";
}

/* Is the escape sequence complete? */
static bool is_complete(const TerminalKey *key)
{
    char last = key->bytes[key->count - 1];

    if (key->count == 1) {
        return false;
    }
    if (key->count == 2) {
        return last != '[' && last != 'O';
    }
    /* Function keys of the Linux console begin with ESC [ [. */
    return key->bytes[1] == 'O' ||
           (last >= '@' && last <= '~' && !(key->count == 3 && last == '['));
}

static const wchar_t *one_key(TerminalKey *key, gunichar c)
{
    key->count = 0;
    key->one[0] = (wchar_t)c;
    key->one[1] = L'\0';
    return key->one;
}

static const wchar_t *push_utf8(TerminalKey *key)
{
    gunichar c = g_utf8_get_char_validated(key->bytes, (gssize)key->count);

    if (c == (gunichar)-2) {
        return NULL;
    }
    if (c == (gunichar)-1) {
        key->count = 0;
        return L"";
    }
    return one_key(key, c);
}

const wchar_t *terminal_key_push(TerminalKey *key, char c)
{
    if (key->count > 0 && g_ascii_iscntrl(c) && c != '\177') {
        key->count = 0; /* the sequence was broken off, perhaps by an ESC */
    }
    if (key->count == sizeof(key->bytes)) {
        key->count--; /* too long to mean anything: only its end matters */
    }
    key->bytes[key->count++] = c;
    if (key->bytes[0] == ESC) {
        return is_complete(key) ? look_up(key) : NULL;
    }
    return c & 0x80 || key->count > 1 ? push_utf8(key)
                                      : one_key(key, (gunichar)c);
}
