/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The file is mapped, so that the decompression pool writes to it as it does
 * to a guest, and the kernel decides how much of it is in memory.  Where the
 * disk is full, a store to a hole would end the process (SIGBUS).  So a write,
 * which can fail, makes room for each page first.
 *
 * Pages that come whole are collected and written, which costs half of what
 * stores to a mapped file do: the kernel need not read or clear a page first.
 *
 * A page that had content and is zero in the end becomes a hole again.  Where
 * the file system cannot make holes it stays a page of zeros.
 */
#include "tools/inspect/streams/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ferry/host.h"
#include "tools/inspect/streams/new-file.h"
#include "util/bit-tree.h"
#include "util/fail.h"

#define COPY_SIZE  (256u << 10)
#define HOLE_MIN   (64 << 10) /* bytes */
#define PLACED_MAX 64u

struct Extract {
    NewFile file;
    uint64_t pages;
    uint8_t *memory;  /* NULL: not mapped */
    /* The pages that the file has room for: */
    BitTree *content;
    BitTree *zeroed; /* had content, and are zero now */
    uint8_t *placed; /* [PLACED_MAX pages]: pages in a row that came whole, */
    uint64_t first;  /* from this one on, */
    uint64_t count;  /* so many, which are still to be written */
    bool last_had_content, last_was_zeroed; /* before it was placed */
};

static uint64_t extract_bytes(const Extract *e)
{
    return e->pages * MIG_PAGE_SIZE;
}

static bool set_up(Extract *e, GError **errp)
{
    void *memory;

    if (ftruncate(e->file.fd, (off_t)extract_bytes(e)) < 0) {
        return fail_errno(errp, "cannot set the length of '%s'", e->file.path);
    }
    memory = mmap(NULL, extract_bytes(e), PROT_READ | PROT_WRITE, MAP_SHARED,
                  e->file.fd, 0);
    if (memory == MAP_FAILED) {
        return fail_errno(errp, "cannot map '%s'", e->file.path);
    }
    e->memory = memory;
    return true;
}

/* path: where it is to be kept; or else folder: where it is not. */
static Extract *make(const char *path, const char *folder, uint64_t pages,
                     GError **errp)
{
    Extract *e = g_new0(Extract, 1);
    bool opened = path ? new_file_open(&e->file, path, errp)
                       : new_file_open_scratch(&e->file, folder, errp);

    e->pages = pages;
    e->content = bit_tree_new(pages);
    e->zeroed = bit_tree_new(pages);
    e->placed = g_malloc(PLACED_MAX * MIG_PAGE_SIZE);
    if (!opened || !set_up(e, errp)) {
        extract_free(e);
        return NULL;
    }
    return e;
}

Extract *extract_new(const char *path, uint64_t pages, GError **errp)
{
    return make(path, NULL, pages, errp);
}

Extract *extract_new_scratch(const char *folder, uint64_t pages,
                             GError **errp)
{
    return make(NULL, folder, pages, errp);
}

uint8_t *extract_memory(Extract *e)
{
    return e->memory;
}

