/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ferry-inspect: arguments, the input, and the report at the end. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/inspect/inspect-args.h"
#include "tools/inspect/containers/input.h"
#include "tools/inspect/inspect-progress.h"
#include "tools/inspect/streams/inspect-stream.h"
#include "util/text.h"
#include "util/thread.h"

#define EXIT_DAMAGED 1
#define EXIT_USAGE   2
#define EXIT_PARTIAL 3 /* something was extracted all the same */

static bool is_socket(const IoUri *uri)
{
    return uri->kind == IO_URI_TCP || uri->kind == IO_URI_UNIX;
}

static IoChannel *open_input(const IoUri *uri, GError **errp)
{
    IoListener *listener = io_listener_new(uri, errp);
    IoChannel *channel;

    if (!listener) {
        return NULL;
    }
    if (is_socket(uri)) {
        fprintf(stderr, "ferry-inspect: waiting at %s\n",
                io_listener_address(listener));
    }
    channel = io_listener_accept(listener, NULL, errp);
    io_listener_free(listener);
    return channel;
}

typedef struct Reading {
    const Input *input;
    Progress progress;
} Reading;

static void show_progress(void *opaque)
{
    Reading *reading = opaque;

    progress_update(&reading->progress, input_position(reading->input));
}

static bool inspect(const InspectArgs *args, Input *input,
                    InspectReport *report, GError **errp)
{
    Reading reading = { .input = input };
    InspectConfig config = {
        .extract = (const InspectExtract *)args->extracts->data,
        .extracts = args->extracts->len,
        .verify = args->verify,
        .threads =
            thread_count(args->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .to_the_end = input_size(input) > 0,
        .progress = show_progress,
        .opaque = &reading,
    };
    bool ok;

    progress_init(&reading.progress, input_size(input));
    ok = input_open(input, errp);
    if (ok && input_has_stream(input)) {
        ok = inspect_stream(input, &config, report, errp);
    } else if (ok && args->extracts->len) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "the image has several snapshots: say which one by "
                    "--snapshot NAME");
        ok = false;
    }
    progress_clear(&reading.progress);
    return ok;
}

static bool print_report(const InspectArgs *args, const InspectReport *report,
                         const GError *error)
{
    if (args->json) {
        inspect_print_json(report, args->input, args->verify, error);
    } else if (report->input && !input_has_stream(report->input)) {
        inspect_print_snapshots(input_snapshots(report->input));
    } else if (report->has_preamble) {
        inspect_print_text(report, args->input, args->sections,
                           args->vmdescription);
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* The message may have names from the stream in it. */
static void complain(const InspectArgs *args, const char *kind,
                     const char *message)
{
    g_autofree char *shown = text_printable(message);

    fprintf(stderr, "ferry-inspect: %s: %s%s\n", args->input, kind, shown);
}

static void warn(const InspectArgs *args, const GPtrArray *warnings)
{
    for (unsigned i = 0; i < warnings->len; i++) {
        complain(args, "warning: ", warnings->pdata[i]);
    }
}

static int run(const InspectArgs *args)
{
    g_autoptr(GError) err = NULL;
    IoChannel *channel = open_input(args->uri, &err);
    Input *input = channel ? input_new(channel, args->snapshot) : NULL;
    InspectReport report;
    int status = EXIT_SUCCESS;

    inspect_report_init(&report);
    report.input = input;
    if (!input || !inspect(args, input, &report, &err)) {
        status = report.extracted ? EXIT_PARTIAL : EXIT_DAMAGED;
    }
    if (!print_report(args, &report, err)) {
        fprintf(stderr, "ferry-inspect: cannot write the report\n");
        status = EXIT_DAMAGED;
    }
    if (input) {
        warn(args, input_warnings(input));
    }
    warn(args, report.warnings);
    if (err) {
        complain(args, "", err->message);
    }
    inspect_report_destroy(&report);
    input_free(input);
    return status;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    InspectArgs args;
    int status = EXIT_SUCCESS;

    if (!inspect_args_parse(&args, argv, &err)) {
        fprintf(stderr, "ferry-inspect: %s\n", err->message);
        status = EXIT_USAGE;
    } else if (args.help) {
        g_autofree char *help = inspect_args_help();

        fputs(help, stdout);
    } else if (args.version) {
        puts("ferry-inspect " FERRY_VERSION);
    } else {
        status = run(&args);
    }
    inspect_args_clear(&args);
    return status;
}
