/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ferry-inspect: arguments, the input, and the report at the end. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/inspect/inspect-args.h"
#include "tools/inspect/containers/input.h"
#include "tools/inspect/devices/device-check.h"
#include "tools/inspect/devices/field-path.h"
#include "tools/inspect/fields-print.h"
#include "tools/inspect/inspect-diff.h"
#include "tools/inspect/inspect-inputs.h"
#include "tools/inspect/inspect-progress.h"
#include "tools/inspect/streams/inspect-stream.h"
#include "util/text.h"
#include "util/thread.h"

#define EXIT_DAMAGED 1
#define EXIT_USAGE   2
#define EXIT_PARTIAL 3 /* something was extracted all the same */
#define EXIT_DIFFERS 4 /* two guests */

typedef struct Reading {
    const Input *input;
    Progress progress;
    const InspectArgs *args;
    unsigned converted; /* of its outputs */
} Reading;

static void show_progress(void *opaque)
{
    Reading *reading = opaque;

    progress_update(&reading->progress, input_position(reading->input));
}

static bool convert(void *opaque, const InspectReport *report,
                    const InspectRam *ram, GError **errp)
{
    Reading *reading = opaque;
    const LayoutConfig config = { reading->args->ram, reading->args->places };

    return convert_guest(reading->args->outputs, &config, report, ram,
                         &reading->converted, errp);
}

/* RAM is kept where the first file is to be. */
static char *scratch_of(const GArray *outputs)
{
    return outputs->len
               ? g_path_get_dirname(
                     g_array_index(outputs, ConvertOutput, 0).path)
               : NULL;
}

/* The first operand, unless another one has the stream. */
static const char *name_of(const InspectArgs *args, const Inputs *inputs)
{
    return g_array_index(args->operands, InspectOperand, inputs->main).name;
}

static bool inspect(const InspectArgs *args, const Inputs *inputs,
                    InspectReport *report, GError **errp)
{
    Input *input = inputs->input[inputs->main];
    Reading reading = { .input = input, .args = args };
    g_autofree char *scratch = scratch_of(args->outputs);
    unsigned files = args->extracts->len + args->outputs->len;
    InspectConfig config = {
        .extract = (const InspectExtract *)args->extracts->data,
        .extracts = args->extracts->len,
        .convert = scratch ? convert : NULL,
        .parts = scratch != NULL,
        .scratch = scratch,
        .side = inputs->side,
        .sides = inputs->sides,
        .preempt = inputs->preempt,
        .verify = args->verify,
        .threads =
            thread_count(args->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .to_the_end = input_size(input) > 0,
        .progress = show_progress,
        .opaque = &reading,
    };
    bool ok;

    if (!input_has_stream(input)) {
        if (files) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                        "the image has several snapshots: say which one by "
                        "--snapshot NAME");
        }
        return !files;
    }
    progress_init(&reading.progress, input_size(input));
    ok = convert_open(args->outputs, errp) &&
         inspect_stream(input, &config, report, errp);
    convert_close(args->outputs);
    progress_clear(&reading.progress);
    report->extracted += reading.converted;
    return ok;
}

/* Print what one path names.  Returns how much that was. */
static unsigned print_path(const InspectReport *report, const char *path,
                           Out *json)
{
    unsigned found = 0;

    for (unsigned i = 0; i < report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(report->devices, InspectDevice, i);
        const char *fields = field_path_device(path, d);

        if (fields && json) {
            found += fields_print_json(json, d, fields) + !*fields;
        } else if (fields) {
            found += fields_print_text(d, fields) + !*fields;
        }
    }
    return found;
}

/* Print devices and nothing else.  A path that names nothing is an error, if
 * there is no other one. */
static bool print_devices(const InspectArgs *args, const InspectReport *report,
                          GError **errp)
{
    Out out = { .first = true };
    const char *missing = NULL;

    if (args->json) {
        out_begin(&out, NULL, '[');
    }
    for (unsigned i = 0; i < args->devices->len; i++) {
        const char *path = args->devices->pdata[i];

        if (!print_path(report, path, args->json ? &out : NULL)) {
            missing = path;
        }
    }
    if (args->json) {
        out_end(&out, ']');
        putchar('\n');
    }
    if (missing && !*errp) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "there is no device or field '%s'", missing);
    }
    return !missing;
}

static void print_report(const InspectArgs *args, const char *name,
                         const InspectReport *report, const GError *error)
{
    if (args->json) {
        inspect_print_json(report, name, args->verify, args->fields, error);
    } else if (report->input && !input_has_stream(report->input)) {
        inspect_print_snapshots(input_snapshots(report->input));
    } else if (report->has_preamble) {
        inspect_print_text(report, name, args->sections, args->vmdescription,
                           args->fields);
    }
}

/* The message may have names from the stream in it. */
static void complain(const char *name, const char *kind, const char *message)
{
    g_autofree char *shown = text_printable(message);

    fprintf(stderr, "ferry-inspect: %s: %s%s\n", name, kind, shown);
}

static void warn(const char *name, const GPtrArray *warnings)
{
    for (unsigned i = 0; i < warnings->len; i++) {
        complain(name, "warning: ", warnings->pdata[i]);
    }
}

static int run(const InspectArgs *args)
{
    g_autoptr(GError) err = NULL;
    InspectReport report;
    Inputs inputs;
    const char *name;
    int status = EXIT_SUCCESS;
    bool ok;

    inspect_report_init(&report);
    ok = inputs_open(&inputs, args, &err);
    name = name_of(args, &inputs);
    report.input = inputs.input[inputs.main];
    if (!ok || !inspect(args, &inputs, &report, &err)) {
        status = report.extracted ? EXIT_PARTIAL : EXIT_DAMAGED;
    }
    device_check_all(&report);
    if (!args->devices->len) {
        print_report(args, name, &report, err);
    } else if (!print_devices(args, &report, &err) && !status) {
        status = EXIT_DAMAGED;
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ferry-inspect: cannot write the report\n");
        status = EXIT_DAMAGED;
    }
    if (report.input) {
        warn(name, input_warnings(report.input));
    }
    warn(name, report.warnings);
    if (err) {
        complain(name, "", err->message);
    }
    inspect_report_destroy(&report);
    inputs_close(&inputs);
    return status;
}

static int run_diff(const InspectArgs *args)
{
    g_autoptr(GError) err = NULL;
    const char *name;
    bool same;

    if (!inspect_diff(args, &same, &name, &err)) {
        complain(name, "", err->message);
        return EXIT_DAMAGED;
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ferry-inspect: cannot write the report\n");
        return EXIT_DAMAGED;
    }
    return same ? EXIT_SUCCESS : EXIT_DIFFERS;
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
        status = args.diff ? run_diff(&args) : run(&args);
    }
    inspect_args_clear(&args);
    return status;
}
