/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state: FULL sections, one after the other, for devices with every
 * kind of field, nested structures, arrays and subsections.
 */
#include "migration/wire/device.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"
#include "tests/wire/golden-cases.h"

static bool load_one(Devices *devices, Stream *s)
{
    SectionHeader section = { .type = WIRE_FULL };
    uint8_t type;

    return stream_get_u8(s, &type, NULL) && type == WIRE_FULL &&
           section_get_header(s, &section, NULL) &&
           devices_load(devices, s, &section, NULL) &&
           section_get_footer(s, section.id, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Boards *boards = boards_new();
    MemReader *r = mem_reader_new_static(data, size);
    Devices *devices;
    size_t count;
    const MigDevice *list = boards_devices(boards, &count);

    devices = devices_new(list, count, NULL);
    while (load_one(devices, r->stream)) {
        continue;
    }
    devices_check_loaded(devices, NULL);
    devices_free(devices);
    mem_reader_free(r);
    boards_free(boards);
    return 0;
}
