/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words of JSON.
 *
 * json-glib's parser takes more than JSON: comments, octal and hexadecimal
 * numbers, any escape.  It also quietly changes what it cannot hold, such as an
 * integer of more than 64 bits, an infinite number, or a NUL in a string.  So
 * an argument could become another one, and an "id" something that is not JSON.
 * Here all of these are refused, or made plain, before the parser sees them.
 *
 * An "id" goes back to the client, so its numbers must not change, and the
 * parser cannot hold all numbers.  Therefore the text of the "id" is kept.
 *
 * QEMU takes strings in single quotes as well, with the same escapes.  They are
 * put into double quotes here, because json-glib knows no escapes in single
 * ones.
 */
#include "monitor/json-text.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "monitor/command.h"
#include "monitor/json-frame.h"

#define MEMBERS_MAX 256 /* of an object; no command takes a tenth of that */

typedef struct Words {
    const char *p; /* ends with a NUL, at end */
    const char *end;
    JsonText *json;
    int depth;
    unsigned members[JSON_FRAME_DEPTH_MAX + 1]; /* of what is open at a depth */
    bool is_object[JSON_FRAME_DEPTH_MAX + 1];   /* that is an object */
    bool named_id; /* the last string was "id" */
    bool in_id;    /* at depth 1 or deeper: words belong to the id's value */
} Words;

static void put(Words *w, const char *text, size_t length)
{
    g_string_append_len(w->json->plain, text, (gssize)length);
    if (w->in_id) {
        g_string_append_len(w->json->id, text, (gssize)length);
    }
}

/* How much of a word messages quote, in bytes. */
#define SHOWN_MAX 40

static bool refuse_word(const char *word, size_t length, const char *why,
                        GError **errp)
{
    command_error(errp, "%s '%.*s%s'", why, (int)MIN(length, SHOWN_MAX), word,
                  length > SHOWN_MAX ? "..." : "");
    return false;
}

/* Four hexadecimal digits, or -1. */
static int hex4(const char *p)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        if (!g_ascii_isxdigit(p[i])) {
            return -1;
        }
        value = value << 4 | g_ascii_xdigit_value(p[i]);
    }
    return value;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* The length of a \u escape, with the other half of a pair; 0 if it is bad. */
static size_t unicode_length(const char *p)
{
    int unit = hex4(p + 2);

    if (unit <= 0 || is_low(unit)) {
        return 0;
    }
    if (!is_high(unit)) {
        return strlen("\\uXXXX");
    }
    return p[6] == '\\' && p[7] == 'u' && is_low(hex4(p + 8))
               ? strlen("\\uXXXX\\uXXXX")
               : 0;
}

static bool take_escape(Words *w, GError **errp)
{
    char c = w->p[1];
    size_t length = c == 'u'                       ? unicode_length(w->p)
                    : c && strchr("\"\\/bfnrt", c) ? 2
                                                   : 0;

    if (c == '\'') {
        put(w, &c, 1);
        w->p += 2;
        return true;
    }
    if (!length) {
        return refuse_word(w->p, c == 'u' ? 6 : 2,
                           "a string cannot have the escape", errp);
    }
    put(w, w->p, length);
    w->p += length;
    return true;
}

/* A letter as a \u escape becomes the letter, so that each name has one
 * spelling. */
static bool take_spelt_letter(Words *w)
{
    int unit = w->p[1] == 'u' ? hex4(w->p + 2) : -1;
    char c = (char)unit;

    if (unit < 0 || unit > 0x7f || !g_ascii_isalnum(c)) {
        return false;
    }
    put(w, &c, 1);
    w->p += strlen("\\uXXXX");
    return true;
}

static bool take_string(Words *w, GError **errp)
{
    gsize start = w->json->plain->len;
    char quote = *w->p++;

    put(w, "\"", 1);
    while (*w->p != quote) { /* json-frame.c has seen it */
        if (*w->p == '\\') {
            if (!take_spelt_letter(w) && !take_escape(w, errp)) {
                return false;
            }
            continue;
        }
        if (g_ascii_iscntrl(*w->p) && *w->p != '\x7f') {
            command_error(errp, "a string has a control character");
            return false;
        }
        if (*w->p == '"') {
            put(w, "\\", 1);
        }
        put(w, w->p++, 1);
    }
    w->p++;
    put(w, "\"", 1);
    w->named_id = g_str_equal(w->json->plain->str + start, "\"id\"");
    return true;
}

