/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP sessions.
 *
 * A session collects a line, runs it, and prints a prompt.  After "migrate"
 * without -d it watches: it reads no more input until the migration has ended,
 * and meanwhile rewrites one line of progress.  The process and other sessions
 * go on.
 *
 * A migration may wait to be continued (pre-switchover), and this session may
 * be the only one that can continue it.  So the session shows a prompt then,
 * and calls the migration held.  When the migration goes on, by a command here
 * or elsewhere, the session watches again, unless its user has turned to
 * something else.
 *
 * On a terminal lines are edited, if that was built in.  Nothing is shown while
 * a user edits, and the terminal does not echo while no user does, so that
 * neither garbles the other.  Elsewhere there is no echo and no editing.
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
    GSource *timer; /* while watching or held */
    bool watching;  /* no input is read */
    bool held;      /* the migration was held when last looked at */
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

/* Characters that one line can have.  The last column is left free, because
 * some terminals go on to the next line there. */
static int line_width(const HmpSession *hmp)
{
    struct winsize size;

    if (hmp->screen < 0 || ioctl(hmp->screen, TIOCGWINSZ, &size) < 0 ||
        size.ws_col < 2) {
        return G_MAXINT;
    }
    return size.ws_col - 1;
}

/* Rounded up, so that 0 means none. */
static uint64_t megabytes(uint64_t bytes)
{
    return (bytes >> 20) + (bytes % (1 << 20) != 0);
}

/* Add a field, if all of it still fits. */
G_GNUC_PRINTF(3, 4)
static void add_field(GString *text, int limit, const char *format, ...)
{
    gsize before = text->len;
    va_list ap;

    va_start(ap, format);
    g_string_append_vprintf(text, format, ap);
    va_end(ap);
    if (text->len > (gsize)limit) {
        g_string_truncate(text, before);
    }
}

/* Fits into 80 columns, except with the largest figures.  On narrower screens
 * there are fewer fields. */
static GString *progress_text(const MigInfo *info, int limit)
{
    const MigRamInfo *ram = &info->ram;
    GString *text = g_string_new(NULL);

    add_field(text, limit, "%u%%", percent_done(info));
    add_field(text, limit, ", %.2f mbps", ram->mbps);
    if (info->compress) {
        add_field(text, limit, ", ratio %.2f", info->compression.rate);
    }
    add_field(text, limit, ", remaining %" G_GUINT64_FORMAT " MB",
              megabytes(ram->remaining));
    add_field(text, limit, ", dirty %" G_GUINT64_FORMAT " pages/s",
              ram->dirty_pages_rate);
    add_field(text, limit, ", pass %" G_GUINT64_FORMAT, ram->dirty_sync_count);
    return text;
}

