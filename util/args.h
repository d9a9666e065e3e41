/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the command line of a program, by a table of its options.
 *
 * An option begins with one dash, as QEMU's do, or with two.  Its value is the
 * next word, or follows a '=' behind its name.  An option may be given more
 * than once.
 */
#ifndef UTIL_ARGS_H
#define UTIL_ARGS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Apply an option to its target.  values has as many words as the table says,
 * and belongs to the command line.  The error need not name the option.
 */
typedef bool ArgsSet(void *target, const char *name, char *const *values,
                     GError **errp);

typedef struct ArgsOption {
    const char *name;
    const char *values; /* their names in help, a word each; NULL: none */
    const char *help;
    ArgsSet *set;
    size_t target; /* its offset in the structure args */
} ArgsOption;

typedef struct ArgsProgram {
    const char *usage; /* help begins with it, */
    const char *notes; /* and ends with it */
    const char *dash;  /* how help and messages write options: "-" or "--" */
    const ArgsOption *options; /* the last one has no name */
    /* Takes a word that is no option and no value.  NULL: there may be none. */
    bool (*operand)(void *args, const char *word, GError **errp);
} ArgsProgram;

/* The target is a bool, which becomes true. */
ArgsSet args_flag;
/* The same; the words behind the option are not looked at, as with help. */
ArgsSet args_last_flag;
/* The target is a char *, which is freed and becomes a copy of the value. */
ArgsSet args_text;

/* Fill args.  When the command line is bad: false, an error of one line that
 * names the option, and args may be filled in part.  "-h" is "-help". */
bool args_parse(const ArgsProgram *program, void *args, char *const *argv,
                GError **errp);

char *args_help(const ArgsProgram *program);

/* Sets G_OPTION_ERROR_BAD_VALUE.  Returns false. */
bool args_fail(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
