/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor: a set of sessions that act on one machine.
 *
 * monitor.c     this file: the public calls
 * session.c     a client's stream, buffered both ways
 * hmp*.c        a front end: lines of text
 * qmp.c         a front end: JSON, with json-*.c to find and check the objects
 * command.c     a command of both; command-table.c has all commands
 * commands-*.c  what the commands do, by way of the MonHost interface
 * events.c      the table of events
 * passed-fds.c  descriptors that clients pass, and getfd names
 * shape.c       what arguments, results and data look like; schema.c tells
 */
#include "ferry/monitor.h"

#include "monitor/events.h"
#include "monitor/hmp.h"
#include "monitor/qmp.h"

struct Monitor {
    MonMachine machine;
    bool over; /* see MonMachine */
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

    mon->machine = (MonMachine){
        .commands = &command_table,
        .host = host,
        .opaque = opaque,
        .over = &mon->over,
    };
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

/* Takes data. */
static void emit(Monitor *mon, const char *event, JsonObject *data,
                 int64_t time)
{
    const EventType *type = event_find(event);
    g_autofree char *line = NULL;

    if (!type || !shape_check_members(type->data, data, "", NULL)) {
        g_warning("event %s does not fit its description", event);
        json_object_unref(data);
        return;
    }
    line = qmp_event_line(event, data, time);
    for (unsigned i = 0; i < mon->sessions->len; i++) {
        session_event(g_ptr_array_index(mon->sessions, i), line);
    }
}

void mon_emit(Monitor *mon, const char *event, int64_t time)
{
    emit(mon, event, json_object_new(), time);
}

void mon_emit_shutdown(Monitor *mon, MonShutdown why, int64_t time)
{
    JsonObject *data = json_object_new();

    json_object_set_boolean_member(data, "guest", why == MON_SHUTDOWN_GUEST);
    json_object_set_string_member(data, "reason", event_shutdown_reason(why));
    emit(mon, "SHUTDOWN", data, time);
}

void mon_emit_migration(Monitor *mon, const MigEvent *event, int64_t time)
{
    MigOptions options;
    JsonObject *data;

    mon->machine.host->get_options(mon->machine.opaque, &options);
    if (!options.value[MIG_OPT_EVENTS]) {
        return;
    }
    data = json_object_new();
    switch (event->type) {
    case MIG_EVENT_STATE:
        json_object_set_string_member(data, "status",
                                      mig_state_name(event->state));
        emit(mon, "MIGRATION", data, time);
        return;
    case MIG_EVENT_PASS:
        json_object_set_int_member(data, "pass", event->pass);
        emit(mon, "MIGRATION_PASS", data, time);
        return;
    }
    g_assert_not_reached();
}

bool mon_interrupt(Monitor *mon)
{
    bool any = false;

    for (unsigned i = 0; i < mon->sessions->len; i++) {
        any |= session_interrupt(g_ptr_array_index(mon->sessions, i));
    }
    return any;
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
