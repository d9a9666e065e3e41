/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command table is made of; see struct Command for the contracts. */
#ifndef FERRY_MONITOR_COMMANDS_H
#define FERRY_MONITOR_COMMANDS_H

#include "monitor/command.h"

#define COMMAND_RUN(name)                                                      \
    JsonNode *name(const MonMachine *machine, JsonObject *args, GError **errp)
#define COMMAND_PRINT(name)                                                    \
    void name(const MonMachine *machine, JsonNode *result, GString *out)

/* commands-machine.c */
COMMAND_RUN(cmd_query_status);
COMMAND_RUN(cmd_query_name);
COMMAND_RUN(cmd_stop);
COMMAND_RUN(cmd_cont);
COMMAND_RUN(cmd_quit);
COMMAND_RUN(cmd_pmemsave);

/* commands-migration.c */
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

/* commands-monitor.c */
COMMAND_RUN(cmd_qmp_capabilities);
COMMAND_RUN(cmd_query_commands);
COMMAND_RUN(cmd_query_version);
COMMAND_RUN(cmd_human_monitor_command);
COMMAND_RUN(cmd_help);
COMMAND_RUN(cmd_info);
void help_capabilities(GString *out);
void help_parameters(GString *out);

/* hmp-info.c */
COMMAND_PRINT(print_status);
COMMAND_PRINT(print_name);
COMMAND_PRINT(print_version);
COMMAND_PRINT(print_migrate);
COMMAND_PRINT(print_migrate_capabilities);
COMMAND_PRINT(print_migrate_parameters);
COMMAND_PRINT(print_text);

#endif
