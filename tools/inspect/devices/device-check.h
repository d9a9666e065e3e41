/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is each device what the vmdescription says? */
#ifndef TOOLS_INSPECT_DEVICE_CHECK_H
#define TOOLS_INSPECT_DEVICE_CHECK_H

#include "tools/inspect/streams/inspect-report.h"

/* Note, and warn of, each device whose fields do not end where it does. */
void device_check_all(InspectReport *report);

#endif
