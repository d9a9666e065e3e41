/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: several at once, their ends, clients that do not read. */
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test-monitor-fixture.h"

static void test_several_sessions(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *first = client_new_hmp(machine);
    Client *second = client_new_hmp(machine);
    Client *third = client_new_qmp(machine);
    g_autofree char *set = NULL, *shown = NULL, *half = NULL;
    g_autofree char *answer = NULL;

    client_send(first, "info st"); /* has a line of its own to finish */
    set = client_ask(second, "migrate_set_capability compress on");
    g_assert_cmpstr(set, ==, "");
    client_send(third, "{\"execute\": \"query-migrate-capabilities\"}");
    answer = client_take(third, "\r\n");
    g_assert_nonnull(
        strstr(answer, "{\"capability\":\"compress\",\"state\":true}"));
    half = client_ask(first, "atus");
    g_assert_cmpstr(half, ==, "VM status: running\n");
    client_free(second);
    shown = client_ask(first, "info migrate_capabilities");
    g_assert_nonnull(strstr(shown, "compress: on\n"));
    client_free(third);
    client_free(first);
    fake_machine_free(machine);
}

static void expect_event(Client *client, const char *name)
{
    g_autoptr(JsonNode) event = client_take_json(client);

    g_assert_cmpstr(
        json_object_get_string_member(json_node_get_object(event), "event"), ==,
        name);
}

/* HMP sessions, and QMP sessions that are not ready, get no events. */
static void test_events(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *qmp = client_new_qmp(machine);
    Client *other = client_new_qmp(machine);
    Client *hmp = client_new_hmp(machine);
    Client *raw = client_new(machine, MON_QMP);
    g_autofree char *greeting = client_take(raw, "\r\n");
    g_autofree char *answer = NULL;

    answer = client_ask(hmp, "stop");
    g_assert_cmpstr(answer, ==, "");
    expect_event(qmp, "STOP");
    expect_event(other, "STOP");
    client_expect_answer(raw, "{\"execute\": \"qmp_capabilities\"}", DONE);
    mon_emit(machine->monitor, "RESUME", g_get_real_time());
    expect_event(raw, "RESUME");
    client_free(raw);
    client_free(hmp);
    client_free(other);
    client_free(qmp);
    fake_machine_free(machine);
}

/* echo info status | nc -N ... */
static void test_half_close(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new_hmp(machine);

    client_send(client, "info status\ninfo name\n");
    client_close_output(client);
    client_wait_end(client);
    g_assert_cmpstr(client->got->str, ==,
                    "VM status: running\r\n" PROMPT "bob\r\n" PROMPT);
    client_free(client);
    fake_machine_free(machine);
}

