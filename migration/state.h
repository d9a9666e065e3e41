/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The states of a migration and how they follow each other. */
#ifndef MIGRATION_STATE_H
#define MIGRATION_STATE_H

#include <stdbool.h>

#include "ferry/host.h"

/* May a migration go from one of these states to the other? */
bool state_may_follow(MigState from, MigState to);

#endif
