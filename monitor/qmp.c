/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP sessions.
 *
 * A session greets, and then answers each object in order.  Until the command
 * "qmp_capabilities" has succeeded, the session takes no other command and gets
 * no events.  A bad object is answered with an error, and the session goes on.
 */
#include "monitor/qmp.h"

#include <string.h>

#include "monitor/commands.h"
#include "monitor/json-frame.h"
#include "monitor/json-text.h"

typedef struct QmpSession {
    Session *session;
    const MonMachine *machine;
    JsonFrame frame;
    bool negotiated;
} QmpSession;

/* Takes the object. */
static char *to_line(JsonObject *object)
{
    g_autoptr(JsonNode) node = command_object_result(object);
    g_autofree char *text = json_to_string(node, FALSE);

    return g_strconcat(text, "\r\n", NULL);
}

static void send_object(QmpSession *qmp, JsonObject *object)
{
    g_autofree char *line = to_line(object);

    session_write(qmp->session, line, strlen(line));
}

/* id is JSON, sent back as it is, or empty. */
static void send_answer(QmpSession *qmp, const char *kind, JsonNode *answer,
                        const char *id)
{
    JsonObject *object = json_object_new();
    g_autofree char *line = NULL;

    json_object_set_member(object, kind, answer);
    line = to_line(object);
    if (id[0]) {
        g_autofree char *start =
            g_strndup(line, strlen(line) - strlen("}\r\n"));

        g_free(line);
        line = g_strconcat(start, ",\"id\":", id, "}\r\n", NULL);
    }
    session_write(qmp->session, line, strlen(line));
}

static void send_error(QmpSession *qmp, const char *class, const char *desc,
                       const char *id)
{
    JsonObject *error = json_object_new();

    json_object_set_string_member(error, "class", class);
    command_set_text(error, "desc", desc);
    send_answer(qmp, "error", command_object_result(error), id);
}

static bool check_member(const char *name, JsonNode *node, GError **errp)
{
    if (g_str_equal(name, "execute")) {
        if (json_node_get_value_type(node) == G_TYPE_STRING) {
            return true;
        }
        command_error(errp, "QMP input member 'execute' must be a string");
    } else if (g_str_equal(name, "arguments")) {
        if (JSON_NODE_HOLDS_OBJECT(node)) {
            return true;
        }
        command_error(errp, "QMP input member 'arguments' must be an object");
    } else if (g_str_equal(name, "id")) {
        return true;
    } else {
        command_error(errp, "QMP input member '%s' is unexpected", name);
    }
    return false;
}

static bool check_request(JsonObject *request, GError **errp)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    json_object_iter_init_ordered(&iter, request);
    while (json_object_iter_next_ordered(&iter, &name, &node)) {
        if (!check_member(name, node, errp)) {
            return false;
        }
    }
    if (!json_object_has_member(request, "execute")) {
        command_error(errp, "QMP input lacks member 'execute'");
        return false;
    }
    return true;
}

/* The command of a request; NULL, and *why, if it may not run now. */
static const Command *find_command(const QmpSession *qmp, const char *name,
                                   char **why)
{
    const Command *command = command_find_qmp(qmp->machine->commands, name);

    if (!qmp->negotiated && !(command && command->negotiates)) {
        *why = g_strdup("Expecting capabilities negotiation with "
                        "'qmp_capabilities'");
        return NULL;
    }
    if (!command) {
        *why = g_strdup_printf("The command %s has not been found", name);
    } else if (qmp->negotiated && command->negotiates) {
        *why = g_strdup("Capabilities negotiation is already complete, "
                        "command ignored");
        return NULL;
    }
    return command;
}

static void run_command(QmpSession *qmp, const Command *command,
                        JsonObject *request, const char *id)
{
    g_autoptr(JsonObject) args = NULL;
    g_autoptr(GError) err = NULL;
    JsonNode *result;

    if (json_object_has_member(request, "arguments")) {
        args = json_object_ref(
            json_object_get_object_member(request, "arguments"));
    } else {
        args = json_object_new();
    }
    result = command_run(command, qmp->machine, args, &err);
    if (!result) {
        send_error(qmp, "GenericError", err->message, id);
        return;
    }
    qmp->negotiated |= command->negotiates;
    send_answer(qmp, "return", result, id);
}

static void handle_request(QmpSession *qmp, JsonObject *request,
                           const char *id)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *why = NULL;
    const Command *command;

    if (!check_request(request, &err)) {
        send_error(qmp, "GenericError", err->message, id);
        return;
    }
    command = find_command(
        qmp, json_object_get_string_member(request, "execute"), &why);
    if (!command) {
        send_error(qmp, "CommandNotFound", why, id);
        return;
    }
    run_command(qmp, command, request, id);
}

