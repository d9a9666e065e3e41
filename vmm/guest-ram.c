/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM and its files.
 *
 * Pages that nobody wrote must stay unpopulated.  A machine with 64 GiB, of
 * which the guest uses one, should cost one; and a migration asks the kernel
 * which pages were never touched.  So an image is read only where it has data,
 * and a saved image gets data only where RAM is not zero.
 */
#include "vmm/guest-ram.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "ferry/error.h"
#include "ferry/host.h"
#include "util/fail.h"
#include "vmm/pagemap-scan.h"

bool guest_ram_init(GuestRam *ram, uint64_t size, GError **errp)
{
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (host == MAP_FAILED) {
        return fail_errno(errp, "cannot map %" PRIu64 " MiB of guest RAM",
                          size >> 20);
    }
    ram->host = host;
    ram->size = size;
    return true;
}

void guest_ram_destroy(GuestRam *ram)
{
    if (ram->host) {
        munmap(ram->host, ram->size);
    }
    memset(ram, 0, sizeof(*ram));
}

void *guest_ram_at(const GuestRam *ram, uint64_t address, uint64_t size)
{
    if (address > ram->size || size > ram->size - address) {
        return NULL;
    }
    return ram->host + address;
}

static bool read_extent(int fd, uint8_t *to, off_t offset, off_t end,
                        GError **errp)
{
    while (offset < end) {
        ssize_t n = pread(fd, to + offset, end - offset, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "%s",
                        n ? g_strerror(errno) : "the file became shorter");
            return false;
        }
        offset += n;
    }
    return true;
}

static bool read_data(int fd, uint8_t *to, off_t size, GError **errp)
{
    off_t data = 0, hole = 0;

    while (hole < size) {
        data = lseek(fd, hole, SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            return true; /* there is a hole up to the end */
        }
        hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        if (hole < 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "%s",
                        g_strerror(errno));
            return false;
        }
        if (!read_extent(fd, to, data, MIN(hole, size), errp)) {
            return false;
        }
    }
    return true;
}

bool guest_ram_load_image(GuestRam *ram, const char *path, GError **errp)
{
    struct stat st;
    bool ok = false;
    int fd = g_open(path, O_RDONLY | O_CLOEXEC, 0);

    if (fd < 0 || fstat(fd, &st) < 0) {
        fail_errno(errp, "cannot open '%s'", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "'%s' is not a regular file", path);
        goto out;
    }
    if ((uint64_t)st.st_size > ram->size) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "the RAM image '%s' has %" G_GUINT64_FORMAT " bytes, more "
                    "than RAM (%" G_GUINT64_FORMAT ")", path,
                    (uint64_t)st.st_size, ram->size);
        goto out;
    }
    ok = read_data(fd, ram->host, st.st_size, errp);
    if (!ok) {
        g_prefix_error(errp, "cannot read '%s': ", path);
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static bool is_zero(const uint8_t *p, uint64_t size)
{
    return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

static bool write_all(int fd, const uint8_t *from, uint64_t size, off_t at)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, from, size, at);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        n = MAX(n, 0);
        from += n;
        at += n;
        size -= n;
    }
    return true;
}

/* One page at a time is enough: this serves tests, and holes are per page. */
static bool write_pages(int fd, const uint8_t *from, uint64_t size)
{
    uint64_t done, n;

    for (done = 0; done < size; done += n) {
        n = MIN(size - done, MIG_PAGE_SIZE);
        if (!is_zero(from + done, n) &&
            !write_all(fd, from + done, n, done)) {
            return false;
        }
    }
    return ftruncate(fd, size) == 0;
}

bool guest_ram_save(const GuestRam *ram, uint64_t address, uint64_t size,
                    const char *path, GError **errp)
{
    const uint8_t *from = guest_ram_at(ram, address, size);
    bool ok;
    int fd;

    if (!from) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "Invalid addr 0x%016" PRIx64 "/size %" PRIu64 " specified",
                    address, size);
        return false;
    }
    fd = g_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail_errno(errp, "cannot create '%s'", path);
    }
    ok = (write_pages(fd, from, size) && fsync(fd) == 0) ||
         fail_errno(errp, "cannot write '%s'", path);
    ok = ok && io_sync_name(fd, path, errp);
    if (close(fd) < 0 && ok) {
        ok = fail_errno(errp, "cannot write '%s'", path);
    }
    return ok;
}

static void clear_bits(void *opaque, uint64_t page, uint64_t end,
                       uint64_t what)
{
    uint64_t *bitmap = opaque;

    for (; page < end && !(what & PAGEMAP_ZERO); page++) {
        bitmap[page / 64] &= ~(1ull << (page % 64));
    }
}

void guest_ram_find_untouched(const GuestRam *ram, uint64_t *bitmap)
{
    uint64_t pages = ram->size / MIG_PAGE_SIZE;
    PagemapScan touched = {
        .fd = pagemap_open(), .any = PAGEMAP_EXISTS,
        .found = clear_bits, .opaque = bitmap,
    };

    memset(bitmap, 0xff, pages / 64 * sizeof(*bitmap));
    if (pages % 64) {
        bitmap[pages / 64] = (1ull << (pages % 64)) - 1;
    }
    if (!pagemap_scan(&touched, ram)) {
        memset(bitmap, 0, (pages + 63) / 64 * sizeof(*bitmap));
    }
    if (touched.fd >= 0) {
        close(touched.fd);
    }
}
