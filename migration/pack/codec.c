/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/pack/codec.h"

#include <string.h>

#include "ferry/error.h"
#include "ferry/options.h"

static const Codec *const codecs[MIG_METHOD__COUNT] = {
    [MIG_METHOD_ZLIB] = &codec_zlib,
    [MIG_METHOD_ZSTD] = &codec_zstd,
    [MIG_METHOD_LZ4] = &codec_lz4,
};

const Codec *codec_by_method(uint64_t method)
{
    g_assert(method < G_N_ELEMENTS(codecs));
    return codecs[method];
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
