/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-kept.h"

#include <gio/gio.h>
#include <sys/mman.h>

/* From the system, which gives memory where it is touched: malloc() may hand
 * out, or fill, what it has used before. */
bool kept_init(Kept *kept, size_t size, GError **errp)
{
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *kept = (Kept){ .size = size };
    if (bytes == MAP_FAILED) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "there is no memory for %zu MiB of the link's bytes",
                    size >> 20);
        return false;
    }
    kept->bytes = bytes;
    return true;
}

void kept_destroy(Kept *kept)
{
    if (kept->bytes) {
        munmap(kept->bytes, kept->size);
        kept->bytes = NULL;
    }
}

/* Of the bytes from position to end, those that are in one piece. */
static size_t piece(const Kept *kept, uint64_t position, uint64_t end,
                    uint8_t **at)
{
    size_t offset = (size_t)((position - kept->origin) % kept->size);

    *at = kept->bytes + offset;
    return (size_t)MIN(end - position, (uint64_t)(kept->size - offset));
}

/* The bytes before this position are not needed any more. */
static uint64_t needed_from(const Kept *kept)
{
    return MIN(kept->acked, kept->sent);
}

size_t kept_space(Kept *kept, uint8_t **to)
{
    if (needed_from(kept) == kept->written) {
        kept->origin = kept->written; /* the memory used last is in caches */
    }
    return piece(kept, kept->written, needed_from(kept) + kept->size, to);
}

void kept_wrote(Kept *kept, size_t size)
{
    kept->written += size;
    g_assert(kept->written <= needed_from(kept) + kept->size);
}

size_t kept_next(const Kept *kept, const uint8_t **from)
{
    uint8_t *at;
    size_t size = piece(kept, kept->sent, kept->written, &at);

    *from = at;
    return size;
}

void kept_did_send(Kept *kept, size_t size)
{
    kept->sent += size;
    g_assert(kept->sent <= kept->written);
}

bool kept_ack(Kept *kept, uint64_t position)
{
    if (position < kept->acked || position > kept->written) {
        return false;
    }
    kept->acked = position;
    return true;
}

bool kept_rewind(Kept *kept, uint64_t position)
{
    if (position < kept->acked || position > kept->written) {
        return false;
    }
    kept->acked = kept->sent = position;
    return true;
}
