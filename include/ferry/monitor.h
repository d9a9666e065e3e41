/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitors: HMP for people and QMP for programs, two front ends over one
 * command table.
 *
 * A Monitor serves any number of sessions, each over a GIO stream, from the
 * GLib main context that is the thread's default when mon_new() is called.
 * Every function here, and every call of the MonHost interface, is made from
 * the thread that runs that context.
 */
#ifndef FERRY_MONITOR_H
#define FERRY_MONITOR_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/migration.h"

G_BEGIN_DECLS

/*
 * What a virtual machine monitor supplies.  None of these may block for
 * longer than it takes to stop the guest's CPUs.
 */
typedef struct MonHost {
    const char *name; /* the guest's (-name), or NULL */
    unsigned cpus;    /* at least one */

    /* The run state as QMP spells it: "running", "paused", "inmigrate",
     * "finish-migrate", "postmigrate", "prelaunch", "shutdown",
     * "internal-error".  Running says whether the guest's CPUs run. */
    const char *(*status)(void *opaque, bool *running);
    bool (*stop)(void *opaque, GError **errp);
    bool (*cont)(void *opaque, GError **errp);
    void (*quit)(void *opaque); /* no command runs after it */

    /* The machine's migration options.  set_option checks the value, and
     * refuses an option that may not change now.  When several options are set
     * together, the monitor has checked that they fit each other in the end;
     * after each single call they need not. */
    void (*get_options)(void *opaque, MigOptions *options);
    bool (*set_option)(void *opaque, const MigOption *option, uint64_t value,
                       GError **errp);

    /* Start a migration and return at once. */
    bool (*migrate)(void *opaque, const char *uri, GError **errp);
    bool (*migrate_incoming)(void *opaque, const char *uri, GError **errp);
    /* See mig_cancel().  True also when there is no migration. */
    bool (*migrate_cancel)(void *opaque, GError **errp);
    /* See mig_continue().  Without a migration: "Migration not in expected
     * state: none". */
    bool (*migrate_continue)(void *opaque, MigState state, GError **errp);

    /* About the migration that runs or ran last.  False when there was none. */
    bool (*migrate_info)(void *opaque, MigInfo *info);
    /* Where the machine waits for a migration, with the port that was chosen;
     * NULL when it does not wait. */
    const IoUri *(*migrate_address)(void *opaque);

    /* Write size bytes of guest-physical memory, from addr on, to a file of
     * mode 0600, with holes where pages are zero. */
    bool (*pmemsave)(void *opaque, uint64_t addr, uint64_t size,
                     const char *filename, GError **errp);
} MonHost;

typedef struct Monitor Monitor;

typedef enum {
    MON_HMP,
    MON_QMP,
} MonKind;

/* host and opaque must outlive the monitor. */
Monitor *mon_new(const MonHost *host, void *opaque);

/* Serve one more session; takes a reference to stream.  The session ends when
 * the stream does. */
void mon_add_session(Monitor *mon, MonKind kind, GIOStream *stream);

/* Send an event without data ("STOP", "RESUME") to every QMP session that has
 * negotiated.  time is when the event happened, by g_get_real_time().  If this
 * is called within a call of the MonHost interface, the event goes out before
 * the answer to the command that is being run. */
void mon_emit(Monitor *mon, const char *event, int64_t time);

/* The same for SHUTDOWN, with its reason. */
typedef enum {
    MON_SHUTDOWN_QUIT,   /* a monitor's command */
    MON_SHUTDOWN_SIGNAL, /* to the process */
    MON_SHUTDOWN_GUEST,  /* the guest itself */
} MonShutdown;

void mon_emit_shutdown(Monitor *mon, MonShutdown why, int64_t time);

/* The same for a migration's event: MIGRATION with its status, MIGRATION_PASS
 * with its number.  Nothing is sent while the capability events is off. */
void mon_emit_migration(Monitor *mon, const MigEvent *event, int64_t time);

/* The user pressed Ctrl-C (SIGINT): let sessions on terminals stop waiting for
 * a migration.  False when none was waiting. */
bool mon_interrupt(Monitor *mon);

/* End all sessions, and first send as much of their output as possible.  Not to
 * be called within a call of the MonHost interface, such as quit().  NULL is
 * fine. */
void mon_free(Monitor *mon);

G_END_DECLS

#endif
