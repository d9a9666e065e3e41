/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/wire/device.h"

#include <string.h>

#include "ferry/error.h"
#include "migration/wire/vmstate-io.h"
#include "migration/wire/wire.h"

struct Devices {
    const MigDevice *device; /* the host's */
    size_t count;
    bool *seen; /* [count]: saved, or loaded */
};

static bool check_device(const MigDevice *d, GError **errp)
{
    const char *fault = NULL;

    if (!d->name || !d->name[0] || strlen(d->name) > WIRE_NAME_MAX) {
        fault = "has a name that is empty or too long";
    } else if (!strcmp(d->name, WIRE_RAM_NAME)) {
        fault = "has the name of the ram section";
    } else if (!d->state || !d->state->fields || !d->state->name) {
        fault = "has no description";
    }
    if (fault) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "device '%s' %s",
                    d->name ? d->name : "", fault);
    }
    return !fault;
}

/* The index of a device; count when there is none. */
static size_t find_device(const Devices *devices, size_t count,
                          const char *name, uint32_t instance)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const MigDevice *d = &devices->device[i];

        if (d->instance == instance && !strcmp(d->name, name)) {
            break;
        }
    }
    return i;
}

Devices *devices_new(const MigDevice *device, size_t count, GError **errp)
{
    Devices *devices = g_new0(Devices, 1);

    devices->device = device;
    devices->count = count;
    devices->seen = g_new0(bool, count);
    for (size_t i = 0; i < count; i++) {
        const MigDevice *d = &device[i];

        if (!check_device(d, errp)) {
            devices_free(devices);
            return NULL;
        }
        if (find_device(devices, i, d->name, d->instance) < i) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                        "two devices are called '%s', instance %u", d->name,
                        d->instance);
            devices_free(devices);
            return NULL;
        }
    }
    return devices;
}

void devices_free(Devices *devices)
{
    if (devices) {
        g_free(devices->seen);
        g_free(devices);
    }
}

static bool save_device(Stream *s, const MigDevice *d, uint32_t id,
                        GError **errp)
{
    SectionHeader section = {
        .type = WIRE_FULL,
        .id = id,
        .instance = d->instance,
        .version = d->state->version,
    };

    g_strlcpy(section.name, d->name, sizeof(section.name));
    section_put_header(s, &section);
    if (!vmstate_save(s, d->state, d->data, errp)) {
        g_prefix_error(errp, "device '%s': ", d->name);
        return false;
    }
    section_put_footer(s, id);
    return true;
}

bool devices_save(Devices *devices, Stream *s, uint32_t first_id,
                  GError **errp)
{
    for (size_t i = 0; i < devices->count; i++) {
        const MigDevice *d = &devices->device[i];

        devices->seen[i] = vmstate_needed(d->state, d->data);
        if (devices->seen[i] &&
            !save_device(s, d, first_id + (uint32_t)i, errp)) {
            return false;
        }
    }
    return true;
}

static void describe_device(JsonBuilder *json, const MigDevice *d)
{
    json_builder_begin_object(json);
    json_builder_set_member_name(json, "name");
    json_builder_add_string_value(json, d->name);
    json_builder_set_member_name(json, "instance_id");
    json_builder_add_int_value(json, d->instance);
    vmstate_describe(json, d->state, d->data);
    json_builder_end_object(json);
}

static char *description(const Devices *devices)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autoptr(JsonNode) root = NULL;

    json_builder_begin_object(json);
    json_builder_set_member_name(json, "page_size");
    json_builder_add_int_value(json, MIG_PAGE_SIZE);
    json_builder_set_member_name(json, "devices");
    json_builder_begin_array(json);
    for (size_t i = 0; i < devices->count; i++) {
        if (devices->seen[i]) {
            describe_device(json, &devices->device[i]);
        }
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
    root = json_builder_get_root(json);
    return json_to_string(root, false);
}

void devices_describe(Devices *devices, Stream *s)
{
    g_autofree char *text = description(devices);

    stream_put_u8(s, WIRE_VMDESCRIPTION);
    stream_put_be32(s, (uint32_t)strlen(text));
    stream_put_bytes(s, text, strlen(text));
}

bool devices_load(Devices *devices, Stream *s, const SectionHeader *section,
                  GError **errp)
{
    size_t i = find_device(devices, devices->count, section->name,
                           section->instance);
    g_autofree char *shown = g_strescape(section->name, NULL);

    if (i == devices->count) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "Unknown savevm section or instance '%s' %u. Make sure "
                    "that your current VM setup matches your saved VM setup",
                    shown, section->instance);
        return false;
    }
    if (devices->seen[i]) {
        stream_bad(s, errp, "device '%s' a second time", shown);
        return false;
    }
    devices->seen[i] = true;
    if (!vmstate_load(s, devices->device[i].state, devices->device[i].data,
                      section->version, errp)) {
        g_prefix_error(errp, "device '%s': ", shown);
        return false;
    }
    return true;
}

bool devices_check_loaded(const Devices *devices, GError **errp)
{
    for (size_t i = 0; i < devices->count; i++) {
        const MigDevice *d = &devices->device[i];

        if (!devices->seen[i] && !d->state->needed) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                        "the stream has no state of device '%s', instance %u",
                        d->name, d->instance);
            return false;
        }
    }
    return true;
}
