/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to one QEMU connection for bytes that came over the link.  Whoever
 * reads the link never waits for QEMU: it puts the bytes here, and a thread of
 * the outlet's writes them.
 *
 * How many bytes may be put is granted: a window more than QEMU has taken.
 * Where QEMU is slower than the link, less is granted, because QEMU's source
 * believes that all these bytes have arrived, and the time that they still need
 * is downtime.
 *
 * When QEMU takes no more, what was put and what is put later is dropped, and
 * granted all the same.
 */
#ifndef RELAY_OUTLET_H
#define RELAY_OUTLET_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-stats.h"
#include "util/clock.h"

/* As many bytes wait as a slow QEMU takes in this time; but so many always
 * may. */
#define OUTLET_QUEUE_NS (20 * NS_PER_MS)
#define OUTLET_LEAST    ((size_t)1 << 20)

typedef struct OutletConfig {
    unsigned channel; /* its relay_window() is granted from the beginning; */
    LinkWriter *link; /* CREDIT, which is written here, grants more */
    RelayStats *stats; /* or NULL: counts the time that writing takes */

    /* Called by the outlet's thread, once, or never if the outlet is freed
     * before.  err (owned) is why QEMU takes no more; NULL: it was given all,
     * up to outlet_end(), and its connection is half-closed. */
    void (*ended)(void *opaque, GError *err);
    void *opaque;
} OutletConfig;

typedef struct Outlet Outlet;

/* NULL without memory or threads. */
Outlet *outlet_new(const OutletConfig *config, GError **errp);
void outlet_free(Outlet *outlet); /* stops it before; NULL is fine */
/* What was not written is lost, and so is what is put later.  Waits for the
 * thread: abort its channel before.  Not by two threads at a time. */
void outlet_stop(Outlet *outlet);

/* Where it leads; borrowed.  Until then the bytes wait.  NULL: nowhere, and
 * they are dropped. */
void outlet_connect(Outlet *outlet, IoChannel *to);

/* Put all of these bytes.  False, and nothing was put, where that is more than
 * was granted. */
bool outlet_put(Outlet *outlet, const GOutputVector *bytes, size_t count);
/* No more will be put. */
void outlet_end(Outlet *outlet);

/* Wait until all that was put has been written or dropped, at most so long.
 * From any thread but the outlet's. */
void outlet_drain(Outlet *outlet, int64_t ns);

#endif
