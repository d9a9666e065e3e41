/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoders by programs that write to a pipe. */
#ifndef TOOLS_INSPECT_DECODE_PROGRAM_H
#define TOOLS_INSPECT_DECODE_PROGRAM_H

#include "tools/inspect/containers/input.h"

/* The output of `program -dc`, whose input is the rest of this input.  NULL
 * where the program is not installed, or this build starts none. */
IoChannel *decode_program(Input *input, const char *program, GError **errp);

#endif
