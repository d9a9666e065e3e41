/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header and the configuration section, for any reader. */
#include "migration/wire/section.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t uuid[WIRE_UUID_SIZE] = { 1, 2, 3 };
    Identity id = { "fake-1.0", uuid };
    MemReader *r = mem_reader_new_static(data, size);
    Preamble preamble;

    if (section_get_preamble(r->stream, &preamble, NULL)) {
        section_check_preamble(&preamble, &id, NULL);
    }
    mem_reader_free(r);
    return 0;
}
