/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ferry-relay, and that its man page has all of it. */
#include <string.h>

#include "ferry/error.h"
#include "tools/relay/relay-args.h"
#include "util/clock.h"

static bool parse(RelayArgs *args, const char *line, GError **errp)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);

    return relay_args_parse(args, (int)g_strv_length(argv), argv, errp);
}

static void test_good(void)
{
    RelayArgs args;

    g_assert_true(parse(&args, "relay --listen unix:/a --connect=tcp:b:1 "
                        "-compress-threads 3 --compress-level=0 "
                        "--decompress-threads 5 --json", NULL));
    g_assert_cmpint(args.listen->kind, ==, IO_URI_UNIX);
    g_assert_cmpuint(args.connect->port, ==, 1);
    g_assert_cmpuint(args.options.value[MIG_OPT_COMPRESS_THREADS], ==, 3);
    g_assert_cmpuint(args.options.value[MIG_OPT_COMPRESS_LEVEL], ==, 0);
    g_assert_cmpuint(args.options.value[MIG_OPT_DECOMPRESS_THREADS], ==, 5);
    g_assert_cmpint(args.role, ==, RELAY_ROLE_AUTO);
    /* auto */
    g_assert_true(args.codec == (codec_zstd.available  ? &codec_zstd
                                 : codec_lz4.available ? &codec_lz4
                                                       : &codec_zlib));
    g_assert_cmpuint(args.options.value[MIG_OPT_COMPRESS_HISTORY], ==,
                     64 << 20);
    g_assert_true(args.json && !args.once && !args.stats);
    relay_args_clear(&args);
}

static void test_history(void)
{
    const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        { "0", 0 }, { "1", 1 << 20 }, { "300K", 300 << 10 },
        { "7m", 7 << 20 }, { "16G", UINT64_C(16) << 30 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strconcat(
            "relay --listen unix:/a --connect unix:/b --history ",
            rows[i].text, NULL);
        RelayArgs args;

        g_assert_true(parse(&args, line, NULL));
        g_assert_cmpuint(args.options.value[MIG_OPT_COMPRESS_HISTORY], ==,
                         rows[i].bytes);
        relay_args_clear(&args);
    }
}

/* What only one migration can use. */
static void test_once(void)
{
    const char *lines[] = {
        "relay --stdio --connect tcp:b:1",
        "relay --stdio --listen tcp:b:1",
        "relay --listen fd:0 --connect tcp:b:1",
        "relay --listen exec:x --connect tcp:b:1",
        "relay --listen exec:x --connect exec:y --role receive",
        "relay --listen file:/x --connect tcp:b:1 --role send",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
        RelayArgs args;

        g_assert_true(parse(&args, lines[i], NULL));
        g_assert_true(args.once);
        relay_args_clear(&args);
    }
}