static bool write_pages(Extract *e, const uint8_t *from, uint64_t first,
                        uint64_t count, GError **errp)
{
    off_t at = (off_t)(first * MIG_PAGE_SIZE);
    size_t left = (size_t)(count * MIG_PAGE_SIZE);

    while (left) {
        ssize_t n = pwrite(e->file.fd, from, left, at);

        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return fail_errno(errp, "cannot write to '%s'", e->file.path);
        }
        from += n;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

static bool make_room(Extract *e, uint64_t page, GError **errp)
{
    static const uint8_t zeros[MIG_PAGE_SIZE];

    return write_pages(e, zeros, page, 1, errp);
}

bool extract_flush(Extract *e, GError **errp)
{
    uint64_t count = e->count;

    e->count = 0;
    return !count || write_pages(e, e->placed, e->first, count, errp);
}

uint8_t *extract_place(Extract *e, uint64_t page, GError **errp)
{
    if (e->count == PLACED_MAX || page != e->first + e->count) {
        if (!extract_flush(e, errp)) {
            return NULL;
        }
    }
    if (e->count == 0) {
        e->first = page;
    }
    e->last_had_content = bit_tree_test(e->content, page);
    e->last_was_zeroed = bit_tree_test(e->zeroed, page);
    bit_tree_set(e->content, page);
    bit_tree_clear(e->zeroed, page);
    return e->placed + e->count++ * MIG_PAGE_SIZE;
}

void extract_unplace(Extract *e)
{
    uint64_t page = e->first + --e->count;

    if (!e->last_had_content) {
        bit_tree_clear(e->content, page);
    }
    if (e->last_was_zeroed) {
        bit_tree_set(e->zeroed, page);
    }
}

void extract_zeros(Extract *e, uint64_t first, uint64_t count, bool clear)
{
    uint64_t page = first, end = first + count;

    while ((page = bit_tree_next(e->content, page, end)) < end) {
        bit_tree_clear(e->content, page);
        bit_tree_set(e->zeroed, page);
        if (clear) {
            memset(e->memory + page * MIG_PAGE_SIZE, 0, MIG_PAGE_SIZE);
        }
    }
}

bool extract_page(Extract *e, uint64_t page, GError **errp)
{
    if (bit_tree_test(e->zeroed, page)) {
        bit_tree_clear(e->zeroed, page);
    } else if (!bit_tree_test(e->content, page) &&
               !make_room(e, page, errp)) {
        return false;
    }
    bit_tree_set(e->content, page);
    return true;
}

/* Where the kernel cannot copy. */
static ssize_t copy_by_hand(int from, off_t *in, int to, off_t *out,
                            size_t size)
{
    g_autofree uint8_t *piece = g_malloc(COPY_SIZE);
    ssize_t n = pread(from, piece, MIN(size, COPY_SIZE), *in);

    n = n > 0 ? pwrite(to, piece, (size_t)n, *out) : n;
    if (n > 0) {
        *in += n;
        *out += n;
    }
    return n;
}

static ssize_t copy_some(int from, off_t *in, int to, off_t *out, size_t size)
{
    ssize_t n = copy_file_range(from, in, to, out, size, 0);
    bool unable = n < 0 && (errno == EXDEV || errno == ENOSYS ||
                            errno == EOPNOTSUPP || errno == EINVAL);

    return unable ? copy_by_hand(from, in, to, out, size) : n;
}

/*
 * Where the next data is in a file from `at` on, and where it ends, at most
 * `end`.  Where the file system does not tell holes from data, all is data.
 */
static void find_data(int fd, off_t at, off_t end, off_t *from, off_t *to)
{
    off_t before = lseek(fd, 0, SEEK_CUR);

    *from = lseek(fd, at, SEEK_DATA);
    if (*from < 0) {
        *from = errno == ENXIO ? end : at;
    }
    *to = *from < end ? lseek(fd, *from, SEEK_HOLE) : end;
    if (*to < 0) {
        *to = end;
    }
    *from = MIN(*from, end);
    *to = MIN(*to, end);
    lseek(fd, before, SEEK_SET);
}

static bool copy_data(const Extract *e, int fd, off_t in, off_t end, off_t out,
                      GError **errp)
{
    while (in < end) {
        ssize_t n = copy_some(fd, &in, e->file.fd, &out, (size_t)(end - in));

        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return fail_errno(errp, "cannot copy to '%s'", e->file.path);
        }
    }
    return true;
}

bool extract_copy(Extract *e, uint64_t first, uint64_t count, int fd,
                  uint64_t offset, GError **errp)
{
    off_t at = (off_t)offset, end = at + (off_t)(count * MIG_PAGE_SIZE);
    off_t shift = (off_t)(first * MIG_PAGE_SIZE) - at;

    while (at < end) {
        off_t from = at, to = end;

        /* For a few pages it is faster to copy what may be a hole. */
        if (end - at >= HOLE_MIN) {
            find_data(fd, at, end, &from, &to);
        }
        if (!copy_data(e, fd, from, to, from + shift, errp)) {
            return false;
        }
        at = to;
    }
    for (uint64_t page = first; page < first + count; page++) {
        bit_tree_set(e->content, page);
    }
    return true;
}

static void make_holes(Extract *e)
{
    uint64_t page = 0;

    while ((page = bit_tree_next(e->zeroed, page, e->pages)) < e->pages) {
        madvise(e->memory + page * MIG_PAGE_SIZE, MIG_PAGE_SIZE, MADV_REMOVE);
        page++;
    }
}

bool extract_finish(Extract *e, GError **errp)
{
    if (!extract_flush(e, errp)) {
        return false;
    }
    make_holes(e);
    munmap(e->memory, extract_bytes(e));
    e->memory = NULL;
    return new_file_keep(&e->file, errp);
}

uint64_t extract_next(const Extract *e, uint64_t page)
{
    return bit_tree_next(e->content, page, e->pages);
}

void extract_free(Extract *e)
{
    if (!e) {
        return;
    }
    if (e->memory) {
        munmap(e->memory, extract_bytes(e));
    }
    new_file_close(&e->file);
    bit_tree_free(e->content);
    bit_tree_free(e->zeroed);
    g_free(e->placed);
    g_free(e);
}
