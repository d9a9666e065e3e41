/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs that bring pages, and the pages that they bring.  A page is in flight
 * from when its record is added to a job until the job was collected.  A later
 * record for the page, of any kind, waits for that: one bit could not tell two
 * versions in flight from one.
 *
 * All of it is the load loop's, so the bits need no lock, and the workers do
 * not know them.  Jobs are collected in the order of submission.  Waiting for
 * one page therefore means to collect from the front until its bit is clear.
 */
#ifndef MIGRATION_RAM_IN_FLIGHT_H
#define MIGRATION_RAM_IN_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/page-bits.h"
#include "migration/wire/ram-record.h"
#include "util/pipeline.h"

typedef struct InFlight {
    Pipeline *pipeline;
    PageBits *pages; /* set for a job's pages; its sink clears them */
    void *filling;   /* the job that is not yet submitted; or NULL */
} InFlight;

/* Hand the job that is being filled, if there is one, to the workers. */
void in_flight_submit(InFlight *f);

/* Wait until none of the pages is in flight.  False when a sink failed. */
bool in_flight_settle(InFlight *f, const RamBlock *block, uint64_t page,
                      uint64_t count, GError **errp);
bool in_flight_settle_each(InFlight *f, const RamBlock *block,
                           const RamPages *pages, GError **errp);

/* Wait for all. */
bool in_flight_drain(InFlight *f, GError **errp);

#endif
