/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISA-L's igzip: much faster than zlib, at a price in size.
 *
 * At level 0 igzip does not look at the data before it chooses a Huffman code.
 * Its default code is described in every stream, in more than a hundred bytes,
 * which is too much for a page.  The fixed code of RFC 1951 needs no
 * description, gives smaller pages, and decodes faster.
 *
 * igzip's decoder is not used, because it accepts bytes behind the end of a
 * stream.
 */
#include "migration/pack/codec-deflate.h"

#include "ferry/error.h"

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>

typedef struct IsalEncoder {
    struct isal_zstream z;
    uint8_t *level_buf; /* NULL at level 0 */
} IsalEncoder;

static void *isal_encoder_new(unsigned level, GError **errp)
{
    static const uint32_t level_buf_size[] = {
        ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT,
        ISAL_DEF_LVL3_DEFAULT,
    };
    IsalEncoder *e;

    if (level >= G_N_ELEMENTS(level_buf_size)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "ISA-L: no level %u",
                    level);
        return NULL;
    }
    e = g_new0(IsalEncoder, 1);
    e->level_buf = g_malloc0(level_buf_size[level]);
    isal_deflate_stateless_init(&e->z);
    if (level == 0) {
        isal_deflate_set_hufftables(&e->z, NULL, IGZIP_HUFFTABLE_STATIC);
    }
    e->z.level = level;
    e->z.level_buf = e->level_buf;
    e->z.level_buf_size = level_buf_size[level];
    e->z.end_of_stream = 1;
    return e;
}

static void isal_encoder_free(void *encoder)
{
    IsalEncoder *e = encoder;

    g_free(e->level_buf);
    g_free(e);
}

static size_t isal_encode(void *encoder, const uint8_t *in, size_t in_size,
                          uint8_t *out, size_t max)
{
    struct isal_zstream *z = &((IsalEncoder *)encoder)->z;

    isal_deflate_reset(z);
    z->gzip_flag = IGZIP_ZLIB; /* ISA-L changes it once the header is written */
    z->next_in = (uint8_t *)in;
    z->avail_in = (uint32_t)in_size;
    z->next_out = out;
    z->avail_out = (uint32_t)max;
    return isal_deflate_stateless(z) == COMP_OK ? z->total_out : 0;
}

static const char *isal_encoder_name(unsigned level)
{
    return "ISA-L";
}

const Codec deflate_isal = {
    .name = "isal",
    .available = true,
    .encoder_name = isal_encoder_name,
    .encoder_new = isal_encoder_new,
    .encoder_free = isal_encoder_free,
    .encode = isal_encode,
};

#else

const Codec deflate_isal = { .name = "isal" };

#endif
