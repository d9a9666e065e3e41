/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram/in-flight.h"

void in_flight_submit(InFlight *f)
{
    if (f->filling) {
        f->filling = NULL;
        pipeline_submit(f->pipeline);
    }
}

bool in_flight_settle(InFlight *f, const RamBlock *block, uint64_t page,
                      uint64_t count, GError **errp)
{
    uint64_t end = page + count;
    bool any;

    while ((page = page_bits_next(f->pages, block, page, end)) < end) {
        in_flight_submit(f);
        if (!pipeline_finish_oldest(f->pipeline, &any, errp)) {
            return false;
        }
    }
    return true;
}

bool in_flight_settle_each(InFlight *f, const RamBlock *block,
                           const RamPages *pages, GError **errp)
{
    for (unsigned i = 0; i < pages->count; i++) {
        if (!in_flight_settle(f, block, pages->page[i], 1, errp)) {
            return false;
        }
    }
    return true;
}

bool in_flight_drain(InFlight *f, GError **errp)
{
    in_flight_submit(f);
    return pipeline_flush(f->pipeline, errp);
}
