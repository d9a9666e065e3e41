/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls that the monitors make to the machine: ferry/monitor.h.  All of
 * them come from the main thread.  What QEMU refuses is refused here in the
 * same words.  As in QEMU, the events that a command causes come before its
 * answer.
 */
#include "vmm/machine.h"

#include <stdlib.h>
#include <string.h>

#include "ferry/error.h"
#include "ferry/uri.h"

static bool refuse(const char *why, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STATE, "%s", why);
    return false;
}

static RunState get_state(Machine *machine)
{
    RunState state;

    pthread_mutex_lock(&machine->lock);
    state = machine->state;
    pthread_mutex_unlock(&machine->lock);
    return state;
}

static const char *monitor_status(void *opaque, bool *running)
{
    RunState state = get_state(opaque);

    *running = state == RUN_STATE_RUNNING;
    return run_state_name(state);
}

/* Change the state in which the guest goes on, here or at the destination. */
static bool change_before_locked(Machine *machine, RunState from, RunState to,
                                 GError **errp)
{
    if (machine->sealed || machine->before != from) {
        return refuse("Migration is not finalized yet", errp);
    }
    machine->before = to;
    return true;
}

static bool stop_locked(Machine *machine, GError **errp)
{
    switch (machine->state) {
    case RUN_STATE_RUNNING:
        machine_enter_locked(machine, RUN_STATE_PAUSED);
        return true;
    case RUN_STATE_INMIGRATE:
        machine->autostart = false;
        return true;
    case RUN_STATE_FINISH_MIGRATE:
        return machine->before != RUN_STATE_RUNNING ||
               change_before_locked(machine, RUN_STATE_RUNNING,
                                    RUN_STATE_PAUSED, errp);
    default:
        return true;
    }
}

static bool monitor_stop(void *opaque, GError **errp)
{
    Machine *machine = opaque;
    bool ok;

    pthread_mutex_lock(&machine->lock);
    ok = stop_locked(machine, errp);
    pthread_mutex_unlock(&machine->lock);
    machine_send_events(machine);
    return ok;
}

static bool cont_locked(Machine *machine, GError **errp)
{
    switch (machine->state) {
    case RUN_STATE_SHUTDOWN:
    case RUN_STATE_INTERNAL_ERROR:
        return refuse("Resetting the Virtual Machine is required", errp);
    case RUN_STATE_FINISH_MIGRATE: /* undoes a "stop" */
        return change_before_locked(machine, RUN_STATE_PAUSED,
                                    RUN_STATE_RUNNING, errp);
    case RUN_STATE_INMIGRATE:
        machine->autostart = true;
        return true;
    default:
        machine_enter_locked(machine, RUN_STATE_RUNNING);
        return true;
    }
}

static bool monitor_cont(void *opaque, GError **errp)
{
    Machine *machine = opaque;
    bool ok;

    pthread_mutex_lock(&machine->lock);
    ok = cont_locked(machine, errp);
    pthread_mutex_unlock(&machine->lock);
    machine_send_events(machine);
    return ok;
}

static void monitor_quit(void *opaque)
{
    Machine *machine = opaque;

    machine_tell_shutdown(machine, MON_SHUTDOWN_QUIT);
    machine_send_events(machine);
    machine_quit(machine, EXIT_SUCCESS);
}

static void monitor_get_options(void *opaque, MigOptions *options)
{
    const Machine *machine = opaque;

    *options = machine->options;
}

static bool is_migrating(const Machine *machine)
{
    MigInfo info;
    bool final;

    if (!machine->migration) {
        return false;
    }
    mig_query(machine->migration, &info);
    final = mig_state_is_final(info.state);
    mig_info_clear(&info);
    return !final;
}

static bool monitor_set_option(void *opaque, const MigOption *option,
                               uint64_t value, GError **errp)
{
    Machine *machine = opaque;
    MigOptions changed = machine->options;
    bool migrating = is_migrating(machine);

    if (migrating && option->kind == MIG_KIND_CAPABILITY) {
        return refuse("There's a migration process in progress", errp);
    }
    if (!mig_options_set(&changed, option, value, errp)) {
        return false;
    }
    if (migrating && option->live &&
        !mig_set_live(machine->migration, option->id, value, errp)) {
        return false;
    }
    pthread_mutex_lock(&machine->lock);
    machine->options = changed;
    pthread_mutex_unlock(&machine->lock);
    return true;
}