static void show_progress(HmpSession *hmp, const MigInfo *info)
{
    int limit = line_width(hmp);
    g_autoptr(GString) text = progress_text(info, limit);
    int length = (int)text->len;
    int width = MIN(MAX(length, hmp->shown), limit); /* covers the last one */
    g_autofree char *line = g_strdup_printf("\r%-*s", width, text->str);

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

typedef enum { MOVES, HELD, ENDED } Outlook;

static Outlook outlook_of(MigState state)
{
    return mig_state_is_final(state)           ? ENDED
           : state == MIG_STATE_PRE_SWITCHOVER ? HELD
                                               : MOVES;
}

static Outlook look(const HmpSession *hmp)
{
    const MonMachine *machine = hmp->machine;
    MigInfo info = { 0 };
    Outlook outlook = ENDED;

    if (machine->host->migrate_info(machine->opaque, &info)) {
        outlook = outlook_of(info.state);
        mig_info_clear(&info);
    }
    return outlook;
}

/* Show the migration's progress, or its end. */
static Outlook show(HmpSession *hmp)
{
    const MonMachine *machine = hmp->machine;
    MigInfo info = { 0 };
    Outlook outlook;

    if (!machine->host->migrate_info(machine->opaque, &info)) {
        return ENDED;
    }
    outlook = outlook_of(info.state);
    /* Show no progress before there is any, or to a client that has not yet
     * read the last line. */
    if (info.state == MIG_STATE_COMPLETED ||
        (outlook == MOVES && info.state != MIG_STATE_SETUP &&
         !session_is_behind(hmp->session))) {
        show_progress(hmp, &info);
    }
    if (outlook != MOVES) {
        show_end(hmp, &info);
    }
    mig_info_clear(&info);
    return outlook;
}

static void forget_migration(HmpSession *hmp)
{
    if (hmp->timer) {
        g_source_destroy(hmp->timer);
        g_source_unref(hmp->timer);
        hmp->timer = NULL;
    }
    hmp->held = false;
}

static void begin_watching(HmpSession *hmp)
{
    hmp->watching = true;
    session_pause(hmp->session);
}

static void end_watching(HmpSession *hmp)
{
    hmp->watching = false;
    prompt(hmp);
    session_resume(hmp->session); /* may run the next line */
}

static bool is_typing(const HmpSession *hmp)
{
    return hmp->line->len > 0 || hmp->too_long ||
           (hmp->editor && !line_editor_is_empty(hmp->editor));
}

/* Watch again: progress overwrites the prompt. */
static void take_prompt_back(HmpSession *hmp)
{
    if (hmp->editor) {
        line_editor_leave(hmp->editor);
    }
    hmp->shown = (int)strlen(HMP_PROMPT_TEXT);
    begin_watching(hmp);
}

/* True when the migration is held no more, and its progress may be shown: not
 * while the user types. */
static bool leave_hold(HmpSession *hmp)
{
    if (look(hmp) == HELD || (!hmp->watching && is_typing(hmp))) {
        return false;
    }
    if (!hmp->watching) {
        take_prompt_back(hmp);
    }
    hmp->held = false;
    return true;
}

static gboolean on_timer(gpointer opaque)
{
    HmpSession *hmp = opaque;

    if (hmp->held && !leave_hold(hmp)) {
        return G_SOURCE_CONTINUE;
    }
    switch (show(hmp)) {
    case MOVES:
        break;
    case HELD:
        hmp->held = true;
        end_watching(hmp);
        break;
    case ENDED:
        forget_migration(hmp);
        end_watching(hmp);
        break;
    }
    return G_SOURCE_CONTINUE; /* harmless where the source was destroyed */
}

static void wait_for_migration(HmpSession *hmp)
{
    Outlook outlook = show(hmp);

    if (outlook == MOVES) {
        begin_watching(hmp);
    } else {
        prompt(hmp);
    }
    if (outlook != ENDED) {
        hmp->held = outlook == HELD;
        hmp->timer = g_timeout_source_new(PROGRESS_INTERVAL_MS);
        g_source_set_callback(hmp->timer, on_timer, hmp, NULL);
        g_source_attach(hmp->timer, session_context(hmp->session));
    }
}

/* Go on after a line that was run. */
static void go_on(HmpSession *hmp, HmpNext next)
{
    if (next == HMP_RESUME && hmp->held) {
        begin_watching(hmp); /* the timer sees when the migration goes on */
        return;
    }
    forget_migration(hmp);
    if (next == HMP_WAIT) {
        wait_for_migration(hmp);
    } else if (next != HMP_SILENT) {
        prompt(hmp);
    }
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t")] == '\0';
}

static void run_line(HmpSession *hmp)
{
    g_autoptr(GString) out = g_string_new(NULL);
    HmpNext next = HMP_PROMPT;

    if (!hmp->too_long && is_blank(hmp->line->str)) {
        g_string_truncate(hmp->line, 0);
        prompt(hmp);
        return;
    }
    if (hmp->too_long) {
        g_string_printf(out, "Error: a line has %d characters at most\r\n",
                        LINE_LENGTH_MAX);
    } else {
        next = hmp_run(hmp->machine, hmp->line->str, out);
    }
    session_write(hmp->session, out->str, out->len);
    g_string_truncate(hmp->line, 0);
    hmp->too_long = false;
    go_on(hmp, next);
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

/* The user at a terminal does not want to watch any more. */
static bool hmp_interrupt(void *front)
{
    HmpSession *hmp = front;

    if (hmp->screen < 0 || !hmp->watching) {
        return false;
    }
    forget_migration(hmp);
    hmp->shown = 0;
    write_text(hmp, "\r\ncontinuing detached\r\n");
    end_watching(hmp);
    return true;
}

static void hmp_close(void *front)
{
    HmpSession *hmp = front;

    forget_migration(hmp);
    line_editor_free(hmp->editor);
    g_string_free(hmp->line, TRUE);
    g_free(hmp);
}

const SessionFront hmp_front = {
    .open = hmp_open,
    .byte = hmp_byte,
    .interrupt = hmp_interrupt,
    .close = hmp_close,
};
