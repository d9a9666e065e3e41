/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/streams/inspect-report.h"

#define PIECE 4096u /* so that there is memory from the beginning on */

static void clear_device(void *opaque)
{
    InspectDevice *device = opaque;

    g_free(device->name);
    g_free(device->fault);
}

void inspect_report_init(InspectReport *report)
{
    *report = (InspectReport){
        .commands = g_array_new(FALSE, FALSE, sizeof(InspectCommand)),
        .sections = g_array_new(FALSE, FALSE, sizeof(InspectSection)),
        .passes = g_array_new(FALSE, FALSE, sizeof(InspectPass)),
        .warnings = g_ptr_array_new_with_free_func(g_free),
        .others = g_array_new(FALSE, FALSE, sizeof(InspectOther)),
        .devices = g_array_new(FALSE, FALSE, sizeof(InspectDevice)),
        .early = g_byte_array_sized_new(PIECE),
        .tail = g_byte_array_sized_new(PIECE),
    };
    g_array_set_clear_func(report->devices, clear_device);
}

void inspect_report_destroy(InspectReport *report)
{
    g_array_unref(report->commands);
    g_array_unref(report->sections);
    g_array_unref(report->passes);
    g_ptr_array_unref(report->warnings);
    g_array_unref(report->others);
    g_array_unref(report->devices);
    g_byte_array_unref(report->early);
    g_byte_array_unref(report->tail);
    g_clear_pointer(&report->vmdescription, json_node_unref);
    g_free(report->block);
    g_free(report->missing);
    ram_list_free(report->list);
}

const uint8_t *inspect_device_content(const InspectDevice *device)
{
    return device->kept && device->kept->data
               ? device->kept->data + device->kept_at : NULL;
}

void page_tally_add(PageTally *to, const PageTally *more)
{
    to->zero += more->zero;
    to->plain += more->plain;
    to->compressed += more->compressed;
    to->packed += more->packed;
    to->bytes += more->bytes;
}

double page_tally_ratio(const PageTally *tally)
{
    return tally->packed ? (double)tally->compressed * MIG_PAGE_SIZE /
                               (double)tally->packed
                         : 0;
}

char *inspect_short_size(uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    double size = (double)bytes / 1024;
    unsigned unit = 0;

    if (bytes < 1024) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
    }
    for (; size >= 1024 && unit + 1 < G_N_ELEMENTS(units); unit++) {
        size /= 1024;
    }
    return g_strdup_printf("%.1f %s", size, units[unit]);
}

char *inspect_size_text(uint64_t bytes)
{
    g_autofree char *size = inspect_short_size(bytes);

    return bytes < 1024
               ? g_strdup_printf("%" G_GUINT64_FORMAT " bytes", bytes)
               : g_strdup_printf("%s (%" G_GUINT64_FORMAT " bytes)", size,
                                 bytes);
}
