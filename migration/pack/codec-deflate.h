/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libraries that read and write the zlib format (RFC 1950).  Each is a
 * codec with the library's own levels.  codec-zlib.c chooses among them.
 */
#ifndef MIGRATION_PACK_CODEC_DEFLATE_H
#define MIGRATION_PACK_CODEC_DEFLATE_H

#include "migration/pack/codec.h"

extern const Codec deflate_isal;       /* levels 0..3; no decoder */
extern const Codec deflate_libdeflate; /* levels 1..12 */
extern const Codec deflate_zlib;       /* levels 0..9; always available */

#endif
