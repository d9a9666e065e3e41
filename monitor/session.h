/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: one client, one stream, one front end.
 *
 * Everything happens in the monitor's main context, and nothing ever blocks
 * it: input comes when there is some, and output waits in memory until the
 * client takes it.
 */
#ifndef FERRY_MONITOR_SESSION_H
#define FERRY_MONITOR_SESSION_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>

#include "monitor/command.h"

/* Output that a client leaves unread before it is cut off, in bytes. */
#define SESSION_OUTPUT_MAX (4 << 20)

typedef struct Session Session;

/* How a session calls its front end, HMP or QMP. */
typedef struct SessionFront {
    /* May write a greeting.  Never fails. */
    void *(*open)(Session *session, const MonMachine *machine);
    void (*byte)(void *front, char c);
    void (*event)(void *front, const char *line); /* optional */
    bool (*interrupt)(void *front);               /* optional */
    void (*close)(void *front);
} SessionFront;

/* Adds the session to home, whose elements session_free() frees.  The session
 * removes itself when the stream ends.  Takes a reference to stream. */
void session_new(GPtrArray *home, GMainContext *context,
                 const SessionFront *front, const MonMachine *machine,
                 GIOStream *stream);

/* Queue output.  Does not free the session, even if this finds it dead. */
void session_write(Session *session, const char *text, size_t size);

/* Is there output that the client has not taken yet? */
bool session_is_behind(const Session *session);

/* Between pause and resume front->byte() is not called. */
void session_pause(Session *session);
void session_resume(Session *session);

/* Pass a line to the front end if it takes events. */
void session_event(Session *session, const char *line);

/* Let the session stop waiting; false where it does not wait. */
bool session_interrupt(Session *session);

/* The stream's descriptors; false unless both are a terminal's. */
bool session_get_terminal(Session *session, int *in, int *out);

GMainContext *session_context(Session *session);

/* Send what can be sent at once, close the stream, free. */
void session_free(Session *session);

#endif