/* The name that the other end's certificate must have. */
static void test_tls(void)
{
    const struct {
        const char *line, *peer;
    } rows[] = {
        { "--role send --connect tcp:b:1", "b" },
        { "--role send --connect tcp::1", "localhost" },
        { "--role send --connect tcp:b:1 --tls-hostname c", "c" },
        { "--role send --connect unix:/b --tls-hostname c", "c" },
        { "--role receive --connect unix:/b", "" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strconcat(
            "relay --listen unix:/a --tls-creds /d ", rows[i].line, NULL);
        RelayArgs args;

        g_assert_true(parse(&args, line, NULL));
        g_assert_cmpstr(args.tls_creds, ==, "/d");
        g_assert_cmpstr(args.tls_peer, ==, rows[i].peer);
        relay_args_clear(&args);
    }
}

/* It is another port, another host, or another kind of thing. */
static void test_elsewhere(void)
{
    const char *lines[] = {
        "relay --listen tcp::1 --connect tcp::2",
        "relay --listen tcp::1 --connect tcp:there:1",
        "relay --listen tcp:here:1 --connect tcp:localhost:1",
        "relay --listen unix:/a --connect unix:/b",
        "relay --listen unix:/a --connect tcp:a:1",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
        RelayArgs args;

        g_assert_true(parse(&args, lines[i], NULL));
        g_assert_cmpuint(args.nonce, !=, 0);
        relay_args_clear(&args);
    }
}

static void test_routes(void)
{
    RelayArgs args;

    g_assert_true(parse(&args, "relay --role receive --listen tcp::1 "
                        "--route web-1=unix:/a --route db.2=tcp:h:3", NULL));
    g_assert_cmpuint(args.routes->len, ==, 2);
    g_assert_cmpstr(relay_args_route(&args, "web-1")->uri->path, ==, "/a");
    g_assert_cmpuint(relay_args_route(&args, "db.2")->uri->port, ==, 3);
    g_assert_null(relay_args_route(&args, "web"));
    g_assert_true(!args.one_peer && !args.one_place && !args.once);
    relay_args_clear(&args);
}

static void test_patience(void)
{
    RelayArgs args;

    g_assert_true(parse(&args, "relay --listen unix:/a --connect unix:/b",
                        NULL));
    g_assert_cmpint(args.patience, ==, 300 * NS_PER_S);
    g_assert_cmpint(args.patience_stopped, ==, 5 * NS_PER_S);
    relay_args_clear(&args);
    g_assert_true(parse(&args, "relay --listen unix:/a --connect unix:/b "
                        "--resume-timeout 0 --resume-timeout-stopped 86400",
                        NULL));
    g_assert_cmpint(args.patience, ==, 0);
    g_assert_cmpint(args.patience_stopped, ==, 86400 * NS_PER_S);
    relay_args_clear(&args);
}

static void test_bad(void)
{
    const struct {
        const char *line, *says;
    } rows[] = {
        { "relay", "give --listen and --connect" },
        { "relay --listen unix:/a", "give --listen and --connect" },
        { "relay --stdio", "exactly one" },
        { "relay --stdio --listen unix:/a --connect unix:/b", "exactly one" },
        { "relay --listen", "--listen: requires an argument" },
        { "relay --once=1", "--once: takes no argument" },
        { "relay --listen nonsense", "--listen nonsense: " },
        { "relay --to-qemu --from-qemu", "--from-qemu: this relay is to be" },
        { "relay --to-qemu --role send", "--role send: this relay is to be" },
        { "relay --listen unix:/a --connect unix:/b --to-qemu "
          "--compress-method zstd", "no --compress-method" },
        { "relay --listen unix:/a --connect unix:/b --from-qemu "
          "--history 1M", "--history is kept by two relays" },
        { "relay --history M", "'compress-history' expects" },
        { "relay --history -1", "'compress-history' expects" },
        { "relay --history 17G", "between 0 and 17179869184" },
        { "relay --history 1Mi", "'compress-history' expects" },
        { "relay --history 1T", "between 0 and 17179869184" },
        { "relay --role both", "--role both: expected auto" },
        { "relay --compress-level 10", "between 0 and 9" },
        { "relay --compress-threads 0", "between 1 and 255" },
        { "relay --compress-method rar", "--compress-method rar: " },
        { "relay --listen unix:/a --connect tcp:b:1 --tls-creds /c",
          "--tls-creds needs --role" },
        { "relay --listen unix:/a --connect tcp:b:1 --tls-creds /c --to-qemu",
          "--tls-creds needs --role" },
        { "relay --listen tcp:b:1 --connect unix:/a --tls-creds /c "
          "--role send", "--tls-creds needs --tls-hostname" },
        { "relay --listen unix:/a --connect exec:x --tls-creds /c "
          "--role send --tls-hostname h", "a command is none" },
        { "relay --listen exec:x --connect unix:/a --tls-creds /c "
          "--role receive", "a command is none" },
        { "relay --route a", "expected NAME=URI" },
        { "relay --route =unix:/a", "expected NAME=URI" },
        { "relay --route .a=unix:/a", "expected NAME=URI" },
        { "relay --route a/b=unix:/a", "expected NAME=URI" },
        { "relay --route 0123456789abcdef0123456789abcdef=unix:/a",
          "expected NAME=URI" },
        { "relay --route a=nonsense", "--route a=nonsense: " },
        { "relay --route a=unix:/a --route a=unix:/b",
          "there is a route 'a' already" },
        { "relay --routes /nowhere", "there is no such folder" },
        { "relay --listen tcp::1 --routes /", "needs --role" },
        { "relay --role send --routes /", "needs --connect" },
        { "relay --listen tcp::1 --route a=unix:/a", "needs --role" },
        { "relay --role send --route a=unix:/a", "needs --connect" },
        { "relay --role receive --route a=unix:/a", "needs --listen" },
        { "relay --role receive --listen fd:7 --route a=unix:/a",
          "takes several peers" },
        { "relay --role receive --listen tcp::1 --route a=file:/a",
          "leads to a socket" },
        { "relay --role send --connect tcp::1 --stdio --route a=unix:/a",
          "does not work with --stdio" },
        { "relay --resume-timeout -1", "expected a number of seconds" },
        { "relay --resume-timeout 86401", "expected a number of seconds" },
        { "relay --resume-timeout-stopped x", "expected a number of seconds" },
        { "relay --listen unix:/a --connect unix:/b --to-qemu "
          "--resume-timeout 1", "between two relays" },
        { "relay --memory 1X", "'memory' expects" },
        { "relay --listen unix:/a --connect unix:/b --from-qemu --memory 1G",
          "--memory is for histories" },
        { "relay --listen unix:/a --connect unix:/b --role receive "
          "--max-bandwidth 1M", "--max-bandwidth is the sender's" },
        { "relay --frobnicate", "--frobnicate: invalid option" },
        { "relay ---once", "---once: invalid option" },
        { "relay --listen unix:/a --connect unix:/b --role receive "
          "--compress-level 1", "--compress-... does nothing" },
        { "relay --listen unix:/a --connect unix:/b --from-qemu "
          "--compress-threads 1", "--compress-... does nothing" },
        { "relay --listen unix:/a --connect unix:/b --role send "
          "--decompress-threads 1", "--decompress-... does nothing" },
        { "relay --listen unix:/a --connect unix:/b --to-qemu "
          "--decompress-threads 1", "--decompress-... does nothing" },
        { "relay listen", "listen: invalid option" },
        { "relay --listen unix:/a --connect file:/b", "--connect file:" },
        { "relay --listen unix:/a --connect file:/b --role receive",
          "return-path off" },
        { "relay --listen unix:/a --connect fd:9", "--connect fd:" },
        { "relay --stdio --connect fd:9", "--connect fd:" },
        { "relay --listen file:/a --connect unix:/b --role receive",
          "can be answered" },
        { "relay --listen fd:99 --connect unix:/b --role receive",
          "can be answered" },
        { "relay --stdio --listen fd:0", "are what --stdio uses" },
        { "relay --stdio --listen fd:2", "are what --stdio uses" },
        { "relay --listen unix:/a/b --connect unix:/a/./b",
          "--connect leads to --listen" },
        { "relay --listen tcp:host:1 --connect tcp:HOST:1",
          "--connect leads to --listen" },
        { "relay --listen tcp::1 --connect tcp:localhost:1",
          "--connect leads to --listen" },
        { "relay --listen tcp:0.0.0.0:1 --connect tcp:127.0.0.1:1",
          "--connect leads to --listen" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        RelayArgs args;

        g_assert_false(parse(&args, rows[i].line, &err));
        if (!strstr(err->message, rows[i].says)) {
            g_error("%s: %s", rows[i].line, err->message);
        }
        relay_args_clear(&args);
    }
}

/* The lines of text that begin with prefix, each without it. */
static char *lines_after(const char *text, const char *prefix)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GString *found = g_string_new(NULL);

    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, prefix)) {
            g_auto(GStrv) parts = g_strsplit(*line + strlen(prefix), " Ar ",
                                             2);
            g_autofree char *item = g_strjoinv(" ", parts);

            g_string_append_printf(found, "%s\n", item);
        }
    }
    return g_string_free(found, FALSE);
}

