/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table has every form, by the name of its option. */
#include "tools/inspect/converters/convert.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tools/inspect/converters/write-memory.h"
#include "tools/inspect/converters/write-stream.h"

static const struct {
    const char *name;
    ConvertWrite *write;
    bool takes_parts;
} forms[] = {
    { "stream", write_stream, false },
    { "raw", write_raw, true },
    { "elf", write_elf, true },
};

ConvertOutput convert_output(const char *name, const char *path)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (!strcmp(forms[i].name, name)) {
            return (ConvertOutput){
                .write = forms[i].write,
                .takes_parts = forms[i].takes_parts,
                .path = path,
            };
        }
    }
    g_assert_not_reached();
}

static ConvertOutput *output_at(GArray *outputs, unsigned i)
{
    return &g_array_index(outputs, ConvertOutput, i);
}

bool convert_open(GArray *outputs, GError **errp)
{
    for (unsigned i = 0; i < outputs->len; i++) {
        output_at(outputs, i)->file.fd = -1;
    }
    for (unsigned i = 0; i < outputs->len; i++) {
        ConvertOutput *output = output_at(outputs, i);

        if (!new_file_open(&output->file, output->path, errp)) {
            return false;
        }
    }
    return true;
}

void convert_close(GArray *outputs)
{
    for (unsigned i = 0; i < outputs->len; i++) {
        new_file_close(&output_at(outputs, i)->file);
    }
}

static uint64_t missing_pages(const InspectReport *report)
{
    uint64_t missing = 0;

    for (unsigned i = 0; i < report->list->count; i++) {
        missing += report->missing[i];
    }
    return missing;
}

/* A core of zeros helps nobody. */
static bool has_pages(const InspectReport *report)
{
    return missing_pages(report) < report->list->total / MIG_PAGE_SIZE &&
           report->pages.plain + report->pages.compressed > 0 &&
           !report->elsewhere;
}

static void warn_parts(const InspectReport *report)
{
    g_ptr_array_add(report->warnings, g_strdup_printf(
        "the guest is not whole: %" G_GUINT64_FORMAT " of its %"
        G_GUINT64_FORMAT " pages never came%s", missing_pages(report),
        report->list->total / MIG_PAGE_SIZE,
        report->ram_ended ? "" : ", and others may be old"));
}

bool convert_guest(GArray *outputs, const LayoutConfig *config,
                   const InspectReport *report, const InspectRam *ram,
                   unsigned *kept, GError **errp)
{
    for (unsigned i = 0; i < outputs->len; i++) {
        ConvertOutput *output = output_at(outputs, i);

        if (!report->complete &&
            (!output->takes_parts || !has_pages(report))) {
            continue;
        }
        if (!output->write(output->file.fd, report, ram, config,
                           errp)) {
            g_prefix_error(errp, "'%s': ", output->path);
            return false;
        }
        if (!new_file_keep(&output->file, errp)) {
            return false;
        }
        (*kept)++;
    }
    if (!report->complete && *kept) {
        warn_parts(report);
    }
    return true;
}
