/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test-monitor-fixture.h"

#include <string.h>
#include <sys/socket.h>

#define WAIT_SECONDS 10

static bool refused(FakeMachine *machine, GError **errp)
{
    if (machine->refusal) {
        g_set_error_literal(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                            machine->refusal);
    }
    return machine->refusal != NULL;
}

static const char *fake_status(void *opaque, bool *running)
{
    FakeMachine *machine = opaque;

    *running = machine->running;
    return machine->status;
}

static bool set_running(FakeMachine *machine, bool running, GError **errp)
{
    if (refused(machine, errp)) {
        return false;
    }
    machine->running = running;
    machine->status = running ? "running" : "paused";
    mon_emit(machine->monitor, running ? "RESUME" : "STOP", g_get_real_time());
    return true;
}

static bool fake_stop(void *opaque, GError **errp)
{
    return set_running(opaque, false, errp);
}

static bool fake_cont(void *opaque, GError **errp)
{
    return set_running(opaque, true, errp);
}

static void fake_quit(void *opaque)
{
    FakeMachine *machine = opaque;

    g_string_append(machine->calls, "quit; ");
    mon_emit_shutdown(machine->monitor, MON_SHUTDOWN_QUIT, g_get_real_time());
}

static void fake_get_options(void *opaque, MigOptions *options)
{
    FakeMachine *machine = opaque;

    *options = machine->options;
}

static bool fake_set_option(void *opaque, const MigOption *option,
                            uint64_t value, GError **errp)
{
    FakeMachine *machine = opaque;

    if (refused(machine, errp)) {
        return false;
    }
    if (g_strcmp0(option->name, machine->fixed) == 0) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY, "%s is fixed",
                    option->name);
        return false;
    }
    g_string_append_printf(machine->calls, "%s=%" G_GUINT64_FORMAT "; ",
                           option->name, value);
    return mig_options_set(&machine->options, option, value, errp);
}

static bool fake_migrate(void *opaque, const char *uri, GError **errp)
{
    FakeMachine *machine = opaque;

    if (refused(machine, errp)) {
        return false;
    }
    g_string_append_printf(machine->calls, "migrate %s; ", uri);
    return true;
}

static bool fake_migrate_incoming(void *opaque, const char *uri, GError **errp)
{
    FakeMachine *machine = opaque;

    if (refused(machine, errp)) {
        return false;
    }
    g_string_append_printf(machine->calls, "incoming %s; ", uri);
    return true;
}

static bool fake_migrate_cancel(void *opaque, GError **errp)
{
    FakeMachine *machine = opaque;

    if (refused(machine, errp)) {
        return false;
    }
    g_string_append(machine->calls, "cancel; ");
    machine->info.state = MIG_STATE_CANCELLED;
    return true;
}

static bool fake_migrate_continue(void *opaque, MigState state, GError **errp)
{
    FakeMachine *machine = opaque;

    if (refused(machine, errp)) {
        return false;
    }
    g_string_append_printf(machine->calls, "continue %s; ",
                           mig_state_name(state));
    return true;
}

static bool fake_migrate_info(void *opaque, MigInfo *info)
{
    FakeMachine *machine = opaque;

    *info = machine->info;
    info->error = g_strdup(machine->info.error);
    return machine->has_info;
}

static const IoUri *fake_migrate_address(void *opaque)
{
    const FakeMachine *machine = opaque;

    return machine->address;
}

static bool fake_pmemsave(void *opaque, uint64_t addr, uint64_t size,
                          const char *filename, GError **errp)
{
    FakeMachine *machine = opaque;

    if (refused(machine, errp)) {
        return false;
    }
    g_string_append_printf(machine->calls,
                           "pmemsave %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                           " %s; ",
                           addr, size, filename);
    return true;
}