static void test_man_options(void)
{
    g_autofree char *help = relay_args_help();
    g_autofree char *page = NULL;
    g_autofree char *in_help = lines_after(help, "--");
    g_autofree char *in_page = NULL;

    g_assert_true(g_file_get_contents(MAN_PAGE, &page, NULL, NULL));
    in_page = lines_after(page, ".It Fl -");
    g_assert_cmpuint(strlen(in_help), >, 100);
    g_assert_cmpstr(in_page, ==, in_help);
}

/* The formatter must print no warning. */
static void test_man_form(void)
{
    const char *argv[] = { "mandoc", "-Tlint", "-Wwarning", MAN_PAGE, NULL };
    g_autofree char *program = g_find_program_in_path("mandoc");
    g_autofree char *output = NULL;
    int status;

    if (!program) {
        g_test_skip("mandoc is not installed");
        return;
    }
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL,
                               &status, NULL));
    g_assert_cmpstr(output, ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/args/good", test_good);
    g_test_add_func("/relay/args/history", test_history);
    g_test_add_func("/relay/args/once", test_once);
    g_test_add_func("/relay/args/tls", test_tls);
    g_test_add_func("/relay/args/elsewhere", test_elsewhere);
    g_test_add_func("/relay/args/routes", test_routes);
    g_test_add_func("/relay/args/patience", test_patience);
    g_test_add_func("/relay/args/bad", test_bad);
    g_test_add_func("/relay/man/options", test_man_options);
    g_test_add_func("/relay/man/form", test_man_form);
    return g_test_run();
}
