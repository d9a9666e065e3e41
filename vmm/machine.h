/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: it owns RAM, CPUs and devices, its run state, and what
 * migrates it.
 *
 * machine.c makes the machine, machine-state.c has its run state,
 * machine-host.c has what the migration library calls, machine-incoming.c waits
 * for a migration, machine-monitor.c has what the monitors call, and
 * machine-post.c is how other threads reach the main thread.
 *
 * Under the lock, one thread at a time changes the run state and uses the
 * accelerator.  Lock order: the machine, then the port bus or a queue.  The
 * "main thread" is the one that runs the default main context.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <gio/gio.h>
#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

#include "ferry/migration.h"
#include "ferry/monitor.h"
#include "vmm/accel.h"
#include "vmm/char-line.h"
#include "vmm/devices/guest-clock.h"
#include "vmm/devices/port-bus.h"
#include "vmm/devices/serial.h"
#include "vmm/guest-ram.h"
#include "vmm/vm-args.h"

typedef enum {
    RUN_STATE_PRELAUNCH, /* not started yet: -S */
    RUN_STATE_RUNNING,   /* the only one in which the CPUs run */
    RUN_STATE_PAUSED,
    RUN_STATE_INMIGRATE,
    RUN_STATE_FINISH_MIGRATE, /* stopped for the end of a migration */
    RUN_STATE_POSTMIGRATE,    /* the destination has the guest now */
    RUN_STATE_SHUTDOWN,
    RUN_STATE_INTERNAL_ERROR,
    RUN_STATE__COUNT
} RunState;

/* Travels as the device "globalstate". */
typedef struct GlobalState {
    uint8_t name[32]; /* a run state, NUL-terminated; "": none has come */
} GlobalState;

/* Travels as the device "machine": both ends must have the same. */
typedef struct MachineShape {
    unsigned cpus_here;
    uint32_t cpus;
} MachineShape;

/* Work for the main thread. */
typedef struct MachineQueue {
    pthread_mutex_t lock;
    GQueue items; /* lock; any thread pushes, the main thread pops */
} MachineQueue;

typedef struct Incoming Incoming;

typedef struct Machine {
    /* Set once, by machine_new().  What is behind it has its own lock, unless a
     * note says otherwise. */
    const VmArgs *args;
    GuestRam ram;
    MigRamBlock block;
    GuestClock clock; /* the port bus's lock */
    Serial serial;    /* the port bus's lock */
    PortBus ports;
    CharLine *line;
    Accel *accel;     /* started and stopped under lock */
    CpuState *cpus;   /* the migration's thread, while the guest is stopped */
    MigDevice *devices;
    size_t device_count;
    MachineShape shape;
    GMainLoop *loop;
    MigHost source_host, incoming_host;
    MachineQueue posts, events;

    pthread_mutex_t lock; /* main and migration threads: all of this block */
    RunState state;
    RunState before; /* in finish-migrate: the state to go on in, at any end */
    bool sealed;     /* in finish-migrate: before was saved, and is final */
    bool autostart;  /* in inmigrate: run the guest when it has come */
    GlobalState global;
    MigOptions options; /* main thread sets under lock, reads without it */

    /* Main thread only. */
    Migration *migration; /* the one that runs or ran last */
    Incoming *incoming;   /* NULL when the machine does not wait for a guest */
    bool incoming_used;   /* the wait that -incoming allows was started */
    Monitor *monitor;     /* NULL when there is none */
    int status;           /* the process's exit status */
} Machine;

/* args must outlive the machine.  The guest does not run yet. */
Machine *machine_new(const VmArgs *args, GError **errp);
void machine_free(Machine *machine); /* NULL is fine */

/* Start the guest, or wait for it, as the arguments say. */
bool machine_launch(Machine *machine, GError **errp);

/* machine-state.c: run until machine_quit() is called; status is for the
 * exit. */
void machine_run(Machine *machine);
void machine_quit(Machine *machine, int status);

/* The run state's name in QMP, and back (RUN_STATE__COUNT when no state has
 * that name). */
const char *run_state_name(RunState state);
RunState run_state_find(const char *name);

/* Change the run state, starting and stopping the CPUs as it needs. */
void machine_enter_locked(Machine *machine, RunState next);

/* machine-host.c; opaque is the Machine */
void machine_init_mig_hosts(Machine *machine);
extern const MigVMState machine_global_vmstate;
extern const MigVMState machine_shape_vmstate;

/* machine-incoming.c: wait in a thread of its own, so that options can still
 * be set, and then receive.  A failure ends the process. */
bool machine_incoming_start(Machine *machine, const char *uri, GError **errp);
void machine_incoming_stop(Machine *machine);
/* Where the machine waits, or NULL when it does not (any more). */
const IoUri *machine_incoming_address(const Machine *machine);

/*
 * machine-post.c.  From any thread: have the main thread call fn(machine, arg)
 * later, or tell the monitors of an event.  arg and name are constants.
 */
typedef void MachineCall(Machine *machine, const char *arg);
void machine_post(Machine *machine, MachineCall *fn, const char *arg);
void machine_tell(Machine *machine, const char *name);
void machine_tell_shutdown(Machine *machine, MonShutdown why);
void machine_tell_migration(Machine *machine, const MigEvent *migration);
/* Main thread: send the events that wait now. */
void machine_send_events(Machine *machine);
void machine_post_init(Machine *machine);
/* No thread posts any more.  What is left in the queues is forgotten. */
void machine_post_destroy(Machine *machine);

/* machine-monitor.c; opaque is the Machine */
void machine_init_mon_host(MonHost *host, const Machine *machine);

#endif
