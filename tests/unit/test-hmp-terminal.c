/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a terminal: keys, editing, history, completion, the live line, and
 * the terminal's modes.
 */
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib-unix.h>
#include <pty.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "monitor/terminal-key.h"
#include "tests/unit/test-monitor-fixture.h"

#define WAIT_SECONDS 10

/* Sends s, and gives what libedit is to read, keys divided by blanks. */
static char *keys_of(const char *s)
{
    TerminalKey key = { 0 };
    GString *out = g_string_new(NULL);

    for (; *s; s++) {
        const wchar_t *keys = terminal_key_push(&key, *s);

        for (; keys && *keys; keys++) {
            g_string_append_printf(out, "%x ", (unsigned)*keys);
        }
    }
    return g_string_free(out, FALSE);
}

static void test_keys(void)
{
    static const struct {
        const char *bytes, *keys;
    } rows[] = {
        { "ab\t\n\177", "61 62 9 a 7f " },
        { "\033[A\033OA\033[Bx", "10 10 e 78 " },
        { "\033[3~\033[1~\033[4~\033OH", "4 1 5 1 " },
        { "\033[1;5C\033f\033d", "1b 66 1b 66 1b 64 " },
        { "\033x\033[Z\033[15~\033[1;2A\033[[Aq", "71 " }, /* mean nothing */
        { "\033[12345678901234567890ma", "61 " },
        { "\033\033[A", "10 " },
        { "\033[\na", "a 61 " }, /* broken off */
        { "\303\244\342\202\254\360\237\230\200", "e4 20ac 1f600 " },
        { "\377a\303\nb", "61 a 62 " }, /* no UTF-8 */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *keys = keys_of(rows[i].bytes);

        g_assert_cmpstr(keys, ==, rows[i].keys);
    }
}

typedef struct Terminal {
    FakeMachine *machine;
    int fd;    /* the terminal's other side: a person */
    int modes; /* a descriptor of the terminal, to look at its modes */
    struct termios before;
    unsigned source;
    GString *screen; /* not looked at yet */
} Terminal;

static gboolean on_output(int fd, GIOCondition condition, gpointer opaque)
{
    Terminal *f = opaque;
    char data[4096];
    ssize_t n = read(fd, data, sizeof(data));

    g_assert_cmpint(n, >, 0);
    g_string_append_len(f->screen, data, n);
    return G_SOURCE_CONTINUE;
}

static gboolean on_too_late(gpointer what)
{
    g_error("did not come: '%s'", (const char *)what);
    return G_SOURCE_REMOVE;
}

/* Wait for text, and take everything up to and with it. */
static char *expect(Terminal *f, const char *text)
{
    unsigned clock =
        g_timeout_add_seconds(WAIT_SECONDS, on_too_late, (gpointer)text);
    const char *found;
    char *taken;

    while (!(found = strstr(f->screen->str, text))) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(clock);
    taken = g_strndup(f->screen->str,
                      (size_t)(found - f->screen->str) + strlen(text));
    g_string_erase(f->screen, 0, (gssize)strlen(taken));
    return taken;
}

static void skip_to(Terminal *f, const char *text)
{
    g_free(expect(f, text));
}

static void type(Terminal *f, const char *text)
{
    g_assert_cmpint(write(f->fd, text, strlen(text)), ==,
                    (ssize_t)strlen(text));
}

static void set_up(Terminal *f, gconstpointer data)
{
    struct winsize size = { .ws_row = 24, .ws_col = 50 };
    g_autoptr(GInputStream) in = NULL;
    g_autoptr(GOutputStream) out = NULL;
    g_autoptr(GIOStream) stream = NULL;
    int terminal;

    g_assert_no_errno(openpty(&f->fd, &terminal, NULL, NULL, &size));
    f->modes = dup(terminal);
    g_assert_no_errno(tcgetattr(f->modes, &f->before));
    f->machine = fake_machine_new();
    f->screen = g_string_new(NULL);
    f->source = g_unix_fd_add(f->fd, G_IO_IN, on_output, f);
    in = g_unix_input_stream_new(terminal, FALSE);
    out = g_unix_output_stream_new(terminal, TRUE);
    stream = g_simple_io_stream_new(in, out);
    mon_add_session(f->machine->monitor, MON_HMP, stream);
    skip_to(f, PROMPT);
}

