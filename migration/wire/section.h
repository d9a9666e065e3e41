/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The frame of the stream: header, configuration, sections, commands. */
#ifndef MIGRATION_WIRE_SECTION_H
#define MIGRATION_WIRE_SECTION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/stream.h"
#include "migration/wire/wire.h"

/* The head of a START, PART, END or FULL section. */
typedef struct SectionHeader {
    uint8_t type; /* WIRE_START, ... */
    uint32_t id;
    /* START and FULL only */
    char name[256];
    uint32_t instance;
    uint32_t version;
} SectionHeader;

/* Who the stream is for. */
typedef struct Identity {
    const char *machine;
    const uint8_t *uuid; /* 16 bytes, or NULL: not sent, not compared */
    const char *method;  /* when sent: the compress-method whose batches
                          * follow; NULL: none follow */
} Identity;

/* The header and the configuration section, as they were read. */
typedef struct Preamble {
    char machine[WIRE_NAME_MAX + 1]; /* see section_get_old_preamble() */
    unsigned capabilities; /* how many; each changes the stream's layout */
    char capability[WIRE_CAPABILITIES_MAX][WIRE_NAME_MAX + 1];
    bool has_page_bits;    /* the source said: */
    uint32_t page_bits;    /* else MIG_PAGE_BITS */
    bool has_uuid;
    uint8_t uuid[WIRE_UUID_SIZE];
} Preamble;

void section_put_preamble(Stream *s, const Identity *id);
/* Is this the beginning of a header?  WIRE_HEADER_SIZE bytes are all of one;
 * less than a word passes. */
bool section_check_header(const uint8_t *head, size_t size, GError **errp);

bool section_get_preamble(Stream *s, Preamble *preamble, GError **errp);

/* The same, also for machine types before 2.4, which write no configuration:
 * the machine's name is "" then. */
bool section_get_old_preamble(Stream *s, Preamble *preamble, GError **errp);

bool section_has_capability(const Preamble *preamble, const char *name);

/* The compress-method whose batches follow; NULL: none follow. */
const char *section_method(const Preamble *preamble);

/* False when the machine or the UUID is not ours, or when the source needs
 * something that we lack.  Does not look at the compress-method. */
bool section_check_preamble(const Preamble *preamble, const Identity *id,
                            GError **errp);

/* "00112233-4455-...", to be freed by g_free(). */
char *section_uuid_text(const uint8_t uuid[WIRE_UUID_SIZE]);

void section_put_header(Stream *s, const SectionHeader *section);
void section_put_footer(Stream *s, uint32_t id);

/* The type byte has been read and is in section->type. */
bool section_get_header(Stream *s, SectionHeader *section, GError **errp);
bool section_get_footer(Stream *s, uint32_t id, GError **errp);

void section_put_ping(Stream *s, uint32_t value);
void section_put_open_return_path(Stream *s);

void section_put_packs(Stream *s, uint32_t window);
void section_put_sum(Stream *s); /* stream_sum(), up to here */
void section_put_verify(Stream *s, const char *block, uint64_t digest);

typedef struct Command {
    uint16_t number; /* WIRE_CMD_... */
    uint16_t length; /* bytes of payload */
    uint32_t value;  /* of a PING */
    char block[256]; /* of a VERIFY, and */
    uint64_t digest; /* its RAM's */
} Command;

/* Read a command, whose type byte has been read, up to its payload. */
bool section_get_command_head(Stream *s, Command *command, GError **errp);

/* Read the payload.  Commands that a destination does not know are refused
 * (MIG_ERROR_UNSUPPORTED), and so is a SUM that is not stream_sum(), or comes
 * where none has begun. */
bool section_get_command_body(Stream *s, Command *command, GError **errp);

/* Read the payload of a SUM and compare. */
bool section_get_sum(Stream *s, const Command *command, GError **errp);

#endif
