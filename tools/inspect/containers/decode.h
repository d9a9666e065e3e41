/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed files: gzip, bzip2, xz, zstd, lzop. */
#ifndef TOOLS_INSPECT_DECODE_H
#define TOOLS_INSPECT_DECODE_H

#include "tools/inspect/containers/input.h"

/* Does a compressed file begin with these bytes?  size may be anything. */
bool decode_knows(const uint8_t *head, size_t size);

/* The input has one: put what is in it on top. */
bool decode_open(Input *input, GError **errp);

#endif
