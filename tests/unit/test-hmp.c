/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP: what people type, and what they read. */
#include <string.h>

#include "tests/unit/test-monitor-fixture.h"

static void expect(Fixture *f, const char *line, const char *expected)
{
    g_autofree char *answer = client_ask(f->client, line);

    g_assert_cmpstr(answer, ==, expected);
}

#define OFF_CAPABILITIES "capabilities: " CAPABILITIES("off", ": ", " ") "\n"
#define ON_CAPABILITIES  "capabilities: " CAPABILITIES("on", ": ", " ") "\n"

static void test_banner(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new(machine, MON_HMP);
    g_autofree char *got = client_take(client, PROMPT);
    g_autofree char *expected = g_strdup_printf(
        "Ferry %s monitor - type 'help' for more information\r\n(ferry) ",
        mig_version());

    g_assert_cmpstr(got, ==, expected);
    client_free(client);
    fake_machine_free(machine);
}

/* As everybody learnt it. */
static void test_six_steps(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_set_capability compress on", "");
    expect(f, "migrate_set_parameter compress_threads 12", "");
    expect(f, "migrate_set_parameter compress_level 1", "");
    expect(f, "migrate_set_parameter decompress_threads 3", "");
    expect(f, "migrate -d tcp:destination.host:4444", "");
    fake_machine_set_info(f->machine, MIG_STATE_SETUP);
    expect(f, "info migrate",
           ON_CAPABILITIES "Migration status: setup\n"
                           "total time: 1217 ms\n");
    fixture_expect_calls(f,
                         "compress=1; compress-threads=12; compress-level=1; "
                         "decompress-threads=3; "
                         "migrate tcp:destination.host:4444; ");
}

static void test_capabilities(Fixture *f, gconstpointer data)
{
    static const char off[] = CAPABILITIES("off", ": ", "\n") "\n";
    static const char on[] = CAPABILITIES("on", ": ", "\n") "\n";

    expect(f, "info migrate_capabilities", off);
    expect(f, "migrate-set-capability compress on", "");
    expect(f, "info migrate-capabilities", on);
    expect(f, "migrate_set_capability compress off", "");
    expect(f, "info migrate_capabilities", off);
}

static void test_parameters(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_set_parameter compress-wait-thread off", "");
    expect(f, "migrate_set_parameter max-bandwidth 1g", "");
    expect(f, "migrate_set_parameter tls-creds \"/a folder\"", "");
    expect(f, "migrate_set_parameter tls-hostname host", "");
    expect(f, "migrate_set_parameter tls-hostname \"\"", "");
    expect(f, "info migrate_parameters",
           "compress-history: 67108864 bytes\n"
           "compress-level: 1\n"
           "compress-method: auto\n"
           "compress-threads: 8\n"
           "compress-wait-thread: off\n"
           "decompress-threads: 2\n"
           "throttle-trigger-threshold: 50\n"
           "cpu-throttle-initial: 20\n"
           "cpu-throttle-increment: 10\n"
           "cpu-throttle-tailslow: off\n"
           "max-cpu-throttle: 99\n"
           "tls-creds: '/a folder'\n"
           "tls-hostname: ''\n"
           "max-bandwidth: 1073741824 bytes/second\n"
           "downtime-limit: 300 ms\n"
           "xbzrle-cache-size: 67108864 bytes\n"
           "stall-timeout: 60 s\n");
}

/* Values that do not fit each other. */
static void test_parameters_fit(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_set_parameter cpu-throttle-initial 60", "");
    expect(f, "migrate_set_parameter max-cpu-throttle 59",
           "Error: Parameter 'max_cpu_throttle' expects a value between "
           "cpu_throttle_initial and 99\n");
    fixture_expect_calls(f, "cpu-throttle-initial=60; ");
}

