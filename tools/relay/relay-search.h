/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where does RAM begin, or go on, in bytes that are not understood?
 *
 * A device's section says nowhere how long it is.  So its end is guessed, by
 * the head of a section of ram that stands behind it.
 */
#ifndef RELAY_SEARCH_H
#define RELAY_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* START's head, the longest, but for its last byte. */
#define SEARCH_KEEP 16u

typedef struct RamSearch {
    /* The caller's: */
    bool has_ram;     /* look for PART and END of the section `id`; else for
                       * START */
    uint32_t id;
    bool has_footers; /* has_ram: the section before ends with one */
    /* The search's, all zero at first: */
    size_t kept;
    uint8_t last[SEARCH_KEEP]; /* the bytes before, `kept` of them */
} RamSearch;

typedef struct RamHead {
    uint8_t type; /* WIRE_START, _PART or _END; 0: there is none */
    uint32_t id;
} RamHead;

/* How many of the next bytes belong to what is not understood: up to the end of
 * the first head, or all. */
size_t ram_search_feed(RamSearch *search, const uint8_t *bytes, size_t size,
                       RamHead *head);

#endif
