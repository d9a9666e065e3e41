/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table has every form, by the name of its option. */
#include "tools/inspect/converters/convert.h"

#include <string.h>

#include "tools/inspect/converters/write-memory.h"
#include "tools/inspect/converters/write-stream.h"

static const struct {
    const char *name;
    ConvertWrite *write;
} forms[] = {
    { "stream", write_stream },
    { "raw", write_raw },
    { "elf", write_elf },
};

ConvertWrite *convert_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (!strcmp(forms[i].name, name)) {
            return forms[i].write;
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

bool convert_guest(GArray *outputs, const LayoutConfig *config,
                   const InspectReport *report, const InspectRam *ram,
                   unsigned *kept, GError **errp)
{
    for (unsigned i = 0; i < outputs->len; i++) {
        ConvertOutput *output = output_at(outputs, i);

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
    return true;
}