static void tear_down(Terminal *f, gconstpointer data)
{
    fake_machine_free(f->machine);
    g_source_remove(f->source);
    g_string_free(f->screen, TRUE);
    close(f->modes);
    close(f->fd);
}

static void expect_calls(Terminal *f, const char *calls)
{
    g_assert_cmpstr(f->machine->calls->str, ==, calls);
}

/* Run a line; there is a prompt, and then there is another. */
static void run(Terminal *f, const char *keys)
{
    type(f, keys);
    skip_to(f, "\r\n" PROMPT);
}

static void test_editing(Terminal *f, gconstpointer data)
{
    run(f, "migrate_incomingX\177 tcp:b:1\033[D\033[D\177a\033[H\033[F\r");
    run(f, "defer\001migrate_incoming \r");
    run(f, "foo migrate_cancel now\027\001\033d\004\n");
    expect_calls(f, "incoming tcp:a:1; incoming defer; cancel; ");
}

static void test_echo(Terminal *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    type(f, "info name\r");
    text = expect(f, "bob\r\r\n" PROMPT); /* the terminal added one "\r" */
    g_assert_cmpstr(text, ==, "info name\r\nbob\r\r\n" PROMPT);
}

static void test_history(Terminal *f, gconstpointer data)
{
    run(f, "migrate_incoming first\r");
    run(f, "  \r");
    run(f, "migrate_incoming second\r");
    run(f, "\020\020\r");
    run(f, "\033[A\033[A\033[B\177\177\177\177\177third\r");
    expect_calls(f, "incoming first; incoming second; incoming first; "
                    "incoming third; ");
}

static void test_completion(Terminal *f, gconstpointer data)
{
    run(f, "migrate_set_c\tcompr\ton\r");
    run(f, "migrate-set_p\tmax_b\t0\r");
    expect_calls(f, "compress=1; max-bandwidth=0; ");
}

static void test_list(Terminal *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    type(f, "migrate_set_parameter compress\t");
    skip_to(f, "compress-");
    type(f, "\t");
    text = expect(f, PROMPT "migrate_set_parameter compress-");
    g_assert_cmpstr(text, ==,
                    "\r\n"
                    "compress-history      compress-level        \r\n"
                    "compress-method       compress-threads      \r\n"
                    "compress-wait-thread  \r\n" PROMPT
                    "migrate_set_parameter compress-");
    run(f, "l\t7\r");
    expect_calls(f, "compress-level=7; ");
}

/* Nothing waits for more of a key: others are served meanwhile. */
static void test_half_a_key(Terminal *f, gconstpointer data)
{
    Client *other = client_new_hmp(f->machine);
    g_autofree char *answer = NULL;

    run(f, "migrate_incoming x\r");
    type(f, "\033");
    answer = client_ask(other, "info name");
    g_assert_cmpstr(answer, ==, "bob\n");
    run(f, "[A\r");
    expect_calls(f, "incoming x; incoming x; ");
    client_free(other);
}

/* Functions of libedit's that would read on are not there, or find nothing. */
static void test_no_dialogues(Terminal *f, gconstpointer data)
{
    run(f, "\033x\026\030migrate_incoming a\r");
    run(f, "\022\022\r");
    run(f, "\004info\004\r");
    expect_calls(f, "incoming a; incoming a; ");
}

/* The live line comes back in place of an empty prompt, but not while somebody
 * edits. */
static void test_held(Terminal *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_PRE_SWITCHOVER);
    type(f, "migrate tcp:a:1\r");
    skip_to(f, "pre-switchover\r\r\n" PROMPT);
    f->machine->info.state = MIG_STATE_ACTIVE;
    skip_to(f, "\r100%, ");
    f->machine->info.state = MIG_STATE_PRE_SWITCHOVER;
    skip_to(f, "pre-switchover\r\r\n" PROMPT);
    type(f, "x");
    skip_to(f, "x");
    f->machine->info.state = MIG_STATE_CANCELLED;
    type(f, "\177");
    skip_to(f, "cancelled\r\r\n" PROMPT);
    run(f, "migrate_incoming b\r");
    expect_calls(f, "migrate tcp:a:1; incoming b; ");
}

