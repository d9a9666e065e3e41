/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files, from an offset on.  A path that is no regular file (a FIFO, /dev/null,
 * a block device) works as far as it can: only regular files are truncated, and
 * an offset works only where seeking does.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io-internal.h"
#include "util/fail.h"

static bool check_readable(int fd, uint64_t offset, GError **errp)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return fail_errno(errp, "cannot examine the file");
    }
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return fail_errno(errp, "cannot read the file");
    }
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < offset) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the file has %" PRIu64 " bytes, less than the offset",
                    (uint64_t)st.st_size);
        return false;
    }
    return true;
}

/* Sync the file's name, too, while the guest that is to be saved still runs. */
static bool cut_off(int fd, const IoUri *uri, GError **errp)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return fail_errno(errp, "cannot examine the file");
    }
    if (!S_ISREG(st.st_mode)) {
        return true;
    }
    if (ftruncate(fd, uri->offset) < 0) {
        return fail_errno(errp, "cannot truncate the file");
    }
    return io_sync_name(fd, uri->path, errp);
}

static bool set_up(int fd, const IoUri *uri, IoDirection direction,
                   GError **errp)
{
    uint64_t offset = uri->offset;

    if (direction == IO_TO_READ ? !check_readable(fd, offset, errp)
                                : !cut_off(fd, uri, errp)) {
        return false;
    }
    /* On a FIFO lseek() fails even for offset 0. */
    if (offset != 0 && lseek(fd, offset, SEEK_SET) < 0) {
        return fail_errno(errp, "cannot seek in the file");
    }
    return true;
}

int io_file_open(const IoUri *uri, IoDirection direction, GError **errp)
{
    int flags = direction == IO_TO_READ ? O_RDONLY : O_WRONLY | O_CREAT;
    /* Non-blocking, or opening a FIFO would wait, and no abort could wake
     * it. */
    int fd = open(uri->path, flags | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd < 0) {
        fail_errno(errp, "cannot open the file");
        return -1;
    }
    if (!set_up(fd, uri, direction, errp)) {
        close(fd);
        return -1;
    }
    return fd;
}
