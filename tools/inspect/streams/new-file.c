/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/streams/new-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "util/fail.h"

/* -1 and EOPNOTSUPP also where the file could not be given a name later. */
static int open_nameless(const char *folder)
{
    if (access("/proc/self/fd", F_OK) < 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

static bool is_unable(int error)
{
    return error == EOPNOTSUPP || error == EISDIR;
}

bool new_file_open(NewFile *file, const char *path, GError **errp)
{
    g_autofree char *folder = g_path_get_dirname(path);

    *file = (NewFile){ .path = g_strdup(path), .fd = -1 };
    /* Fail now, and not when all is done. */
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return fail_errno(errp, "cannot make '%s'", path);
    }
    file->fd = open_nameless(folder);
    if (file->fd < 0 && is_unable(errno)) {
        file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        file->named = file->fd >= 0;
    }
    return file->fd >= 0 || fail_errno(errp, "cannot make '%s'", path);
}

bool new_file_open_scratch(NewFile *file, const char *folder, GError **errp)
{
    *file = (NewFile){
        .path = g_build_filename(folder, "ferry-inspect.XXXXXX", NULL),
    };
    file->fd = open_nameless(folder);
    if (file->fd < 0 && is_unable(errno)) {
        file->fd = g_mkstemp_full(file->path, O_RDWR | O_CLOEXEC, 0600);
        if (file->fd >= 0) {
            unlink(file->path);
        }
    }
    return file->fd >= 0 ||
           fail_errno(errp, "cannot make a file in '%s'", folder);
}

static bool give_name(NewFile *file, GError **errp)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", file->fd);

    if (!file->named && linkat(AT_FDCWD, link, AT_FDCWD, file->path,
                               AT_SYMLINK_FOLLOW) < 0) {
        return fail_errno(errp, "cannot make '%s'", file->path);
    }
    file->named = true;
    return true;
}

bool new_file_keep(NewFile *file, GError **errp)
{
    int fd = file->fd;

    /* Stores to mapped memory have had no chance to fail yet. */
    if (fsync(fd) < 0) {
        return fail_errno(errp, "cannot write to '%s'", file->path);
    }
    if (!give_name(file, errp) || !io_sync_name(fd, file->path, errp)) {
        return false;
    }
    file->fd = -1;
    if (close(fd) < 0) {
        fail_errno(errp, "cannot close '%s'", file->path);
        unlink(file->path);
        return false;
    }
    return true;
}

void new_file_close(NewFile *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        if (file->named) {
            unlink(file->path);
        }
    }
    g_free(file->path);
}
