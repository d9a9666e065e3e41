/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loader for the guest's ELF file (System V ABI, "Object Files", and its
 * AMD64 supplement).
 *
 * The program headers are copied out, then checked one by one and against
 * each other, and only then is RAM written.  Arithmetic on values from the
 * file is always of the form "size <= limit - offset" with offset <= limit,
 * which cannot overflow.
 */
#include "vmm/elf-load.h"

#include <elf.h>
#include <string.h>

#include "ferry/error.h"

#define MAX_PROGRAM_HEADERS 64

static bool bad_elf(const char *why, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "%s", why);
    return false;
}

static bool in_range(uint64_t offset, uint64_t size, uint64_t limit)
{
    return offset <= limit && size <= limit - offset;
}

static bool check_header(const Elf64_Ehdr *header, size_t size, GError **errp)
{
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return bad_elf("not an ELF file", errp);
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64) {
        return bad_elf("not a 64-bit x86 ELF file", errp);
    }
    if (header->e_ident[EI_VERSION] != EV_CURRENT ||
        header->e_version != EV_CURRENT) {
        return bad_elf("an unknown version of ELF", errp);
    }
    if (header->e_type != ET_EXEC) {
        return bad_elf("not a statically linked executable", errp);
    }
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
        header->e_phnum > MAX_PROGRAM_HEADERS) {
        return bad_elf("a bad number or size of program headers", errp);
    }
    if (!in_range(header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr),
                  size)) {
        return bad_elf("the program headers are cut off", errp);
    }
    return true;
}

static bool check_segment(const Elf64_Phdr *p, size_t size, uint64_t ram_size,
                          GError **errp)
{
    if (p->p_filesz > p->p_memsz) {
        return bad_elf("a segment is larger in the file than in memory", errp);
    }
    if (!in_range(p->p_offset, p->p_filesz, size)) {
        return bad_elf("a segment is cut off", errp);
    }
    if (p->p_paddr < ELF_LOAD_LOWEST) {
        return bad_elf("a segment lies below 1 MiB", errp);
    }
    if (!in_range(p->p_paddr, p->p_memsz, ram_size)) {
        return bad_elf("a segment lies outside RAM", errp);
    }
    return true;
}

static bool overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
    return a->p_paddr < b->p_paddr + b->p_memsz &&
           b->p_paddr < a->p_paddr + a->p_memsz;
}

static bool is_loaded(const Elf64_Phdr *p)
{
    return p->p_type == PT_LOAD && p->p_memsz > 0;
}

static bool check_segments(const Elf64_Phdr *p, unsigned count, size_t size,
                           uint64_t ram_size, GError **errp)
{
    unsigned i, j;

    for (i = 0; i < count; i++) {
        if (p[i].p_type == PT_INTERP || p[i].p_type == PT_DYNAMIC) {
            return bad_elf("not a statically linked executable", errp);
        }
        if (!is_loaded(&p[i])) {
            continue;
        }
        if (!check_segment(&p[i], size, ram_size, errp)) {
            return false;
        }
        for (j = 0; j < i; j++) {
            if (is_loaded(&p[j]) && overlap(&p[i], &p[j])) {
                return bad_elf("segments overlap", errp);
            }
        }
    }
    return true;
}

static bool check_entry(const Elf64_Phdr *p, unsigned count, uint64_t entry,
                        GError **errp)
{
    unsigned i;

    for (i = 0; i < count; i++) {
        if (is_loaded(&p[i]) && entry >= p[i].p_paddr &&
            entry - p[i].p_paddr < p[i].p_memsz) {
            return true;
        }
    }
    return bad_elf("the entry point is in no segment", errp);
}

bool elf_load(GuestRam *ram, const uint8_t *image, size_t size,
              uint64_t *entry, GError **errp)
{
    Elf64_Phdr p[MAX_PROGRAM_HEADERS];
    Elf64_Ehdr header;
    unsigned i;

    if (size < sizeof(header)) {
        return bad_elf("not an ELF file", errp);
    }
    memcpy(&header, image, sizeof(header));
    if (!check_header(&header, size, errp)) {
        return false;
    }
    memcpy(p, image + header.e_phoff, header.e_phnum * sizeof(p[0]));
    if (!check_segments(p, header.e_phnum, size, ram->size, errp) ||
        !check_entry(p, header.e_phnum, header.e_entry, errp)) {
        return false;
    }
    for (i = 0; i < header.e_phnum; i++) {
        if (is_loaded(&p[i])) {
            uint8_t *to = ram->host + p[i].p_paddr;

            memcpy(to, image + p[i].p_offset, p[i].p_filesz);
            /* -ram-image may have put something there. */
            memset(to + p[i].p_filesz, 0, p[i].p_memsz - p[i].p_filesz);
        }
    }
    *entry = header.e_entry;
    return true;
}
