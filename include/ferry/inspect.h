/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved guests, for tools that look into them: what ferry-inspect reads, in
 * whatever container, as one handle.  A guest is read whole when it is opened,
 * and then the caller takes out of it what it wants, in any order.
 *
 * Link to libferry-inspect (pkg-config ferry-inspect).
 *
 * Ownership: what a call hands out is the handle's, and is valid until
 * mig_inspect_close().  Threads: one at a time may use a handle, but after
 * mig_inspect_open() any number may read.  Errors are those of MIG_ERROR, and
 * G_IO_ERROR of files; nothing that is in a file ends the process.
 */
#ifndef FERRY_INSPECT_H
#define FERRY_INSPECT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/error.h>

G_BEGIN_DECLS

typedef struct MigInspect MigInspect;

/*
 * Read a saved guest: a stream, libvirt's image, a qcow2 image, or one of these
 * compressed.  snapshot names one of a qcow2 image; or NULL.  Memory is kept in
 * a file without a name in the folder scratch (NULL: /var/tmp), and takes none
 * of the process's own, so it may be larger than the machine's.
 *
 * NULL when the file cannot be read, or its guest is not whole.
 */
MigInspect *mig_inspect_open(const char *path, const char *snapshot,
                             const char *scratch, GError **errp);
void mig_inspect_close(MigInspect *inspect); /* NULL is fine */

/* The type of the machine; "" of one before QEMU 2.4. */
const char *mig_inspect_machine(const MigInspect *inspect);

/* RAM blocks and devices are numbered from 0, in the stream's order.  False
 * when there is none with that number. */
typedef struct MigInspectBlock {
    const char *name;
    const uint8_t *memory;
    uint64_t size; /* bytes, whole pages of 4 KiB */
} MigInspectBlock;

bool mig_inspect_block(const MigInspect *inspect, unsigned number,
                       MigInspectBlock *block);

/* The first byte from this one on, at the beginning of a page, behind which
 * there may be something else than zeros; the block's size if there is none. */
uint64_t mig_inspect_next(const MigInspect *inspect, unsigned block,
                          uint64_t offset);

typedef struct MigInspectDevice {
    const char *name;
    uint32_t instance, version;
    const uint8_t *content; /* NULL: it was too large to be kept */
    size_t size;
} MigInspectDevice;

bool mig_inspect_device(const MigInspect *inspect, unsigned number,
                        MigInspectDevice *device);

/* A field of a device, by the description in the stream. */
typedef struct MigInspectField {
    const char *type;  /* QEMU's: "uint32", "buffer", ... */
    const uint8_t *at; /* integers are big-endian */
    size_t size;       /* of one element */
    size_t count;      /* of elements */
} MigInspectField;

/* path is as in ferry-inspect --device: "cpu[0]/env.eip".  The first one that
 * it names and that has a value; false when there is none. */
bool mig_inspect_field(const MigInspect *inspect, const char *path,
                       MigInspectField *field);

/* An element, if it is an integer, a timer or a boolean; those with a sign are
 * extended to 64 bits. */
bool mig_inspect_number(const MigInspectField *field, size_t element,
                        uint64_t *number);

/*
 * Copy physical memory.  False where there is none, or where it is not known
 * where the machine has it: boards other than pc, q35, isapc and microvm, and
 * memory that is of several blocks.
 */
bool mig_inspect_read(const MigInspect *inspect, uint64_t address, void *buf,
                      size_t size, GError **errp);

G_END_DECLS

#endif