static void test_option_errors(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *line, *answer;
    } rows[] = {
        { "migrate_set_parameter compress-threads 0",
          "Error: Parameter 'compress_threads' expects a value between 1 and "
          "255\n" },
        { "migrate_set_parameter compress-threads 256",
          "Error: Parameter 'compress_threads' expects a value between 1 and "
          "255\n" },
        { "migrate_set_parameter compress-level 10",
          "Error: Parameter 'compress_level' expects a value between 0 and "
          "9\n" },
        { "migrate_set_parameter compress-level x",
          "Error: Parameter 'compress-level' expects an integer between 0 and "
          "9\n" },
        { "migrate_set_parameter compress-level -1",
          "Error: Parameter 'compress-level' expects an integer between 0 and "
          "9\n" },
        { "migrate_set_parameter foo 1",
          "Error: invalid parameter value: foo\n" },
        { "migrate_set_parameter compress on",
          "Error: invalid parameter value: compress\n" },
        { "migrate_set_capability foo on",
          "Error: invalid parameter value: foo\n" },
        { "migrate_set_capability compress-level on",
          "Error: invalid parameter value: compress-level\n" },
        { "migrate_set_parameter cpu-throttle-tailslow maybe",
          "Error: Parameter 'cpu_throttle_tailslow' expects 'on' or 'off'\n" },
        { "migrate_set_capability compress maybe",
          "Expected 'on' or 'off'\n"
          "Try \"help migrate_set_capability\" for more information\n" },
        { "migrate_set_capability compress",
          "Expected 'on' or 'off'\n"
          "Try \"help migrate_set_capability\" for more information\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, rows[i].line, rows[i].answer);
    }
    fixture_expect_calls(f, "");
}

static void test_usage_errors(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *line, *answer;
    } rows[] = {
        { "foo", "unknown command: 'foo'\n" },
        { "info foo", "unknown command: 'info foo'\n" },
        { "migrate", "migrate: string expected\n"
                     "Try \"help migrate\" for more information\n" },
        { "migrate -d", "migrate: string expected\n"
                        "Try \"help migrate\" for more information\n" },
        { "migrate -x tcp:a", "migrate: unsupported option -x\n"
                              "Try \"help migrate\" for more information\n" },
        { "migrate -d tcp:a b",
          "migrate: extraneous characters at the end of line\n"
          "Try \"help migrate\" for more information\n" },
        { "migrate \"abc", "unterminated string\n"
                           "migrate: string expected\n"
                           "Try \"help migrate\" for more information\n" },
        { "migrate \"a\\q\"", "unsupported escape code: '\\q'\n"
                              "migrate: string expected\n"
                              "Try \"help migrate\" for more information\n" },
        { "migrate_set_parameter compress-level",
          "migrate_set_parameter: string expected\n"
          "Try \"help migrate_set_parameter\" for more information\n" },
        { "stop now", "stop|s: extraneous characters at the end of line\n"
                      "Try \"help stop\" for more information\n" },
        { "s now", "stop|s: extraneous characters at the end of line\n"
                   "Try \"help s\" for more information\n" },
        { "info  status x", "status: extraneous characters at the end of line\n"
                            "Try \"help info  status\" for more "
                            "information\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, rows[i].line, rows[i].answer);
    }
    fixture_expect_calls(f, "");
}

static void test_prefixes(Fixture *f, gconstpointer data)
{
    expect(f, "info stat", "VM status: running\n");
    expect(f, "inf st", "VM status: running\n");
    expect(f, "st", "");
    expect(f, "inf st", "VM status: paused\n");
    expect(f, "migrate-i defer", "");
    expect(f, "migrate_set_cap compress on", "");
    expect(f, "help st", "stop|s  -- stop emulation\n");
    expect(f, "he inf na", "info name  -- show the current VM name\n");
    fixture_expect_calls(f, "incoming defer; compress=1; ");
}

