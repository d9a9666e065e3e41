/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's fields, by the vmdescription. */
#ifndef TOOLS_INSPECT_FIELDS_H
#define TOOLS_INSPECT_FIELDS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/inspect/streams/inspect-report.h"

/* All texts are the description's. */
typedef struct Field {
    const char *name;
    const char *type;      /* "struct", "subsection", "uint32", "buffer", ... */
    const char *structure; /* the name of a struct; or NULL */
    int64_t version;       /* of a struct or subsection; or -1 */
    int64_t index;         /* in an array whose elements are fields; or -1 */
    const uint8_t *at;     /* in the device's content */
    size_t size;           /* of one element; of a group when it ends */
    size_t count;          /* how many elements there are, */
    bool is_array;         /* and whether they are an array of values */
} Field;

/* What a walk tells.  A group is a struct or a subsection; its fields come
 * between enter and leave.  Functions may be NULL. */
typedef struct FieldsVisitor {
    void (*enter)(void *opaque, const Field *group);
    void (*leave)(void *opaque, const Field *group);
    void (*value)(void *opaque, const Field *field);
    void *opaque;
} FieldsVisitor;

/*
 * Tell the fields of a device, in their order.  One without a description has
 * one field, of all its bytes.  A device whose content was not kept has none.
 *
 * Returns NULL, or why its content is not what the description says, to be
 * freed by g_free().  The fields that were told before are as it says.
 */
char *fields_walk(const InspectDevice *device, const FieldsVisitor *visitor);

#endif
