/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields are found by their names in the vmdescription, which have been the
 * same since there is one. */
#include "tools/inspect/converters/x86-state.h"

#include <string.h>

#include "tools/inspect/devices/field-value.h"

#define EFER_LMA (1u << 10)

typedef struct Reading {
    CpuState *cpu;
    unsigned depth;
    CpuSegment *segment; /* the fields are of this one; or NULL */
    bool has_regs, has_rip;
} Reading;

static const struct {
    const char *name;
    CpuSegmentNumber number;
} segments[] = {
    { "env.ldt", CPU_LDT },
    { "env.tr", CPU_TR },
    { "env.gdt", CPU_GDT },
    { "env.idt", CPU_IDT },
};

static CpuSegment *find_segment(CpuState *cpu, const Field *group)
{
    if (!strcmp(group->name, "env.segs")) {
        return group->index >= 0 && group->index <= CPU_GS
                   ? &cpu->segment[group->index] : NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
        if (!strcmp(group->name, segments[i].name)) {
            return &cpu->segment[segments[i].number];
        }
    }
    return NULL;
}

static void enter(void *opaque, const Field *group)
{
    Reading *r = opaque;

    r->segment = r->depth++ == 0 ? find_segment(r->cpu, group) : NULL;
}

static void leave(void *opaque, const Field *group)
{
    Reading *r = opaque;

    r->segment = NULL;
    r->depth--;
}

static void take_segment(CpuSegment *segment, const Field *field)
{
    uint64_t number = field_number(field, 0);

    if (!strcmp(field->name, "selector")) {
        segment->selector = (uint32_t)number;
    } else if (!strcmp(field->name, "base")) {
        segment->base = number;
    } else if (!strcmp(field->name, "limit")) {
        segment->limit = (uint32_t)number;
    } else if (!strcmp(field->name, "flags")) {
        segment->flags = (uint32_t)number;
    }
}

/* A 32-bit QEMU has eight registers. */
static void take_regs(Reading *r, const Field *field)
{
    for (size_t i = 0; i < MIN(field->count, G_N_ELEMENTS(r->cpu->reg)); i++) {
        r->cpu->reg[i] = field_number(field, i);
    }
    r->has_regs = field->count >= CPU_R8;
}

static void take_register(Reading *r, const Field *field)
{
    CpuState *cpu = r->cpu;
    const struct {
        const char *name;
        uint64_t *to;
    } registers[] = {
        { "env.eip", &cpu->rip },
        { "env.eflags", &cpu->rflags },
        { "env.efer", &cpu->efer },
        { "env.kernelgsbase", &cpu->kernel_gs_base },
        { "env.cr[0]", &cpu->cr[0] },
        { "env.cr[2]", &cpu->cr[2] },
        { "env.cr[3]", &cpu->cr[3] },
        { "env.cr[4]", &cpu->cr[4] },
    };

    if (!strcmp(field->name, "env.regs")) {
        take_regs(r, field);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        if (!strcmp(field->name, registers[i].name)) {
            *registers[i].to = field_number(field, 0);
            r->has_rip |= i == 0;
        }
    }
}

static void value(void *opaque, const Field *field)
{
    Reading *r = opaque;

    if (field_kind(field) == FIELD_RAW) {
        return;
    }
    if (r->segment) {
        take_segment(r->segment, field);
    } else if (r->depth == 0) {
        take_register(r, field);
    }
}

bool cpu_state_get(const InspectDevice *device, CpuState *cpu)
{
    Reading r = { .cpu = cpu };
    const FieldsVisitor visitor = { enter, leave, value, &r };

    *cpu = (CpuState){ .rip = 0 };
    if (strcmp(device->name, "cpu") || !device->description) {
        return false;
    }
    g_free(fields_walk(device, &visitor));
    return r.has_regs && r.has_rip;
}

bool cpu_state_is_long(const CpuState *cpu)
{
    return cpu->efer & EFER_LMA;
}
