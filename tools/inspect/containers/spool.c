/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/containers/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <unistd.h>

#include "util/fail.h"
#include "util/zero.h"

#define PIECE (64u << 10)

static const char *folder(void)
{
    const char *wanted = g_getenv("TMPDIR");

    return wanted && wanted[0] ? wanted : "/var/tmp";
}

static int open_nameless(GError **errp)
{
    g_autofree char *path = NULL;
    int fd = open(folder(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        path = g_build_filename(folder(), "ferry-inspect-XXXXXX", NULL);
        fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0) {
            unlink(path);
        }
    }
    if (fd < 0) {
        fail_errno(errp, "cannot make a file in '%s'", folder());
    }
    return fd;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size, off_t at,
                      GError **errp)
{
    while (size) {
        ssize_t n = pwrite(fd, bytes, size, at);

        if (n < 0) {
            return fail_errno(errp, "cannot write to a file in '%s'",
                              folder());
        }
        bytes += n;
        size -= (size_t)n;
        at += n;
    }
    return true;
}

static bool is_hole(const uint8_t *piece, size_t size)
{
    return size % 64 == 0 && buffer_is_zero(piece, size);
}

static bool copy_all(Stream *from, int fd, GError **cut, GError **errp)
{
    g_autofree uint8_t *piece = g_malloc(PIECE);
    off_t at = 0;
    size_t size;

    while (stream_get_some(from, piece, PIECE, &size, cut) && size) {
        if (!is_hole(piece, size) && !write_all(fd, piece, size, at, errp)) {
            return false;
        }
        at += (off_t)size;
    }
    return ftruncate(fd, at) == 0 ||
           fail_errno(errp, "cannot write to a file in '%s'", folder());
}

IoChannel *spool(Stream *from, GError **cut, GError **errp)
{
    g_autoptr(GInputStream) in = NULL;
    int fd = open_nameless(errp);

    if (fd < 0) {
        return NULL;
    }
    in = g_unix_input_stream_new(fd, TRUE);
    return copy_all(from, fd, cut, errp) ? io_channel_new("copy", in, NULL)
                                         : NULL;
}
