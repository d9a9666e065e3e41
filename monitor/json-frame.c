/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of JSON.
 *
 * QMP's objects come in one write or in many, on lines of their own or joined.
 * So their ends are found by counting brackets outside strings, and nothing
 * else is looked at: json-text.c and the parser decide whether an object is
 * good JSON.
 *
 * Where counting makes no sense any more, the object is reported as bad, once,
 * and the scanner is lost: it drops bytes until a newline, or until a bracket
 * opens when none is open.  It goes on counting meanwhile, so that the inside
 * of an object that was too large is not taken for the next object.
 */
#include "monitor/json-frame.h"

void json_frame_init(JsonFrame *frame)
{
    *frame = (JsonFrame){ .text = g_string_new(NULL) };
}

void json_frame_destroy(JsonFrame *frame)
{
    g_string_free(frame->text, TRUE);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_opener(char c)
{
    return c == '{' || c == '[';
}

static bool is_closer(char c)
{
    return c == '}' || c == ']';
}

/* Both kinds of quotes are taken, as in QEMU. */
static char quote_of(char c)
{
    return c == '"' || c == '\'' ? c : 0;
}

static void restart(JsonFrame *frame)
{
    g_string_truncate(frame->text, 0);
    frame->depth = 0;
    frame->squares = 0;
    frame->quote = 0;
    frame->escaped = false;
    frame->lost = false;
}

static JsonFrameResult bad(JsonFrame *frame, const char *message,
                           const char **why)
{
    g_string_truncate(frame->text, 0);
    frame->lost = true;
    *why = message;
    return JSON_FRAME_BAD;
}

static void push_string_byte(JsonFrame *frame, char c)
{
    if (frame->escaped) {
        frame->escaped = false;
    } else if (c == '\\') {
        frame->escaped = true;
    } else if (c == frame->quote) {
        frame->quote = 0;
    }
}

static JsonFrameResult push_opener(JsonFrame *frame, char c, const char **why)
{
    uint64_t bit;

    if (frame->depth == JSON_FRAME_DEPTH_MAX) {
        frame->depth++;
        return bad(frame, "more than 64 levels of nesting", why);
    }
    bit = UINT64_C(1) << frame->depth++;
    frame->squares = c == '[' ? frame->squares | bit : frame->squares & ~bit;
    return JSON_FRAME_MORE;
}

static JsonFrameResult push_closer(JsonFrame *frame, char c, const char **why)
{
    bool square = frame->squares >> --frame->depth & 1;

    if (square != (c == ']')) {
        return bad(frame, "brackets do not match", why);
    }
    return frame->depth ? JSON_FRAME_MORE : JSON_FRAME_DONE;
}

/* Keep counting brackets, whatever their kind. */
static void count_lost(JsonFrame *frame, char c)
{
    if (frame->quote) {
        push_string_byte(frame, c);
    } else if (is_opener(c)) {
        frame->depth++;
    } else if (is_closer(c) && frame->depth > 0) {
        frame->depth--;
    } else {
        frame->quote = quote_of(c);
    }
}

static JsonFrameResult push_inside(JsonFrame *frame, char c, const char **why)
{
    if (frame->text->len == JSON_FRAME_SIZE_MAX) {
        count_lost(frame, c); /* c may be the last bracket */
        return bad(frame, "more than 1 MiB", why);
    }
    g_string_append_c(frame->text, c);
    if (frame->quote) {
        push_string_byte(frame, c);
        return JSON_FRAME_MORE;
    }
    if (is_opener(c)) {
        return push_opener(frame, c, why);
    }
    if (is_closer(c)) {
        return push_closer(frame, c, why);
    }
    frame->quote = quote_of(c);
    return JSON_FRAME_MORE;
}

static JsonFrameResult push_outside(JsonFrame *frame, char c, const char **why)
{
    restart(frame);
    if (is_blank(c)) {
        return JSON_FRAME_MORE;
    }
    if (is_opener(c)) {
        return push_inside(frame, c, why);
    }
    frame->quote = quote_of(c);
    return bad(frame, "expecting an object", why);
}

static JsonFrameResult push_lost(JsonFrame *frame, char c, const char **why)
{
    if (c == '\n') {
        restart(frame);
    } else if (is_opener(c) && !frame->quote && frame->depth == 0) {
        return push_outside(frame, c, why);
    } else {
        count_lost(frame, c);
    }
    return JSON_FRAME_MORE;
}

JsonFrameResult json_frame_push(JsonFrame *frame, char c, const char **why)
{
    if (frame->lost) {
        return push_lost(frame, c, why);
    }
    if (frame->depth == 0) {
        return push_outside(frame, c, why);
    }
    if (frame->quote && c == '\n') {
        /* Never valid, and the best place to start anew. */
        bad(frame, "a string does not end on its line", why);
        restart(frame);
        return JSON_FRAME_BAD;
    }
    return push_inside(frame, c, why);
}
