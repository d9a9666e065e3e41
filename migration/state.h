/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The states of a migration and how they follow each other. */
#ifndef MIGRATION_STATE_H
#define MIGRATION_STATE_H

#include <stdbool.h>

#include "ferry/host.h"

/* Is the step one that a migration may make? */
bool state_may_follow(MigState from, MigState to);

#endif
