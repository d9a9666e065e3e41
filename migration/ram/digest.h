/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Digests of guest RAM, for capability verify; docs/stream.md, "VERIFY". */
#ifndef MIGRATION_RAM_DIGEST_H
#define MIGRATION_RAM_DIGEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/blocks.h"

typedef struct RamDigestConfig {
    unsigned threads; /* that hash */
    /* Called in the caller's thread for each chunk (WIRE_VERIFY_CHUNK) that
     * has been hashed.  If it fails, so does ram_digest().  May be NULL. */
    bool (*progress)(void *opaque, GError **errp);
    void *opaque;
} RamDigestConfig;

/*
 * Sets the digest of each block, in the order of blocks: digest[blocks->count].
 * Nothing may write to RAM meanwhile.  MIG_ERROR_HOST where no thread could be
 * started.
 */
bool ram_digest(const RamBlocks *blocks, const RamDigestConfig *config,
                uint64_t *digest, GError **errp);

#endif
