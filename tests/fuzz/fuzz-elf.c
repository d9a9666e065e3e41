/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's file.  What was refused has left RAM zero. */
#include "tests/fuzz/fuzz.h"
#include "util/zero.h"
#include "vmm/elf-load.h"

#define RAM_SIZE ((1u << 20) + (64u << 10))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree uint8_t *memory = g_malloc0(RAM_SIZE);
    GuestRam ram = { memory, RAM_SIZE };
    uint64_t entry;

    if (elf_load(&ram, data, size, &entry, NULL)) {
        g_assert_cmpuint(entry, <, RAM_SIZE);
        return 0;
    }
    g_assert_true(buffer_is_zero(memory, RAM_SIZE));
    return 0;
}
