/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host interface: what a virtual machine monitor supplies so that its
 * guests can be migrated.  See docs/embedding.md for a walk through it.
 *
 * Unless a call says otherwise, the migration's own thread makes it (source
 * "mig/src", destination "mig/dst"), without holding any lock of the library.
 * It may block, and gets the opaque pointer that was given to mig_new().
 */
#ifndef FERRY_HOST_H
#define FERRY_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/vmstate.h"

G_BEGIN_DECLS

/* The unit of migration, in bytes.  Guests have 4 KiB pages (x86-64). */
#define MIG_PAGE_SIZE 4096u
#define MIG_PAGE_BITS 12

/* One contiguous piece of guest RAM. */
typedef struct MigRamBlock {
    const char *name; /* 1..255 bytes, unique, the same on both sides */
    uint8_t *host;    /* where it is mapped, page-aligned, writable */
    uint64_t length;  /* in bytes, a multiple of MIG_PAGE_SIZE, above 0 */
} MigRamBlock;

/* One device.  (name, instance) is unique and the same on both sides. */
typedef struct MigDevice {
    const char *name; /* 1..255 bytes */
    uint32_t instance;
    const MigVMState *state;
    void *data; /* the structure that state describes */
} MigDevice;

typedef enum {
    MIG_STATE_NONE,
    MIG_STATE_SETUP,          /* connecting, waiting for a connection */
    MIG_STATE_ACTIVE,         /* RAM is being copied, the guest runs */
    MIG_STATE_PRE_SWITCHOVER, /* the guest is stopped, before device state */
    MIG_STATE_DEVICE,         /* the guest is stopped, the last pages move */
    MIG_STATE_COMPLETED,
    MIG_STATE_FAILED,
    MIG_STATE_CANCELLING,
    MIG_STATE_CANCELLED,
} MigState;

typedef enum {
    MIG_EVENT_STATE, /* state has the new state */
    MIG_EVENT_PASS,  /* source: pass has the number of the pass that begins */
} MigEventType;

typedef struct MigEvent {
    MigEventType type;
    MigState state;
    unsigned pass; /* from 1 */
} MigEvent;

/* Pages of ram_blocks()[block]. */
typedef struct MigRamPart {
    size_t block;
    uint64_t first; /* page, a multiple of 64 */
    uint64_t pages; /* a multiple of 64, except at the block's end */
} MigRamPart;

typedef struct MigHost {
    /* The machine type, 1..255 bytes.  Both sides must have the same. */
    const char *machine;

    /* The guest's UUID, 16 bytes, or NULL; see capability validate-uuid. */
    const uint8_t *uuid;

    /*
     * RAM blocks and devices.  Called once, at the start.  The arrays stay
     * valid and unchanged until mig_free().  There is at least one block.  At a
     * destination RAM reads as zero, also on a second attempt.  Devices are
     * saved and loaded while the guest is stopped.
     */
    const MigRamBlock *(*ram_blocks)(void *opaque, size_t *count);
    const MigDevice *(*devices)(void *opaque, size_t *count);

    /*
     * Source only.  The dirty log: which pages the guest wrote.
     *
     * start is called once, before any page is read.  If it returns true, stop
     * is called exactly once later, whatever happens.  The guest may be running
     * or stopped at both.
     *
     * collect sets the bit of every page of ram_blocks()[block] that was
     * written since start, or since the last collect, and forgets those pages.
     * If a write is not yet in memory when the page is read after this call, a
     * later collect must report the page.  bitmap has one bit a page, bit n %
     * 64 of word n / 64 for page n.  Bits that are already set stay set, and
     * bits past the block's end stay clear.
     */
    bool (*dirty_log_start)(void *opaque, GError **errp);
    bool (*dirty_log_collect)(void *opaque, size_t block, uint64_t *bitmap,
                              GError **errp);
    void (*dirty_log_stop)(void *opaque);

    /*
     * Source, optional: collect for a part of a block; bit 0 is the part's
     * first page.  Called during a pass, for pages that are about to be sent,
     * so that a page that was written since the pass began is sent only once.
     * Pages that were written a moment ago may be left for a later call of this
     * or of collect, so that one copy of a log can serve for several parts.
     */
    bool (*dirty_log_collect_part)(void *opaque, const MigRamPart *part,
                                   uint64_t *bitmap, GError **errp);

    /*
     * Source, optional: set the bits of the pages of ram_blocks()[block] that
     * are known to be zero without being read, because the guest never used
     * them.  Called once for each block, between start and the first collect,
     * with a bitmap as above.  A page that is written after start may be among
     * them, because the log has it.  These pages are not read, so that a guest
     * costs only what it uses.
     */
    void (*ram_untouched)(void *opaque, size_t block, uint64_t *bitmap);

    /*
     * Source, optional: with auto-converge, let the guest's CPUs run only for
     * (100 - percent) per cent of the time.  May be called again with another
     * value.  If it was called at all, the last call is with 0.
     */
    void (*throttle)(void *opaque, unsigned percent);

    /*
     * Source: stop the guest.  When it returns, nothing writes guest RAM or
     * device state any more.  Called at most once.
     */
    bool (*vm_stop)(void *opaque, GError **errp);

    /*
     * Source: let the guest go on as before vm_stop (it stays stopped if the
     * user had stopped it).  Called at most once, only after a vm_stop that
     * returned true, when the migration failed or was cancelled and the
     * destination does not run the guest.  Not called when nobody knows whether
     * the destination does (MIG_ERROR_OUTCOME).  Cannot fail.
     */
    void (*vm_resume)(void *opaque);

    /*
     * Destination: everything is loaded, and the guest is the destination's
     * now.  Run it, or leave it stopped if the user or the loaded state says
     * so.  Called at most once.
     */
    void (*vm_start)(void *opaque);

    /* Optional.  Called by the library's threads, and from inside mig_send*(),
     * mig_receive*(), mig_cancel() and mig_free().  mig_query() in other
     * threads waits meanwhile.  So event must not take a lock that the host
     * holds around any of these.  It must not block, and must not call into the
     * same Migration except mig_query(). */
    void (*event)(void *opaque, const MigEvent *event);
} MigHost;

G_END_DECLS

#endif
