/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declarative device state.
 *
 * A device describes its state once, as a table of fields of its C structure,
 * and the library saves, loads and documents (in the stream's vmdescription)
 * that state from the table.  On the wire fields stand in table order,
 * big-endian, without padding; see docs/stream.md, "Device state".
 *
 *     static const MigVMStateField clock_fields[] = {
 *         MIG_VMSTATE_U64(Clock, now_ns),
 *         MIG_VMSTATE_U32_SINCE(Clock, rate, 2),
 *         MIG_VMSTATE_END
 *     };
 *     static const MigVMState clock_vmstate = {
 *         .name = "clock", .version = 2, .minimum_version = 1,
 *         .fields = clock_fields,
 *     };
 */
#ifndef FERRY_VMSTATE_H
#define FERRY_VMSTATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef struct MigVMState MigVMState;
typedef struct MigVMStateField MigVMStateField;

typedef enum {
    MIG_FIELD_END,
    MIG_FIELD_BOOL,   /* C bool, one byte on the wire, 0 or 1 */
    MIG_FIELD_U8,
    MIG_FIELD_U16,
    MIG_FIELD_U32,
    MIG_FIELD_U64,
    MIG_FIELD_BUFFER, /* size bytes, as they are */
    MIG_FIELD_STRUCT, /* a nested structure, described by state */
} MigFieldType;

struct MigVMStateField {
    const char *name;
    MigFieldType type;
    size_t offset;           /* of the first element in the structure */
    size_t size;             /* bytes of one element in memory */
    unsigned count;          /* elements; 1 for a scalar */
    uint32_t since;          /* first version that has the field; 0: all */
    const MigVMState *state; /* MIG_FIELD_STRUCT: describes one element */
};

struct MigVMState {
    const char *name;         /* 1..255 bytes; a subsection: "parent/name" */
    uint32_t version;         /* the one that is saved, and the newest loaded */
    uint32_t minimum_version; /* the oldest version that can be loaded */
    const MigVMStateField *fields; /* ends with MIG_VMSTATE_END */

    /* NULL-terminated, or NULL.  Saved after the fields, in this order.  Only a
     * device's own description has subsections: those of a nested structure, or
     * of a subsection, could not be told from its parent's. */
    const MigVMState *const *subsections;

    /*
     * Is there anything to save?  NULL means always.  A device or subsection
     * that is not needed is left out of the stream, and its fields at the
     * destination keep their values.
     */
    bool (*needed)(const void *data);

    /* pre_save is called before the fields are saved, post_load after they were
     * loaded.  post_load refuses a value that the device cannot have. */
    bool (*pre_save)(void *data, GError **errp);
    bool (*post_load)(void *data, uint32_t version, GError **errp);
};

#define MIG_VMSTATE_FIELD(type_, struct_, member_, count_, size_, since_,   \
                          state_)                                           \
    {                                                                       \
        .name = #member_, .type = (type_),                                  \
        .offset = offsetof(struct_, member_), .size = (size_),              \
        .count = (count_), .since = (since_), .state = (state_)             \
    }

#define MIG_VMSTATE_SIZEOF(struct_, member_) sizeof(((struct_ *)0)->member_)

#define MIG_VMSTATE_SCALAR(type_, ctype_, struct_, member_, since_)         \
    MIG_VMSTATE_FIELD(type_, struct_, member_, 1,                           \
                      sizeof(ctype_) +                                      \
                          0 * sizeof((ctype_ *)0 ==                         \
                                     &((struct_ *)0)->member_),             \
                      since_, NULL)

#define MIG_VMSTATE_BOOL(s, m) MIG_VMSTATE_BOOL_SINCE(s, m, 0)
#define MIG_VMSTATE_U8(s, m) MIG_VMSTATE_U8_SINCE(s, m, 0)
#define MIG_VMSTATE_U16(s, m) MIG_VMSTATE_U16_SINCE(s, m, 0)
#define MIG_VMSTATE_U32(s, m) MIG_VMSTATE_U32_SINCE(s, m, 0)
#define MIG_VMSTATE_U64(s, m) MIG_VMSTATE_U64_SINCE(s, m, 0)

#define MIG_VMSTATE_BOOL_SINCE(s, m, v)                                     \
    MIG_VMSTATE_SCALAR(MIG_FIELD_BOOL, bool, s, m, v)
#define MIG_VMSTATE_U8_SINCE(s, m, v)                                       \
    MIG_VMSTATE_SCALAR(MIG_FIELD_U8, uint8_t, s, m, v)
#define MIG_VMSTATE_U16_SINCE(s, m, v)                                      \
    MIG_VMSTATE_SCALAR(MIG_FIELD_U16, uint16_t, s, m, v)
#define MIG_VMSTATE_U32_SINCE(s, m, v)                                      \
    MIG_VMSTATE_SCALAR(MIG_FIELD_U32, uint32_t, s, m, v)
#define MIG_VMSTATE_U64_SINCE(s, m, v)                                      \
    MIG_VMSTATE_SCALAR(MIG_FIELD_U64, uint64_t, s, m, v)

/* uint64_t member[count] */
#define MIG_VMSTATE_U64_ARRAY(s, m, count_)                                 \
    MIG_VMSTATE_FIELD(MIG_FIELD_U64, s, m, count_, sizeof(uint64_t), 0, NULL)

/* A byte array member, whole. */
#define MIG_VMSTATE_BUFFER(s, m)                                            \
    MIG_VMSTATE_FIELD(MIG_FIELD_BUFFER, s, m, 1, MIG_VMSTATE_SIZEOF(s, m),  \
                      0, NULL)

/* A nested structure, and an array of count of them. */
#define MIG_VMSTATE_STRUCT(s, m, state_)                                    \
    MIG_VMSTATE_FIELD(MIG_FIELD_STRUCT, s, m, 1, MIG_VMSTATE_SIZEOF(s, m),  \
                      0, state_)
#define MIG_VMSTATE_STRUCT_ARRAY(s, m, count_, state_)                      \
    MIG_VMSTATE_FIELD(MIG_FIELD_STRUCT, s, m, count_,                       \
                      MIG_VMSTATE_SIZEOF(s, m[0]), 0, state_)

#define MIG_VMSTATE_END { .type = MIG_FIELD_END }

G_END_DECLS

#endif
