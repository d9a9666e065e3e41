/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The file is laid out as QEMU 5.2 does it: header, program headers, notes,
 * memory by address.  7.2 and later ones have section headers before the
 * program headers, where makedumpfile (1.7.2) does not find these.  ELF's own
 * structures are those of elf(5).  All is little-endian.
 *
 * Each processor has two notes: what Linux writes to a core (prstatus; from
 * <sys/procfs.h>, of 32 bits if the first processor does not run 64-bit code),
 * and one of QEMU's with the registers that are the system's.  What is in the
 * latter was found by comparing notes with `info registers`.
 *
 * Tools for Linux want a third note, VMCOREINFO, which is in guest memory.
 * A guest that has QEMU's vmcoreinfo device, and a driver for it, has said
 * where, and QEMU writes it then.  Otherwise it is looked for: Linux has the
 * whole note at the beginning of a page.
 */
#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "migration/wire/wire.h"
#include "tools/inspect/converters/x86-state.h"
#include "tools/inspect/converters/write-memory.h"
#include "tools/inspect/devices/field-value.h"
#include "util/endian.h"
#include "util/fail.h"

#define PR_STATUS    1u
#define QEMU_STATE   0u
#define QEMU_VERSION 1u
#define GUEST_NOTE_MAX (1u << 20)
#define NOTE_FORMAT_ELF 1u
#define NOTE_NAME      "VMCOREINFO"

typedef struct Elf {
    const InspectReport *report;
    const InspectRam *ram;
    GArray *parts;
    GArray *cpus;      /* of CpuState */
    bool is_long;      /* the first of them runs 64-bit code */
    GByteArray *notes;
    GByteArray *head;  /* all that is before the notes */
} Elf;

/* Little-endian numbers */

static void put(GByteArray *to, uint64_t value, unsigned size)
{
    uint8_t bytes[sizeof(value)];

    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    g_byte_array_append(to, bytes, size);
}

static void put16(GByteArray *to, uint64_t value)
{
    put(to, value, 2);
}

static void put32(GByteArray *to, uint64_t value)
{
    put(to, value, 4);
}

static void put64(GByteArray *to, uint64_t value)
{
    put(to, value, 8);
}

static void put_zeros(GByteArray *to, unsigned size)
{
    while (size--) {
        put(to, 0, 1);
    }
}

/* Notes */

static void begin_note(GByteArray *to, const char *owner, uint32_t type,
                       uint32_t size)
{
    unsigned length = (unsigned)strlen(owner) + 1;

    put32(to, length);
    put32(to, size);
    put32(to, type);
    g_byte_array_append(to, (const uint8_t *)owner, length);
    put_zeros(to, -length % 4);
}

/* struct elf_prstatus of x86_64: a process id and the registers. */
static void put_prstatus64(GByteArray *to, const CpuState *cpu, unsigned id)
{
    const CpuSegment *s = cpu->segment;

    begin_note(to, "CORE", PR_STATUS, 336);
    put_zeros(to, 32);
    put32(to, id);
    put_zeros(to, 76);
    for (unsigned i = 15; i >= 12; i--) {
        put64(to, cpu->reg[i]);
    }
    put64(to, cpu->reg[CPU_RBP]);
    put64(to, cpu->reg[CPU_RBX]);
    for (unsigned i = 11; i >= CPU_R8; i--) {
        put64(to, cpu->reg[i]);
    }
    put64(to, cpu->reg[CPU_RAX]);
    put64(to, cpu->reg[CPU_RCX]);
    put64(to, cpu->reg[CPU_RDX]);
    put64(to, cpu->reg[CPU_RSI]);
    put64(to, cpu->reg[CPU_RDI]);
    put64(to, 0); /* no system call is begun again */
    put64(to, cpu->rip);
    put64(to, s[CPU_CS].selector);
    put64(to, cpu->rflags);
    put64(to, cpu->reg[CPU_RSP]);
    put64(to, s[CPU_SS].selector);
    put64(to, s[CPU_FS].base);
    put64(to, s[CPU_GS].base);
    put64(to, s[CPU_DS].selector);
    put64(to, s[CPU_ES].selector);
    put64(to, s[CPU_FS].selector);
    put64(to, s[CPU_GS].selector);
    put_zeros(to, 8);
}

/* struct elf_prstatus of i386. */
static void put_prstatus32(GByteArray *to, const CpuState *cpu, unsigned id)
{
    const CpuSegment *s = cpu->segment;

    begin_note(to, "CORE", PR_STATUS, 144);
    put_zeros(to, 24);
    put32(to, id);
    put_zeros(to, 44);
    put32(to, cpu->reg[CPU_RBX]);
    put32(to, cpu->reg[CPU_RCX]);
    put32(to, cpu->reg[CPU_RDX]);
    put32(to, cpu->reg[CPU_RSI]);
    put32(to, cpu->reg[CPU_RDI]);
    put32(to, cpu->reg[CPU_RBP]);
    put32(to, cpu->reg[CPU_RAX]);
    put32(to, s[CPU_DS].selector);
    put32(to, s[CPU_ES].selector);
    put32(to, s[CPU_FS].selector);
    put32(to, s[CPU_GS].selector);
    put32(to, 0);
    put32(to, cpu->rip);
    put32(to, s[CPU_CS].selector);
    put32(to, cpu->rflags);
    put32(to, cpu->reg[CPU_RSP]);
    put32(to, s[CPU_SS].selector);
    put_zeros(to, 4);
}