static void test_ambiguous_prefixes(Fixture *f, gconstpointer data)
{
    expect(f, "mig tcp:a:1",
           "ambiguous command: 'mig' could be migrate, migrate_cancel, "
           "migrate_continue, migrate_incoming, migrate_pause, "
           "migrate_set_capability, migrate_set_parameter\n");
    expect(f, "info m",
           "ambiguous command: 'info m' could be info migrate, info "
           "migrate_capabilities, info migrate_parameters\n");
    expect(f, "help migrate_set",
           "ambiguous command: 'migrate_set' could be "
           "migrate_set_capability, migrate_set_parameter\n");
    fixture_expect_calls(f, "");
}

static void test_continue(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_continue pre-switchover", "");
    expect(f, "migrate-continue pre_switchover", "");
    fixture_expect_calls(f,
                         "continue pre-switchover; continue pre-switchover; ");
    expect(f, "migrate_continue foo", "Error: invalid parameter value: foo\n");
    expect(f, "migrate_continue",
           "migrate_continue: string expected\n"
           "Try \"help migrate_continue\" for more information\n");
    f->machine->refusal = "Migration not in expected state: none";
    expect(f, "migrate_continue device",
           "Error: Migration not in expected state: none\n");
}

static void test_not_there(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_pause",
           "Error: migrate-pause is currently only supported during "
           "postcopy-active state\n");
    expect(f, "migrate -r tcp:a:1",
           "Error: Resuming (resume/-r) is not supported: there is no "
           "postcopy, so no migration can be paused\n");
    expect(f, "migrate -d -b tcp:a:1",
           "Error: Block migration (blk/-b) is not supported: the machine has "
           "no disks\n");
    expect(f, "migrate -i tcp:a:1",
           "Error: Block migration (inc/-i) is not supported: the machine has "
           "no disks\n");
    fixture_expect_calls(f, "");
}

static void test_host_errors(Fixture *f, gconstpointer data)
{
    static const char *const lines[] = {
        "migrate foo:bar",
        "migrate -d foo:bar",
        "migrate_incoming foo:bar",
        "migrate_set_capability compress on",
        "migrate_set_parameter compress-level 1",
        "migrate_cancel",
        "stop",
        "cont",
    };

    f->machine->refusal = "There's a migration process in progress";
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        expect(f, lines[i], "Error: There's a migration process in progress\n");
    }
}

static void test_migrate_arguments(Fixture *f, gconstpointer data)
{
    expect(f, "migrate -d \"exec:cat > \\\"a b\\\"\"", "");
    expect(f, "  migrate\t-d   unix:/x  ", "");
    expect(f, "migrate_incoming tcp:[::]:4444", "");
    expect(f, "migrate-incoming defer", "");
    expect(f, "migrate_cancel", "");
    fixture_expect_calls(f, "migrate exec:cat > \"a b\"; migrate unix:/x; "
                            "incoming tcp:[::]:4444; incoming defer; cancel; ");
}

static void test_pmemsave(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *line, *wrong;
    } rows[] = {
        { "pmemsave", "unexpected end of expression" },
        { "pmemsave 0", "unexpected end of expression" },
        { "pmemsave x 1 /y", "invalid char 'x' in expression" },
        { "pmemsave -1 1 /y", "invalid char '-' in expression" },
        { "pmemsave 0 4k /y", "invalid char 'k' in expression" },
        { "pmemsave 0 0x /y", "invalid char 'x' in expression" },
        { "pmemsave 0 9223372036854775808 /y", "number too large" },
        { "pmemsave 0 99999999999999999999 /y", "number too large" },
        { "pmemsave 0 4096", "pmemsave: string expected" },
        { "pmemsave 0 4096 /y z",
          "pmemsave: extraneous characters at the end of line" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *expected =
            g_strconcat(rows[i].wrong,
                        "\nTry \"help pmemsave\" for more information\n", NULL);

        expect(f, rows[i].line, expected);
    }
    fixture_expect_calls(f, "");
    expect(f, "pmemsave 4096 0x2000 /x", "");
    expect(f, "pmemsave 010 9223372036854775807 \"/a b\"", "");
    fixture_expect_calls(f, "pmemsave 4096 8192 /x; "
                            "pmemsave 8 9223372036854775807 /a b; ");
    f->machine->refusal = "No, thank you";
    expect(f, "pmemsave 0 1 /x", "Error: No, thank you\n");
}

