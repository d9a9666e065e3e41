/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as its monitors see it: two machines in this process, each with
 * a QMP client, which writes down the answers and events that it gets in the
 * order in which they come.
 */
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io-internal.h"
#include "tests/unit/vmm-kit.h"

#define UUID_A "00112233-4455-6677-8899-aabbccddeeff"
#define UUID_B "00112233-4455-6677-8899-aabbccddee00"

typedef struct Vm {
    VmmKit kit;
    Monitor *monitor;
    int client;
    GString *unread; /* of what the client got */
    int64_t event_us; /* when the last event happened */
    GString *story;  /* "STOP return MIGRATION:setup ..." */
} Vm;

static void add_session(Vm *vm)
{
    int fds[2];
    g_autoptr(GSocket) sock = NULL;
    g_autoptr(GSocketConnection) connection = NULL;

    g_assert_cmpint(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), ==, 0);
    vm->client = fds[0];
    sock = g_socket_new_from_fd(fds[1], NULL);
    connection = g_socket_connection_factory_create_connection(sock);
    mon_add_session(vm->monitor, MON_QMP, G_IO_STREAM(connection));
}

static const char *event_word(JsonObject *data)
{
    return json_object_get_string_member(
        data, json_object_has_member(data, "status") ? "status" : "reason");
}

static int64_t event_time(JsonObject *event)
{
    JsonObject *time = json_object_get_object_member(event, "timestamp");

    return json_object_get_int_member(time, "seconds") * G_USEC_PER_SEC +
           json_object_get_int_member(time, "microseconds");
}

/* What a line of QMP adds to the story. */
static void tell_line(Vm *vm, const char *line)
{
    g_autoptr(JsonNode) node = json_from_string(line, NULL);
    JsonObject *object = json_node_get_object(node), *data;
    const char *event;

    if (json_object_has_member(object, "error")) {
        data = json_object_get_object_member(object, "error");
        g_string_append_printf(vm->story, "'%s' ",
            json_object_get_string_member(data, "desc"));
    } else if (json_object_has_member(object, "return")) {
        g_string_append(vm->story, "return ");
    } else if (json_object_has_member(object, "event")) {
        event = json_object_get_string_member(object, "event");
        vm->event_us = event_time(object);
        if (strcmp(event, "MIGRATION_PASS") == 0) {
            return; /* how many there are depends on the host */
        }
        data = json_object_has_member(object, "data")
                   ? json_object_get_object_member(object, "data") : NULL;
        g_string_append_printf(vm->story, "%s%s%s ", event, data ? ":" : "",
            data ? event_word(data) : "");
    }
}

static void read_client(Vm *vm)
{
    char buffer[4096], *end;
    ssize_t n;

    while ((n = read(vm->client, buffer, sizeof(buffer))) > 0) {
        g_string_append_len(vm->unread, buffer, n);
    }
    while ((end = strchr(vm->unread->str, '\n'))) {
        *end = '\0';
        tell_line(vm, vm->unread->str);
        g_string_erase(vm->unread, 0, end + 1 - vm->unread->str);
    }
}

/* Until the story has text in it. */
static void wait_for(Vm *vm, const char *text)
{
    read_client(vm);
    while (!strstr(vm->story->str, text)) {
        g_main_context_iteration(NULL, TRUE);
        read_client(vm);
    }
}

/* The story so far has to be this; then a new one begins. */
static void expect(Vm *vm, const char *story)
{
    g_assert_cmpstr(g_strchomp(vm->story->str), ==, story);
    g_string_truncate(vm->story, 0);
}

/* Send a command, arguments included, and wait for its answer. */
static void ask(Vm *vm, const char *command, const char *arguments)
{
    g_autofree char *line = g_strdup_printf(
        "{\"execute\": \"%s\", \"arguments\": {%s}}", command, arguments);
    unsigned before;

    read_client(vm);
    before = vm->story->len;
    g_assert_cmpint(write(vm->client, line, strlen(line)), ==, strlen(line));
    while (!strstr(vm->story->str + before, "return") &&
           !strchr(vm->story->str + before, '\'')) {
        g_main_context_iteration(NULL, TRUE);
        read_client(vm);
    }
}

