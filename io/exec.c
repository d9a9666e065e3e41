/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands: /bin/sh -c, with a pipe to the standard input, one from the
 * standard output, or both.  An input without a pipe is /dev/null, and outputs
 * without one are our own.  GSubprocess watches the child with a pidfd in
 * GLib's worker thread (with a SIGCHLD handler on kernels before 5.3), and
 * reaps it.
 *
 * One socket for both the input and the output would not do: nobody would see
 * that a command has closed its output if it goes on reading.
 *
 * The command gets a session of its own.  So Ctrl-C at our terminal is for our
 * process alone, which may only want to stop watching a migration, and killing
 * the command also kills what the shell has started.  The price is that the
 * command has no terminal: ssh cannot ask for a password.
 *
 * Only spawn() starts anything; -Dexec=false leaves it out.
 */
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "io/fd.h"

typedef struct ExecChannel {
    FdChannel pipes; /* to the command's input, from its output, or both */
    GSubprocess *command;
} ExecChannel;

#ifdef HAVE_EXEC

/* Runs in the child.  It unblocks the signals that our threads block, because a
 * command needs them. */
static void set_up_child(gpointer unused)
{
    sigset_t none;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static GSubprocess *spawn(const char *text, GSubprocessFlags flags,
                          GError **errp)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(flags);

    g_subprocess_launcher_set_child_setup(launcher, set_up_child, NULL, NULL);
    return g_subprocess_launcher_spawn(launcher, errp, "/bin/sh", "-c", text,
                                       NULL);
}

bool io_exec_is_built_in(GError **errp)
{
    return true;
}

#else

bool io_exec_is_built_in(GError **errp)
{
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "this build has no exec: URIs");
    return false;
}

/* For a host that makes an IoUri without the parser. */
static GSubprocess *spawn(const char *text, GSubprocessFlags flags,
                          GError **errp)
{
    io_exec_is_built_in(errp);
    return NULL;
}

#endif

/* Waiting for the command */

static void on_end(GObject *command, GAsyncResult *result, void *opaque)
{
    bool *over = opaque;

    g_subprocess_wait_finish(G_SUBPROCESS(command), result, NULL);
    *over = true;
}

static gboolean on_late(void *opaque)
{
    g_cancellable_cancel(opaque);
    return G_SOURCE_REMOVE;
}

static gboolean on_cancelled(int fd, GIOCondition condition, void *opaque)
{
    return on_late(opaque);
}

/* Does the command end within the time (-1: any), and before cancel?
 * g_subprocess_wait() would watch cancel with GLib's own source: see
 * io_cancel_source(). */
static bool ends_within(GSubprocess *command, int ms, GCancellable *cancel)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GCancellable) late = g_cancellable_new();
    bool over = false;

    g_main_context_push_thread_default(context);
    if (ms >= 0) {
        io_watch(context, g_timeout_source_new(ms), on_late, late);
    }
    io_watch(context, io_cancel_source(cancel), G_SOURCE_FUNC(on_cancelled),
             late);
    g_subprocess_wait_async(command, late, on_end, &over);
    while (!over) {
        g_main_context_iteration(context, TRUE);
    }
    g_cancellable_release_fd(cancel);
    g_main_context_pop_thread_default(context);
    return !g_cancellable_is_cancelled(late);
}

/* The command has ended: was it with status 0? */
static bool check_outcome(GSubprocess *command, const char *name,
                          GError **errp)
{
    int signum;

    if (g_subprocess_get_successful(command)) {
        return true;
    }
    if (g_subprocess_get_if_exited(command)) {
        int status = g_subprocess_get_exit_status(command);

        g_set_error(errp, G_SPAWN_EXIT_ERROR, status,
                    "%s exited with status %d", name, status);
        return false;
    }
    signum = g_subprocess_get_term_sig(command);
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                "%s was killed by signal %d (%s)", name, signum,
                strsignal(signum));
    return false;
}

/* ms as for ends_within(). */
static bool wait_for_end(const ExecChannel *exec, int ms, GCancellable *cancel,
                         GError **errp)
{
    const IoChannel *channel = &exec->pipes.base;

    if (ends_within(exec->command, ms, cancel)) {
        return check_outcome(exec->command, channel->name, errp);
    }
    if (g_cancellable_set_error_if_cancelled(cancel, errp)) {
        return io_kind_named(channel, false, errp);
    }
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                "%s has closed its output and goes on running", channel->name);
    return false;
}

/* The channel */

static ExecChannel *exec_of(IoChannel *channel)
{
    return (ExecChannel *)channel;
}

/* A command that can answer ends when it wants to. */
static bool exec_finish(IoChannel *channel, GError **errp)
{
    return io_fd_finish(channel, errp) &&
           (channel->in ||
            wait_for_end(exec_of(channel), -1, channel->aborted, errp));
}

static bool exec_wait_command(IoChannel *channel, unsigned ms,
                              GCancellable *cancel, GError **errp)
{
    return wait_for_end(exec_of(channel), (int)ms, cancel, errp);
}

/* Kill the command, unless it has ended, and all that it started, and wait. */
static void kill_command(GSubprocess *command)
{
    /* NULL once the shell was reaped, because its group may be gone then. */
    const char *pid = g_subprocess_get_identifier(command);

    if (pid) {
        kill(-(pid_t)g_ascii_strtoll(pid, NULL, 10), SIGKILL);
    }
    g_subprocess_wait(command, NULL, NULL);
}

static void exec_close(IoChannel *channel)
{
    ExecChannel *exec = exec_of(channel);

    io_kind_close(channel);
    kill_command(exec->command);
    g_object_unref(exec->command);
}

static const IoChannelOps exec_ops = {
    .read = io_kind_read,
    .writev = io_fd_writev,
    .finish = exec_finish,
    .wait_command = exec_wait_command,
    .close = exec_close,
};

static IoChannel *open_command(const IoUri *uri, GSubprocessFlags pipes,
                               GError **errp)
{
    g_autofree char *name = g_strdup_printf("command '%s'", uri->command);
    g_autoptr(GSubprocess) command = spawn(uri->command, pipes, errp);
    ExecChannel *exec;

    if (!command) {
        return NULL;
    }
    exec = g_new0(ExecChannel, 1);
    io_fd_channel_init(&exec->pipes, &exec_ops, name,
                       g_subprocess_get_stdout_pipe(command),
                       g_subprocess_get_stdin_pipe(command));
    exec->command = g_steal_pointer(&command);
    return &exec->pipes.base;
}

IoChannel *io_exec_open(const IoUri *uri, IoDirection direction, GError **errp)
{
    return open_command(uri, direction == IO_TO_READ
                                 ? G_SUBPROCESS_FLAGS_STDOUT_PIPE
                                 : G_SUBPROCESS_FLAGS_STDIN_PIPE, errp);
}

IoChannel *io_exec_open_two_way(const IoUri *uri, GError **errp)
{
    return open_command(uri, G_SUBPROCESS_FLAGS_STDIN_PIPE |
                             G_SUBPROCESS_FLAGS_STDOUT_PIPE, errp);
}
