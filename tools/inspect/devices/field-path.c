/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of devices and of subsections have slashes in them, so a path cannot
 * be cut into names.  It is compared with each name instead, from its beginning
 * on.
 */
#include "tools/inspect/devices/field-path.h"

#include <string.h>

/* A description's nesting is limited by its parser to fewer groups. */
#define DEPTH_MAX 64u

typedef struct Selection {
    const FieldsVisitor *visitor;
    const char *rest[DEPTH_MAX]; /* of the path, in each group; or NULL */
    unsigned depth;
    unsigned found;
} Selection;

/* The path behind a name and perhaps its number; NULL: it is another name. */
static const char *behind(const char *path, const char *name, int64_t number)
{
    g_autofree char *index = g_strdup_printf("[%" G_GINT64_FORMAT "]", number);

    if (!g_str_has_prefix(path, name)) {
        return NULL;
    }
    path += strlen(name);
    if (number >= 0 && g_str_has_prefix(path, index)) {
        path += strlen(index);
    }
    if (*path && *path != '/') {
        return NULL;
    }
    return *path ? path + 1 : path;
}

const char *field_path_device(const char *path, const InspectDevice *device)
{
    return behind(path, device->name, device->instance);
}

/* What is left of the path inside of this field. */
static const char *inside(const Selection *s, const Field *field)
{
    const char *rest = s->rest[s->depth];

    return rest && *rest ? behind(rest, field->name, field->index) : rest;
}

/* Is all of this field wanted? */
static bool is_wanted(const char *rest)
{
    return rest && !*rest;
}

/* Is it wanted because of its own name? */
static void count(Selection *s, const char *rest)
{
    s->found += is_wanted(rest) && !is_wanted(s->rest[s->depth]);
}

static void select_enter(void *opaque, const Field *group)
{
    Selection *s = opaque;
    const char *rest = inside(s, group);

    g_assert(s->depth + 1 < DEPTH_MAX);
    count(s, rest);
    s->rest[++s->depth] = rest;
    if (is_wanted(rest) && s->visitor->enter) {
        s->visitor->enter(s->visitor->opaque, group);
    }
}

static void select_leave(void *opaque, const Field *group)
{
    Selection *s = opaque;

    if (is_wanted(s->rest[s->depth]) && s->visitor->leave) {
        s->visitor->leave(s->visitor->opaque, group);
    }
    s->depth--;
}

static void select_value(void *opaque, const Field *field)
{
    Selection *s = opaque;
    const char *rest = inside(s, field);

    count(s, rest);
    if (is_wanted(rest) && s->visitor->value) {
        s->visitor->value(s->visitor->opaque, field);
    }
}

char *field_path_walk(const InspectDevice *device, const char *path,
                      const FieldsVisitor *visitor, unsigned *found)
{
    Selection s = { .visitor = visitor, .rest = { path } };
    const FieldsVisitor selected = {
        .enter = select_enter,
        .leave = select_leave,
        .value = select_value,
        .opaque = &s,
    };
    char *fault = fields_walk(device, &selected);

    *found = s.found;
    return fault;
}