static void set_capability(Vm *vm, const char *name)
{
    g_autofree char *arguments = g_strdup_printf(
        "\"capabilities\": [{\"capability\": \"%s\", \"state\": true}]", name);

    ask(vm, "migrate-set-capabilities", arguments);
    expect(vm, "return");
}

static bool vm_open(Vm *vm, const char *line)
{
    memset(vm, 0, sizeof(*vm));
    if (!vmm_kit_open(&vm->kit, line)) {
        return false;
    }
    vm->monitor = mon_new(&vm->kit.host, vm->kit.machine);
    vm->kit.machine->monitor = vm->monitor;
    vm->unread = g_string_new(NULL);
    vm->story = g_string_new(NULL);
    add_session(vm);
    g_assert_true(machine_launch(vm->kit.machine, NULL));
    ask(vm, "qmp_capabilities", "");
    expect(vm, "return");
    set_capability(vm, "events");
    return true;
}

static void vm_close(Vm *vm)
{
    mon_free(vm->monitor);
    vmm_kit_close(&vm->kit);
    g_string_free(vm->unread, TRUE);
    g_string_free(vm->story, TRUE);
    close(vm->client);
}

/* A pair of machines, and a socket between them. */
typedef struct Two {
    Vm a, b;
    char *folder, *path, *uri; /* uri as an argument of migrate */
} Two;

static bool two_open(Two *two, const char *options_a, const char *options_b)
{
    g_autofree char *line_a = NULL, *line_b = NULL;

    two->folder = g_dir_make_tmp("ferry-XXXXXX", NULL);
    two->path = g_build_filename(two->folder, "socket", NULL);
    two->uri = g_strdup_printf("\"uri\": \"unix:%s\"", two->path);
    line_a = g_strdup_printf("-kernel %s -append ws=1 -S%s", GUEST, options_a);
    line_b = g_strdup_printf("-incoming unix:%s%s", two->path, options_b);
    return vm_open(&two->a, line_a) && vm_open(&two->b, line_b);
}

static void two_close(Two *two)
{
    if (two->a.kit.machine) {
        vm_close(&two->a);
        vm_close(&two->b);
    }
    g_unlink(two->path);
    g_rmdir(two->folder);
    g_free(two->folder);
    g_free(two->path);
    g_free(two->uri);
}

/* When it happened, not when the main thread had the time to tell. */
static void test_event_time(void)
{
    Vm vm;

    if (vm_open(&vm, "-S -kernel " GUEST)) {
        int64_t now;

        machine_tell(vm.kit.machine, "STOP");
        now = g_get_real_time();
        while (g_get_real_time() == now) {
        }
        wait_for(&vm, "STOP");
        g_assert_cmpint(vm.event_us, <=, now);
        vm_close(&vm);
    }
}

/* With the port that was chosen, until somebody comes. */
static void test_address(void)
{
    Vm vm;

    if (vm_open(&vm, "-incoming tcp:127.0.0.1:0")) {
        const IoUri *uri = vm.kit.host.migrate_address(vm.kit.machine);

        g_assert_cmpint(uri->kind, ==, IO_URI_TCP);
        g_assert_cmpstr(uri->host, ==, "127.0.0.1");
        g_assert_cmpuint(uri->port, >, 0);
        vm_close(&vm);
    }
}

static void test_stop_and_quit(void)
{
    Vm vm;

    if (vm_open(&vm, "-S -kernel " GUEST)) {
        ask(&vm, "cont", "");
        expect(&vm, "RESUME return");
        ask(&vm, "stop", "");
        expect(&vm, "STOP return");
        ask(&vm, "stop", "");
        expect(&vm, "return");
        ask(&vm, "migrate-continue", "\"state\": \"pre-switchover\"");
        expect(&vm, "'Migration not in expected state: none'");
        ask(&vm, "quit", "");
        expect(&vm, "SHUTDOWN:host-qmp-quit return");
        vm_close(&vm);
    }
}

static const char *status(const Vm *vm)
{
    bool running;

    return vm->kit.host.status(vm->kit.machine, &running);
}

