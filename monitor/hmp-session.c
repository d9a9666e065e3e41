/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP sessions.
 *
 * A session collects a line, runs it, and prints a prompt.  After "migrate"
 * without -d it reads no more input until the migration has ended or waits to
 * be continued, and meanwhile rewrites one line of progress; the process and
 * other sessions go on.
 *
 * On a terminal lines are edited, if that was built in.  Nothing is ever shown
 * while somebody edits, and while nobody does the terminal does not echo, so
 * that neither garbles the other.  Elsewhere there is no echo and no editing.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "monitor/hmp.h"
#include "monitor/line-editor.h"

#define LINE_LENGTH_MAX      4095
#define PROGRESS_INTERVAL_MS 100

typedef struct HmpSession {
    Session *session;
    const MonMachine *machine;
    int screen;         /* descriptor of a terminal, or -1 */
    LineEditor *editor; /* NULL where lines are not edited */
    GString *line;
    bool too_long;  /* drop the rest of this line */
    GSource *timer; /* while waiting for a migration */
    int shown;      /* length of the progress line on the screen */
} HmpSession;

static void write_text(HmpSession *hmp, const char *text)
{
    session_write(hmp->session, text, strlen(text));
}

static void prompt(HmpSession *hmp)
{
    if (hmp->editor) {
        line_editor_begin(hmp->editor);
    } else {
        write_text(hmp, HMP_PROMPT_TEXT);
    }
}

static unsigned percent_done(const MigInfo *info)
{
    uint64_t left = MIN(info->ram.remaining, info->ram.total);

    if (info->state == MIG_STATE_COMPLETED) {
        return 100;
    }
    if (!info->ram.total) {
        return 0;
    }
    return (unsigned)(100.0 * (double)(info->ram.total - left) /
                      (double)info->ram.total);
}

/* Characters that one line can have; the last column is left free, as some
 * terminals go on to the next line there. */
static int line_width(const HmpSession *hmp)
{
    struct winsize size;

    if (hmp->screen < 0 || ioctl(hmp->screen, TIOCGWINSZ, &size) < 0 ||
        size.ws_col < 2) {
        return G_MAXINT;
    }
    return size.ws_col - 1;
}

/* Rounded up: 0 is nothing. */
static uint64_t megabytes(uint64_t bytes)
{
    return (bytes >> 20) + (bytes % (1 << 20) != 0);
}

/* Short enough for 80 columns, with all but the largest figures. */
static char *progress_text(const MigInfo *info)
{
    g_autofree char *ratio =
        info->compress ? g_strdup_printf("ratio %.2f, ", info->compression.rate)
                       : g_strdup("");

    return g_strdup_printf(
        "%u%%, %.2f mbps, %sremaining %" G_GUINT64_FORMAT
        " MB, dirty %" G_GUINT64_FORMAT " pages/s, pass %" G_GUINT64_FORMAT,
        percent_done(info), info->ram.mbps, ratio,
        megabytes(info->ram.remaining), info->ram.dirty_pages_rate,
        info->ram.dirty_sync_count);
}

static void show_progress(HmpSession *hmp, const MigInfo *info)
{
    g_autofree char *text = progress_text(info);
    int limit = line_width(hmp);
    int length = MIN((int)strlen(text), limit);
    int width = MIN(MAX(length, hmp->shown), limit); /* blanks over the last */
    g_autofree char *line = g_strdup_printf("\r%-*.*s", width, length, text);

    write_text(hmp, line);
    hmp->shown = length;
}

static void show_end(HmpSession *hmp, const MigInfo *info)
{
    const char *reason = info->error ? info->error : "the migration failed";
    const char *start = hmp->shown ? "\r\n" : "";
    g_autofree char *text = NULL;

    if (info->state == MIG_STATE_FAILED) {
        text = g_strdup_printf("%sError: %s\r\n", start, reason);
    } else {
        text = g_strdup_printf("%sMigration status: %s\r\n", start,
                               mig_state_name(info->state));
    }
    write_text(hmp, text);
    hmp->shown = 0;
}

/* Is there anything to wait for?  Not where the user has to continue it. */
static bool is_under_way(MigState state)
{
    return !mig_state_is_final(state) && state != MIG_STATE_PRE_SWITCHOVER;
}

