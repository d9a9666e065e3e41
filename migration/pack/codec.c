/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/pack/codec.h"

#include <string.h>

#include "ferry/error.h"

#define CODEC_ADDRESS(codec) &codec,
static const Codec *const codecs[] = { CODEC_LIST(CODEC_ADDRESS) };

const Codec *codec_by_method(uint64_t method)
{
    g_assert(method < G_N_ELEMENTS(codecs));
    return codecs[method];
}

const Codec *codec_without_packs(uint64_t method)
{
    return method < CODEC_COUNT ? codecs[method] : &codec_zlib;
}

unsigned codec_method(const Codec *codec)
{
    unsigned method = 0;

    while (codecs[method] != codec) {
        method++;
        g_assert(method < G_N_ELEMENTS(codecs));
    }
    return method;
}

const Codec *codec_find(const char *method)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codecs); i++) {
        if (!strcmp(codecs[i]->name, method)) {
            return codecs[i];
        }
    }
    return NULL;
}

const Codec *codec_for_batches(const char *method, GError **errp)
{
    const Codec *codec = codec_find(method);
    g_autofree char *shown = g_strescape(method, NULL);

    if (codec && codec->available && codec->batch_pages > 1) {
        return codec;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "the source uses compress-method %s, which is not built in "
                "here", shown);
    return NULL;
}

uint16_t codec_features(void)
{
    uint16_t features = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(codecs); i++) {
        features |= codecs[i]->available ? codecs[i]->feature : 0;
    }
    return features;
}
