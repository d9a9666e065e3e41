/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stretch of QEMU's stream with pages in it, as a pack, and the PACK frame
 * that carries it to a relay that keeps a history.  The pages are the pack's.
 * Its extra bytes are the literals and a table of where they stand.
 *
 * The receiver does not parse the stream, and knows no page's address.  So the
 * key of each page is the frame's place.
 */
#ifndef RELAY_PACK_H
#define RELAY_PACK_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "ferry/options.h"
#include "migration/pack/packer.h"
#include "migration/pack/unpacker.h"
#include "tools/relay/relay-batch.h"
#include "tools/relay/relay-frame.h"
#include "tools/relay/relay-pump.h"

/* The most packs of the history that compress-history allows. */
unsigned relay_pack_window(const MigOptions *options);

/*
 * Write the whole frame to `to`, which has room for a head and PACK_SIZE_MAX,
 * and return its size.  The batch has the literals and the pages' places, and
 * job the pages.  The worker's scratch has room for PACK_SCRATCH_SIZE.
 */
size_t relay_pack_write(Batch *batch, PackJob *job, unsigned window,
                        const CodecWorker *worker, uint8_t *to);

/* Begin to unpack a frame, whose frame_place() this is. */
void relay_pack_begin(Unpacker *unpacker, UnpackJob *job,
                      const FrameHead *head, uint64_t place);

/* After unpack_finish(): add to `out` the bytes that the frame stands for, from
 * where job has them.  NULL, or what is wrong. */
const char *relay_pack_join(const FrameHead *head, const UnpackJob *job,
                            PumpJob *out);

#endif