static void put_segment(GByteArray *to, const CpuSegment *segment)
{
    put32(to, segment->selector);
    put32(to, segment->limit);
    put32(to, segment->flags);
    put32(to, 0);
    put64(to, segment->base);
}

static void put_qemu_state(GByteArray *to, const CpuState *cpu)
{
    static const CpuRegister registers[] = {
        CPU_RAX, CPU_RBX, CPU_RCX, CPU_RDX, CPU_RSI, CPU_RDI, CPU_RSP, CPU_RBP,
    };
    static const CpuSegmentNumber segments[] = {
        CPU_CS, CPU_DS, CPU_ES, CPU_FS, CPU_GS, CPU_SS, CPU_LDT, CPU_TR,
        CPU_GDT, CPU_IDT,
    };
    const unsigned size = 440;

    begin_note(to, "QEMU", QEMU_STATE, size);
    put32(to, QEMU_VERSION);
    put32(to, size);
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        put64(to, cpu->reg[registers[i]]);
    }
    for (unsigned i = CPU_R8; i < G_N_ELEMENTS(cpu->reg); i++) {
        put64(to, cpu->reg[i]);
    }
    put64(to, cpu->rip);
    put64(to, cpu->rflags);
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
        put_segment(to, &cpu->segment[segments[i]]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cpu->cr); i++) {
        put64(to, cpu->cr[i]);
    }
    put64(to, cpu->kernel_gs_base);
}

/* The guest's own note */

typedef struct GuestNote {
    uint64_t format, size, address;
} GuestNote;

static void take_guest_note(void *opaque, const Field *field)
{
    GuestNote *note = opaque;

    if (field_kind(field) == FIELD_RAW) {
        return;
    }
    if (!strcmp(field->name, "vmcoreinfo.guest_format")) {
        note->format = field_number(field, 0);
    } else if (!strcmp(field->name, "vmcoreinfo.size")) {
        note->size = field_number(field, 0);
    } else if (!strcmp(field->name, "vmcoreinfo.paddr")) {
        note->address = field_number(field, 0);
    }
}

/* How large the note is that stands here; 0: none, or a larger one. */
static uint64_t note_size(const uint8_t *at, uint64_t left)
{
    uint64_t name, content, size;

    if (left < sizeof(Elf64_Nhdr)) {
        return 0;
    }
    name = GUINT32_SWAP_LE_BE(load_be32(at));
    content = GUINT32_SWAP_LE_BE(load_be32(at + 4));
    size = sizeof(Elf64_Nhdr) + (name + 3) / 4 * 4 + (content + 3) / 4 * 4;
    return size <= left ? size : 0;
}

static bool add_told_note(Elf *elf, const GuestNote *note)
{
    for (unsigned i = 0; i < elf->parts->len; i++) {
        const LayoutPart *p = &g_array_index(elf->parts, LayoutPart, i);
        const uint8_t *at;

        if (note->address < p->address ||
            note->address - p->address >= p->size ||
            note->size > p->size - (note->address - p->address)) {
            continue;
        }
        at = inspect_ram_memory(elf->ram, p->block) + p->offset +
             (note->address - p->address);
        if (note_size(at, note->size) == note->size) {
            g_byte_array_append(elf->notes, at, (guint)note->size);
            return true;
        }
    }
    return false;
}

/* Has the guest told QEMU's device of a note? */
static bool find_told_note(Elf *elf)
{
    for (unsigned i = 0; i < elf->report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(elf->report->devices, InspectDevice, i);
        GuestNote note = { .format = 0 };
        const FieldsVisitor visitor = {
            .value = take_guest_note,
            .opaque = &note,
        };

        if (!strcmp(d->name, "vmcoreinfo")) {
            g_free(fields_walk(d, &visitor));
            return note.format == NOTE_FORMAT_ELF && note.size &&
                   note.size <= GUEST_NOTE_MAX && add_told_note(elf, &note);
        }
    }
    return false;
}

static bool add_linux_note(Elf *elf, const uint8_t *page)
{
    uint64_t size = note_size(page, MIG_PAGE_SIZE);

    if (!size || page[0] != sizeof(NOTE_NAME) ||
        memcmp(page + sizeof(Elf64_Nhdr), NOTE_NAME, sizeof(NOTE_NAME))) {
        return false;
    }
    g_byte_array_append(elf->notes, page, (guint)size);
    return true;
}

static void find_linux_note(Elf *elf)
{
    for (unsigned i = 0; i < elf->parts->len; i++) {
        const LayoutPart *p = &g_array_index(elf->parts, LayoutPart, i);
        const uint8_t *memory = inspect_ram_memory(elf->ram, p->block);
        uint64_t end = (p->offset + p->size) / MIG_PAGE_SIZE;
        uint64_t page = p->offset / MIG_PAGE_SIZE;

        while ((page = inspect_ram_next(elf->ram, p->block, page)) < end) {
            if (add_linux_note(elf, memory + page * MIG_PAGE_SIZE)) {
                return;
            }
            page++;
        }
    }
}

