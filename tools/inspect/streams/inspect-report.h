/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was found in a stream: plain values, filled in while it is read. */
#ifndef TOOLS_INSPECT_REPORT_H
#define TOOLS_INSPECT_REPORT_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/ram-list.h"
#include "migration/wire/section.h"
#include "tools/inspect/containers/input.h"

typedef struct PageTally {
    uint64_t zero, plain, compressed; /* pages */
    uint64_t packed; /* bytes of the compressed pages' data */
    uint64_t bytes;  /* of records, heads included */
} PageTally;

typedef struct InspectCommand {
    uint64_t offset;
    Command command;
} InspectCommand;

/* A PART or END of the ram section. */
typedef struct InspectSection {
    uint64_t offset, size;
    uint8_t type;  /* WIRE_PART or WIRE_END */
    unsigned pass; /* from 1 */
    PageTally pages;
} InspectSection;

/* See inspect-ram.c for what a pass is. */
typedef struct InspectPass {
    unsigned sections;
    bool final; /* the END: the guest was stopped */
    PageTally pages;
} InspectPass;

typedef struct InspectDevice {
    char *name;
    uint32_t id, instance, version;
    uint64_t offset, size; /* of the section, footer included */
    const GByteArray *kept; /* the report's; NULL: its content is not kept */
    size_t kept_at, kept_size;
    JsonObject *description; /* the vmdescription's; NULL: none */
    char *fault; /* the content is not as described, because it ...; or NULL */
} InspectDevice;

/* An iterable section that is not RAM. */
typedef struct InspectOther {
    char name[256];
    uint32_t id, instance, version;
    uint64_t offset;   /* of its START */
    unsigned sections; /* START, PARTs, END */
    uint64_t bytes;    /* of all of them */
} InspectOther;

typedef struct InspectReport {
    const Input *input; /* borrowed; NULL: it could not be opened */
    bool has_preamble; /* else nothing below is known */
    Preamble preamble;
    bool ferry;        /* the source said that it is a Ferry */
    GArray *commands;  /* of InspectCommand */
    RamList *list;     /* NULL: RAM has not begun */
    PageTally *block;  /* [list->count] */
    uint64_t *missing; /* [list->count]: pages that have not come */
    GArray *sections;  /* of InspectSection */
    GArray *passes;    /* of InspectPass */
    PageTally pages;   /* all */
    uint64_t discarded; /* pages that came, and had to come again (postcopy) */
    uint64_t repeated; /* pages that came twice in one section */
    uint32_t ram_id;     /* of the ram section, */
    uint64_t ram_offset; /* which begins here */
    bool lacks_footers;  /* a machine type before 2.4 */
    bool ram_ended;
    bool elsewhere;    /* pages are not here, but in multifd's side channels */
    bool postcopy;     /* the devices came before the end of RAM */
    GArray *others;    /* of InspectOther */
    GArray *devices;   /* of InspectDevice */
    GByteArray *early; /* the contents of those before the end of RAM, */
    GByteArray *tail;  /* and what is behind it, as far as it was read, */
    uint64_t tail_offset; /* from here on */
    uint64_t devices_offset, devices_size; /* the part behind RAM, to EOF */
    JsonNode *vmdescription;               /* NULL: none */
    uint64_t vmdescription_offset, vmdescription_size;
    unsigned extracted;  /* files that were written, whole or not */
    GPtrArray *warnings; /* of char * */
    bool complete;     /* the end was reached */
    bool handed_over;  /* GO came behind the end */
    uint64_t trailing; /* bytes behind the end; known of files only */
    uint64_t bytes;    /* of stream read */
} InspectReport;

void inspect_report_init(InspectReport *report);
void inspect_report_destroy(InspectReport *report);

/* kept_size bytes; NULL when the content is not kept. */
const uint8_t *inspect_device_content(const InspectDevice *device);

void page_tally_add(PageTally *to, const PageTally *more);

/* How many times smaller compression made its pages; 0 when there are none. */
double page_tally_ratio(const PageTally *tally);

/* "1.5 MiB (1572864 bytes)", and "1.5 MiB" */
char *inspect_size_text(uint64_t bytes);
char *inspect_short_size(uint64_t bytes);

/* Print to standard output. */
void inspect_print_snapshots(const GArray *snapshots);
void inspect_print_text(const InspectReport *report, const char *input,
                        bool sections, bool vmdescription, bool fields);
void inspect_print_json(const InspectReport *report, const char *input,
                        bool verified, bool fields, const GError *error);

#endif
