/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram/writer.h"

#include "migration/wire/ram-record.h"

void ram_writer_advance(RamWriter *w, size_t size)
{
    w->to += size;
    w->name = NULL;
}

void ram_writer_end_zeros(RamWriter *w)
{
    size_t size;

    if (w->zeros) {
        size = ram_record_put_zeros(w->to, w->zero, w->name, w->zeros,
                                    w->zero_ranges);
        ram_writer_advance(w, size);
        w->counts.zero += w->zeros;
        w->counts.zero_bytes += size;
        w->zeros = 0;
    }
}

void ram_writer_add_zero(RamWriter *w, uint64_t page)
{
    if (page != w->zero + w->zeros) {
        ram_writer_end_zeros(w);
    }
    if (!w->zeros) {
        w->zero = page;
    }
    w->zeros++;
}

void ram_writer_put_plain_head(RamWriter *w, uint64_t page)
{
    ram_writer_end_zeros(w);
    ram_writer_advance(w, ram_record_put_plain(w->to, page * MIG_PAGE_SIZE,
                                               w->name));
    w->counts.normal++;
}
