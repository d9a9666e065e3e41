/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/args.h: reading a command line by a table. */
#include "util/args.h"

#include <string.h>

typedef struct Args {
    bool verbose, help;
    char *name;
    char *first, *second; /* of --pair */
    GString *operands;
} Args;

static bool set_pair(void *target, const char *name, char *const *values,
                     GError **errp)
{
    Args *args = target;

    g_assert_cmpstr(name, ==, "pair");
    if (!strcmp(values[0], values[1])) {
        return args_fail(errp, "%s twice", values[0]);
    }
    return args_text(&args->first, name, values, errp) &&
           args_text(&args->second, name, values + 1, errp);
}

static bool add_operand(void *target, const char *word, GError **errp)
{
    Args *args = target;

    if (!strcmp(word, "bad")) {
        return args_fail(errp, "%s: no such thing", word);
    }
    g_string_append_printf(args->operands, "<%s>", word);
    return true;
}

static const ArgsOption options[] = {
    { "verbose", NULL, "say more", args_flag, offsetof(Args, verbose) },
    { "name", "NAME", "a name", args_text, offsetof(Args, name) },
    { "pair", "A B", "two of them", set_pair },
    { "help", NULL, "this", args_last_flag, offsetof(Args, help) },
    { NULL },
};

static const ArgsProgram with_operands = {
    .usage = "Usage\n", .notes = "Notes\n", .dash = "--", .options = options,
    .operand = add_operand,
};

static const ArgsProgram without_operands = {
    .usage = "Usage\n", .notes = "Notes\n", .dash = "-", .options = options,
};

/* The words of a line; an empty word is "''". */
static bool parse(const ArgsProgram *program, Args *args, const char *line,
                  GError **errp)
{
    g_autofree char *all = g_strconcat("program ", line, NULL);
    g_auto(GStrv) argv = g_strsplit(all, " ", -1);

    for (char **word = argv; *word; word++) {
        if (!strcmp(*word, "''")) {
            **word = '\0';
        }
    }
    *args = (Args){ .operands = g_string_new(NULL) };
    return args_parse(program, args, argv, errp);
}

static void clear(Args *args)
{
    g_free(args->name);
    g_free(args->first);
    g_free(args->second);
    g_string_free(args->operands, TRUE);
}

static void test_good(void)
{
    static const struct {
        const char *line, *name, *first, *second, *operands;
        bool verbose, help;
    } rows[] = {
        { "--name a", .name = "a" },
        { "-name a", .name = "a" },
        { "--name=a", .name = "a" },
        { "-name=a=b", .name = "a=b" },
        { "--name=", .name = "" },
        { "--name ''", .name = "" },
        { "--name a --name b", .name = "b" },
        { "--name --verbose", .name = "--verbose" },
        { "--pair a b -verbose", .first = "a", .second = "b",
          .verbose = true },
        { "a --name b - '' c", .name = "b", .operands = "<a><-><><c>" },
        { "--help --nonsense", .help = true },
        { "-h --nonsense", .help = true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Args args;

        g_test_message("%s", rows[i].line);
        g_assert_true(parse(&with_operands, &args, rows[i].line, NULL));
        g_assert_cmpstr(args.name, ==, rows[i].name);
        g_assert_cmpstr(args.first, ==, rows[i].first);
        g_assert_cmpstr(args.second, ==, rows[i].second);
        g_assert_cmpstr(args.operands->str, ==,
                        rows[i].operands ? rows[i].operands : "");
        g_assert_true(args.verbose == rows[i].verbose);
        g_assert_true(args.help == rows[i].help);
        clear(&args);
    }
}

static void test_bad(void)
{
    static const struct {
        const ArgsProgram *program;
        const char *line, *says;
    } rows[] = {
        { &with_operands, "--what", "--what: invalid option" },
        { &with_operands, "--what=x", "--what=x: invalid option" },
        { &with_operands, "--nam x", "--nam: invalid option" },
        { &with_operands, "---verbose", "---verbose: invalid option" },
        { &with_operands, "--", "--: invalid option" },
        { &with_operands, "bad", "bad: no such thing" },
        { &with_operands, "--name", "--name: requires an argument" },
        { &with_operands, "--pair a", "--pair: requires A B" },
        { &with_operands, "--pair=a b", "--pair: requires A B" },
        { &with_operands, "--pair a a", "--pair a: a twice" },
        { &with_operands, "--verbose=yes", "--verbose: takes no argument" },
        { &without_operands, "word", "word: invalid option" },
        { &without_operands, "-", "-: invalid option" },
        { &without_operands, "''", ": invalid option" },
        { &without_operands, "--name", "-name: requires an argument" },
        { &without_operands, "-verbose=", "-verbose: takes no argument" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        Args args;

        g_assert_false(parse(rows[i].program, &args, rows[i].line, &err));
        g_assert_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
        g_assert_cmpstr(err->message, ==, rows[i].says);
        clear(&args);
    }
}

static void test_help(void)
{
    g_autofree char *help = args_help(&without_operands);

    g_assert_cmpstr(help, ==,
                    "Usage\n"
                    "-verbose\n        say more\n"
                    "-name NAME\n        a name\n"
                    "-pair A B\n        two of them\n"
                    "-help\n        this\n"
                    "Notes\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/args/good", test_good);
    g_test_add_func("/args/bad", test_bad);
    g_test_add_func("/args/help", test_help);
    return g_test_run();
}