/* Ctrl-C, which the process gets as a signal. */
static void test_interrupt(Terminal *f, gconstpointer data)
{
    Monitor *monitor = f->machine->monitor;

    g_assert_false(mon_interrupt(monitor)); /* at the prompt */
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    type(f, "migrate tcp:a:1\r");
    skip_to(f, "\r100%");
    g_assert_true(mon_interrupt(monitor));
    skip_to(f, "\r\ncontinuing detached\r\r\n" PROMPT);
    g_assert_false(mon_interrupt(monitor));
    run(f, "migrate_incoming b\r");
    expect_calls(f, "migrate tcp:a:1; incoming b; ");
}

static void test_live_line(Terminal *f, gconstpointer data)
{
    g_autofree char *line = NULL, *end = NULL;
    static const char fits[] = "6.43 mbps, ratio 2.37, remaining 65 MB";
    const char *last;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.ram.remaining = f->machine->info.ram.total / 4;
    type(f, "migrate tcp:a:1\r");
    line = expect(f, "\r75%, 6.43 mbps, ratio 2.37, remaining 65 MB\r");
    type(f, "migrate_incoming later\r"); /* not shown before its time */
    skip_to(f, "\r75%");
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = expect(f, "completed\r\r\n" PROMPT);
    g_assert_null(strstr(end, "later"));
    last = g_strrstr(end, "\r100%");
    g_assert_nonnull(last);
    /* what fits into 49 of 50 columns, so that it stays one line */
    g_assert_true(
        g_str_has_prefix(last + strlen("\r100%, ") + strlen(fits),
                         "\r\r\nMigration status: completed"));
    skip_to(f, "later\r\n" PROMPT);
    expect_calls(f, "migrate tcp:a:1; incoming later; ");
}

static bool is_raw(const Terminal *f)
{
    struct termios now;

    g_assert_no_errno(tcgetattr(f->modes, &now));
    return !(now.c_lflag & (ECHO | ICANON));
}

static void assert_restored(Terminal *f)
{
    struct termios now;

    g_assert_no_errno(tcgetattr(f->modes, &now));
    g_assert_cmpuint(now.c_iflag, ==, f->before.c_iflag);
    g_assert_cmpuint(now.c_oflag, ==, f->before.c_oflag);
    g_assert_cmpuint(now.c_lflag, ==, f->before.c_lflag);
    g_assert_cmpmem(now.c_cc, sizeof(now.c_cc), f->before.c_cc,
                    sizeof(f->before.c_cc));
}

static void free_monitor(Terminal *f)
{
    mon_free(f->machine->monitor);
    f->machine->monitor = NULL;
}

static void test_modes_after_quit(Terminal *f, gconstpointer data)
{
    g_assert_true(is_raw(f));
    type(f, "q\rmigrate_cancel\r");
    skip_to(f, "q\r\n");
    while (f->machine->calls->len == 0) {
        g_main_context_iteration(NULL, TRUE);
    }
    free_monitor(f);
    assert_restored(f);
    expect_calls(f, "quit; ");
}

/* The next program's output begins on a line of its own. */
static void test_modes_after_signal(Terminal *f, gconstpointer data)
{
    type(f, "info na");
    skip_to(f, "info na");
    free_monitor(f);
    assert_restored(f);
    skip_to(f, "\r\n");
}

static void test_modes_while_waiting(Terminal *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    type(f, "migrate tcp:a:1\r");
    skip_to(f, "\r100%");
    g_assert_true(is_raw(f));
    free_monitor(f);
    assert_restored(f);
}

static void add(const char *path, void (*test)(Terminal *f, gconstpointer data))
{
    g_test_add(path, Terminal, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_setenv("TERM", "dumb", TRUE); /* no escape sequences in the output */
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hmp-terminal/keys", test_keys);
    add("/hmp-terminal/editing", test_editing);
    add("/hmp-terminal/echo", test_echo);
    add("/hmp-terminal/history", test_history);
    add("/hmp-terminal/completion", test_completion);
    add("/hmp-terminal/list", test_list);
    add("/hmp-terminal/half-a-key", test_half_a_key);
    add("/hmp-terminal/no-dialogues", test_no_dialogues);
    add("/hmp-terminal/live-line", test_live_line);
    add("/hmp-terminal/held", test_held);
    add("/hmp-terminal/interrupt", test_interrupt);
    add("/hmp-terminal/modes/after-quit", test_modes_after_quit);
    add("/hmp-terminal/modes/after-signal", test_modes_after_signal);
    add("/hmp-terminal/modes/while-waiting", test_modes_while_waiting);
    return g_test_run();
}
