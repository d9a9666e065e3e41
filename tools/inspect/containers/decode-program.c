/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program is handed the file itself, at the place where the compressed data
 * begins, so that nobody has to feed it while its output is read.
 */
#include "tools/inspect/containers/decode-program.h"

#include <fcntl.h>
#include <unistd.h>

#include "ferry/error.h"
#include "tools/inspect/containers/pull-channel.h"
#include "util/fail.h"

#ifdef HAVE_EXEC

typedef struct Program {
    char *name;
    GSubprocess *process;
    GInputStream *out; /* the process's */
} Program;

/* Its output has ended. */
static bool check_status(const Program *p, GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (g_subprocess_wait_check(p->process, NULL, &err)) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "the program '%s' does not take all of the data (the file is "
                "damaged or cut short): %s", p->name, err->message);
    return false;
}

static bool program_read(void *opaque, void *buf, size_t size, size_t *got,
                         GError **errp)
{
    Program *p = opaque;
    gssize n = g_input_stream_read(p->out, buf, size, NULL, errp);

    if (n < 0) {
        return false;
    }
    *got = (size_t)n;
    return n > 0 || check_status(p, errp);
}

static void program_free(void *opaque)
{
    Program *p = opaque;

    g_subprocess_force_exit(p->process);
    g_object_unref(p->process);
    g_free(p->name);
    g_free(p);
}

static const PullOps program_ops = { program_read, program_free };

/* A descriptor of the same file, at the offset. */
static int open_again(int fd, uint64_t offset, GError **errp)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0 || lseek(copy, (off_t)offset, SEEK_SET) < 0) {
        fail_errno(errp, "cannot read the file again");
        if (copy >= 0) {
            close(copy);
        }
        return -1;
    }
    return copy;
}

static GSubprocess *start(const char *program, int in, GError **errp)
{
    const char *const argv[] = { program, "-dc", NULL };
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                  G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autofree char *path = g_find_program_in_path(program);

    g_subprocess_launcher_take_stdin_fd(launcher, in);
    if (!path) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "the data is compressed by %s, and the program '%s', "
                    "which decompresses it, is not installed", program,
                    program);
        return NULL;
    }
    return g_subprocess_launcher_spawnv(launcher, argv, errp);
}

IoChannel *decode_program(Input *input, const char *program, GError **errp)
{
    GSubprocess *process;
    uint64_t offset;
    Program *p;
    int in;

    if (!input_need_file(input, errp)) {
        return NULL;
    }
    in = input_file(input, &offset);
    in = open_again(in, offset + stream_position(input_stream(input)), errp);
    process = in >= 0 ? start(program, in, errp) : NULL;
    if (!process) {
        return NULL;
    }
    p = g_new0(Program, 1);
    p->name = g_strdup(program);
    p->process = process;
    p->out = g_subprocess_get_stdout_pipe(process);
    return pull_channel_new(program, &program_ops, p);
}

#else

IoChannel *decode_program(Input *input, const char *program, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "the data is compressed by %s, and this build has neither a "
                "library for that nor starts programs", program);
    return NULL;
}

#endif