/* Nothing is done that was asked behind "quit", by anybody. */
static void test_quit(void)
{
    static const struct {
        MonKind kind;
        const char *text;
    } rows[] = {
        { MON_HMP, "quit\nstop\n" },
        { MON_QMP, "{'execute': 'quit'}{'execute': 'stop'}" },
        { MON_QMP, "{'execute': 'human-monitor-command', 'arguments': "
                   "{'command-line': 'q'}}{'execute': 'stop'}" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeMachine *machine = fake_machine_new();
        Client *other = client_new_hmp(machine);
        Client *client = rows[i].kind == MON_HMP ? client_new_hmp(machine)
                                                 : client_new_qmp(machine);

        client_send(client, rows[i].text);
        client_close_output(client);
        client_wait_end(client);
        client_send(other, "stop\n");
        client_close_output(other);
        client_wait_end(other);
        g_assert_cmpstr(machine->calls->str, ==, "quit; ");
        g_assert_true(machine->running);
        client_free(client);
        client_free(other);
        fake_machine_free(machine);
    }
}

static void test_free_sends_the_rest(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new_qmp(machine);

    mon_emit(machine->monitor, "RESUME", g_get_real_time());
    mon_free(machine->monitor);
    machine->monitor = NULL;
    expect_event(client, "RESUME");
    client_wait_end(client);
    client_free(client);
    fake_machine_free(machine);
}

/* A client asks, but takes no answers: it is cut off, and nobody else notices.
 * It has taken less than the limit and what the socket holds. */
static void test_no_reader(void)
{
    static const char ask[] = "help migrate_set_parameter\n";
    FakeMachine *machine = fake_machine_new();
    Client *deaf = client_new_hmp(machine);
    Client *client = client_new_hmp(machine);
    g_autoptr(GError) err = NULL;
    g_autofree char *once = NULL, *status = NULL;
    size_t asked = 0;

    client_send(deaf, ask);
    once = client_take(deaf, PROMPT);
    client_stop_reading(deaf);
    while (g_socket_send(deaf->socket, ask, strlen(ask), NULL, &err) > 0 ||
           g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
        asked += err == NULL;
        g_clear_error(&err);
        g_main_context_iteration(NULL, FALSE);
        g_assert_cmpuint(asked * strlen(once), <, 16 << 20);
    }
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
    g_assert_cmpuint(asked * strlen(once), >, 4 << 20);
    status = client_ask(client, "info status");
    g_assert_cmpstr(status, ==, "VM status: running\n");
    client_free(client);
    client_free(deaf);
    fake_machine_free(machine);
}

/* Nor do events pile up without end. */
static void test_no_reader_of_events(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *deaf = client_new_qmp(machine);
    gssize n;
    char data[4096];

    client_stop_reading(deaf);
    for (unsigned i = 0; i < 100000; i++) {
        mon_emit(machine->monitor, "STOP", g_get_real_time());
    }
    while (g_main_context_iteration(NULL, FALSE)) {
        /* until the session is gone */
    }
    do {
        n = g_socket_receive(deaf->socket, data, sizeof(data), NULL, NULL);
    } while (n > 0);
    g_assert_cmpint(n, ==, 0);
    client_free(deaf);
    fake_machine_free(machine);
}

/* Much more than a socket holds, to a client that reads, comes in order. */
static void test_long_output(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new_qmp(machine);

    for (int i = 0; i < 20000; i++) {
        mon_emit(machine->monitor, i % 2 ? "STOP" : "RESUME",
                 g_get_real_time());
    }
    for (int i = 0; i < 20000; i++) {
        expect_event(client, i % 2 ? "STOP" : "RESUME");
    }
    client_free(client);
    fake_machine_free(machine);
}

/* The client dies with answers under way. */
static void test_client_dies(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *dying = client_new_hmp(machine);
    Client *client = client_new_hmp(machine);
    g_autofree char *status = NULL;

    client_send(dying, "help\nhelp\nhelp\n");
    client_free(dying);
    status = client_ask(client, "info status");
    g_assert_cmpstr(status, ==, "VM status: running\n");
    client_free(client);
    fake_machine_free(machine);
}

static void on_gone(gpointer flag, GObject *stream)
{
    *(bool *)flag = true;
}

/* Standard input from a file, standard output to one: streams that cannot be
 * polled. */
static void test_files(void)
{
    FakeMachine *machine = fake_machine_new();
    g_autofree char *dir = g_dir_make_tmp("ferry-monitor-XXXXXX", NULL);
    g_autofree char *script = g_build_filename(dir, "script", NULL);
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    g_autoptr(GInputStream) in = NULL;
    g_autoptr(GOutputStream) out = NULL;
    g_autofree char *text = NULL;
    GIOStream *stream;
    bool gone = false;

    g_assert_true(g_file_set_contents(script, "info name\nstop\n", -1, NULL));
    in = g_unix_input_stream_new(open(script, O_RDONLY), TRUE);
    out = g_unix_output_stream_new(open(log, O_WRONLY | O_CREAT, 0600), TRUE);
    stream = g_simple_io_stream_new(in, out);
    g_object_weak_ref(G_OBJECT(stream), on_gone, &gone);
    mon_add_session(machine->monitor, MON_HMP, stream);
    g_object_unref(stream);
    run_until(&gone);
    g_assert_false(machine->running);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_assert_true(g_str_has_suffix(text, PROMPT "bob\r\n" PROMPT PROMPT));
    g_unlink(script);
    g_unlink(log);
    g_rmdir(dir);
    fake_machine_free(machine);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/monitor/several-sessions", test_several_sessions);
    g_test_add_func("/monitor/events", test_events);
    g_test_add_func("/monitor/half-close", test_half_close);
    g_test_add_func("/monitor/quit", test_quit);
    g_test_add_func("/monitor/free-sends-the-rest", test_free_sends_the_rest);
    g_test_add_func("/monitor/no-reader", test_no_reader);
    g_test_add_func("/monitor/no-reader-of-events", test_no_reader_of_events);
    g_test_add_func("/monitor/long-output", test_long_output);
    g_test_add_func("/monitor/client-dies", test_client_dies);
    g_test_add_func("/monitor/files", test_files);
    return g_test_run();
}
