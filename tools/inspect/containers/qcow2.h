/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Internal snapshots (savevm): streams inside of qcow2 images. */
#ifndef TOOLS_INSPECT_QCOW2_H
#define TOOLS_INSPECT_QCOW2_H

#include "tools/inspect/containers/input.h"

#define QCOW2_MAGIC      "QFI\xfb"
#define QCOW2_MAGIC_SIZE 4u

/* Lists the snapshots.  What is inside of the image is the stream of the one
 * that the input's user has named, or nothing. */
bool qcow2_open(Input *input, GError **errp);

#endif
