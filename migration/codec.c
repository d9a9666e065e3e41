/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/codec.h"

#include <string.h>

static const Codec *const codecs[] = { &codec_zlib };

const Codec *codec_find(const char *method)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codecs); i++) {
        if (!strcmp(codecs[i]->name, method)) {
            return codecs[i];
        }
    }
    return NULL;
}