FakeMachine *fake_machine_new(void)
{
    FakeMachine *machine = g_new0(FakeMachine, 1);

    machine->host = (MonHost){
        .name = "bob",
        .cpus = 2,
        .status = fake_status,
        .stop = fake_stop,
        .cont = fake_cont,
        .quit = fake_quit,
        .get_options = fake_get_options,
        .set_option = fake_set_option,
        .migrate = fake_migrate,
        .migrate_incoming = fake_migrate_incoming,
        .migrate_cancel = fake_migrate_cancel,
        .migrate_continue = fake_migrate_continue,
        .migrate_info = fake_migrate_info,
        .migrate_address = fake_migrate_address,
        .pmemsave = fake_pmemsave,
    };
    machine->calls = g_string_new(NULL);
    machine->status = "running";
    machine->running = true;
    mig_options_init(&machine->options);
    machine->monitor = mon_new(&machine->host, machine);
    return machine;
}

void fake_machine_free(FakeMachine *machine)
{
    mon_free(machine->monitor);
    g_string_free(machine->calls, TRUE);
    g_free(machine);
}

void fake_machine_set_info(FakeMachine *machine, MigState state)
{
    machine->has_info = true;
    machine->info = (MigInfo){
        .state = state,
        .compress = true,
        .total_time_ms = 1217,
        .setup_time_ms = 3,
        .downtime_ms = 2,
        .expected_downtime_ms = 300,
        .ram = {
            .transferred = 862208,
            .total = 268967936,
            .duplicate = 65602,
            .normal = 5,
            .dirty_sync_count = 3,
            .dirty_pages_rate = 17,
            .pages_per_second = 44326,
            .precopy_bytes = 857088,
            .downtime_bytes = 5120,
            .mbps = 6.43,
        },
        .compression = {
            .pages = 151,
            .compressed_size = 250880,
            .rate = 2.37,
            .unchanged = 12,
            .encoder = "ISA-L",
            .history = 1 << 20,
        },
    };
}

static gboolean on_too_late(gpointer what)
{
    g_error("nothing came for %d seconds: %s", WAIT_SECONDS,
            (const char *)what);
    return G_SOURCE_REMOVE;
}

static GSource *start_clock(char *what)
{
    GSource *clock = g_timeout_source_new_seconds(WAIT_SECONDS);

    g_source_set_callback(clock, on_too_late, what, NULL);
    g_source_attach(clock, NULL);
    return clock;
}

static void stop_clock(GSource *clock)
{
    g_source_destroy(clock);
    g_source_unref(clock);
}

void run_until(const bool *flag)
{
    GSource *clock = start_clock((char *)"an event");

    while (!*flag) {
        g_main_context_iteration(NULL, TRUE);
    }
    stop_clock(clock);
}

static gboolean on_client_readable(GSocket *socket, GIOCondition condition,
                                   gpointer opaque)
{
    Client *client = opaque;
    char data[4096];
    gssize n = g_socket_receive(socket, data, sizeof(data), NULL, NULL);

    if (n > 0) {
        g_string_append_len(client->got, data, n);
        return G_SOURCE_CONTINUE;
    }
    client->ended = true;
    return G_SOURCE_REMOVE;
}

Client *client_new(FakeMachine *machine, MonKind kind)
{
    Client *client = g_new0(Client, 1);
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GSocket) far = NULL;
    int fds[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    far = g_socket_new_from_fd(fds[0], NULL);
    connection = g_socket_connection_factory_create_connection(far);
    client->socket = g_socket_new_from_fd(fds[1], NULL);
    g_socket_set_blocking(client->socket, FALSE);
    client->got = g_string_new(NULL);
    client->source = g_socket_create_source(client->socket, G_IO_IN, NULL);
    g_source_set_callback(client->source, G_SOURCE_FUNC(on_client_readable),
                          client, NULL);
    g_source_attach(client->source, NULL);
    mon_add_session(machine->monitor, kind, G_IO_STREAM(connection));
    return client;
}

void client_stop_reading(Client *client)
{
    if (client->source) {
        g_source_destroy(client->source);
        g_source_unref(client->source);
        client->source = NULL;
    }
}

void client_free(Client *client)
{
    client_stop_reading(client);
    g_object_unref(client->socket);
    g_string_free(client->got, TRUE);
    g_free(client);
}

