/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the command table; see struct Command for the contracts. */
#ifndef FERRY_MONITOR_COMMANDS_H
#define FERRY_MONITOR_COMMANDS_H

#include "monitor/command.h"

#define COMMAND_RUN(name)                                                      \
    JsonNode *name(const MonMachine *machine, JsonObject *args, GError **errp)
#define COMMAND_PRINT(name)                                                    \
    void name(const MonMachine *machine, JsonNode *result, GString *out)

/* Names of enum values, for Member.value. */
const char *migration_status_name(unsigned index); /* a MigState's */
const char *capability_name(unsigned index);
const char *parameter_name(unsigned index);

/* commands-machine.c */
extern const Member shape_name, shape_status;
COMMAND_RUN(cmd_query_status);
COMMAND_RUN(cmd_query_name);
COMMAND_RUN(cmd_stop);
COMMAND_RUN(cmd_cont);
COMMAND_RUN(cmd_quit);
COMMAND_RUN(cmd_pmemsave);
COMMAND_RUN(cmd_pmemsave_file);

/* commands-migration.c */
extern const Member shape_migrate, shape_capabilities, shape_parameters;
extern const Member shape_capability_state; /* an element */
COMMAND_RUN(cmd_query_migrate);
COMMAND_RUN(cmd_query_migrate_capabilities);
COMMAND_RUN(cmd_query_migrate_parameters);
COMMAND_RUN(cmd_migrate_set_capabilities);
COMMAND_RUN(cmd_migrate_set_capability);
COMMAND_RUN(cmd_migrate_set_parameters);
COMMAND_RUN(cmd_migrate_set_parameter);
COMMAND_RUN(cmd_migrate);
COMMAND_RUN(cmd_migrate_incoming);
COMMAND_RUN(cmd_migrate_cancel);
COMMAND_RUN(cmd_migrate_continue);
COMMAND_RUN(cmd_migrate_pause);
COMMAND_RUN(cmd_getfd);
COMMAND_RUN(cmd_closefd);
void help_migrate(GString *out);

/* commands-monitor.c */
extern const Member shape_names, shape_text, shape_version;
extern const Member shape_oob; /* an element of "enable" */
COMMAND_RUN(cmd_qmp_capabilities);
COMMAND_RUN(cmd_query_commands);
COMMAND_RUN(cmd_query_events);
COMMAND_RUN(cmd_query_version);
COMMAND_RUN(cmd_human_monitor_command);
COMMAND_RUN(cmd_help);
COMMAND_RUN(cmd_info);
void help_capabilities(GString *out);
void help_parameters(GString *out);

/* schema.c */
extern const Member shape_schema;
COMMAND_RUN(cmd_query_qmp_schema);

/* hmp-info.c */
COMMAND_PRINT(print_status);
COMMAND_PRINT(print_name);
COMMAND_PRINT(print_version);
COMMAND_PRINT(print_migrate);
COMMAND_PRINT(print_migrate_capabilities);
COMMAND_PRINT(print_migrate_parameters);
COMMAND_PRINT(print_text);

#endif
