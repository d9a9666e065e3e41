/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the machine itself: run state, name, memory, the end. */
#include "monitor/commands.h"

static const char *const run_states[] = {
    "finish-migrate", "inmigrate", "internal-error", "paused",
    "postmigrate",    "prelaunch", "running",        "shutdown",
};

static const char *run_state_value(unsigned index)
{
    return index < G_N_ELEMENTS(run_states) ? run_states[index] : NULL;
}

static const Member status_members[] = {
    { "running", KIND_BOOL },
    { "singlestep", KIND_BOOL },
    { "status", KIND_ENUM, .value = run_state_value },
    { NULL },
};

const Member shape_status = { "return", KIND_OBJECT,
                              .members = status_members };

static const Member name_members[] = {
    { "name", KIND_STRING, true },
    { NULL },
};

const Member shape_name = { "return", KIND_OBJECT, .members = name_members };

JsonNode *cmd_query_status(const MonMachine *machine, JsonObject *args,
                           GError **errp)
{
    JsonObject *status = json_object_new();
    bool running = false;

    json_object_set_string_member(
        status, "status", machine->host->status(machine->opaque, &running));
    json_object_set_boolean_member(status, "singlestep", false);
    json_object_set_boolean_member(status, "running", running);
    return command_object_result(status);
}

JsonNode *cmd_query_name(const MonMachine *machine, JsonObject *args,
                         GError **errp)
{
    JsonObject *name = json_object_new();

    if (machine->host->name) {
        command_set_text(name, "name", machine->host->name);
    }
    return command_object_result(name);
}

JsonNode *cmd_stop(const MonMachine *machine, JsonObject *args, GError **errp)
{
    return machine->host->stop(machine->opaque, errp) ? command_no_result()
                                                      : NULL;
}

JsonNode *cmd_cont(const MonMachine *machine, JsonObject *args, GError **errp)
{
    return machine->host->cont(machine->opaque, errp) ? command_no_result()
                                                      : NULL;
}

JsonNode *cmd_quit(const MonMachine *machine, JsonObject *args, GError **errp)
{
    *machine->over = true;
    machine->host->quit(machine->opaque);
    return command_no_result();
}

static JsonNode *save(const MonMachine *machine, int64_t addr, int64_t size,
                      const char *filename, GError **errp)
{
    return machine->host->pmemsave(machine->opaque, (uint64_t)addr,
                                   (uint64_t)size, filename, errp)
               ? command_no_result()
               : NULL;
}

JsonNode *cmd_pmemsave(const MonMachine *machine, JsonObject *args,
                       GError **errp)
{
    return save(machine, json_object_get_int_member(args, "val"),
                json_object_get_int_member(args, "size"),
                json_object_get_string_member(args, "filename"), errp);
}

/* The same, with HMP's names for the arguments. */
JsonNode *cmd_pmemsave_file(const MonMachine *machine, JsonObject *args,
                            GError **errp)
{
    return save(machine, json_object_get_int_member(args, "addr"),
                json_object_get_int_member(args, "size"),
                json_object_get_string_member(args, "file"), errp);
}