void client_send_bytes(Client *client, const char *data, size_t size)
{
    while (size > 0) {
        g_autoptr(GError) err = NULL;
        gssize n = g_socket_send(client->socket, data, size, NULL, &err);

        if (n > 0) {
            data += n;
            size -= (size_t)n;
        } else {
            g_assert_error(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
            g_main_context_iteration(NULL, FALSE);
        }
    }
}

void client_send(Client *client, const char *text)
{
    client_send_bytes(client, text, strlen(text));
}

void client_close_output(Client *client)
{
    g_assert_true(g_socket_shutdown(client->socket, FALSE, TRUE, NULL));
}

void client_wait_end(Client *client)
{
    run_until(&client->ended);
}

char *client_take(Client *client, const char *end)
{
    GSource *clock = start_clock((char *)end);
    const char *found;
    char *taken;

    while (!(found = strstr(client->got->str, end))) {
        g_assert_false(client->ended);
        g_main_context_iteration(NULL, TRUE);
    }
    stop_clock(clock);
    taken = g_strndup(client->got->str,
                      (size_t)(found - client->got->str) + strlen(end));
    g_string_erase(client->got, 0, (gssize)strlen(taken));
    return taken;
}

char *client_ask(Client *client, const char *line)
{
    g_autofree char *answer = NULL;
    g_auto(GStrv) parts = NULL;

    client_send(client, line);
    client_send(client, "\n");
    answer = client_take(client, PROMPT);
    answer[strlen(answer) - strlen(PROMPT)] = '\0';
    parts = g_strsplit(answer, "\r\n", -1);
    return g_strjoinv("\n", parts);
}

JsonNode *client_take_json(Client *client)
{
    g_autofree char *line = client_take(client, "\r\n");
    g_autoptr(GError) err = NULL;
    JsonNode *node = json_from_string(line, &err);

    g_assert_no_error(err);
    return node;
}

static void assert_json_equal(JsonNode *got, JsonNode *expected)
{
    g_autofree char *text = json_to_string(got, FALSE);
    g_autofree char *expected_text = json_to_string(expected, FALSE);

    if (!json_node_equal(got, expected)) {
        g_assert_cmpstr(text, ==, expected_text); /* shows them */
    }
}

void client_expect_json(Client *client, const char *expected)
{
    g_autoptr(JsonNode) got = client_take_json(client);
    g_autoptr(GError) err = NULL;
    g_autoptr(JsonNode) wanted = json_from_string(expected, &err);

    g_assert_no_error(err);
    assert_json_equal(got, wanted);
}

void client_expect_answer(Client *client, const char *request,
                          const char *expected)
{
    client_send(client, request);
    client_expect_json(client, expected);
}

void client_expect_error(Client *client, const char *request, const char *desc)
{
    g_autoptr(JsonNode) answer = NULL;
    JsonObject *error;

    client_send(client, request);
    answer = client_take_json(client);
    error =
        json_object_get_object_member(json_node_get_object(answer), "error");
    g_assert_nonnull(error);
    g_assert_cmpstr(json_object_get_string_member(error, "class"), ==,
                    "GenericError");
    g_assert_cmpstr(json_object_get_string_member(error, "desc"), ==, desc);
}

Client *client_new_hmp(FakeMachine *machine)
{
    Client *client = client_new(machine, MON_HMP);

    g_free(client_take(client, PROMPT));
    return client;
}

Client *client_new_qmp(FakeMachine *machine)
{
    Client *client = client_new(machine, MON_QMP);

    g_free(client_take(client, "\r\n"));
    client_expect_answer(client, "{\"execute\": \"qmp_capabilities\"}", DONE);
    return client;
}

void fixture_set_up_hmp(Fixture *f, gconstpointer data)
{
    f->machine = fake_machine_new();
    f->client = client_new_hmp(f->machine);
}

void fixture_set_up_qmp(Fixture *f, gconstpointer data)
{
    f->machine = fake_machine_new();
    f->client = client_new_qmp(f->machine);
}

void fixture_tear_down(Fixture *f, gconstpointer data)
{
    client_free(f->client);
    fake_machine_free(f->machine);
}

void fixture_add(MonKind kind, const char *path, FixtureTest *test)
{
    g_test_add(path, Fixture, NULL,
               kind == MON_HMP ? fixture_set_up_hmp : fixture_set_up_qmp, test,
               fixture_tear_down);
}

void fixture_expect_calls(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->machine->calls->str, ==, expected);
}
