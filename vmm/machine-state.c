/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's run state, what starts and stops with it, and the machine's
 * end.
 */
#include "vmm/machine.h"

#include <string.h>

static const char *const run_state_names[RUN_STATE__COUNT] = {
    [RUN_STATE_PRELAUNCH] = "prelaunch",
    [RUN_STATE_RUNNING] = "running",
    [RUN_STATE_PAUSED] = "paused",
    [RUN_STATE_INMIGRATE] = "inmigrate",
    [RUN_STATE_FINISH_MIGRATE] = "finish-migrate",
    [RUN_STATE_POSTMIGRATE] = "postmigrate",
    [RUN_STATE_SHUTDOWN] = "shutdown",
    [RUN_STATE_INTERNAL_ERROR] = "internal-error",
};

const char *run_state_name(RunState state)
{
    return run_state_names[state];
}

RunState run_state_find(const char *name)
{
    RunState state = 0;

    while (state < RUN_STATE__COUNT &&
           strcmp(run_state_names[state], name) != 0) {
        state++;
    }
    return state;
}

static void set_clock(Machine *machine, bool running)
{
    uint64_t now = guest_clock_host_now();

    pthread_mutex_lock(&machine->ports.lock);
    if (running) {
        guest_clock_start(&machine->clock, now);
    } else {
        guest_clock_stop(&machine->clock, now);
    }
    pthread_mutex_unlock(&machine->ports.lock);
}

static void start_guest(Machine *machine)
{
    set_clock(machine, true);
    accel_start(machine->accel);
    char_line_want_input(machine->line, true);
    machine_tell(machine, "RESUME");
}

static void stop_guest(Machine *machine)
{
    accel_stop(machine->accel);
    set_clock(machine, false);
    char_line_want_input(machine->line, false);
    char_line_flush(machine->line);
    machine_tell(machine, "STOP");
}

void machine_enter_locked(Machine *machine, RunState next)
{
    RunState last = machine->state;

    machine->state = next;
    if (next == RUN_STATE_SHUTDOWN && last == RUN_STATE_RUNNING) {
        machine_tell_shutdown(machine, MON_SHUTDOWN_GUEST);
    }
    if (next == RUN_STATE_RUNNING && last != RUN_STATE_RUNNING) {
        start_guest(machine);
    } else if (next != RUN_STATE_RUNNING && last == RUN_STATE_RUNNING) {
        stop_guest(machine);
    }
}

void machine_run(Machine *machine)
{
    g_main_loop_run(machine->loop);
}

void machine_quit(Machine *machine, int status)
{
    machine->status = status;
    g_main_loop_quit(machine->loop);
}
