/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/elf-load.h: what is loaded, and what is refused. */
#include "vmm/elf-load.h"

#include <elf.h>
#include <string.h>

#define MIB (1u << 20)
#define PAYLOAD 0x200

/* Two segments: 16 bytes of text at 1 MiB, 8 bytes of data and 8 of bss. */
typedef struct Image {
    union {
        struct {
            Elf64_Ehdr header;
            Elf64_Phdr segment[2];
        };
        uint8_t bytes[0x300];
    };
} Image;

static void image_init(Image *image)
{
    memset(image, 0, sizeof(*image));
    memcpy(image->header.e_ident, ELFMAG, SELFMAG);
    image->header.e_ident[EI_CLASS] = ELFCLASS64;
    image->header.e_ident[EI_DATA] = ELFDATA2LSB;
    image->header.e_ident[EI_VERSION] = EV_CURRENT;
    image->header.e_type = ET_EXEC;
    image->header.e_machine = EM_X86_64;
    image->header.e_version = EV_CURRENT;
    image->header.e_entry = MIB + 4;
    image->header.e_phoff = sizeof(Elf64_Ehdr);
    image->header.e_phentsize = sizeof(Elf64_Phdr);
    image->header.e_phnum = 2;
    image->segment[0] = (Elf64_Phdr) {
        .p_type = PT_LOAD, .p_offset = PAYLOAD, .p_paddr = MIB,
        .p_filesz = 16, .p_memsz = 16,
    };
    image->segment[1] = (Elf64_Phdr) {
        .p_type = PT_LOAD, .p_offset = PAYLOAD + 16, .p_paddr = MIB + 0x1000,
        .p_filesz = 8, .p_memsz = 16,
    };
    memset(image->bytes + PAYLOAD, 0xaa, 24);
}

static bool load(const Image *image, size_t size, GuestRam *ram, GError **errp)
{
    uint64_t entry = 0;
    bool ok = elf_load(ram, image->bytes, size, &entry, errp);

    g_assert_cmphex(entry, ==, ok ? MIB + 4 : 0);
    return ok;
}

static void test_load(void)
{
    g_autoptr(GError) err = NULL;
    GuestRam ram;
    Image image;
    unsigned i;

    g_assert_true(guest_ram_init(&ram, 2 * MIB, NULL));
    memset(ram.host, 0x55, ram.size);
    image_init(&image);
    g_assert_true(load(&image, sizeof(image), &ram, &err));
    for (i = 0; i < 16; i++) {
        g_assert_cmphex(ram.host[MIB + i], ==, 0xaa);
        g_assert_cmphex(ram.host[MIB + 0x1000 + i], ==, i < 8 ? 0xaa : 0);
    }
    g_assert_cmphex(ram.host[MIB - 1], ==, 0x55);
    g_assert_cmphex(ram.host[MIB + 16], ==, 0x55);
    g_assert_cmphex(ram.host[MIB + 0x1010], ==, 0x55);
    guest_ram_destroy(&ram);
}

/* The image must be refused with this message, and RAM left alone. */
static void expect_refused(const Image *image, size_t size, const char *why)
{
    g_autoptr(GError) err = NULL;
    GuestRam ram;
    size_t i;

    g_assert_true(guest_ram_init(&ram, 2 * MIB, NULL));
    g_assert_false(load(image, size, &ram, &err));
    g_assert_cmpstr(err->message, ==, why);
    for (i = 0; i < ram.size; i++) {
        g_assert_cmphex(ram.host[i], ==, 0);
    }
    guest_ram_destroy(&ram);
}

#define REFUSED(name_, change_, why_)                                       \
    static void test_##name_(void)                                          \
    {                                                                       \
        Image image;                                                        \
                                                                            \
        image_init(&image);                                                 \
        change_;                                                            \
        expect_refused(&image, sizeof(image), why_);                        \
    }

REFUSED(magic, image.bytes[0] = 0, "not an ELF file")
REFUSED(class, image.header.e_ident[EI_CLASS] = ELFCLASS32,
        "not a 64-bit x86 ELF file")
REFUSED(machine, image.header.e_machine = EM_AARCH64,
        "not a 64-bit x86 ELF file")
REFUSED(dynamic, image.header.e_type = ET_DYN,
        "not a statically linked executable")
REFUSED(interpreter, image.segment[1].p_type = PT_INTERP,
        "not a statically linked executable")
REFUSED(no_headers, image.header.e_phnum = 0,
        "a bad number or size of program headers")
REFUSED(headers_cut_off, image.header.e_phoff = sizeof(image) - 8,
        "the program headers are cut off")
REFUSED(headers_overflow, image.header.e_phoff = UINT64_MAX - 8,
        "the program headers are cut off")
REFUSED(segment_cut_off, image.segment[1].p_offset = sizeof(image) - 7,
        "a segment is cut off")
REFUSED(offset_overflow, image.segment[1].p_offset = UINT64_MAX - 4,
        "a segment is cut off")
REFUSED(filesz, image.segment[1].p_memsz = 7,
        "a segment is larger in the file than in memory")
REFUSED(low, image.segment[0].p_paddr = MIB - 1,
        "a segment lies below 1 MiB")
REFUSED(outside, image.segment[1].p_paddr = 2 * MIB - 15,
        "a segment lies outside RAM")
REFUSED(address_overflow, image.segment[1].p_paddr = UINT64_MAX - 8,
        "a segment lies outside RAM")
REFUSED(overlap, image.segment[1].p_paddr = MIB + 15, "segments overlap")
REFUSED(entry, image.header.e_entry = MIB + 16,
        "the entry point is in no segment")

static void test_every_truncation(void)
{
    Image image;
    size_t size;

    image_init(&image);
    for (size = 0; size < PAYLOAD + 24; size += 8) {
        g_autoptr(GError) err = NULL;
        GuestRam ram;

        g_assert_true(guest_ram_init(&ram, 2 * MIB, NULL));
        g_assert_false(load(&image, size, &ram, &err));
        g_assert_nonnull(err);
        guest_ram_destroy(&ram);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/elf/load", test_load);
    g_test_add_func("/elf/magic", test_magic);
    g_test_add_func("/elf/class", test_class);
    g_test_add_func("/elf/machine", test_machine);
    g_test_add_func("/elf/dynamic", test_dynamic);
    g_test_add_func("/elf/interpreter", test_interpreter);
    g_test_add_func("/elf/no-headers", test_no_headers);
    g_test_add_func("/elf/headers-cut-off", test_headers_cut_off);
    g_test_add_func("/elf/headers-overflow", test_headers_overflow);
    g_test_add_func("/elf/segment-cut-off", test_segment_cut_off);
    g_test_add_func("/elf/offset-overflow", test_offset_overflow);
    g_test_add_func("/elf/filesz", test_filesz);
    g_test_add_func("/elf/low", test_low);
    g_test_add_func("/elf/outside", test_outside);
    g_test_add_func("/elf/address-overflow", test_address_overflow);
    g_test_add_func("/elf/overlap", test_overlap);
    g_test_add_func("/elf/entry", test_entry);
    g_test_add_func("/elf/every-truncation", test_every_truncation);
    return g_test_run();
}
