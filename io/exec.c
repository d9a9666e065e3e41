/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands: /bin/sh -c, with a pipe to the standard input or from the standard
 * output, or with one socket for both.  What is left of the three is /dev/null
 * for the input and our own for the outputs.  GSubprocess watches the child
 * with a pidfd in GLib's worker thread (with a SIGCHLD handler on kernels
 * before 5.3), and reaps it.
 *
 * The command gets a session of its own.  Ctrl-C at our terminal is for us, who
 * may only want to watch a migration no longer, and killing the command kills
 * what the shell has started along with it.  The price is that it has no
 * terminal: ssh cannot ask for a password.
 *
 * Only spawn() starts anything; -Dexec=false leaves it out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/io-internal.h"

#ifdef HAVE_EXEC

/* Runs in the child.  Our threads block signals that a command needs. */
static void set_up_child(gpointer unused)
{
    sigset_t none;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* With a socket (or -1), which is taken over, for both input and output. */
static GSubprocess *spawn(const char *text, GSubprocessFlags flags, int socket,
                          GError **errp)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(flags);

    if (socket >= 0) {
        int copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);

        g_subprocess_launcher_take_stdout_fd(launcher, socket);
        if (copy < 0) {
            g_set_error(errp, G_IO_ERROR, g_io_error_from_errno(errno),
                        "no descriptor for a command's input: %s",
                        g_strerror(errno));
            return NULL;
        }
        g_subprocess_launcher_take_stdin_fd(launcher, copy);
    }
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
static GSubprocess *spawn(const char *text, GSubprocessFlags flags, int socket,
                          GError **errp)
{
    if (socket >= 0) {
        close(socket);
    }
    io_exec_is_built_in(errp);
    return NULL;
}

#endif

IoChannel *io_exec_open(const IoUri *uri, IoDirection direction, GError **errp)
{
    g_autofree char *name = g_strdup_printf("command '%s'", uri->command);
    GSubprocessFlags flags = direction == IO_TO_READ
                                 ? G_SUBPROCESS_FLAGS_STDOUT_PIPE
                                 : G_SUBPROCESS_FLAGS_STDIN_PIPE;
    g_autoptr(GSubprocess) command = spawn(uri->command, flags, -1, errp);

    if (!command) {
        return NULL;
    }
    return io_exec_channel(name, command);
}

IoChannel *io_exec_open_two_way(const IoUri *uri, GError **errp)
{
    g_autofree char *name = g_strdup_printf("command '%s'", uri->command);
    g_autoptr(GSubprocess) command = NULL;
    IoChannel *channel;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        g_set_error(errp, G_IO_ERROR, g_io_error_from_errno(errno),
                    "%s: cannot make a socket for it: %s", name,
                    g_strerror(errno));
        return NULL;
    }
    command = spawn(uri->command, G_SUBPROCESS_FLAGS_NONE, ends[1], errp);
    channel = command ? io_socket_take(name, ends[0], errp) : NULL;
    if (channel) {
        io_channel_set_command(channel, command);
        return channel;
    }
    close(ends[0]);
    if (command) {
        io_exec_kill(command);
    }
    return NULL;
}

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

bool io_exec_ends_within(GSubprocess *command, unsigned ms)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GCancellable) late = g_cancellable_new();
    g_autoptr(GSource) timer = g_timeout_source_new(ms);
    bool over = false;

    g_main_context_push_thread_default(context);
    g_source_set_callback(timer, on_late, late, NULL);
    g_source_attach(timer, context);
    g_subprocess_wait_async(command, late, on_end, &over);
    while (!over) {
        g_main_context_iteration(context, TRUE);
    }
    g_source_destroy(timer);
    g_main_context_pop_thread_default(context);
    return !g_cancellable_is_cancelled(late);
}

void io_exec_kill(GSubprocess *command)
{
    /* NULL once the shell was reaped: then its group may be gone as well. */
    const char *pid = g_subprocess_get_identifier(command);

    if (pid) {
        kill(-(pid_t)g_ascii_strtoll(pid, NULL, 10), SIGKILL);
    }
    g_subprocess_wait(command, NULL, NULL);
}

bool io_exec_wait(GSubprocess *command, const char *name, GCancellable *cancel,
                  GError **errp)
{
    int signum;

    if (!g_subprocess_wait(command, cancel, errp)) {
        g_prefix_error(errp, "%s: ", name);
        return false;
    }
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
