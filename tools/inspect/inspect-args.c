/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One table has every option: its name, its values, its help, what it does. */
#include "tools/inspect/inspect-args.h"

#include <string.h>

#include "ferry/error.h"

typedef struct InspectOption {
    const char *name;
    const char *values; /* what help calls them; NULL: there are none */
    unsigned count;     /* how many they are */
    const char *help;
    bool (*set)(InspectArgs *args, char **value, GError **errp);
} InspectOption;

static bool set_verify(InspectArgs *args, char **value, GError **errp)
{
    args->verify = true;
    return true;
}

static bool add_extract(InspectArgs *args, char **value, GError **errp)
{
    InspectExtract extract = { .block = value[0], .path = value[1] };

    g_array_append_val(args->extracts, extract);
    return true;
}

static bool set_json(InspectArgs *args, char **value, GError **errp)
{
    args->json = true;
    return true;
}

static bool set_sections(InspectArgs *args, char **value, GError **errp)
{
    args->sections = true;
    return true;
}

static bool set_vmdescription(InspectArgs *args, char **value, GError **errp)
{
    args->vmdescription = true;
    return true;
}

static bool set_threads(InspectArgs *args, char **value, GError **errp)
{
    return mig_options_set_text(&args->options,
                                mig_option(MIG_OPT_DECOMPRESS_THREADS),
                                value[0], errp);
}

static bool set_help(InspectArgs *args, char **value, GError **errp)
{
    args->help = true;
    return true;
}

static bool set_version(InspectArgs *args, char **value, GError **errp)
{
    args->version = true;
    return true;
}

static const InspectOption options[] = {
    { "verify", NULL, 0, "decode every compressed page", set_verify },
    { "extract", "BLOCK OUT", 2, "write the block's RAM to OUT, a new file; "
      "may be repeated", add_extract },
    { "json", NULL, 0, "print JSON, all of it", set_json },
    { "sections", NULL, 0, "print every pass and section of RAM",
      set_sections },
    { "vmdescription", NULL, 0, "print the vmdescription",
      set_vmdescription },
    { "decompress-threads", "N", 1, "threads that decode, 1 to 255 (2)",
      set_threads },
    { "help", NULL, 0, "show this help, as -h does", set_help },
    { "version", NULL, 0, "show the version", set_version },
};

static const InspectOption *find_option(const char *arg, GError **errp)
{
    const char *name = arg + (arg[1] == '-' ? 2 : 1);

    if (!strcmp(arg, "-h")) {
        name = "help";
    }
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        if (!strcmp(options[i].name, name)) {
            return &options[i];
        }
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION, "%s: invalid option", arg);
    return NULL;
}

/* A file where one is meant: what exists, what is no scheme, "-". */
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

static bool set_input(InspectArgs *args, const char *input, GError **errp)
{
    if (args->uri) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "%s: only one stream can be inspected", input);
        return false;
    }
    args->input = input;
    args->uri = parse_input(input, errp);
    return args->uri != NULL;
}

static bool parse_one(InspectArgs *args, char ***arg, GError **errp)
{
    const InspectOption *option;
    char **values = *arg + 1;

    if (***arg != '-' || !strcmp(**arg, "-")) {
        return set_input(args, **arg, errp);
    }
    option = find_option(**arg, errp);
    if (!option) {
        return false;
    }
    for (unsigned i = 0; i < option->count; i++) {
        if (!*++*arg) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION, "--%s: requires %s",
                        option->name, option->values);
            return false;
        }
    }
    return option->set(args, values, errp);
}

bool inspect_args_parse(InspectArgs *args, char **argv, GError **errp)
{
    *args = (InspectArgs){
        .extracts = g_array_new(FALSE, FALSE, sizeof(InspectExtract)),
    };
    mig_options_init(&args->options);
    for (char **arg = argv + 1; *arg && !args->help && !args->version; arg++) {
        if (!parse_one(args, &arg, errp)) {
            return false;
        }
    }
    if (!args->uri && !args->help && !args->version) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "nothing to inspect: give FILE or URI");
        return false;
    }
    return true;
}

void inspect_args_clear(InspectArgs *args)
{
    g_clear_pointer(&args->uri, io_uri_free);
    g_clear_pointer(&args->extracts, g_array_unref);
}

char *inspect_args_help(void)
{
    GString *text = g_string_new(
        "Usage: ferry-inspect [options] FILE|URI\n"
        "Show, verify and extract what a QEMU or Ferry migration stream holds."
        "\n\n");

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        const InspectOption *o = &options[i];

        g_string_append_printf(text, "--%s%s%s\n        %s\n", o->name,
                               o->values ? " " : "",
                               o->values ? o->values : "", o->help);
    }
    g_string_append(text,
        "\nURI is tcp:HOST:PORT or unix:PATH (waits there for a source), "
        "exec:COMMAND,\nfd:N or file:PATH[,offset=N]; - is standard input.\n"
        "Exit status: 0, 1 for a stream that is damaged or cannot be read, "
        "2 for a bad\ncommand line.\n");
    return g_string_free(text, FALSE);
}
