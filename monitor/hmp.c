/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP lines.
 *
 * A line is a command's name, or an unambiguous beginning of it, and its
 * arguments, divided by blanks.  The command's argument list in the table says
 * how to read them: flags ("-d") first, then strings, which may be quoted.  The
 * result is the JSON object that a QMP client would send, so both front ends
 * run the same code from there on.
 */
#include "monitor/hmp.h"

#include <errno.h>
#include <string.h>

static void skip_blanks(const char **cursor)
{
    while (g_ascii_isspace(**cursor)) {
        (*cursor)++;
    }
}

/* The next word, up to a blank, without looking at quotes; "" at the end. */
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

/* "migrate_cancel: ", "stop|s: ", and "status: " for an item of info. */
static void usage_error(const Command *command, GString *out,
                        const char *format, ...) G_GNUC_PRINTF(3, 4);

static void usage_error(const Command *command, GString *out,
                        const char *format, ...)
{
    const char *item = strchr(command->hmp, ' ');
    va_list ap;

    g_string_append(out, item ? item + 1 : command->hmp);
    if (command->hmp_alias) {
        g_string_append_printf(out, "|%s", command->hmp_alias);
    }
    g_string_append(out, ": ");
    va_start(ap, format);
    g_string_append_vprintf(out, format, ap);
    va_end(ap);
    g_string_append_c(out, '\n');
}

static const Member *find_flag(const Command *command, char letter)
{
    for (const Member *arg = command->args; arg->name; arg++) {
        if (arg->kind == KIND_FLAG && arg->name[0] == letter) {
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
        const Member *flag = find_flag(command, word[1]);

        if (!flag || word[2]) {
            usage_error(command, out, "unsupported option %s", word);
            return false;
        }
        json_object_set_boolean_member(args, flag->name, true);
        skip_blanks(cursor);
    }
    return true;
}

static bool parse_string(const Command *command, const Member *arg,
                         const char **cursor, JsonObject *args, GString *out)
{
    g_autofree char *text = next_string(cursor, out);

    if (text) {
        json_object_set_string_member(args, arg->name, text);
    } else if (!arg->optional) {
        usage_error(command, out, "string expected");
        return false;
    }
    return true;
}

/* Errors are worded as in QEMU, where a number may be an expression. */
static bool parse_uint(const Member *arg, const char **cursor, JsonObject *args,
                       GString *out)
{
    g_autofree char *word = next_word(cursor);
    guint64 value;
    char *end;

    errno = 0;
    value = g_ascii_strtoull(word, &end, 0);
    if (!*word) {
        g_string_append(out, "unexpected end of expression\n");
    } else if (!g_ascii_isdigit(*word) || *end) {
        g_string_append_printf(out, "invalid char '%c' in expression\n",
                               g_ascii_isdigit(*word) ? *end : *word);
    } else if (errno == ERANGE || value > G_MAXINT64) {
        g_string_append(out, "number too large\n");
    } else {
        json_object_set_int_member(args, arg->name, (int64_t)value);
        return true;
    }
    return false;
}

static bool parse_bool(const Member *arg, const char **cursor, JsonObject *args,
                       GString *out)
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

static void parse_rest(const Member *arg, const char **cursor, JsonObject *args)
{
    g_autofree char *rest = g_strstrip(g_strdup(*cursor));

    json_object_set_string_member(args, arg->name, rest);
    *cursor += strlen(*cursor);
}

static bool parse_arg(const Command *command, const Member *arg,
                      const char **cursor, JsonObject *args, GString *out)
{
    switch (arg->kind) {
    case KIND_FLAG:
        return true; /* see parse_flags() */
    case KIND_STRING:
    case KIND_SETTING:
    case KIND_ENUM:
        return parse_string(command, arg, cursor, args, out);
    case KIND_BOOL:
        return parse_bool(arg, cursor, args, out);
    case KIND_UINT:
        return parse_uint(arg, cursor, args, out);
    case KIND_REST:
        parse_rest(arg, cursor, args);
        return true;
    default:
        break;
    }
    g_assert_not_reached();
}

static bool has_flags(const Command *command)
{
    for (const Member *arg = command->args; arg->name; arg++) {
        if (arg->kind == KIND_FLAG) {
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
    for (const Member *arg = command->args; arg->name; arg++) {
        if (!parse_arg(command, arg, &cursor, args, out)) {
            return false;
        }
    }
    skip_blanks(&cursor);
    if (*cursor) {
        usage_error(command, out, "extraneous characters at the end of line");
        return false;
    }
    return true;
}

static const Command *find_command(const CommandTable *table,
                                   const char *name, GString *out)
{
    g_autoptr(GPtrArray) candidates = g_ptr_array_new();
    const Command *command = command_find_hmp(table, name, candidates);
    g_autofree char *list = NULL;

    if (command) {
        return command;
    }
    if (candidates->len == 0) {
        g_string_append_printf(out, "unknown command: '%s'\n", name);
        return NULL;
    }
    g_ptr_array_add(candidates, NULL);
    list = g_strjoinv(", ", (char **)candidates->pdata);
    g_string_append_printf(out, "ambiguous command: '%s' could be %s\n", name,
                           list);
    return NULL;
}

const Command *hmp_find(const CommandTable *table, const char **cursor,
                        GString *out)
{
    g_autofree char *name = next_word(cursor);
    const Command *command = find_command(table, name, out);
    g_autofree char *item = NULL;

    skip_blanks(cursor);
    if (command && command->has_items && **cursor) {
        g_autofree char *word = next_word(cursor);

        item = g_strdup_printf("%s %s", command->hmp, word);
        command = find_command(table, item, out);
        skip_blanks(cursor);
    }
    return command;
}

/* Replace enum values by their exact spelling.  The errors for bad ones are
 * HMP's, which are worded otherwise than QMP's. */
static bool settle_enums(const Command *command, JsonObject *args, GString *out)
{
    for (const Member *arg = command->args; arg->name; arg++) {
        const char *text;
        int index;

        if (arg->kind != KIND_ENUM) {
            continue;
        }
        text = json_object_get_string_member(args, arg->name);
        index = shape_find_value(arg, text);
        if (index < 0) {
            g_string_append_printf(out, "Error: invalid parameter value: %s\n",
                                   text);
            return false;
        }
        json_object_set_string_member(args, arg->name,
                                      arg->value((unsigned)index));
    }
    return true;
}

static HmpNext run_line(const MonMachine *machine, const char *line,
                        GString *out)
{
    const char *cursor = line;
    const Command *command = hmp_find(machine->commands, &cursor, out);
    g_autofree char *name = g_strndup(line, (size_t)(cursor - line));
    g_autoptr(JsonObject) args = json_object_new();
    g_autoptr(JsonNode) result = NULL;
    g_autoptr(GError) err = NULL;

    if (!command) {
        return HMP_PROMPT;
    }
    if (!parse_args(command, cursor, args, out)) {
        g_string_append_printf(out, "Try \"help %s\" for more information\n",
                               g_strchomp(name));
        return HMP_PROMPT;
    }
    if (!settle_enums(command, args, out)) {
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
