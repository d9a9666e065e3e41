/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: it owns RAM, CPUs and devices, its run state, and what
 * migrates it.
 *
 * machine.c makes the machine, machine-state.c is its run state, machine-host.c
 * what the migration library calls, machine-incoming.c waits for a migration,
 * machine-monitor.c is what the monitors call, machine-post.c how other threads
 * reach the main thread.
 *
 * The lock makes changes of the run state, and with them all uses of the
 * accelerator, one at a time.  Lock order: the machine, then the port bus or
 * a queue.
 * "Main thread" is the one that runs the default main context.
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
    RUN_STATE_POSTMIGRATE,    /* somebody else has the guest now */
    RUN_STATE_SHUTDOWN,
    RUN_STATE_INTERNAL_ERROR,
    RUN_STATE__COUNT
} RunState;

/* What travels as the device "globalstate". */
typedef struct GlobalState {
    uint8_t name[32]; /* a run state, NUL-terminated; "": none has come */
} GlobalState;

/* What travels as the device "machine": what must be the same. */
typedef struct MachineShape {
    unsigned cpus_here;
    uint32_t cpus;
} MachineShape;

/* What the main thread still has to do. */
typedef struct MachineQueue {
    pthread_mutex_t lock;
    GQueue items; /* lock */
} MachineQueue;

typedef struct Incoming Incoming;

typedef struct Machine {
    /* Set once, by machine_new(). */
    const VmArgs *args;
    GuestRam ram;
    MigRamBlock block;
    GuestClock clock; /* protected by the port bus's lock */
    Serial serial;    /* the same */
    PortBus ports;
    CharLine *line;
    Accel *accel;
    CpuState *cpus;
    MigDevice *devices;
    size_t device_count;
    MachineShape shape;
    GMainLoop *loop;
    MigHost source_host, incoming_host;
    MachineQueue posts, events;

    pthread_mutex_t lock; /* protects all of this block */
    RunState state;
    RunState before; /* in finish-migrate: what to go back to, here or there */
    bool sealed;     /* in finish-migrate: and that was settled */
    bool autostart;  /* in inmigrate: run the guest when it has come */
    GlobalState global;
    MigOptions options; /* set, and read without it, by the main thread only */

    /* Main thread only. */
    Migration *migration; /* the one that runs or ran last */
    Incoming *incoming;   /* NULL when nobody is waiting */
    bool incoming_used;   /* -incoming was made use of */
    Monitor *monitor;     /* NULL when there is none */
    int status;           /* what the process will exit with */
} Machine;

/* args must outlive it.  The guest does not run yet. */
Machine *machine_new(const VmArgs *args, GError **errp);
void machine_free(Machine *machine); /* NULL is fine */

/* Start the guest, or wait for it, as the arguments say. */
bool machine_launch(Machine *machine, GError **errp);

/* machine-state.c: leave machine_run() with this status. */
void machine_run(Machine *machine);
void machine_quit(Machine *machine, int status);

/* The run state's name, as QMP spells it, and back (RUN_STATE__COUNT when
 * there is none such). */
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
/* Where it waits, or NULL when it does not (any more). */
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
/* Main thread: tell them now. */
void machine_send_events(Machine *machine);
void machine_post_init(Machine *machine);
/* No thread posts any more; what is left is forgotten. */
void machine_post_destroy(Machine *machine);

/* machine-monitor.c; opaque is the Machine */
void machine_init_mon_host(MonHost *host, const Machine *machine);

#endif
