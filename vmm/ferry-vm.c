/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry-vm: arguments, machine, monitors, and the main loop that serves them.
 */
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ferry/monitor.h"
#include "vmm/chardev.h"
#include "vmm/machine.h"
#include "vmm/vm-args.h"

/* A listening monitor. */
typedef struct Door {
    Monitor *monitor;
    MonKind kind;
    ChardevListener *listener;
} Door;

typedef struct Monitors {
    MonHost host;
    Monitor *monitor;
    Door *doors;
    unsigned count;
} Monitors;

static void on_connected(void *opaque, GSocketConnection *connection)
{
    const Door *door = opaque;

    mon_add_session(door->monitor, door->kind, G_IO_STREAM(connection));
}

static bool open_door(Door *door, const Chardev *chardev, GError **errp)
{
    if (chardev_is_socket(chardev)) {
        door->listener = chardev_listen(chardev, on_connected, door, errp);
        return door->listener != NULL;
    }
    if (chardev->kind == CHARDEV_STDIO) {
        g_autoptr(GIOStream) stream = chardev_stdio_stream();

        mon_add_session(door->monitor, door->kind, stream);
    }
    return true;
}

static bool open_monitors(Monitors *monitors, Machine *machine, GError **errp)
{
    const GArray *args = machine->args->monitors;
    unsigned i;

    machine_init_mon_host(&monitors->host, machine);
    monitors->monitor = mon_new(&monitors->host, machine);
    monitors->doors = g_new0(Door, args->len);
    monitors->count = args->len;
    machine->monitor = monitors->monitor;
    for (i = 0; i < args->len; i++) {
        const MonitorArg *arg = &g_array_index(args, MonitorArg, i);
        Door *door = &monitors->doors[i];

        door->monitor = monitors->monitor;
        door->kind = arg->kind;
        if (!open_door(door, &arg->chardev, errp)) {
            g_prefix_error(errp, "-%s: ",
                           arg->kind == MON_QMP ? "qmp" : "monitor");
            return false;
        }
    }
    return true;
}

static void close_monitors(Monitors *monitors, Machine *machine)
{
    unsigned i;

    machine_send_events(machine);
    for (i = 0; i < monitors->count; i++) {
        chardev_listener_free(monitors->doors[i].listener);
    }
    machine->monitor = NULL;
    mon_free(monitors->monitor);
    g_free(monitors->doors);
}

static gboolean on_signal(void *opaque)
{
    machine_tell_shutdown(opaque, MON_SHUTDOWN_SIGNAL);
    machine_quit(opaque, EXIT_SUCCESS);
    return G_SOURCE_CONTINUE;
}

/* At a terminal Ctrl-C ends a session's wait for a migration, if there is
 * one. */
static gboolean on_interrupt(void *opaque)
{
    Machine *machine = opaque;

    if (machine->monitor && mon_interrupt(machine->monitor)) {
        return G_SOURCE_CONTINUE;
    }
    return on_signal(machine);
}

static bool run_machine(Machine *machine, GError **errp)
{
    Monitors monitors = { .monitor = NULL };
    bool ok = open_monitors(&monitors, machine, errp) &&
              machine_launch(machine, errp);

    if (ok) {
        machine_run(machine);
    }
    close_monitors(&monitors, machine);
    return ok;
}

/*
 * Returns the exit status, or -1, and errp says why the machine could not run.
 *
 * The signal handlers stay until the process has ended, so that a signal that
 * comes meanwhile does not change the exit status.
 */
static int run(const VmArgs *args, GError **errp)
{
    Machine *machine = machine_new(args, errp);
    int status = -1;

    if (!machine) {
        return status;
    }
    g_unix_signal_add(SIGINT, on_interrupt, machine);
    g_unix_signal_add(SIGTERM, on_signal, machine);
    if (run_machine(machine, errp)) {
        status = machine->status;
    }
    machine_free(machine);
    return status;
}

/* Show which encoder works at which compress-level. */
static void show_encoders(MigOptions *options)
{
    const MigOption *level = mig_option(MIG_OPT_COMPRESS_LEVEL);
    const char *before = NULL;

    for (uint64_t i = level->min; i <= level->max; i++) {
        const char *encoder;

        mig_options_set(options, level, i, NULL);
        encoder = mig_encoder(options);
        if (!encoder) {
            printf(" not built in");
            break;
        }
        if (g_strcmp0(encoder, before) != 0) {
            printf("%s %s from level %" G_GUINT64_FORMAT, before ? "," : "",
                   encoder, i);
        }
        before = encoder;
    }
    printf("\n");
}

static void show_version(void)
{
    const MigOption *method = mig_option(MIG_OPT_COMPRESS_METHOD);
    MigOptions options;

    printf("ferry-vm %s\n", mig_version());
    mig_options_init(&options);
    for (uint64_t i = method->min; i <= method->max; i++) {
        mig_options_set(&options, method, i, NULL);
        printf("compress-method %s:", method->names[i]);
        if (i == MIG_METHOD_AUTO) {
            printf(" whichever of these is fastest\n");
        } else {
            show_encoders(&options);
        }
    }
}

static int run_or_help(const VmArgs *args, GError **errp)
{
    if (args->help) {
        g_autofree char *help = vm_args_help();

        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (args->version) {
        show_version();
        return EXIT_SUCCESS;
    }
    return run(args, errp);
}

/* If a standard descriptor is closed, the next file that is opened gets its
 * number, and is then used as standard input or output. */
static void fill_standard_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    VmArgs args;
    int status = -1;

    fill_standard_fds();
    signal(SIGPIPE, SIG_IGN);
    if (vm_args_parse(&args, argc, argv, &err)) {
        status = run_or_help(&args, &err);
    }
    vm_args_clear(&args);
    if (status < 0) {
        fprintf(stderr, "ferry-vm: %s\n", err->message);
        status = EXIT_FAILURE;
    }
    return status;
}
