/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host interface: what a virtual machine monitor supplies so that its
 * guests can be migrated.  See docs/embedding.md for a walk through it.
 *
 * Unless a call says otherwise it is made from the migration's own thread
 * (source "mig/src", destination "mig/dst"), without any lock of the library
 * held, may block, and gets the opaque pointer given to mig_new().
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
    uint64_t pages; /* a multiple of 64, but at the block's end */
} MigRamPart;

typedef struct MigHost {
    /* The machine type, 1..255 bytes.  Both sides must have the same. */
    const char *machine;

    /* The guest's UUID, 16 bytes, or NULL; see capability validate-uuid. */
    const uint8_t *uuid;

    /*
     * RAM blocks and devices.  Called once, at the start; what is returned
     * stays valid and unchanged until mig_free().  At least one block.  At a
     * destination RAM reads as zero, also when it is the second attempt.
     * Devices are saved and loaded while the guest is stopped.
     */
    const MigRamBlock *(*ram_blocks)(void *opaque, size_t *count);
    const MigDevice *(*devices)(void *opaque, size_t *count);

    /*
     * Source only.  The dirty log: which pages the guest wrote.
     *
     * start is called once, before any page is read; on true, stop is called
     * exactly once later, whatever happens.  The guest may be running or
     * stopped at both.
     *
     * collect sets the bit of every page of ram_blocks()[block] that was
     * written since start or since the previous collect, whichever is later,
     * and forgets them.  A write that is not yet in memory when the page is
     * read after this call must be reported by a later collect.  bitmap has
     * one bit a page, bit n % 64 of word n / 64 for page n; bits that are
     * already set stay set, and bits past the block's end stay clear.
     */
    bool (*dirty_log_start)(void *opaque, GError **errp);
    bool (*dirty_log_collect)(void *opaque, size_t block, uint64_t *bitmap,
                              GError **errp);
    void (*dirty_log_stop)(void *opaque);

    /*
     * Source, optional: collect for a part of a block; bit 0 is the first page
     * of the part.  Called during a pass, for what is about to be sent: what
     * was written since the pass began is then sent only once.  Pages that
     * were written a moment ago may be left for a later call of either, which
     * lets one copy of a log serve for several parts.
     */
    bool (*dirty_log_collect_part)(void *opaque, const MigRamPart *part,
                                   uint64_t *bitmap, GError **errp);

    /*
     * Source, optional: of which pages of ram_blocks()[block] it is known,
     * without reading them, that they are zero: memory that the guest never
     * used.  Called once for each block, between start and the first collect,
     * with a bitmap as above; sets the bits of such pages.  A page that is
     * written after start may be among them, as the log has it.  They are not
     * read, so that a guest costs what it uses.
     */
    void (*ram_untouched)(void *opaque, size_t block, uint64_t *bitmap);

    /*
     * Source, optional: with auto-converge, let the guest's CPUs run for
     * (100 - percent) per cent of the time only; 0: all of it.  Called again
     * with another value, and with 0 at the end where it was called at all.
     */
    void (*throttle)(void *opaque, unsigned percent);

    /*
     * Source: stop the guest.  When it returns, nothing writes guest RAM or
     * device state any more.  Called at most once.
     */
    bool (*vm_stop)(void *opaque, GError **errp);

    /*
     * Source: let the guest go on as it was before vm_stop (which may be:
     * stopped, when the user had stopped it).  Called at most once, only
     * after a vm_stop that returned true, when the migration failed or was
     * cancelled and the destination does not run the guest.  Not called when
     * nobody knows that (MIG_ERROR_OUTCOME).  Cannot fail.
     */
    void (*vm_resume)(void *opaque);

    /*
     * Destination: everything is loaded and the guest is now ours: run it
     * (or leave it stopped, when the user or the loaded state says so).
     * Called at most once.
     */
    void (*vm_start)(void *opaque);

    /* Optional.  From the library's threads and from inside mig_send*(),
     * mig_receive*(), mig_cancel() and mig_free(), while mig_query() waits: so
     * it must not take a lock that the host holds around any of these.  Must
     * not block, and must not call into the same Migration except
     * mig_query(). */
    void (*event)(void *opaque, const MigEvent *event);
} MigHost;

G_END_DECLS

#endif
