/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command table that HMP and QMP share.
 *
 * A front end finds a command by its name, brings the arguments into a JSON
 * object, calls command_run(), and shows the JSON that comes back in its own
 * way.  A command that only one front end has, has no name in the other.
 */
#ifndef FERRY_MONITOR_COMMAND_H
#define FERRY_MONITOR_COMMAND_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "ferry/monitor.h"
#include "monitor/command-error.h"
#include "monitor/passed-fds.h"
#include "monitor/shape.h"

typedef struct CommandTable CommandTable;

/* What commands act upon. */
typedef struct MonMachine {
    const CommandTable *commands; /* all that there are */
    const MonHost *host;
    void *opaque;
    bool *over; /* quit was called: no command runs any more */
    PassedFds *fds; /* the session's */
} MonMachine;

#define COMMAND_MAX_ARGS 5

/* How an HMP session goes on after a command that succeeded. */
typedef enum {
    HMP_PROMPT,
    HMP_WAIT,   /* for the end of the migration, unless "detach" was given */
    HMP_RESUME, /* the same, if it waited before the migration was held */
    HMP_SILENT, /* no prompt: the process is about to end */
} HmpNext;

typedef struct Command {
    const char *qmp; /* name, or NULL */
    const char *hmp; /* name, "info NAME" for an item of info, or NULL */
    const char *hmp_alias;
    Member args[COMMAND_MAX_ARGS + 1]; /* ends with a NULL name */
    bool takes_parameters;             /* instead of args: run checks them */
    const Member *result;              /* QMP: its return value; NULL: {} */
    bool negotiates; /* QMP: ends the capabilities negotiation */
    bool has_items;  /* HMP: the next word belongs to the name: "info NAME" */
    HmpNext next;
    const char *help; /* HMP only */

    /* NULL only with an error.  The arguments were checked against args. */
    JsonNode *(*run)(const MonMachine *machine, JsonObject *args,
                     GError **errp);

    /* Appends the result as HMP shows it, lines ending in '\n'.  NULL: shows
     * nothing. */
    void (*print)(const MonMachine *machine, JsonNode *result, GString *out);

    /* Appends lines to the help of this command alone, or is NULL. */
    void (*help_more)(GString *out);
} Command;

struct CommandTable {
    const Command *rows; /* in the order in which help lists them */
    size_t count;
};

extern const CommandTable command_table; /* command-table.c: the only one */

/* NULL when there is no such command. */
const Command *command_find_qmp(const CommandTable *table, const char *name);

/*
 * Find an HMP command by its name, its alias, or an unambiguous beginning of
 * its name; an item of info by "info NAME".  NULL otherwise; then all names
 * that begin with `name` are appended to candidates.
 */
const Command *command_find_hmp(const CommandTable *table, const char *name,
                                GPtrArray *candidates);

/* Append the names (constants) that begin with `start`. */
void command_list_hmp(const CommandTable *table, const char *start,
                      GPtrArray *names);

/* Check the arguments and run.  NULL on failure. */
JsonNode *command_run(const Command *command, const MonMachine *machine,
                      JsonObject *args, GError **errp);

/* The result of a command that has nothing to say: {}. */
JsonNode *command_no_result(void);
JsonNode *command_object_result(JsonObject *object); /* takes object */
JsonNode *command_array_result(JsonArray *array);    /* the same */

/* Set a string member.  Names and messages may come from file names, which need
 * not be UTF-8, while JSON must be. */
void command_set_text(JsonObject *object, const char *name, const char *text);

#endif