static void test_status(Fixture *f, gconstpointer data)
{
    expect(f, "info status", "VM status: running\n");
    expect(f, "stop", "");
    expect(f, "info status", "VM status: paused\n");
    expect(f, "c", "");
    expect(f, "info status", "VM status: running\n");
    f->machine->running = false;
    f->machine->status = "postmigrate";
    expect(f, " info   status ", "VM status: paused (postmigrate)\n");
}

static void test_name_and_version(Fixture *f, gconstpointer data)
{
    g_autofree char *version = g_strdup_printf("%s\n", mig_version());

    expect(f, "info version", version);
    expect(f, "info name", "bob\n");
    f->machine->host.name = NULL;
    expect(f, "info name", "");
}

static void test_empty_lines(Fixture *f, gconstpointer data)
{
    expect(f, "", "");
    expect(f, "  \t ", "");
    expect(f, "info status\r", "VM status: running\n");
}

static void test_help(Fixture *f, gconstpointer data)
{
    g_autofree char *help = client_ask(f->client, "help");
    g_autofree char *same = client_ask(f->client, "?");
    g_autofree char *info = client_ask(f->client, "info");

    g_assert_cmpstr(help, ==, same);
    g_assert_nonnull(strstr(help, "quit|q  -- quit the emulator\n"));
    g_assert_null(strstr(help, "info status"));
    g_assert_null(strstr(help, "query"));
    g_assert_nonnull(strstr(info, "info migrate  -- show migration status\n"));
    g_assert_null(strstr(info, "quit"));
    expect(f, "help info", info);
    expect(f, "help info migrate", "info migrate  -- show migration status\n");
    expect(f, "help migrate",
           "migrate [-d] [-b] [-i] [-r] uri -- migrate to URI "
           "(using -d to not wait for completion)\n"
           "  -b, -i -- not supported: the machine has no disks\n"
           "  -r -- not supported: there is no postcopy, so no migration can "
           "be paused\n");
    expect(f, "help migrate_continue",
           "migrate_continue state -- Continue migration from the given paused "
           "state\n");
    expect(f, "help nope", "unknown command: 'nope'\n");
    expect(f, "help info nope", "unknown command: 'info nope'\n");
    expect(f, "help quit now", "quit|q  -- quit the emulator\n");
    expect(f, "help info name x", "info name  -- show the current VM name\n");
}

static void test_help_lists_options(Fixture *f, gconstpointer data)
{
    g_autofree char *text = client_ask(f->client, "help migrate_set_parameter");

    g_assert_true(g_str_has_prefix(text,
                                   "migrate_set_parameter parameter value -- "
                                   "Set the parameter for migration\n"));
    g_assert_nonnull(
        strstr(text, "  compress-threads (1 to 255, default 8) -- "));
    g_assert_nonnull(
        strstr(text, "  compress-wait-thread (on or off, default on) -- "));
    g_assert_null(strstr(text, "  compress (on"));
}

static void test_quit(Fixture *f, gconstpointer data)
{
    client_send(f->client, "q\n");
    client_close_output(f->client);
    client_wait_end(f->client);
    g_assert_cmpstr(f->client->got->str, ==, ""); /* not even a prompt */
    fixture_expect_calls(f, "quit; ");
}

static void test_long_line(Fixture *f, gconstpointer data)
{
    g_autofree char *line = g_strnfill(4096, 'x');
    g_autofree char *unknown = NULL;

    expect(f, line, "Error: a line has 4095 characters at most\n");
    line[4095] = '\0';
    unknown = g_strdup_printf("unknown command: '%s'\n", line);
    expect(f, line, unknown);
}

