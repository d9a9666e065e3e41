/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A stream has RAM blocks, and does not say where they are.  The boards of a PC
 * put them to fixed places: memory begins at 0 and, where it would meet the
 * space of PCI, goes on from 4 GiB on.  With a VGA card 128 KiB below 768 KiB
 * are the card's.  Firmware ends at 4 GiB.  On boards that cannot put memory
 * in its place (a pc and a q35 can, and their firmware does), its end is also
 * below 1 MiB.  All this was read from `info mtree` of QEMUs with each board,
 * with memory below and above the limits.
 *
 * The memory of a board may be of several blocks (NUMA).  Their order, and the
 * places of memory that was plugged in, are not in the stream, and the user has
 * to say them.
 */
#include "tools/inspect/converters/layout.h"

#include <string.h>
#include <unistd.h>

#include "migration/wire/wire.h"
#include "util/fail.h"

#define GIB(n)     ((uint64_t)(n) << 30)
#define MIB(n)     ((uint64_t)(n) << 20)
#define VGA_BEGIN  0xa0000u
#define VGA_END    0xc0000u
#define HIGH       GIB(4)
#define ADDRESSES  (UINT64_C(1) << 52) /* that an x86 can have */
#define WRITE_MAX  (1u << 20)

typedef struct BoardType {
    const char *machine; /* the beginning of its name */
    const char *ram;     /* the block that is its memory, if that is one */
    uint64_t least;      /* if there is so much, */
    uint64_t low;        /* then so much is below 4 GiB, and else all of it */
    uint64_t rom;        /* from here to 1 MiB is no memory; 0: it is */
    uint64_t firmware;   /* so many bytes below 1 MiB are firmware */
} BoardType;

#define LOW_END MIB(1)
#define PC_ROM  0xc0000u /* where the block pc.rom is, if it is in ROM */

static const BoardType boards[] = {
    { "pc-q35-", "pc.ram", MIB(2816), GIB(2), 0, 0 },
    { "pc-i440fx-", "pc.ram", MIB(3584), GIB(3), 0, 0 },
    { "isapc", "pc.ram", MIB(3584), MIB(3584), PC_ROM, 128 << 10 },
    { "microvm", "microvm.ram", GIB(3), GIB(3), 0xf0000, 64 << 10 },
};

/* Types before 2.4 do not tell their name.  They are no newer boards, and where
 * they split memory changed. */
static const BoardType old_board = {
    "", "pc.ram", GIB(3) + 1, GIB(3), 0, 0,
};

static bool fail(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **errp, const char *format, ...)
{
    g_autofree char *text = NULL, *shown = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args); /* names are the stream's */
    va_end(args);
    shown = g_strescape(text, NULL);
    g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_OPTION, shown);
    return false;
}

/* The number of the block; RamList.count if there is none. */
static unsigned find_block(const InspectReport *report, const char *name,
                           size_t length)
{
    const RamList *list = report->list;
    unsigned i;

    for (i = 0; i < list->count; i++) {
        if (strlen(list->entry[i].name) == length &&
            !memcmp(list->entry[i].name, name, length)) {
            break;
        }
    }
    return i;
}

static void add_part(GArray *parts, unsigned block, uint64_t offset,
                     uint64_t address, uint64_t size, bool is_rom)
{
    LayoutPart part = { address, size, block, offset, is_rom };

    if (size) {
        g_array_append_val(parts, part);
    }
}

/* The board's memory */

typedef struct Gap {
    uint64_t begin, end;
} Gap;

typedef struct Board {
    GArray *parts;
    uint64_t low;  /* so much is below 4 GiB */
    uint64_t used; /* so much has its place */
    Gap gap[2];    /* where no memory is, ascending; empty ones are none */
} Board;

/* A card's own memory tells that there is one. */
static bool has_vga(const InspectReport *report)
{
    for (unsigned i = 0; i < report->list->count; i++) {
        if (g_str_has_suffix(report->list->entry[i].name, "vga.vram")) {
            return true;
        }
    }
    return false;
}

/* Memory at these places of the board, which are all below 4 GiB, or above. */
static void add_memory(const Board *b, unsigned block, uint64_t offset,
                       uint64_t address, uint64_t size)
{
    uint64_t at = address, end = address + size;

    for (unsigned i = 0; i < G_N_ELEMENTS(b->gap); i++) {
        const Gap *gap = &b->gap[i];

        if (gap->end <= at || gap->begin >= end) {
            continue;
        }
        if (gap->begin > at) {
            add_part(b->parts, block, offset + at - address, at,
                     gap->begin - at, false);
        }
        at = MIN(gap->end, end);
    }
    add_part(b->parts, block, offset + at - address, at, end - at, false);
}

