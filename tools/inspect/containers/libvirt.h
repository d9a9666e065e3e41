/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's images: virsh save, managedsave, external snapshots. */
#ifndef TOOLS_INSPECT_LIBVIRT_H
#define TOOLS_INSPECT_LIBVIRT_H

#include "tools/inspect/containers/input.h"

#define LIBVIRT_SAVED      "LibvirtQemudSave"
#define LIBVIRT_PARTIAL    "LibvirtQemudPart" /* it has not been finished */
#define LIBVIRT_MAGIC_SIZE 16u

bool libvirt_open(Input *input, GError **errp);

#endif