static void test_info_none(Fixture *f, gconstpointer data)
{
    expect(f, "info migrate", OFF_CAPABILITIES);
    f->machine->has_info = true; /* a handle that was not started */
    expect(f, "info migrate", OFF_CAPABILITIES);
}

static void test_info_address(Fixture *f, gconstpointer data)
{
    const IoUri tcp = { .kind = IO_URI_TCP, .host = (char *)"::1",
                        .port = 4444 };
    const IoUri file = { .kind = IO_URI_FILE, .path = (char *)"/x" };

    f->machine->address = &tcp;
    expect(f, "info migrate",
           OFF_CAPABILITIES "socket address: [\n\ttcp:[::1]:4444\n]\n");
    f->machine->address = &file;
    expect(f, "info migrate", OFF_CAPABILITIES);
}

#define RAM_TEXT                                                               \
    "transferred ram: 842 kbytes\n"                                            \
    "throughput: 6.43 mbps\n"                                                  \
    "remaining ram: 0 kbytes\n"                                                \
    "total ram: 262664 kbytes\n"                                               \
    "duplicate: 65602 pages\n"                                                 \
    "skipped: 0 pages\n"                                                       \
    "normal: 5 pages\n"                                                        \
    "normal bytes: 20 kbytes\n"                                                \
    "dirty sync count: 3\n"                                                    \
    "page size: 4 kbytes\n"                                                    \
    "multifd bytes: 0 kbytes\n"                                                \
    "pages-per-second: 44326\n"

#define PHASE_TEXT                                                             \
    "precopy ram: 837 kbytes\n"                                                \
    "downtime ram: 5 kbytes\n"

#define COMPRESSION_TEXT                                                       \
    "compression pages: 151 pages\n"                                           \
    "compression busy: 0\n"                                                    \
    "compression busy rate: 0.00\n"                                            \
    "compressed size: 245 kbytes\n"                                            \
    "compression rate: 2.37\n"                                                 \
    "compression unchanged: 12 pages\n"                                        \
    "compression encoder: ISA-L\n"                                             \
    "compression history: 1024 kbytes\n"

static void test_info_active(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    expect(f, "info migrate",
           OFF_CAPABILITIES
           "Migration status: active\n"
           "total time: 1217 ms\n"
           "expected downtime: 300 ms\n"
           "setup: 3 ms\n" RAM_TEXT
           "dirty pages rate: 17 pages\n" PHASE_TEXT COMPRESSION_TEXT);
}

static void test_info_floor(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.downtime_floor_ms = 315;
    text = client_ask(f->client, "info migrate");
    g_assert_nonnull(strstr(text, "expected downtime: 300 ms\n"
                                  "downtime floor: 315 ms, which no pass makes "
                                  "shorter: downtime-limit cannot be met\n"
                                  "setup: 3 ms\n"));
}

static void test_info_throttled(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_PRE_SWITCHOVER);
    f->machine->info.cpu_throttle = 30;
    text = client_ask(f->client, "info migrate");
    g_assert_nonnull(strstr(text, "expected downtime: 300 ms\n"));
    g_assert_nonnull(strstr(text, "dirty pages rate: 17 pages\n"));
    g_assert_true(g_str_has_suffix(text, "compression history: 1024 kbytes\n"
                                         "cpu throttle percentage: 30\n"));
}

/* The lines that QEMU 7.2 and 10.0 print. */
static void test_info_xbzrle(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->info.xbzrle = true;
    f->machine->info.xbzrle_cache = (MigXbzrleInfo){
        .cache_size = 67108864,
        .pages = 2877,
        .bytes = 5018372,
        .cache_miss = 2437,
        .overflow = 1101,
        .cache_miss_rate = 0.389,
        .encoding_rate = 2.348,
    };
    text = client_ask(f->client, "info migrate");
    g_assert_nonnull(strstr(text, "downtime ram: 5 kbytes\n"
                                  "cache size: 67108864 bytes\n"
                                  "xbzrle transferred: 4900 kbytes\n"
                                  "xbzrle pages: 2877 pages\n"
                                  "xbzrle cache miss: 2437 pages\n"
                                  "xbzrle cache miss rate: 0.39\n"
                                  "xbzrle encoding rate: 2.35\n"
                                  "xbzrle overflow: 1101\n"
                                  "compression pages: "));
}