static const char *skip_digits(const char *p)
{
    while (g_ascii_isdigit(*p)) {
        p++;
    }
    return p;
}

/* Where a number in JSON's form ends, and whether it is an integer.  NULL when
 * there is no number. */
static const char *number_end(const char *p, bool *integer)
{
    p += *p == '-';
    if (!g_ascii_isdigit(*p)) {
        return NULL;
    }
    p = *p == '0' ? p + 1 : skip_digits(p);
    *integer = true;
    if (*p == '.') {
        if (!g_ascii_isdigit(*++p)) {
            return NULL;
        }
        p = skip_digits(p);
        *integer = false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        if (!g_ascii_isdigit(*p)) {
            return NULL;
        }
        p = skip_digits(p);
        *integer = false;
    }
    return p;
}

static bool take_number(Words *w, const char *word, size_t length,
                        GError **errp)
{
    bool integer;

    if (number_end(word, &integer) != word + length) {
        return refuse_word(word, length, "invalid number", errp);
    }
    if (isinf(g_ascii_strtod(word, NULL))) {
        return refuse_word(word, length, "number out of range", errp);
    }
    put(w, word, length);
    if (integer) {
        errno = 0;
        g_ascii_strtoll(word, NULL, 10);
        if (errno == ERANGE) {
            g_string_append(w->json->plain, ".0");
        }
    }
    return true;
}

static bool is_keyword(const char *word, size_t length)
{
    static const char *const keywords[] = { "true", "false", "null" };

    for (size_t i = 0; i < G_N_ELEMENTS(keywords); i++) {
        if (length == strlen(keywords[i]) &&
            memcmp(word, keywords[i], length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_word_byte(char c)
{
    return g_ascii_isalnum(c) || (c && strchr("+-._", c));
}

/* A number or a keyword. */
static bool take_word(Words *w, GError **errp)
{
    const char *word = w->p;
    size_t length;

    while (is_word_byte(*w->p)) {
        w->p++;
    }
    length = (size_t)(w->p - word);
    if (g_ascii_isdigit(*word) || *word == '-') {
        return take_number(w, word, length, errp);
    }
    put(w, word, length);
    return is_keyword(word, length) ||
           refuse_word(word, length, "invalid keyword", errp);
}

/* Members whose names have the same hash cost json-glib the square of their
 * number: seconds for 1 MiB. */
static bool count_member(Words *w, char mark)
{
    if (mark == '{' || mark == '[') {
        w->members[w->depth + 1] = 0;
        w->is_object[w->depth + 1] = mark == '{';
    }
    return mark != ',' || !w->is_object[w->depth] ||
           ++w->members[w->depth] < MEMBERS_MAX;
}

static void take_mark(Words *w)
{
    char c = *w->p++;

    if (c == ',' || c == '}' || c == ']') {
        w->in_id &= w->depth > 1;
    }
    w->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    put(w, c == '\r' || c == '\n' ? " " : &c, 1);
    if (c == ':' && w->depth == 1) {
        w->in_id = w->named_id;
    }
}

static bool take(Words *w, GError **errp)
{
    char c = *w->p;

    if (c == '"' || c == '\'') {
        return take_string(w, errp);
    }
    if (is_word_byte(c)) {
        return take_word(w, errp);
    }
    if (!c || !strchr("{}[]:, \t\r\n", c)) {
        command_error(errp, "stray character 0x%02x", (unsigned char)c);
        return false;
    }
    if (!count_member(w, c)) {
        command_error(errp, "an object has more than %d members",
                      MEMBERS_MAX);
        return false;
    }
    take_mark(w);
    return true;
}

bool json_text_init(JsonText *json, const GString *text, GError **errp)
{
    Words w = {
        .p = text->str,
        .end = text->str + text->len,
        .json = json,
    };

    json->plain = g_string_sized_new(text->len);
    json->id = g_string_new(NULL);
    while (w.p < w.end) {
        if (!take(&w, errp)) {
            json_text_clear(json);
            return false;
        }
    }
    return true;
}

void json_text_clear(JsonText *json)
{
    g_string_free(json->plain, TRUE);
    g_string_free(json->id, TRUE);
}