static void add_block(Board *b, unsigned block, uint64_t size)
{
    uint64_t low = b->used < b->low ? MIN(size, b->low - b->used) : 0;

    add_memory(b, block, 0, b->used, low);
    b->used += low;
    add_memory(b, block, low, HIGH + b->used - b->low, size - low);
    b->used += size - low;
}

/* The blocks' numbers, in their order. */
static GArray *find_ram(const InspectReport *report, const char *names,
                        uint64_t *total, GError **errp)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(unsigned));

    *total = 0;
    while (names) {
        size_t length = strcspn(names, ",");
        unsigned block = find_block(report, names, length);

        if (block == report->list->count) {
            fail(errp, "there is no RAM block '%.*s': say by --ram which ones "
                 "are the machine's memory", (int)length, names);
            g_array_unref(blocks);
            return NULL;
        }
        *total += report->list->entry[block].length;
        g_array_append_val(blocks, block);
        names = names[length] ? names + length + 1 : NULL;
    }
    return blocks;
}

static const BoardType *find_board(const char *machine, GError **errp)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(boards); i++) {
        if (g_str_has_prefix(machine, boards[i].machine)) {
            return &boards[i];
        }
    }
    if (!machine[0]) {
        return &old_board;
    }
    fail(errp, "where machine '%s' has its memory is not known: say so by "
         "--place", machine);
    return NULL;
}

static bool add_board(GArray *parts, const InspectReport *report,
                      const BoardType *type, const char *names, GError **errp)
{
    Board b = { .parts = parts };
    uint64_t total;
    g_autoptr(GArray) blocks = find_ram(report, names, &total, errp);

    if (!blocks) {
        return false;
    }
    if (type == &old_board && total > GIB(3)) {
        return fail(errp, "where a machine type before 2.4 has more than 3 GiB "
                    "is not known: say so by --place");
    }
    b.low = total < type->least ? total : type->low;
    if (has_vga(report)) {
        b.gap[0] = (Gap){ VGA_BEGIN, VGA_END };
    }
    if (type->rom) {
        b.gap[1] = (Gap){ type->rom, LOW_END };
    }
    for (unsigned i = 0; i < blocks->len; i++) {
        unsigned block = g_array_index(blocks, unsigned, i);

        add_block(&b, block, report->list->entry[block].length);
    }
    return true;
}

static uint64_t find_rom(const InspectReport *report, const char *name,
                         unsigned *block)
{
    *block = find_block(report, name, strlen(name));
    return *block < report->list->count ? report->list->entry[*block].length
                                        : 0;
}

/* Below 4 GiB, and perhaps below 1 MiB, where other ROM may be, too. */
static void add_firmware(GArray *parts, const InspectReport *report,
                         const BoardType *type)
{
    unsigned block;
    uint64_t size = find_rom(report, "pc.bios", &block);
    uint64_t low = MIN(size, type ? type->firmware : 0);

    if (size && size <= MIB(16)) {
        add_part(parts, block, 0, HIGH - size, size, true);
        add_part(parts, block, size - low, LOW_END - low, low, false);
    }
    size = find_rom(report, "pc.rom", &block);
    if (type && type->rom == PC_ROM && size <= LOW_END - low - PC_ROM) {
        add_part(parts, block, 0, PC_ROM, size, false);
    }
}

/* What the user says */

static bool add_places(GArray *parts, const InspectReport *report,
                       const GArray *places, GError **errp)
{
    for (unsigned i = 0; i < places->len; i++) {
        const LayoutPlace *p = &g_array_index(places, LayoutPlace, i);
        unsigned block = find_block(report, p->block, strlen(p->block));

        if (block == report->list->count) {
            return fail(errp, "there is no RAM block '%s' to place",
                        p->block);
        }
        add_part(parts, block, 0, p->address,
                 report->list->entry[block].length, false);
    }
    return true;
}

static int compare(gconstpointer one, gconstpointer other)
{
    const LayoutPart *a = one, *b = other;

    return (a->address > b->address) - (a->address < b->address);
}

