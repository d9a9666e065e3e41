/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor: a set of sessions that act on one machine.
 *
 * monitor.c     this file: the public calls
 * session.c     a client's stream, buffered both ways
 * hmp*.c        a front end: lines of text
 * qmp.c         a front end: JSON, with json-frame.c to find the objects
 * command.c     the command table of both
 * commands-*.c  what the commands do, by way of the MonHost interface
 */
#include "monitor/monitor.h"

#include "monitor/hmp.h"
#include "monitor/qmp.h"

struct Monitor {
    MonMachine machine;
    GMainContext *context;
    GPtrArray *sessions; /* owns them */
};

static void free_session(gpointer session)
{
    session_free(session);
}

Monitor *mon_new(const MonHost *host, void *opaque)
{
    Monitor *mon = g_new0(Monitor, 1);

    mon->machine = (MonMachine){ .host = host, .opaque = opaque };
    mon->context = g_main_context_ref_thread_default();
    mon->sessions = g_ptr_array_new_with_free_func(free_session);
    return mon;
}

void mon_add_session(Monitor *mon, MonKind kind, GIOStream *stream)
{
    session_new(mon->sessions, mon->context,
                kind == MON_HMP ? &hmp_front : &qmp_front, &mon->machine,
                stream);
}

void mon_emit(Monitor *mon, const char *event)
{
    g_autofree char *line = qmp_event_line(event, g_get_real_time());

    for (unsigned i = 0; i < mon->sessions->len; i++) {
        session_event(g_ptr_array_index(mon->sessions, i), line);
    }
}

void mon_free(Monitor *mon)
{
    if (!mon) {
        return;
    }
    g_ptr_array_unref(mon->sessions);
    g_main_context_unref(mon->context);
    g_free(mon);
}