static void test_info_completed(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->options.value[MIG_OPT_COMPRESS] = 1;
    expect(f, "info migrate",
           ON_CAPABILITIES
           "Migration status: completed\n"
           "total time: 1217 ms\n"
           "downtime: 2 ms\n"
           "setup: 3 ms\n" RAM_TEXT PHASE_TEXT COMPRESSION_TEXT);
}

static void test_info_uncompressed(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->info.compress = false;
    text = client_ask(f->client, "info migrate");
    g_assert_nonnull(strstr(text, "downtime ram: 5 kbytes\n"));
    g_assert_null(strstr(text, "compression"));
}

static void test_info_incoming(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->info.incoming = true;
    expect(f, "info migrate",
           OFF_CAPABILITIES
           "Migration status: completed\n"
           "total time: 1217 ms\n"
           "setup: 3 ms\n"
           "transferred ram: 842 kbytes\n"
           "throughput: 6.43 mbps\n"
           "total ram: 262664 kbytes\n"
           "duplicate: 65602 pages\n"
           "skipped: 0 pages\n"
           "normal: 5 pages\n"
           "normal bytes: 20 kbytes\n"
           "page size: 4 kbytes\n"
           "multifd bytes: 0 kbytes\n"
           "pages-per-second: 44326\n" COMPRESSION_TEXT);
}

static void test_info_incoming_active(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.incoming = true;
    text = client_ask(f->client, "info migrate");
    g_assert_nonnull(strstr(text, "Migration status: active\n"));
    g_assert_nonnull(strstr(text, "transferred ram: 842 kbytes\n"));
    g_assert_nonnull(strstr(text, "compression pages: 151 pages\n"));
    g_assert_null(strstr(text, "downtime: "));
}

static void test_info_failed(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_FAILED);
    f->machine->info.error = (char *)"Connection refused";
    expect(f, "info migrate",
           OFF_CAPABILITIES "Migration status: failed (Connection refused)\n"
                            "total time: 1217 ms\n");
}

static void test_info_cancelled(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_CANCELLED);
    expect(f, "info migrate",
           OFF_CAPABILITIES "Migration status: cancelled\n"
                            "total time: 1217 ms\n");
}

static void test_migrate_waits(Fixture *f, gconstpointer data)
{
    Client *other = client_new_hmp(f->machine);
    g_autofree char *progress = NULL, *status = NULL, *cancel = NULL;
    g_autofree char *end = NULL, *later = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.ram.remaining = f->machine->info.ram.total / 4;
    client_send(f->client, "migrate tcp:a:1\ninfo name\n");
    progress = client_take(f->client, "pass 3");
    g_assert_cmpstr(progress, ==,
                    "\r75%, 6.43 mbps, ratio 2.37, remaining 65 MB, "
                    "dirty 17 pages/s, pass 3");

    /* The others go on; this one does not. */
    status = client_ask(other, "info status");
    g_assert_cmpstr(status, ==, "VM status: running\n");
    g_assert_null(strstr(f->client->got->str, PROMPT));
    g_assert_null(strstr(f->client->got->str, "bob"));

    cancel = client_ask(other, "migrate_cancel");
    end = client_take(f->client, PROMPT);
    g_assert_true(
        g_str_has_suffix(end, "\r\nMigration status: cancelled\r\n" PROMPT));
    later = client_take(f->client, PROMPT);
    g_assert_cmpstr(later, ==, "bob\r\n" PROMPT);
    client_free(other);
}

