/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ferry-inspect: arguments, the input, and the report at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tools/inspect/inspect-args.h"
#include "tools/inspect/inspect-progress.h"
#include "tools/inspect/streams/inspect-stream.h"
#include "util/text.h"
#include "util/thread.h"

#define EXIT_DAMAGED 1
#define EXIT_USAGE   2

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

/* The bytes that a regular file has from its offset on; 0 for anything else. */
static uint64_t input_size(const IoUri *uri)
{
    uint64_t offset = uri->kind == IO_URI_FILE ? uri->offset : 0;
    struct stat st;

    if ((uri->kind == IO_URI_FILE && stat(uri->path, &st) < 0) ||
        (uri->kind == IO_URI_FD && fstat(uri->fd, &st) < 0) ||
        (uri->kind != IO_URI_FILE && uri->kind != IO_URI_FD) ||
        !S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset) {
        return 0;
    }
    return (uint64_t)st.st_size - offset;
}

static bool inspect(const InspectArgs *args, InspectReport *report,
                    GError **errp)
{
    uint64_t size = input_size(args->uri);
    Progress progress;
    InspectConfig config = {
        .extract = (const InspectExtract *)args->extracts->data,
        .extracts = args->extracts->len,
        .verify = args->verify,
        .threads =
            thread_count(args->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .to_the_end = size > 0,
        .progress = progress_update,
        .opaque = &progress,
    };
    IoChannel *channel = open_input(args->uri, errp);
    bool ok;

    if (!channel) {
        return false;
    }
    progress_init(&progress, size);
    ok = inspect_stream(channel, &config, report, errp);
    progress_clear(&progress);
    io_channel_free(channel);
    return ok;
}

static bool print_report(const InspectArgs *args, const InspectReport *report,
                         const GError *error)
{
    if (args->json) {
        inspect_print_json(report, args->input, args->verify, error);
    } else if (report->has_preamble) {
        inspect_print_text(report, args->input, args->sections,
                           args->vmdescription);
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

static int run(const InspectArgs *args)
{
    g_autoptr(GError) err = NULL;
    InspectReport report;
    int status = EXIT_SUCCESS;

    inspect_report_init(&report);
    if (!inspect(args, &report, &err)) {
        status = EXIT_DAMAGED;
    }
    if (!print_report(args, &report, err)) {
        fprintf(stderr, "ferry-inspect: cannot write the report\n");
        status = EXIT_DAMAGED;
    }
    inspect_report_destroy(&report);
    if (err) {
        /* The message may have names from the stream in it. */
        g_autofree char *shown = text_printable(err->message);

        fprintf(stderr, "ferry-inspect: %s: %s\n", args->input, shown);
    }
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