static void send_parse_error(QmpSession *qmp, const char *message)
{
    g_autofree char *desc = g_strdup_printf("JSON parse error, %s", message);

    send_error(qmp, "GenericError", desc, "");
}

/*
 * Of members with the same name json-glib keeps the last.  To notice that, its
 * signals count the members that were read, and those that objects have kept.
 */
typedef struct MemberCount {
    uint64_t read, kept;
} MemberCount;

static void on_member(JsonParser *parser, JsonObject *object, const char *name,
                      gpointer opaque)
{
    MemberCount *count = opaque;

    count->read++;
}

static void on_object_end(JsonParser *parser, JsonObject *object,
                          gpointer opaque)
{
    MemberCount *count = opaque;

    count->kept += json_object_get_size(object);
}

static bool parse_text(JsonParser *parser, const GString *text, GError **errp)
{
    MemberCount count = { 0 };
    gulong member = g_signal_connect(parser, "object-member",
                                     G_CALLBACK(on_member), &count);
    gulong end = g_signal_connect(parser, "object-end",
                                  G_CALLBACK(on_object_end), &count);
    bool ok =
        json_parser_load_from_data(parser, text->str, (gssize)text->len, errp);

    g_signal_handler_disconnect(parser, member);
    g_signal_handler_disconnect(parser, end);
    if (ok && count.read != count.kept) {
        command_error(errp, "duplicate key");
        return false;
    }
    return ok;
}

static void handle_plain(QmpSession *qmp, const JsonText *json)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) err = NULL;
    JsonNode *root;

    if (!parse_text(parser, json->plain, &err)) {
        send_parse_error(qmp, err->message);
        return;
    }
    root = json_parser_get_root(parser);
    if (JSON_NODE_HOLDS_OBJECT(root)) {
        handle_request(qmp, json_node_get_object(root),
                       g_strstrip(json->id->str));
    } else {
        send_error(qmp, "GenericError", "QMP input must be a JSON object", "");
    }
}

static void handle_text(QmpSession *qmp, const GString *text)
{
    g_autoptr(GError) err = NULL;
    JsonText json;

    if (json_text_init(&json, text, &err)) {
        handle_plain(qmp, &json);
        json_text_clear(&json);
    } else {
        send_parse_error(qmp, err->message);
    }
}

static void qmp_byte(void *front, char c)
{
    QmpSession *qmp = front;
    const char *why;

    switch (json_frame_push(&qmp->frame, c, &why)) {
    case JSON_FRAME_MORE:
        return;
    case JSON_FRAME_DONE:
        handle_text(qmp, qmp->frame.text);
        return;
    case JSON_FRAME_BAD:
        send_parse_error(qmp, why);
        return;
    }
    g_assert_not_reached();
}

static void qmp_event(void *front, const char *line)
{
    QmpSession *qmp = front;

    if (qmp->negotiated) {
        session_write(qmp->session, line, strlen(line));
    }
}

static void send_greeting(QmpSession *qmp)
{
    g_autoptr(JsonObject) no_args = json_object_new();
    JsonObject *body = json_object_new();
    JsonObject *greeting = json_object_new();

    json_object_set_member(body, "version",
                           cmd_query_version(qmp->machine, no_args, NULL));
    json_object_set_array_member(body, "capabilities", json_array_new());
    json_object_set_object_member(greeting, "QMP", body);
    send_object(qmp, greeting);
}

static void *qmp_open(Session *session, const MonMachine *machine)
{
    QmpSession *qmp = g_new0(QmpSession, 1);

    qmp->session = session;
    qmp->machine = machine;
    json_frame_init(&qmp->frame);
    send_greeting(qmp);
    return qmp;
}

static void qmp_close(void *front)
{
    QmpSession *qmp = front;

    json_frame_destroy(&qmp->frame);
    g_free(qmp);
}

const SessionFront qmp_front = {
    .open = qmp_open,
    .byte = qmp_byte,
    .event = qmp_event,
    .close = qmp_close,
};

char *qmp_event_line(const char *event, JsonObject *data, int64_t now_us)
{
    JsonObject *timestamp = json_object_new();
    JsonObject *object = json_object_new();

    json_object_set_int_member(timestamp, "seconds", now_us / G_USEC_PER_SEC);
    json_object_set_int_member(timestamp, "microseconds",
                               now_us % G_USEC_PER_SEC);
    json_object_set_object_member(object, "timestamp", timestamp);
    json_object_set_string_member(object, "event", event);
    if (json_object_get_size(data) > 0) {
        json_object_set_object_member(object, "data", data);
    } else {
        json_object_unref(data);
    }
    return to_line(object);
}
