/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands: /bin/sh -c, with a pipe to the standard input, one from the standard
 * output, or both.  What is left of the three is /dev/null for the input and our
 * own for the outputs.  GSubprocess watches the child with a pidfd in GLib's
 * worker thread (with a SIGCHLD handler on kernels before 5.3), and reaps it.
 *
 * One socket for both the input and the output would not do: a command that
 * closes its output and goes on reading would not be seen to have closed it.
 *
 * The command gets a session of its own.  Ctrl-C at our terminal is for us, who
 * may only want to watch a migration no longer, and killing the command kills
 * what the shell has started along with it.  The price is that it has no
 * terminal: ssh cannot ask for a password.
 *
 * Only spawn() starts anything; -Dexec=false leaves it out.
 */
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
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

static IoChannel *open_command(const IoUri *uri, GSubprocessFlags pipes,
                               GError **errp)
{
    g_autofree char *name = g_strdup_printf("command '%s'", uri->command);
    g_autoptr(GSubprocess) command = spawn(uri->command, pipes, errp);

    return command ? io_exec_channel(name, command) : NULL;
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

/* By its descriptor, as in channel.c.  NULL is fine. */
static GSource *cancelled_source(GCancellable *cancel, GCancellable *late)
{
    int fd = g_cancellable_get_fd(cancel);
    GSource *source = fd >= 0 ? g_unix_fd_source_new(fd, G_IO_IN) : NULL;

    if (source) {
        g_source_set_callback(source, G_SOURCE_FUNC(on_cancelled), late, NULL);
    }
    return source;
}

bool io_exec_ends_within(GSubprocess *command, unsigned ms,
                         GCancellable *cancel)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GCancellable) late = g_cancellable_new();
    g_autoptr(GSource) timer = g_timeout_source_new(ms);
    g_autoptr(GSource) stop = cancelled_source(cancel, late);
    bool over = false;

    g_main_context_push_thread_default(context);
    g_source_set_callback(timer, on_late, late, NULL);
    g_source_attach(timer, context);
    if (stop) {
        g_source_attach(stop, context);
    }
    g_subprocess_wait_async(command, late, on_end, &over);
    while (!over) {
        g_main_context_iteration(context, TRUE);
    }
    g_source_destroy(timer);
    if (stop) {
        g_source_destroy(stop);
        g_cancellable_release_fd(cancel);
    }
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