static void make_notes(Elf *elf)
{
    for (unsigned i = 0; i < elf->cpus->len; i++) {
        const CpuState *cpu = &g_array_index(elf->cpus, CpuState, i);

        if (elf->is_long) {
            put_prstatus64(elf->notes, cpu, i + 1);
        } else {
            put_prstatus32(elf->notes, cpu, i + 1);
        }
    }
    for (unsigned i = 0; i < elf->cpus->len; i++) {
        put_qemu_state(elf->notes, &g_array_index(elf->cpus, CpuState, i));
    }
    if (!find_told_note(elf)) {
        find_linux_note(elf);
    }
}

/* Headers */

static unsigned program_headers(const Elf *elf)
{
    return elf->parts->len + 1;
}

static uint64_t notes_offset(const Elf *elf)
{
    return sizeof(Elf64_Ehdr) + program_headers(elf) * sizeof(Elf64_Phdr);
}

static void put_elf_header(const Elf *elf)
{
    const uint8_t ident[EI_NIDENT] = {
        ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
        EV_CURRENT,
    };
    GByteArray *to = elf->head;

    g_byte_array_append(to, ident, sizeof(ident));
    put16(to, ET_CORE);
    put16(to, elf->is_long ? EM_X86_64 : EM_386);
    put32(to, EV_CURRENT);
    put64(to, 0);
    put64(to, sizeof(Elf64_Ehdr)); /* the program headers are behind it */
    put64(to, 0);
    put32(to, 0);
    put16(to, sizeof(Elf64_Ehdr));
    put16(to, sizeof(Elf64_Phdr));
    put16(to, program_headers(elf));
    put_zeros(to, 6); /* no sections */
}

static void put_program(GByteArray *to, uint32_t type, uint64_t offset,
                        uint64_t address, uint64_t size)
{
    put32(to, type);
    put32(to, 0);
    put64(to, offset);
    put64(to, address);
    put64(to, address);
    put64(to, size);
    put64(to, size);
    put64(to, 0);
}

static void put_programs(const Elf *elf)
{
    uint64_t offset = notes_offset(elf);

    put_program(elf->head, PT_NOTE, offset, 0, elf->notes->len);
    offset += elf->notes->len;
    for (unsigned i = 0; i < elf->parts->len; i++) {
        const LayoutPart *p = &g_array_index(elf->parts, LayoutPart, i);

        put_program(elf->head, PT_LOAD, offset, p->address, p->size);
        offset += p->size;
    }
}

/* The file */

static bool write_at(int fd, const void *from, size_t size, uint64_t at,
                     GError **errp)
{
    ssize_t n = pwrite(fd, from, size, (off_t)at);

    return n == (ssize_t)size || fail_errno(errp, "cannot write");
}

static bool write_file(const Elf *elf, int fd, GError **errp)
{
    uint64_t at = notes_offset(elf) + elf->notes->len;

    if (!write_at(fd, elf->head->data, elf->head->len, 0, errp) ||
        !write_at(fd, elf->notes->data, elf->notes->len, elf->head->len,
                  errp)) {
        return false;
    }
    for (unsigned i = 0; i < elf->parts->len; i++) {
        const LayoutPart *part = &g_array_index(elf->parts, LayoutPart, i);

        if (!layout_write(fd, at, part, elf->ram, errp)) {
            return false;
        }
        at += part->size;
    }
    return ftruncate(fd, (off_t)at) == 0 ||
           fail_errno(errp, "cannot set the length");
}

static void find_cpus(Elf *elf)
{
    for (unsigned i = 0; i < elf->report->devices->len; i++) {
        CpuState cpu;

        if (cpu_state_get(&g_array_index(elf->report->devices, InspectDevice,
                                         i), &cpu)) {
            g_array_append_val(elf->cpus, cpu);
        }
    }
    if (!elf->cpus->len) {
        g_ptr_array_add(elf->report->warnings, g_strdup(
            "the core has no registers: the stream does not describe those of "
            "an x86 processor"));
    }
    elf->is_long = !elf->cpus->len ||
                   cpu_state_is_long(&g_array_index(elf->cpus, CpuState, 0));
}

bool write_elf(int fd, const InspectReport *report, const InspectRam *ram,
               const LayoutConfig *config, GError **errp)
{
    g_autoptr(GArray) parts = layout_new(report, config, errp);
    g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(CpuState));
    g_autoptr(GByteArray) notes = g_byte_array_new();
    g_autoptr(GByteArray) head = g_byte_array_new();
    Elf elf = {
        .report = report,
        .ram = ram,
        .parts = parts,
        .cpus = cpus,
        .notes = notes,
        .head = head,
    };

    if (!parts) {
        return false;
    }
    find_cpus(&elf);
    make_notes(&elf);
    put_elf_header(&elf);
    put_programs(&elf);
    return write_file(&elf, fd, errp);
}