static void test_progress_is_rewritten(Fixture *f, gconstpointer data)
{
    g_autofree char *first = NULL, *second = NULL, *end = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.ram.remaining = f->machine->info.ram.total;
    client_send(f->client, "migrate tcp:a:1\n");
    first = client_take(f->client, "pass 3");
    f->machine->info.ram.remaining = 0;
    f->machine->info.ram.mbps = 1;
    f->machine->info.ram.dirty_pages_rate = 1;
    second = client_take(f->client, "\r100%, 1.00 mbps, ratio 2.37, "
                                    "remaining 0 MB, dirty 1 pages/s, pass 3 ");
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = client_take(f->client, PROMPT);
    g_assert_nonnull(strstr(end, "\r100%, "));
    g_assert_true(
        g_str_has_suffix(end, "\r\nMigration status: completed\r\n" PROMPT));
}

/* Migrate until the migration waits to be continued.  There is a prompt then,
 * because a user without another monitor could not continue it otherwise. */
static void migrate_until_held(Fixture *f)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.compress = false;
    client_send(f->client, "migrate tcp:a:1\n");
    g_free(client_take(f->client, "6.43 mbps, remaining 0 MB, dirty 17 "
                                  "pages/s, pass 3"));
    f->machine->info.state = MIG_STATE_PRE_SWITCHOVER;
    g_free(client_take(f->client,
                       "\r\nMigration status: pre-switchover\r\n" PROMPT));
}

/* The line goes on for the session that waited, whichever session continued. */
static void test_migrate_held(Fixture *f, gconstpointer data)
{
    g_autofree char *end = NULL;

    migrate_until_held(f);
    f->machine->info.state = MIG_STATE_DEVICE;
    g_free(client_take(f->client, "\r100%, 6.43 mbps, remaining 0 MB, dirty 17 "
                                  "pages/s, pass 3"));
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = client_take(f->client, PROMPT);
    g_assert_true(
        g_str_has_suffix(end, "\r\nMigration status: completed\r\n" PROMPT));
    expect(f, "info name", "bob\n");
}

/* By a command of one's own, too, whose answer is the end. */
static void test_migrate_held_continued(Fixture *f, gconstpointer data)
{
    Client *other = client_new_hmp(f->machine);
    g_autofree char *name = NULL, *end = NULL;

    migrate_until_held(f);
    expect(f, " ", "");
    client_send(f->client, "migrate_continue pre-switchover\ninfo name\n");
    name = client_ask(other, "info name");
    g_assert_cmpstr(f->client->got->str, ==, ""); /* not yet */
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = client_take(f->client, PROMPT);
    g_assert_true(g_str_has_prefix(end, "\r100%, "));
    g_assert_true(
        g_str_has_suffix(end, "\r\nMigration status: completed\r\n" PROMPT));
    g_free(client_take(f->client, "bob\r\n" PROMPT));
    fixture_expect_calls(f, "migrate tcp:a:1; continue pre-switchover; ");
    client_free(other);
}

static void test_migrate_held_cancelled(Fixture *f, gconstpointer data)
{
    migrate_until_held(f);
    f->machine->info.state = MIG_STATE_CANCELLED;
    g_free(
        client_take(f->client, "\r\nMigration status: cancelled\r\n" PROMPT));
}

/* A user who is typing, or does something else, is not interrupted. */
static void test_migrate_held_and_left(Fixture *f, gconstpointer data)
{
    Client *other = client_new_hmp(f->machine);
    g_autofree char *progress = NULL;

    migrate_until_held(f);
    client_send(f->client, "info na");
    f->machine->info.state = MIG_STATE_ACTIVE;
    client_send(other, "migrate tcp:b:1\n");
    for (int i = 0; i < 3; i++) { /* while as much time goes by */
        g_free(client_take(other, "pass 3"));
    }
    g_assert_cmpstr(f->client->got->str, ==, "");
    expect(f, "me", "bob\n");
    for (int i = 0; i < 3; i++) {
        g_free(client_take(other, "pass 3"));
    }
    g_assert_cmpstr(f->client->got->str, ==, "");
    expect(f, "migrate_continue pre-switchover", "");
    client_free(other);
}

