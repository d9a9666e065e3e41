/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls that the migration library makes to the machine: ferry/host.h.
 *
 * All of them come from the library's threads, and take the machine's lock.  A
 * source's guest is stopped into finish-migrate.  From there it goes back to
 * its former state, or to postmigrate when the destination has the guest, or
 * may have it and nobody knows.
 */
#include "vmm/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ferry/error.h"

/* The devices of the machine itself */

static bool global_is_needed(const void *data)
{
    const GlobalState *global = data;

    return strcmp((const char *)global->name,
                  run_state_name(RUN_STATE_RUNNING)) != 0;
}

static bool global_post_load(void *data, uint32_t version, GError **errp)
{
    GlobalState *global = data;

    if (!memchr(global->name, '\0', sizeof(global->name)) ||
        run_state_find((const char *)global->name) == RUN_STATE__COUNT) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "the guest is in an unknown run state");
        return false;
    }
    return true;
}

static const MigVMStateField global_fields[] = {
    MIG_VMSTATE_BUFFER(GlobalState, name),
    MIG_VMSTATE_END
};

const MigVMState machine_global_vmstate = {
    .name = "globalstate", .version = 1, .minimum_version = 1,
    .fields = global_fields, .needed = global_is_needed,
    .post_load = global_post_load,
};

static bool shape_post_load(void *data, uint32_t version, GError **errp)
{
    const MachineShape *shape = data;

    if (shape->cpus != shape->cpus_here) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "the guest has %u CPUs, this machine has %u: give the "
                    "same -smp", shape->cpus, shape->cpus_here);
        return false;
    }
    return true;
}

static const MigVMStateField shape_fields[] = {
    MIG_VMSTATE_U32(MachineShape, cpus),
    MIG_VMSTATE_END
};

const MigVMState machine_shape_vmstate = {
    .name = "machine", .version = 1, .minimum_version = 1,
    .fields = shape_fields, .post_load = shape_post_load,
};

/* The calls */

static const MigRamBlock *host_ram_blocks(void *opaque, size_t *count)
{
    Machine *machine = opaque;

    *count = 1;
    return &machine->block;
}

static const MigDevice *host_devices(void *opaque, size_t *count)
{
    Machine *machine = opaque;

    *count = machine->device_count;
    return machine->devices;
}

static bool host_dirty_log_start(void *opaque, GError **errp)
{
    Machine *machine = opaque;
    bool ok;

    pthread_mutex_lock(&machine->lock);
    ok = accel_dirty_start(machine->accel, errp);
    pthread_mutex_unlock(&machine->lock);
    return ok;
}

static bool host_dirty_log_collect_part(void *opaque, const MigRamPart *part,
                                        uint64_t *bitmap, GError **errp)
{
    Machine *machine = opaque;
    bool ok;

    g_assert(part->block == 0);
    pthread_mutex_lock(&machine->lock);
    ok = accel_dirty_collect(machine->accel, part->first, part->pages, bitmap,
                             errp);
    pthread_mutex_unlock(&machine->lock);
    return ok;
}

static bool host_dirty_log_collect(void *opaque, size_t block,
                                   uint64_t *bitmap, GError **errp)
{
    const Machine *machine = opaque;
    const MigRamPart all = {
        .block = block, .pages = machine->ram.size / MIG_PAGE_SIZE,
    };

    return host_dirty_log_collect_part(opaque, &all, bitmap, errp);
}

static void host_dirty_log_stop(void *opaque)
{
    Machine *machine = opaque;

    pthread_mutex_lock(&machine->lock);
    accel_dirty_stop(machine->accel);
    pthread_mutex_unlock(&machine->lock);
}

static void host_ram_untouched(void *opaque, size_t block, uint64_t *bitmap)
{
    Machine *machine = opaque;

    g_assert(block == 0);
    guest_ram_find_untouched(&machine->ram, bitmap);
}

static void host_throttle(void *opaque, unsigned percent)
{
    Machine *machine = opaque;
    bool running;

    pthread_mutex_lock(&machine->lock);
    running = machine->state == RUN_STATE_RUNNING;
    if (running) {
        accel_stop(machine->accel);
    }
    accel_throttle(machine->accel, percent);
    if (running) {
        accel_start(machine->accel);
    }
    pthread_mutex_unlock(&machine->lock);
}

