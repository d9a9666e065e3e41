/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/args.h"

#include <string.h>

bool args_fail(GError **errp, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    g_propagate_error(errp, g_error_new_valist(
        G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, list));
    va_end(list);
    return false;
}

bool args_flag(void *target, const char *name, char *const *values,
               GError **errp)
{
    *(bool *)target = true;
    return true;
}

bool args_last_flag(void *target, const char *name, char *const *values,
                    GError **errp)
{
    return args_flag(target, name, values, errp);
}

bool args_text(void *target, const char *name, char *const *values,
               GError **errp)
{
    char **text = target;

    g_free(*text);
    *text = g_strdup(values[0]);
    return true;
}

/* NULL when there is none.  *inside is what follows a '=', or NULL. */
static const ArgsOption *find_option(const ArgsOption *options,
                                     const char *word, char **inside)
{
    size_t dashes = strspn(word, "-");
    const char *name = strcmp(word, "-h") ? word + dashes : "help";
    size_t length = strcspn(name, "=");

    *inside = name[length] ? (char *)name + length + 1 : NULL;
    for (const ArgsOption *o = options; o->name; o++) {
        if ((dashes == 1 || dashes == 2) && strlen(o->name) == length &&
            !strncmp(o->name, name, length)) {
            return o;
        }
    }
    return NULL;
}

static size_t count_values(const ArgsOption *option)
{
    size_t count = option->values ? 1 : 0;

    for (const char *p = option->values; p && *p; p++) {
        count += *p == ' ';
    }
    return count;
}

/* Where the option's values are: in its own word or behind it.  NULL when there
 * are too many or too few. */
static char *const *find_values(const ArgsOption *option, const char *dash,
                                char *const *inside, char *const *behind,
                                GError **errp)
{
    size_t count = count_values(option);
    size_t there = *inside ? 1 : g_strv_length((char **)behind);

    if (*inside && count == 0) {
        args_fail(errp, "%s%s: takes no argument", dash, option->name);
        return NULL;
    }
    if (there < count) {
        args_fail(errp, "%s%s: requires %s", dash, option->name,
                  count == 1 ? "an argument" : option->values);
        return NULL;
    }
    return *inside ? inside : behind;
}

/* The option at **word; *word is moved to the option's last word.  NULL when
 * the option is bad. */
static const ArgsOption *parse_option(const ArgsProgram *program, void *args,
                                      char *const **word, GError **errp)
{
    char *inside;
    const ArgsOption *option = find_option(program->options, **word, &inside);
    char *const *values;

    if (!option) {
        args_fail(errp, "%s: invalid option", **word);
        return NULL;
    }
    values = find_values(option, program->dash, &inside, *word + 1, errp);
    if (!values) {
        return NULL;
    }
    if (!option->set((char *)args + option->target, option->name, values,
                     errp)) {
        g_prefix_error(errp, "%s%s%s%s: ", program->dash, option->name,
                       option->values ? " " : "",
                       option->values ? values[0] : "");
        return NULL;
    }
    *word += inside ? 0 : count_values(option);
    return option;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1];
}

bool args_parse(const ArgsProgram *program, void *args, char *const *argv,
                GError **errp)
{
    for (char *const *word = argv + 1; *word; word++) {
        const ArgsOption *option;

        if (program->operand && !is_option(*word)) {
            if (!program->operand(args, *word, errp)) {
                return false;
            }
            continue;
        }
        option = parse_option(program, args, &word, errp);
        if (!option || option->set == args_last_flag) {
            return option;
        }
    }
    return true;
}

char *args_help(const ArgsProgram *program)
{
    GString *text = g_string_new(program->usage);

    for (const ArgsOption *o = program->options; o->name; o++) {
        g_string_append_printf(text, "%s%s%s%s\n        %s\n", program->dash,
                               o->name, o->values ? " " : "",
                               o->values ? o->values : "", o->help);
    }
    g_string_append(text, program->notes);
    return g_string_free(text, FALSE);
}
