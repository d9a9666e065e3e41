/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Line editing on a terminal, with history and completion, by libedit.
 *
 * Nothing here waits: the owner hands over the bytes that the terminal sent,
 * and gets a line when one is finished.
 */
#ifndef FERRY_MONITOR_LINE_EDITOR_H
#define FERRY_MONITOR_LINE_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct LineEditor LineEditor;

typedef void LineEditorWrite(void *opaque, const char *text, size_t size);

#ifdef HAVE_LIBEDIT

/*
 * The descriptors are a terminal's, and serve for its modes and size.  Output
 * goes through write.  NULL while the terminal belongs to another process
 * group.
 */
LineEditor *line_editor_new(int in, int out, LineEditorWrite *write,
                            void *opaque);

/* Show the prompt and begin a line. */
void line_editor_begin(LineEditor *editor);

/* Has nothing been typed yet? */
bool line_editor_is_empty(const LineEditor *editor);

/* Give up the line. */
void line_editor_leave(LineEditor *editor);

/* Take a byte from the terminal.  Returns the line, to be freed, when the byte
 * finishes it, and NULL otherwise.  Between lines bytes are dropped, and
 * nothing is echoed. */
char *line_editor_byte(LineEditor *editor, char c);

/* Puts the terminal's modes back.  NULL is fine. */
void line_editor_free(LineEditor *editor);

#else /* it was not built in: there never is one */

static inline LineEditor *line_editor_new(int in, int out,
                                          LineEditorWrite *write, void *opaque)
{
    return NULL;
}

static inline void line_editor_begin(LineEditor *editor)
{
}

static inline bool line_editor_is_empty(const LineEditor *editor)
{
    return true;
}

static inline void line_editor_leave(LineEditor *editor)
{
}

static inline char *line_editor_byte(LineEditor *editor, char c)
{
    return NULL;
}

static inline void line_editor_free(LineEditor *editor)
{
}

#endif

#endif
