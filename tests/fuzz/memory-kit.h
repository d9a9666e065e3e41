/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of a receiver's memory have in common. */
#ifndef TESTS_MEMORY_KIT_H
#define TESTS_MEMORY_KIT_H

#include "ferry/channel.h"
#include "ferry/options.h"

/* A line of /proc/self/status, such as "VmHWM": bytes. */
uint64_t memory_of(const char *name);

/* A thread's function: read the channel to its end.  Nobody else would read the
 * answers, and both ends would wait forever. */
void *memory_drop_main(void *channel);

/* A destination of a block with so many pages, and one decompression thread:
 * the error that it ends with.  Takes over the channel. */
GError *memory_receive(IoChannel *channel, uint64_t pages, uint64_t history);

#endif