static bool host_vm_stop(void *opaque, GError **errp)
{
    Machine *machine = opaque;

    pthread_mutex_lock(&machine->lock);
    machine->before = machine->state;
    machine->sealed = false;
    machine_enter_locked(machine, RUN_STATE_FINISH_MIGRATE);
    pthread_mutex_unlock(&machine->lock);
    return true;
}

/* The devices are about to be saved, and the run state to go on in travels with
 * them. */
static void seal_locked(Machine *machine)
{
    machine->sealed = true;
    memset(&machine->global, 0, sizeof(machine->global));
    g_strlcpy((char *)machine->global.name, run_state_name(machine->before),
              sizeof(machine->global.name));
}

static void host_vm_resume(void *opaque)
{
    Machine *machine = opaque;

    pthread_mutex_lock(&machine->lock);
    machine_enter_locked(machine, machine->before);
    pthread_mutex_unlock(&machine->lock);
}

/* The state of a guest that has arrived, by the state in which it left. */
static RunState arrival_state(const Machine *machine)
{
    const char *name = (const char *)machine->global.name;
    RunState left = name[0] ? run_state_find(name) : RUN_STATE_RUNNING;

    switch (left) {
    case RUN_STATE_RUNNING:
        return machine->autostart ? RUN_STATE_RUNNING : RUN_STATE_PAUSED;
    case RUN_STATE_PRELAUNCH:
    case RUN_STATE_SHUTDOWN:
    case RUN_STATE_INTERNAL_ERROR:
        return left;
    default:
        return RUN_STATE_PAUSED;
    }
}

static void host_vm_start(void *opaque)
{
    Machine *machine = opaque;

    pthread_mutex_lock(&machine->lock);
    machine_enter_locked(machine, arrival_state(machine));
    pthread_mutex_unlock(&machine->lock);
}

/* Print why the migration failed. */
static void report_failure(Machine *machine, const char *what)
{
    MigInfo info;

    mig_query(machine->migration, &info);
    if (info.error) { /* otherwise another migration has begun already */
        fprintf(stderr, "ferry-vm: %s: %s\n", what, info.error);
    }
    mig_info_clear(&info);
}

static bool has_become(const MigEvent *event, MigState state)
{
    return event->type == MIG_EVENT_STATE && event->state == state;
}

static void source_event(void *opaque, const MigEvent *event)
{
    Machine *machine = opaque;

    if (has_become(event, MIG_STATE_FAILED)) {
        machine_post(machine, report_failure, "migration failed");
    }
    pthread_mutex_lock(&machine->lock);
    if (has_become(event, MIG_STATE_DEVICE)) {
        seal_locked(machine);
    } else if (event->type == MIG_EVENT_STATE &&
               mig_state_is_final(event->state) &&
               machine->state == RUN_STATE_FINISH_MIGRATE) {
        /* The library has not let the guest go on. */
        machine_enter_locked(machine, RUN_STATE_POSTMIGRATE);
    }
    pthread_mutex_unlock(&machine->lock);
    machine_tell_migration(machine, event);
}

static void end_incoming(Machine *machine, const char *what)
{
    report_failure(machine, what);
    machine_quit(machine, EXIT_FAILURE);
}

static void incoming_event(void *opaque, const MigEvent *event)
{
    machine_tell_migration(opaque, event);
    if (has_become(event, MIG_STATE_FAILED)) {
        machine_post(opaque, end_incoming, "load of migration failed");
    }
}

static MigHost make_mig_host(const Machine *machine)
{
    return (MigHost) {
        .machine = "ferry",
        .uuid = machine->args->has_uuid ? machine->args->uuid : NULL,
        .ram_blocks = host_ram_blocks,
        .devices = host_devices,
        .dirty_log_start = host_dirty_log_start,
        .dirty_log_collect = host_dirty_log_collect,
        .dirty_log_collect_part = host_dirty_log_collect_part,
        .dirty_log_stop = host_dirty_log_stop,
        .ram_untouched = host_ram_untouched,
        .throttle = host_throttle,
        .vm_stop = host_vm_stop,
        .vm_resume = host_vm_resume,
        .vm_start = host_vm_start,
    };
}

void machine_init_mig_hosts(Machine *machine)
{
    machine->source_host = make_mig_host(machine);
    machine->source_host.event = source_event;
    machine->incoming_host = make_mig_host(machine);
    machine->incoming_host.event = incoming_event;
}
