/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Line editing by libedit, without waiting in it.
 *
 * libedit normally reads the terminal itself and returns when there is a line.
 * In its unbuffered mode it returns after each key.  It reads keys from us
 * (EL_GETCFN), a whole key at a time, and writes to us (a FILE whose write
 * function is the owner's).  If one of its functions wants another key in the
 * middle of one, it finds none and ends.  Functions that make no sense then
 * (^V, and ^R as a dialogue) are bound to something else.
 *
 * libedit's native interface is used, in which all state hangs on a handle.
 * The interface that imitates readline keeps its state in global variables.
 *
 * The terminal's modes are changed when a line begins, and put back when the
 * editor is freed, but not while another process group has the terminal: the
 * attempt would stop the process.
 */
#include "monitor/line-editor.h"

#include <glib.h>
#include <histedit.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "monitor/hmp.h"
#include "monitor/terminal-key.h"

#define HISTORY_LINES 200

struct LineEditor {
    EditLine *el;
    HistoryW *history;
    FILE *screen; /* leads to write */
    int in;
    LineEditorWrite *write;
    void *opaque;
    bool editing;
    TerminalKey key;
    const wchar_t *next; /* the part of the key that libedit has yet to read */
};

static ssize_t write_screen(void *cookie, const char *text, size_t size)
{
    LineEditor *editor = cookie;

    editor->write(editor->opaque, text, size);
    return (ssize_t)size;
}

static LineEditor *owner(EditLine *el)
{
    LineEditor *editor;

    el_wget(el, EL_CLIENTDATA, &editor);
    return editor;
}

static int read_key(EditLine *el, wchar_t *c)
{
    LineEditor *editor = owner(el);

    *c = *editor->next;
    if (!*c) {
        return 0;
    }
    editor->next++;
    return 1;
}

static wchar_t *prompt(EditLine *el)
{
    return (wchar_t *)L"" HMP_PROMPT_TEXT; /* libedit only reads it */
}

/* The length of the beginning that all names share. */
static size_t common_length(const GPtrArray *names)
{
    const char *first = g_ptr_array_index(names, 0);
    size_t length = strlen(first);

    for (unsigned i = 1; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        size_t n = 0;

        while (n < length && name[n] == first[n]) {
            n++;
        }
        length = n;
    }
    return length;
}

static void show_names(LineEditor *editor, const GPtrArray *names)
{
    int columns = 80, width = 0, used = 0;

    el_wget(editor->el, EL_GETTC, "co", &columns);
    for (unsigned i = 0; i < names->len; i++) {
        width = MAX(width, (int)strlen(g_ptr_array_index(names, i)) + 2);
    }
    for (unsigned i = 0; i < names->len; i++) {
        if (used == 0 || used + width > columns) {
            fputc('\n', editor->screen);
            used = 0;
        }
        fprintf(editor->screen, "%-*s", width,
                (const char *)g_ptr_array_index(names, i));
        used += width;
    }
    fputc('\n', editor->screen);
    el_wset(editor->el, EL_REFRESH);
}

/* Replace the last `word` characters by the beginning that all names share,
 * with a blank behind it if it is a whole name. */
static void replace_word(EditLine *el, size_t word, const GPtrArray *names)
{
    g_autofree char *text =
        g_strndup(g_ptr_array_index(names, 0), common_length(names));
    g_autofree char *whole =
        g_strconcat(text, names->len == 1 ? " " : NULL, NULL);
    g_autofree gunichar *wide = g_utf8_to_ucs4_fast(whole, -1, NULL);

    el_deletestr(el, (int)word);
    el_winsertstr(el, (const wchar_t *)wide);
}

static unsigned char complete(EditLine *el, int c)
{
    const LineInfoW *line = el_wline(el);
    g_autofree char *text =
        g_ucs4_to_utf8((const gunichar *)line->buffer,
                       line->cursor - line->buffer, NULL, NULL, NULL);
    size_t start, word;
    g_autoptr(GPtrArray) names = hmp_complete(text, &start);

    if (names->len == 0) {
        return CC_ERROR;
    }
    word = strlen(text + start);
    if (names->len > 1 && common_length(names) == word) {
        show_names(owner(el), names);
        return CC_NORM;
    }
    replace_word(el, word, names); /* names are ASCII, so the word is */
    return CC_REFRESH;
}

static void bind_keys(EditLine *el)
{
    el_wset(el, EL_EDITOR, L"emacs");
    el_wset(el, EL_ADDFN, L"ferry-complete", L"Complete a name", complete);
    el_wset(el, EL_BIND, L"^I", L"ferry-complete", NULL);
    el_wset(el, EL_BIND, L"^R", L"ed-search-prev-history", NULL);
    el_wset(el, EL_BIND, L"^V", L"ed-unassigned", NULL);
    /* On an empty line it must not end the session. */
    el_wset(el, EL_BIND, L"^D", L"ed-delete-next-char", NULL);
}

static bool is_in_background(int fd)
{
    pid_t group = tcgetpgrp(fd);

    return group > 0 && group != getpgrp();
}

LineEditor *line_editor_new(int in, int out, LineEditorWrite *write,
                            void *opaque)
{
    static const cookie_io_functions_t functions = { .write = write_screen };
    LineEditor *editor;
    HistEventW event;

    if (is_in_background(in)) {
        return NULL;
    }
    editor = g_new0(LineEditor, 1);
    editor->in = in;
    editor->write = write;
    editor->opaque = opaque;
    editor->next = L"";
    editor->screen = fopencookie(editor, "w", functions);
    g_assert(editor->screen);
    editor->history = history_winit();
    history_w(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    history_w(editor->history, &event, H_SETUNIQUE, 1);
    editor->el = el_init_fd("ferry", editor->screen, editor->screen,
                            editor->screen, in, out, out);
    g_assert(editor->el && editor->history); /* they only fail without memory */
    el_wset(editor->el, EL_CLIENTDATA, editor);
    el_wset(editor->el, EL_GETCFN, read_key);
    el_wset(editor->el, EL_PROMPT, prompt);
    el_wset(editor->el, EL_HIST, history_w, editor->history);
    bind_keys(editor->el);
    return editor;
}

void line_editor_begin(LineEditor *editor)
{
    el_wset(editor->el, EL_UNBUFFERED, 0);
    el_wset(editor->el, EL_UNBUFFERED, 1); /* an empty line, and the prompt */
    editor->editing = true;
    fflush(editor->screen);
}

bool line_editor_is_empty(const LineEditor *editor)
{
    const LineInfoW *line = el_wline(editor->el);

    return line->lastchar == line->buffer;
}

void line_editor_leave(LineEditor *editor)
{
    editor->editing = false;
}

static char *finish_line(LineEditor *editor, const wchar_t *line, int count)
{
    HistEventW event;
    g_autofree wchar_t *copy = g_memdup2(line, (size_t)count * sizeof(*line));
    char *text;

    copy[count - 1] = L'\0';
    text = g_ucs4_to_utf8((const gunichar *)copy, -1, NULL, NULL, NULL);
    if (text[strspn(text, " \t")]) {
        history_w(editor->history, &event, H_ENTER, copy);
    }
    editor->editing = false;
    return text;
}

char *line_editor_byte(LineEditor *editor, char c)
{
    const wchar_t *keys = terminal_key_push(&editor->key, c);
    const wchar_t *line;
    int count = 0;

    if (!editor->editing || !keys || !*keys) {
        return NULL;
    }
    editor->next = keys;
    line = el_wgets(editor->el, &count);
    editor->next = L"";
    fflush(editor->screen);
    return line && count > 0 && line[count - 1] == L'\n'
               ? finish_line(editor, line, count)
               : NULL;
}

void line_editor_free(LineEditor *editor)
{
    if (!editor) {
        return;
    }
    if (editor->editing) {
        fputs("\r\n", editor->screen);
    }
    if (is_in_background(editor->in)) {
        el_wset(editor->el, EL_EDITMODE, 0); /* leaves the modes alone */
    }
    el_end(editor->el);
    history_wend(editor->history);
    fclose(editor->screen);
    g_free(editor);
}