static bool check_parts(GArray *parts, const InspectReport *report,
                        GError **errp)
{
    uint64_t end = 0;

    g_array_sort(parts, compare);
    for (unsigned i = 0; i < parts->len; i++) {
        const LayoutPart *part = &g_array_index(parts, LayoutPart, i);
        const char *name = report->list->entry[part->block].name;

        if (part->address % MIG_PAGE_SIZE || part->address > ADDRESSES ||
            part->size > ADDRESSES - part->address) {
            return fail(errp, "RAM block '%s' cannot be at 0x%"
                        G_GINT64_MODIFIER "x", name, part->address);
        }
        if (i && part->address < end) {
            return fail(errp, "RAM block '%s' is over another one at 0x%"
                        G_GINT64_MODIFIER "x", name, part->address);
        }
        end = part->address + part->size;
    }
    return true;
}

/* Devices' blocks have their path, and a slash, in their names. */
static bool may_be_memory(const char *name)
{
    return g_str_has_prefix(name, "/objects/") ||
           (!strchr(name, '/') && strcmp(name, "pc.bios") &&
            strcmp(name, "pc.rom") && !g_str_has_suffix(name, "vram") &&
            !g_str_has_prefix(name, "system.flash"));
}

static void warn_unplaced(const GArray *parts, const InspectReport *report)
{
    for (unsigned block = 0; block < report->list->count; block++) {
        const char *name = report->list->entry[block].name;
        bool is_placed = false;

        for (unsigned i = 0; i < parts->len; i++) {
            is_placed |= g_array_index(parts, LayoutPart, i).block == block;
        }
        if (!is_placed && may_be_memory(name)) {
            g_autofree char *shown = g_strescape(name, NULL);

            g_ptr_array_add(report->warnings, g_strdup_printf(
                "RAM block '%s' is left out: the stream does not say where it "
                "is (--place)", shown));
        }
    }
}

/* Is every place said, and the board need not be known? */
static bool is_told(const InspectReport *report, const LayoutConfig *config)
{
    return config->place->len && !config->ram &&
           find_block(report, "pc.ram", strlen("pc.ram")) ==
               report->list->count;
}

static bool add_all(GArray *parts, const InspectReport *report,
                    const LayoutConfig *config, GError **errp)
{
    const BoardType *type = NULL;

    if (!is_told(report, config)) {
        type = find_board(report->preamble.machine, errp);
        if (!type || !add_board(parts, report, type,
                                config->ram ? config->ram : type->ram,
                                errp)) {
            return false;
        }
    }
    add_firmware(parts, report, type);
    return add_places(parts, report, config->place, errp);
}

GArray *layout_new(const InspectReport *report, const LayoutConfig *config,
                   GError **errp)
{
    GArray *parts = g_array_new(FALSE, FALSE, sizeof(LayoutPart));

    if (!add_all(parts, report, config, errp) ||
        !check_parts(parts, report, errp)) {
        g_array_unref(parts);
        return NULL;
    }
    warn_unplaced(parts, report);
    return parts;
}

/* Writing */

static bool write_all(int fd, const uint8_t *from, size_t size, uint64_t at,
                      GError **errp)
{
    while (size) {
        ssize_t n = pwrite(fd, from, size, (off_t)at);

        if (n < 0) {
            return fail_errno(errp, "cannot write");
        }
        from += n;
        at += (size_t)n;
        size -= (size_t)n;
    }
    return true;
}

bool layout_write(int fd, uint64_t at, const LayoutPart *part,
                  const InspectRam *ram, GError **errp)
{
    const uint8_t *memory = inspect_ram_memory(ram, part->block);
    uint64_t first = part->offset / MIG_PAGE_SIZE;
    uint64_t end = first + part->size / MIG_PAGE_SIZE;
    uint64_t page = inspect_ram_next(ram, part->block, first);

    while (page < end) {
        uint64_t next = page + 1;
        size_t size;

        while (next < end && next - page < WRITE_MAX / MIG_PAGE_SIZE &&
               inspect_ram_next(ram, part->block, next) == next) {
            next++;
        }
        size = (size_t)((next - page) * MIG_PAGE_SIZE);
        if (!write_all(fd, memory + page * MIG_PAGE_SIZE, size,
                       at + (page - first) * MIG_PAGE_SIZE, errp)) {
            return false;
        }
        page = inspect_ram_next(ram, part->block, next);
    }
    return true;
}
