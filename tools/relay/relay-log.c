/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On a terminal the cursor stands at the start of the live line, and every
 * message begins by wiping that line out.  So no thread has to know whether
 * there is a live line.
 */
#include "tools/relay/relay-log.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIPE "\033[K"

/* Characters that the live line may have.  The last column is left free,
 * because some terminals go on to the next line there. */
static int line_width(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1
               ? size.ws_col - 1
               : G_MAXINT;
}

bool relay_has_live_line(void)
{
    return isatty(STDERR_FILENO);
}

void relay_wipe_live_line(void)
{
    if (relay_has_live_line()) {
        fputs(WIPE, stderr);
    }
}

void relay_show_live_line(const char *text)
{
    if (relay_has_live_line()) {
        fprintf(stderr, WIPE "%.*s\r", line_width(), text);
    } else {
        fprintf(stderr, "%s\n", text);
    }
}

void relay_say(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "%sferry-relay: %s\n",
            relay_has_live_line() ? WIPE : "", text);
}

void relay_log(const RelayFindings *findings, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    if (findings->channel) {
        relay_say("migration %u, connection %u: %s", findings->number,
                  findings->channel, text);
    } else {
        relay_say("migration %u: %s", findings->number, text);
    }
}

void relay_found_ram(RelayFindings *findings, bool has_return_path)
{
    findings->has_ram = true;
    findings->return_path = has_return_path;
    if (!has_return_path) {
        relay_log(findings,
                  "WARNING: the source has no return path: it will say "
                  "'completed', and give up the guest, before the destination "
                  "has everything; turn on the capability return-path");
    }
}

/* The first reason stays. */
static void note_passed_on(RelayFindings *findings, const char *reason)
{
    if (!findings->passed_on) {
        findings->passed_on = g_strdup(reason);
    }
}

void relay_found_lost(RelayFindings *findings, const char *reason, bool packs)
{
    note_passed_on(findings, reason);
    relay_log(findings, packs ? "what follows is not understood, and packed "
                                "in blocks: %s"
                              : "passing on the rest as it is, uncompressed: "
                                "%s", reason);
}

void relay_found_advice(RelayFindings *findings, const char *text)
{
    note_passed_on(findings, text);
    if (findings->channel <= 1) {
        relay_log(findings, "%s", text);
    }
}

void relay_found_end(RelayFindings *findings, const ScanEnd *end)
{
    bool is_asked = end->end == END_WHOLE && findings->return_path;

    ending_set(&findings->ending, is_asked ? END_ASKED : end->end,
               end->reason);
    findings->ending.has_go = end->has_go;
}

void relay_findings_clear(RelayFindings *findings)
{
    g_clear_pointer(&findings->passed_on, g_free);
    ending_clear(&findings->ending);
}