static bool may_migrate(Machine *machine, GError **errp)
{
    if (is_migrating(machine)) {
        return refuse("There's a migration process in progress", errp);
    }
    switch (get_state(machine)) {
    case RUN_STATE_INMIGRATE:
        return refuse("Guest is waiting for an incoming migration", errp);
    case RUN_STATE_POSTMIGRATE:
        return refuse("Can't migrate the vm that was paused due to previous "
                      "migration", errp);
    default:
        return true;
    }
}

static bool monitor_migrate(void *opaque, const char *uri, GError **errp)
{
    Machine *machine = opaque;
    g_autoptr(IoUri) parsed = NULL;
    bool ok;

    if (!may_migrate(machine, errp)) {
        return false;
    }
    parsed = io_uri_parse(uri, errp);
    if (!parsed) {
        return false;
    }
    mig_free(machine->migration);
    machine->migration =
        mig_new(&machine->source_host, machine, &machine->options);
    ok = mig_send_to(machine->migration, parsed, errp);
    machine_send_events(machine);
    return ok;
}

static bool monitor_migrate_incoming(void *opaque, const char *uri,
                                     GError **errp)
{
    Machine *machine = opaque;

    if (!machine->args->incoming) {
        return refuse("'-incoming' was not specified on the command line",
                      errp);
    }
    if (machine->incoming_used) {
        return refuse("The incoming migration has already been started", errp);
    }
    return machine_incoming_start(machine, uri, errp);
}

/* The outgoing migration that runs or ran last, or NULL. */
static Migration *outgoing(const Machine *machine)
{
    MigInfo info;
    bool incoming;

    if (!machine->migration) {
        return NULL;
    }
    mig_query(machine->migration, &info);
    incoming = info.incoming;
    mig_info_clear(&info);
    return incoming ? NULL : machine->migration;
}

static bool monitor_migrate_cancel(void *opaque, GError **errp)
{
    Machine *machine = opaque;
    Migration *migration = outgoing(machine);
    bool ok = !migration || mig_cancel(migration, errp);

    machine_send_events(machine);
    return ok;
}

static bool monitor_migrate_continue(void *opaque, MigState state,
                                     GError **errp)
{
    Migration *migration = outgoing(opaque);

    return migration
               ? mig_continue(migration, state, errp)
               : refuse("Migration not in expected state: none", errp);
}

static bool monitor_migrate_info(void *opaque, MigInfo *info)
{
    Machine *machine = opaque;

    if (!machine->migration) {
        return false;
    }
    mig_query(machine->migration, info);
    machine_send_events(machine); /* the answer must not precede its event */
    return true;
}

static const IoUri *monitor_migrate_address(void *opaque)
{
    return machine_incoming_address(opaque);
}

static bool monitor_pmemsave(void *opaque, uint64_t addr, uint64_t size,
                             const char *filename, GError **errp)
{
    Machine *machine = opaque;

    return guest_ram_save(&machine->ram, addr, size, filename, errp);
}

void machine_init_mon_host(MonHost *host, const Machine *machine)
{
    *host = (MonHost) {
        .name = machine->args->name,
        .cpus = machine->args->cpus,
        .status = monitor_status,
        .stop = monitor_stop,
        .cont = monitor_cont,
        .quit = monitor_quit,
        .get_options = monitor_get_options,
        .set_option = monitor_set_option,
        .migrate = monitor_migrate,
        .migrate_incoming = monitor_migrate_incoming,
        .migrate_cancel = monitor_migrate_cancel,
        .migrate_continue = monitor_migrate_continue,
        .migrate_info = monitor_migrate_info,
        .migrate_address = monitor_migrate_address,
        .pmemsave = monitor_pmemsave,
    };
}