/* Show how the migration gets on; false when it does not. */
static bool watch(HmpSession *hmp)
{
    const MonMachine *machine = hmp->machine;
    MigInfo info = { 0 };
    bool goes_on;

    if (!machine->host->migrate_info(machine->opaque, &info)) {
        return false;
    }
    goes_on = is_under_way(info.state);
    /* Not for a client that has not even taken the last one. */
    if (info.state == MIG_STATE_COMPLETED ||
        (goes_on && !session_is_behind(hmp->session))) {
        show_progress(hmp, &info);
    }
    if (!goes_on) {
        show_end(hmp, &info);
    }
    mig_info_clear(&info);
    return goes_on;
}

static void stop_timer(HmpSession *hmp)
{
    if (hmp->timer) {
        g_source_destroy(hmp->timer);
        g_source_unref(hmp->timer);
        hmp->timer = NULL;
    }
}

static gboolean on_timer(gpointer opaque)
{
    HmpSession *hmp = opaque;

    if (watch(hmp)) {
        return G_SOURCE_CONTINUE;
    }
    stop_timer(hmp);
    prompt(hmp);
    session_resume(hmp->session);
    return G_SOURCE_REMOVE;
}

static void wait_for_migration(HmpSession *hmp)
{
    if (!watch(hmp)) {
        prompt(hmp);
        return;
    }
    session_pause(hmp->session);
    hmp->timer = g_timeout_source_new(PROGRESS_INTERVAL_MS);
    g_source_set_callback(hmp->timer, on_timer, hmp, NULL);
    g_source_attach(hmp->timer, session_context(hmp->session));
}

static void run_line(HmpSession *hmp)
{
    g_autoptr(GString) out = g_string_new(NULL);
    HmpNext next = HMP_PROMPT;

    if (hmp->too_long) {
        g_string_printf(out, "Error: a line has %d characters at most\r\n",
                        LINE_LENGTH_MAX);
    } else {
        next = hmp_run(hmp->machine, hmp->line->str, out);
    }
    session_write(hmp->session, out->str, out->len);
    g_string_truncate(hmp->line, 0);
    hmp->too_long = false;
    if (next == HMP_WAIT) {
        wait_for_migration(hmp);
    } else if (next == HMP_PROMPT) {
        prompt(hmp);
    }
}

static void add_byte(HmpSession *hmp, char c)
{
    if (hmp->line->len < LINE_LENGTH_MAX) {
        g_string_append_c(hmp->line, c);
    } else {
        hmp->too_long = true;
    }
}

static void edit_byte(HmpSession *hmp, char c)
{
    g_autofree char *line = line_editor_byte(hmp->editor, c);

    if (line) {
        for (const char *p = line; *p; p++) {
            add_byte(hmp, *p);
        }
        run_line(hmp);
    }
}

static void write_from_editor(void *opaque, const char *text, size_t size)
{
    HmpSession *hmp = opaque;

    session_write(hmp->session, text, size);
}

static void hmp_byte(void *front, char c)
{
    HmpSession *hmp = front;

    if (hmp->editor) {
        edit_byte(hmp, c);
        return;
    }
    if (c == '\n') {
        run_line(hmp);
    } else if (!g_ascii_iscntrl(c) || c == '\t') { /* '\r' is dropped */
        add_byte(hmp, c);
    }
}

static void open_terminal(HmpSession *hmp)
{
    int in, out;

    hmp->screen = -1;
    if (!session_get_terminal(hmp->session, &in, &out)) {
        return;
    }
    hmp->screen = out;
    hmp->editor = line_editor_new(in, out, write_from_editor, hmp);
}

static void *hmp_open(Session *session, const MonMachine *machine)
{
    HmpSession *hmp = g_new0(HmpSession, 1);
    g_autofree char *banner = g_strdup_printf(
        "Ferry %s monitor - type 'help' for more information\r\n",
        mig_version());

    hmp->session = session;
    hmp->machine = machine;
    hmp->line = g_string_new(NULL);
    open_terminal(hmp);
    write_text(hmp, banner);
    prompt(hmp);
    return hmp;
}

static void hmp_close(void *front)
{
    HmpSession *hmp = front;

    stop_timer(hmp);
    line_editor_free(hmp->editor);
    g_string_free(hmp->line, TRUE);
    g_free(hmp);
}

const SessionFront hmp_front = {
    .open = hmp_open,
    .byte = hmp_byte,
    .close = hmp_close,
};
