/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bar on standard error, when that is a terminal and the input is long. */
#ifndef TOOLS_INSPECT_PROGRESS_H
#define TOOLS_INSPECT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    bool wanted;      /* standard error is a terminal */
    uint64_t size;    /* of the input; 0: not known */
    int64_t start;    /* ns */
    int64_t next;     /* when to show the bar again */
    bool shown;
} Progress;

void progress_init(Progress *progress, uint64_t size);
void progress_update(Progress *progress, uint64_t position);
void progress_clear(Progress *progress); /* wipe the line */

#endif