/* No waiting where there is nothing to wait for. */
static void test_migrate_fails_at_once(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_FAILED);
    f->machine->info.error = (char *)"Connection refused";
    expect(f, "migrate tcp:a:1", "Error: Connection refused\n");
}

/* Two sessions wait and one client goes away: the other does not notice. */
static void test_client_dies_while_waiting(Fixture *f, gconstpointer data)
{
    Client *dying = client_new_hmp(f->machine);
    g_autofree char *seen = NULL, *end = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    client_send(dying, "migrate tcp:a:1\n");
    seen = client_take(dying, "pass 3");
    client_free(dying);
    client_send(f->client, "migrate tcp:a:1\n");
    for (int i = 0; i < 3; i++) {
        g_free(client_take(f->client, "pass 3"));
    }
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = client_take(f->client, PROMPT);
    g_assert_nonnull(strstr(end, "Migration status: completed"));
}

static void test_end_while_waiting(Fixture *f, gconstpointer data)
{
    g_autofree char *progress = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    client_send(f->client, "migrate tcp:a:1\n");
    progress = client_take(f->client, "pass 3");
    mon_free(f->machine->monitor);
    f->machine->monitor = NULL;
    client_wait_end(f->client);
}

static void add(const char *path, FixtureTest *test)
{
    fixture_add(MON_HMP, path, test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hmp/banner", test_banner);
    add("/hmp/six-steps", test_six_steps);
    add("/hmp/capabilities", test_capabilities);
    add("/hmp/parameters", test_parameters);
    add("/hmp/parameters-fit", test_parameters_fit);
    add("/hmp/option-errors", test_option_errors);
    add("/hmp/usage-errors", test_usage_errors);
    add("/hmp/prefixes", test_prefixes);
    add("/hmp/ambiguous-prefixes", test_ambiguous_prefixes);
    add("/hmp/continue", test_continue);
    add("/hmp/not-there", test_not_there);
    add("/hmp/host-errors", test_host_errors);
    add("/hmp/migrate-arguments", test_migrate_arguments);
    add("/hmp/pmemsave", test_pmemsave);
    add("/hmp/status", test_status);
    add("/hmp/name-and-version", test_name_and_version);
    add("/hmp/empty-lines", test_empty_lines);
    add("/hmp/help", test_help);
    add("/hmp/help-lists-options", test_help_lists_options);
    add("/hmp/quit", test_quit);
    add("/hmp/long-line", test_long_line);
    add("/hmp/info-migrate/none", test_info_none);
    add("/hmp/info-migrate/address", test_info_address);
    add("/hmp/info-migrate/active", test_info_active);
    add("/hmp/info-migrate/floor", test_info_floor);
    add("/hmp/info-migrate/throttled", test_info_throttled);
    add("/hmp/info-migrate/xbzrle", test_info_xbzrle);
    add("/hmp/info-migrate/completed", test_info_completed);
    add("/hmp/info-migrate/uncompressed", test_info_uncompressed);
    add("/hmp/info-migrate/incoming", test_info_incoming);
    add("/hmp/info-migrate/incoming-active", test_info_incoming_active);
    add("/hmp/info-migrate/failed", test_info_failed);
    add("/hmp/info-migrate/cancelled", test_info_cancelled);
    add("/hmp/migrate/waits", test_migrate_waits);
    add("/hmp/migrate/progress", test_progress_is_rewritten);
    add("/hmp/migrate/held", test_migrate_held);
    add("/hmp/migrate/held/continued", test_migrate_held_continued);
    add("/hmp/migrate/held/cancelled", test_migrate_held_cancelled);
    add("/hmp/migrate/held/left", test_migrate_held_and_left);
    add("/hmp/migrate/fails-at-once", test_migrate_fails_at_once);
    add("/hmp/migrate/client-dies", test_client_dies_while_waiting);
    add("/hmp/migrate/end-while-waiting", test_end_while_waiting);
    return g_test_run();
}
