/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table at the end has every option. */
#include "tools/inspect/inspect-args.h"

#include <string.h>

#include "util/args.h"

static bool add_extract(void *target, const char *name, char *const *values,
                        GError **errp)
{
    GArray *extracts = *(GArray **)target;
    InspectExtract extract = { .block = values[0], .path = values[1] };

    g_array_append_val(extracts, extract);
    return true;
}

static bool add_output(void *target, const char *name, char *const *values,
                       GError **errp)
{
    GArray *outputs = *(GArray **)target;
    ConvertOutput output = convert_output(name, values[0]);

    g_array_append_val(outputs, output);
    return true;
}

static bool set_name(void *target, const char *name, char *const *values,
                     GError **errp)
{
    *(const char **)target = values[0];
    return true;
}

/* The address is behind the last '=', and becomes its own word. */
static bool add_place(void *target, const char *name, char *const *values,
                      GError **errp)
{
    GArray *places = *(GArray **)target;
    LayoutPlace place = { .block = values[0] };
    char *equals = strrchr(values[0], '='), *end = NULL;

    if (equals && g_ascii_isdigit(equals[1])) {
        *equals = '\0';
        place.address = g_ascii_strtoull(equals + 1, &end, 0);
    }
    if (!end || *end) {
        return args_fail(errp, "--place takes BLOCK=ADDRESS");
    }
    g_array_append_val(places, place);
    return true;
}

static bool add_name(void *target, const char *name, char *const *values,
                     GError **errp)
{
    g_ptr_array_add(*(GPtrArray **)target, values[0]);
    return true;
}

static bool set_parameter(void *target, const char *name, char *const *values,
                          GError **errp)
{
    const MigOption *option = mig_option_find(name, false, errp);

    return option && mig_options_set_text(target, option, values[0], errp);
}

/* The input is a file if it exists, if it begins with no scheme, or if it is
 * "-". */
static IoUri *parse_input(const char *input, GError **errp)
{
    g_autoptr(IoUri) uri = NULL;

    if (strcmp(input, "-") && strchr(input, ':') &&
        !g_file_test(input, G_FILE_TEST_EXISTS)) {
        return io_uri_parse(input, errp);
    }
    uri = io_uri_parse("fd:0", NULL);
    if (strcmp(input, "-")) {
        uri->kind = IO_URI_FILE;
        uri->path = g_strdup(input);
    }
    return g_steal_pointer(&uri);
}

static void clear_operand(void *operand)
{
    io_uri_free(((InspectOperand *)operand)->uri);
}

static bool set_input(void *target, const char *input, GError **errp)
{
    InspectArgs *args = target;
    InspectOperand operand = { input, parse_input(input, errp) };

    if (operand.uri) {
        g_array_append_val(args->operands, operand);
    }
    return operand.uri != NULL;
}

#define TARGET(member) offsetof(InspectArgs, member)

static const ArgsOption options[] = {
    { "verify", NULL, "decode every compressed page", args_flag,
      TARGET(verify) },
    { "extract", "BLOCK OUT", "write the block's RAM to OUT, a new file; "
      "may be repeated", add_extract, TARGET(extracts) },
    { "stream", "OUT", "write the guest to OUT, a new file, as a plain "
      "stream", add_output, TARGET(outputs) },
    { "raw", "OUT", "write the guest's physical memory to OUT", add_output,
      TARGET(outputs) },
    { "elf", "OUT", "write memory and registers to OUT as an ELF core",
      add_output, TARGET(outputs) },
    { "ram", "BLOCK,...", "for these two: the machine's memory (pc.ram)",
      set_name, TARGET(ram) },
    { "place", "BLOCK=ADDRESS", "for these two: where a block is; may be "
      "repeated", add_place, TARGET(places) },
    { "snapshot", "NAME", "the internal snapshot to read, of a qcow2 image",
      add_name, TARGET(snapshots) },
    { "diff", NULL, "read two streams, and print what differs", args_flag,
      TARGET(diff) },
    { "json", NULL, "print JSON, all of it", args_flag, TARGET(json) },
    { "sections", NULL, "print every pass and section of RAM", args_flag,
      TARGET(sections) },
    { "vmdescription", NULL, "print the vmdescription", args_flag,
      TARGET(vmdescription) },
    { "fields", NULL, "print every field of every device", args_flag,
      TARGET(fields) },
    { "device", "NAME[/FIELD]", "print only a device, or a field of it; may "
      "be repeated", add_name, TARGET(devices) },
    { "decompress-threads", "N", "threads that decode, 1 to 255 (2)",
      set_parameter, TARGET(options) },
    { "help", NULL, "show this help, as -h does", args_last_flag,
      TARGET(help) },
    { "version", NULL, "show the version", args_last_flag, TARGET(version) },
    { NULL },
};

static const ArgsProgram program = {
    .usage = "Usage: ferry-inspect [options] FILE|URI [SIDE-CHANNEL...]\n"
             "       ferry-inspect --diff [options] FILE|URI FILE|URI\n"
             "Show, verify and extract what a QEMU or Ferry migration stream "
             "holds.\n\n",
    .notes = "\nURI is tcp:HOST:PORT or unix:PATH (waits there for a source), "
             "exec:COMMAND,\nfd:N or file:PATH[,offset=N]; - is standard "
             "input.\nExit status: 0, 1 for a stream that is damaged or "
             "cannot be read, 2 for a bad\ncommand line, 3 as 1 if "
             "something was extracted all the same, 4 for guests\nthat "
             "differ.\n",
    .dash = "--",
    .options = options,
    .operand = set_input,
};

static bool check_together(const InspectArgs *args, GError **errp)
{
    if (args->outputs->len && args->extracts->len) {
        return args_fail(errp, "--extract cannot be given with what writes the "
                         "whole guest");
    }
    if (args->diff && (args->operands->len != 2 || args->outputs->len ||
                       args->extracts->len)) {
        return args_fail(errp, "--diff takes two streams, and writes no file");
    }
    return true;
}

bool inspect_args_parse(InspectArgs *args, char **argv, GError **errp)
{
    *args = (InspectArgs){
        .operands = g_array_new(FALSE, FALSE, sizeof(InspectOperand)),
        .extracts = g_array_new(FALSE, FALSE, sizeof(InspectExtract)),
        .outputs = g_array_new(FALSE, FALSE, sizeof(ConvertOutput)),
        .places = g_array_new(FALSE, FALSE, sizeof(LayoutPlace)),
        .devices = g_ptr_array_new(),
        .snapshots = g_ptr_array_new(),
    };
    g_array_set_clear_func(args->operands, clear_operand);
    mig_options_init(&args->options);
    if (!args_parse(&program, args, argv, errp)) {
        return false;
    }
    return check_together(args, errp) &&
           (args->operands->len || args->help || args->version ||
            args_fail(errp, "nothing to inspect: give FILE or URI"));
}

void inspect_args_clear(InspectArgs *args)
{
    g_clear_pointer(&args->operands, g_array_unref);
    g_clear_pointer(&args->extracts, g_array_unref);
    g_clear_pointer(&args->outputs, g_array_unref);
    g_clear_pointer(&args->places, g_array_unref);
    g_clear_pointer(&args->snapshots, g_ptr_array_unref);
    g_clear_pointer(&args->devices, g_ptr_array_unref);
}

char *inspect_args_help(void)
{
    return args_help(&program);
}
