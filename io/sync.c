/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that outlive a power cut.
 *
 * Bytes that are written to a file are in the system's memory first.  Every few
 * MiB the system is told to begin writing them to the disk, so that the disk is
 * never idle and a sync has little left to wait for.  Only fdatasync() waits
 * and reports an error, and it reports it once.  After a failure the system may
 * have dropped the bytes that it could not write, so that the next sync would
 * succeed without them.  So a failure is for good.
 *
 * A regular file and a block device keep what they are given.  Pipes, sockets,
 * terminals and /dev/null do not, and are not synced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io-internal.h"
#include "util/fail.h"

#define BEGIN_EVERY (4u << 20) /* bytes */

void io_sync_init(IoSync *sync, int fd)
{
    struct stat st;
    bool keeps = fd >= 0 && fstat(fd, &st) == 0 &&
                 (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));

    *sync = (IoSync){ .fd = keeps ? fd : -1 };
}

void io_sync_wrote(IoSync *sync, size_t bytes)
{
    if (sync->fd < 0) {
        return;
    }
    sync->due = true;
    sync->waiting += bytes;
    if (sync->waiting >= BEGIN_EVERY) {
        sync->waiting = 0;
        sync_file_range(sync->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

bool io_sync_data(IoSync *sync, GError **errp)
{
    if (!sync->due) {
        return true;
    }
    if (!sync->error && fdatasync(sync->fd) < 0) {
        sync->error = errno;
    }
    if (sync->error) {
        errno = sync->error;
        return fail_errno(errp, "what was written may not be on the disk");
    }
    sync->due = false;
    return true;
}

static bool sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int err = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = err;
    return ok;
}

/* Where path is a link, the folder is that of its target. */
static bool sync_folder_of(const char *path)
{
    char *real = realpath(path, NULL);
    g_autofree char *folder = real ? g_path_get_dirname(real) : NULL;

    free(real);
    return folder && sync_folder(folder);
}

bool io_sync_name(int fd, const char *path, GError **errp)
{
    if (sync_folder_of(path)) {
        return true;
    }
    /* The folder may not be readable, or not be synced by itself: then sync the
     * whole file system. */
    if ((errno == EACCES || errno == EINVAL) && syncfs(fd) == 0) {
        return true;
    }
    return fail_errno(errp, "the folder with '%s' in it may not be on the "
                      "disk", path);
}