/* Its answer comes after the first event, anywhere between the others. */
static void start_migration(Two *two)
{
    const char *answer;

    ask(&two->a, "migrate", two->uri);
    g_assert_true(g_str_has_prefix(two->a.story->str, "MIGRATION:setup "));
    answer = strstr(two->a.story->str, "return ");
    g_string_erase(two->a.story, answer - two->a.story->str,
                   strlen("return "));
    g_string_erase(two->a.story, 0, strlen("MIGRATION:setup "));
}

static void test_completed(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        ask(&two.a, "cont", "");
        expect(&two.a, "RESUME return");
        start_migration(&two);
        wait_for(&two.a, "completed");
        g_assert_null(two.b.kit.host.migrate_address(two.b.kit.machine));
        expect(&two.a, "MIGRATION:active STOP MIGRATION:device "
                       "MIGRATION:completed");
        g_assert_cmpstr(status(&two.a), ==, "postmigrate");
        wait_for(&two.b, "completed");
        expect(&two.b, "MIGRATION:setup MIGRATION:active RESUME "
                       "MIGRATION:completed");
        g_assert_cmpstr(status(&two.b), ==, "running");
    }
    two_close(&two);
}

static void start_and_wait_for_pause(Two *two)
{
    set_capability(&two->a, "pause-before-switchover");
    ask(&two->a, "cont", "");
    expect(&two->a, "RESUME return");
    start_migration(two);
    wait_for(&two->a, "pre-switchover");
    expect(&two->a, "MIGRATION:active STOP MIGRATION:pre-switchover");
    g_assert_cmpstr(status(&two->a), ==, "finish-migrate");
    g_assert_cmpstr(status(&two->b), ==, "inmigrate");
    ask(&two->a, "cont", "");
    expect(&two->a, "'Migration is not finalized yet'");
}

static void test_paused_continued(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        start_and_wait_for_pause(&two);
        ask(&two.a, "migrate-continue", "\"state\": \"device\"");
        expect(&two.a, "'Migration not in expected state: pre-switchover'");
        ask(&two.a, "migrate-continue", "\"state\": \"pre-switchover\"");
        wait_for(&two.a, "completed");
        wait_for(&two.b, "completed");
        g_assert_cmpstr(status(&two.a), ==, "postmigrate");
        g_assert_cmpstr(status(&two.b), ==, "running");
    }
    two_close(&two);
}

static void assert_comes_before(const Vm *vm, const char *a, const char *b)
{
    const char *at_a = strstr(vm->story->str, a);

    g_assert_nonnull(at_a);
    g_assert_nonnull(strstr(at_a, b));
}

static void test_paused_cancelled(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        start_and_wait_for_pause(&two);
        ask(&two.a, "migrate_cancel", "");
        wait_for(&two.a, "cancelled");
        assert_comes_before(&two.a, "MIGRATION:cancelling", "return");
        assert_comes_before(&two.a, "RESUME", "MIGRATION:cancelled");
        g_assert_cmpstr(status(&two.a), ==, "running");
        ask(&two.a, "migrate-continue", "\"state\": \"pre-switchover\"");
        g_assert_true(g_str_has_suffix(
            two.a.story->str,
            "'Migration not in expected state: cancelled' "));
    }
    two_close(&two);
}

/* Unlike QEMU, which lets it run there. */
static void test_paused_stopped_continued(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        start_and_wait_for_pause(&two);
        ask(&two.a, "stop", "");
        ask(&two.a, "stop", "");
        expect(&two.a, "return return");
        ask(&two.a, "migrate-continue", "\"state\": \"pre-switchover\"");
        wait_for(&two.a, "completed");
        wait_for(&two.b, "completed");
        g_assert_cmpstr(status(&two.b), ==, "paused");
    }
    two_close(&two);
}

static void test_paused_stop_taken_back(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        start_and_wait_for_pause(&two);
        ask(&two.a, "stop", "");
        ask(&two.a, "cont", "");
        expect(&two.a, "return return");
        ask(&two.a, "cont", "");
        expect(&two.a, "'Migration is not finalized yet'");
        ask(&two.a, "migrate-continue", "\"state\": \"pre-switchover\"");
        wait_for(&two.b, "completed");
        g_assert_cmpstr(status(&two.b), ==, "running");
    }
    two_close(&two);
}

