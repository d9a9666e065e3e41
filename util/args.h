/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of a program, by a table of its options.
 *
 * An option begins with one dash, as QEMU's do, or with two.  Its value is the
 * next word, or what follows a '=' behind its name.  An option may stand more
 * than once.
 */
#ifndef UTIL_ARGS_H
#define UTIL_ARGS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What an option does to its target.  values are as many words as the table
 * says, and belong to the command line.  The error that it sets need not name
 * the option.
 */
typedef bool ArgsSet(void *target, const char *name, char *const *values,
                     GError **errp);

typedef struct ArgsOption {
    const char *name;
    const char *values; /* what help calls them, a word each; NULL: none */
    const char *help;
    ArgsSet *set;
    size_t target; /* its offset in the structure that is filled */
} ArgsOption;

typedef struct ArgsProgram {
    const char *usage; /* help begins with it, */
    const char *notes; /* and ends with it */
    const char *dash;  /* how help and messages write options: "-" or "--" */
    const ArgsOption *options; /* the last one has no name */
    /* A word that is no option and no value; NULL: there is to be none. */
    bool (*operand)(void *args, const char *word, GError **errp);
} ArgsProgram;

/* What most options do.  The target is a bool, which becomes true: */
ArgsSet args_flag;
/* the same, and what comes behind the option is not looked at (help); */
ArgsSet args_last_flag;
/* a char *, which is freed and becomes a copy of the value. */
ArgsSet args_text;

/* Fill args.  False, and an error of one line that names the option, when the
 * command line is bad; args may be filled in part then.  "-h" is "-help". */
bool args_parse(const ArgsProgram *program, void *args, char *const *argv,
                GError **errp);

char *args_help(const ArgsProgram *program);

/* Set G_OPTION_ERROR_BAD_VALUE; false. */
bool args_fail(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
