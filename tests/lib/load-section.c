/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/load-section.h"

#include "migration/wire/wire.h"

bool load_blocks(RamLoad *load, Stream *s, GError **errp)
{
    const RamListForm form = { .page_sizes = false };
    RamList *list = ram_list_get(s, form, UINT64_MAX, errp);
    bool ok = list && ram_load_blocks(load, list, errp);

    ram_list_free(list);
    return ok;
}

bool load_section(RamLoad *load, Stream *s, GError **errp)
{
    RamRecord record;

    do {
        if (!ram_record_get(s, &record, errp) ||
            !ram_load_record(load, &record, errp)) {
            return false;
        }
    } while (record.type != WIRE_RAM_EOS);
    return true;
}