/* While the command still runs, which has got the guest. */
static void test_stop_too_late(void)
{
    Two two = { 0 };

    if (!io_exec_is_built_in(NULL)) {
        g_test_skip("built without exec: URIs");
        return;
    }
    if (two_open(&two, "", "")) {
        g_autofree char *ends = g_build_filename(two.folder, "ends", NULL);
        g_autofree char *uri = g_strdup_printf(
            "\"uri\": \"exec:cat > /dev/null; cat %s\"", ends);
        int fd;

        g_assert_cmpint(mkfifo(ends, 0600), ==, 0);
        ask(&two.a, "cont", "");
        ask(&two.a, "migrate", uri);
        wait_for(&two.a, "MIGRATION:device");
        g_string_truncate(two.a.story, 0);
        ask(&two.a, "stop", "");
        ask(&two.a, "cont", "");
        expect(&two.a, "'Migration is not finalized yet' "
                       "'Migration is not finalized yet'");
        fd = open(ends, O_WRONLY);
        close(fd);
        wait_for(&two.a, "completed");
        g_assert_cmpstr(status(&two.a), ==, "postmigrate");
        g_unlink(ends);
    }
    two_close(&two);
}

/* Unlike QEMU, which lets it go on. */
static void test_paused_stopped_cancelled(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        start_and_wait_for_pause(&two);
        ask(&two.a, "stop", "");
        ask(&two.a, "migrate_cancel", "");
        wait_for(&two.a, "cancelled");
        g_assert_null(strstr(two.a.story->str, "RESUME"));
        g_assert_cmpstr(status(&two.a), ==, "paused");
    }
    two_close(&two);
}

static void test_uuid(gconstpointer options_b)
{
    const bool refused = strstr(options_b, UUID_B);
    Two two = { 0 };

    if (two_open(&two, " -uuid " UUID_A, options_b)) {
        set_capability(&two.a, "validate-uuid");
        ask(&two.a, "cont", "");
        ask(&two.a, "migrate", two.uri);
        wait_for(&two.a, refused ? "failed" : "completed");
        wait_for(&two.b, refused ? "failed" : "completed");
        g_assert_cmpstr(status(&two.a), ==,
                        refused ? "running" : "postmigrate");
    }
    two_close(&two);
}

/* The library's call slows the guest down: how much less it does is tested
 * with the accelerators, here that it goes on in every state. */
static void test_throttle(void)
{
    Two two = { 0 };

    if (two_open(&two, "", "")) {
        Machine *a = two.a.kit.machine;
        const MigHost *host = &a->source_host;

        host->throttle(a, 50);
        g_assert_cmpstr(status(&two.a), ==, "prelaunch");
        ask(&two.a, "cont", "");
        host->throttle(a, 99);
        host->throttle(a, 0);
        expect(&two.a, "RESUME return"); /* and no STOP */
        ask(&two.a, "migrate", two.uri);
        wait_for(&two.a, "completed");
        host->throttle(a, 0);
        g_assert_cmpstr(status(&two.a), ==, "postmigrate");
    }
    two_close(&two);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/machine/stop-and-quit", test_stop_and_quit);
    g_test_add_func("/machine/address", test_address);
    g_test_add_func("/machine/event-time", test_event_time);
    g_test_add_func("/machine/completed", test_completed);
    g_test_add_func("/machine/paused/continued", test_paused_continued);
    g_test_add_func("/machine/paused/cancelled", test_paused_cancelled);
    g_test_add_func("/machine/paused/stopped-continued",
                    test_paused_stopped_continued);
    g_test_add_func("/machine/paused/stop-taken-back",
                    test_paused_stop_taken_back);
    g_test_add_func("/machine/stop-too-late", test_stop_too_late);
    g_test_add_func("/machine/paused/stopped-cancelled",
                    test_paused_stopped_cancelled);
    g_test_add_data_func("/machine/uuid/same", " -uuid " UUID_A, test_uuid);
    g_test_add_data_func("/machine/uuid/other", " -uuid " UUID_B, test_uuid);
    g_test_add_data_func("/machine/uuid/none", "", test_uuid);
    g_test_add_func("/machine/throttle", test_throttle);
    return g_test_run();
}
