/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP lines.
 *
 * A line is a command's name and its arguments, divided by blanks.  The
 * command's argument list in the table says how to read them: flags ("-d")
 * first, then strings, which may be quoted.  What comes out is the same JSON
 * object that QMP brings, so both run the same code from there on.
 */
#include "monitor/hmp.h"

#include <string.h>

static void skip_blanks(const char **cursor)
{
    while (g_ascii_isspace(**cursor)) {
        (*cursor)++;
    }
}

/* The next word, up to a blank, as it stands; "" at the end. */
static char *next_word(const char **cursor)
{
    const char *start;

    skip_blanks(cursor);
    start = *cursor;
    while (**cursor && !g_ascii_isspace(**cursor)) {
        (*cursor)++;
    }
    return g_strndup(start, (size_t)(*cursor - start));
}

static bool unescape(char c, GString *text, GString *out)
{
    switch (c) {
    case 'n':
        g_string_append_c(text, '\n');
        return true;
    case 'r':
        g_string_append_c(text, '\r');
        return true;
    case '\\':
    case '\'':
    case '"':
        g_string_append_c(text, c);
        return true;
    default:
        g_string_append_printf(out, "unsupported escape code: '\\%c'\n", c);
        return false;
    }
}

/* A string in double quotes; NULL when it is not well-formed. */
static char *next_quoted(const char **cursor, GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const char *p = *cursor + 1;

    for (; *p && *p != '"'; p++) {
        if (*p != '\\' || !p[1]) {
            g_string_append_c(text, *p);
        } else if (!unescape(*++p, text, out)) {
            return NULL;
        }
    }
    if (!*p) {
        g_string_append(out, "unterminated string\n");
        return NULL;
    }
    *cursor = p + 1;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *next_string(const char **cursor, GString *out)
{
    skip_blanks(cursor);
    if (!**cursor) {
        return NULL;
    }
    return **cursor == '"' ? next_quoted(cursor, out) : next_word(cursor);
}

static const CommandArg *find_flag(const Command *command, char letter)
{
    for (const CommandArg *arg = command->args; arg->name; arg++) {
        if (arg->type == ARG_FLAG && arg->name[0] == letter) {
            return arg;
        }
    }
    return NULL;
}

static bool parse_flags(const Command *command, const char **cursor,
                        JsonObject *args, GString *out)
{
    skip_blanks(cursor);
    while (**cursor == '-') {
        g_autofree char *word = next_word(cursor);
        const CommandArg *flag = find_flag(command, word[1]);

        if (!flag || word[2]) {
            g_string_append_printf(out, "%s: unsupported option %s\n",
                                   command->hmp, word);
            return false;
        }
        json_object_set_boolean_member(args, flag->name, true);
        skip_blanks(cursor);
    }
    return true;
}

static bool parse_string(const Command *command, const CommandArg *arg,
                         const char **cursor, JsonObject *args, GString *out)
{
    g_autofree char *text = next_string(cursor, out);

    if (text) {
        json_object_set_string_member(args, arg->name, text);
    } else if (!arg->optional) {
        g_string_append_printf(out, "%s: string expected\n", command->hmp);
        return false;
    }
    return true;
}

static bool parse_bool(const CommandArg *arg, const char **cursor,
                       JsonObject *args, GString *out)
{
    g_autofree char *word = next_word(cursor);
    bool on = g_str_equal(word, "on");

    if (!on && !g_str_equal(word, "off")) {
        g_string_append(out, "Expected 'on' or 'off'\n");
        return false;
    }
    json_object_set_boolean_member(args, arg->name, on);
    return true;
}

static void parse_rest(const CommandArg *arg, const char **cursor,
                       JsonObject *args)
{
    g_autofree char *rest = g_strstrip(g_strdup(*cursor));

    json_object_set_string_member(args, arg->name, rest);
    *cursor += strlen(*cursor);
}

static bool parse_arg(const Command *command, const CommandArg *arg,
                      const char **cursor, JsonObject *args, GString *out)
{
    switch (arg->type) {
    case ARG_FLAG:
        return true; /* see parse_flags() */
    case ARG_STRING:
        return parse_string(command, arg, cursor, args, out);
    case ARG_BOOL:
        return parse_bool(arg, cursor, args, out);
    case ARG_REST:
        parse_rest(arg, cursor, args);
        return true;
    case ARG_UINT:
    case ARG_ARRAY:
        break;
    }
    g_assert_not_reached();
}

static bool has_flags(const Command *command)
{
    for (const CommandArg *arg = command->args; arg->name; arg++) {
        if (arg->type == ARG_FLAG) {
            return true;
        }
    }
    return false;
}

static bool parse_args(const Command *command, const char *cursor,
                       JsonObject *args, GString *out)
{
    if (has_flags(command) && !parse_flags(command, &cursor, args, out)) {
        return false;
    }
    for (const CommandArg *arg = command->args; arg->name; arg++) {
        if (!parse_arg(command, arg, &cursor, args, out)) {
            return false;
        }
    }
    skip_blanks(&cursor);
    if (*cursor) {
        g_string_append_printf(out,
                               "%s: extraneous characters at the end of line\n",
                               command->hmp);
        return false;
    }
    return true;
}

/* Find the command of a line and move on to its arguments. */
static const Command *parse_command(const char **cursor, GString *out)
{
    g_autofree char *name = next_word(cursor);
    const Command *command;

    skip_blanks(cursor);
    if (g_str_equal(name, "info") && **cursor) {
        g_autofree char *item = next_word(cursor);
        g_autofree char *group = g_steal_pointer(&name);

        name = g_strdup_printf("%s %s", group, item);
    }
    command = command_find_hmp(name);
    if (!command) {
        g_string_append_printf(out, "unknown command: '%s'\n", name);
    }
    return command;
}

static HmpNext run_line(const MonMachine *machine, const char *line,
                        GString *out)
{
    const Command *command = parse_command(&line, out);
    g_autoptr(JsonObject) args = json_object_new();
    g_autoptr(JsonNode) result = NULL;
    g_autoptr(GError) err = NULL;

    if (!command) {
        return HMP_PROMPT;
    }
    if (!parse_args(command, line, args, out)) {
        g_string_append_printf(out, "Try \"help %s\" for more information\n",
                               command->hmp);
        return HMP_PROMPT;
    }
    result = command_run(command, machine, args, &err);
    if (!result) {
        g_string_append_printf(out, "Error: %s\n", err->message);
        return HMP_PROMPT;
    }
    if (command->print) {
        command->print(machine, result, out);
    }
    if (json_object_get_boolean_member_with_default(args, "detach", false)) {
        return HMP_PROMPT;
    }
    return command->next;
}

static void append_crlf(GString *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            g_string_append_c(out, '\r');
        }
        g_string_append_c(out, *text);
    }
}

HmpNext hmp_run(const MonMachine *machine, const char *line, GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    HmpNext next = HMP_PROMPT;

    skip_blanks(&line);
    if (*line) {
        next = run_line(machine, line, text);
    }
    append_crlf(out, text->str);
    return next;
}
