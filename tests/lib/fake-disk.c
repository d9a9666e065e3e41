/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/fake-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

FakeDisk fake_disk;

static int fail_or(bool fails, long result)
{
    if (fails) {
        errno = fake_disk.error;
        return -1;
    }
    return (int)result;
}

int fdatasync(int fd)
{
    unsigned nth = ++fake_disk.syncs;

    if (fake_disk.on_sync) {
        fake_disk.on_sync(nth, fake_disk.opaque);
    }
    return fail_or(nth == fake_disk.fail_sync, syscall(SYS_fdatasync, fd));
}

int fsync(int fd)
{
    struct stat st = { .st_ino = 0 };

    fstat(fd, &st);
    fake_disk.folder = st.st_ino;
    fake_disk.names++;
    return fail_or(fake_disk.names == fake_disk.fail_name,
                   syscall(SYS_fsync, fd));
}

int syncfs(int fd)
{
    fake_disk.systems++;
    return 0;
}

int sync_file_range(int fd, off_t offset, off_t count, unsigned flags)
{
    fake_disk.begins++;
    return 0;
}
