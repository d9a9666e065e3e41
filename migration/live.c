/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that may change while a migration runs. */
#include "migration/internal.h"

bool mig_set_live(Migration *m, MigOptionId id, uint64_t value, GError **errp)
{
    const MigOption *option = mig_option(id);
    MigOptions checked;

    mig_options_init(&checked);
    if (!mig_options_set(&checked, option, value, errp)) {
        return false;
    }
    switch (id) {
    case MIG_OPT_MAX_BANDWIDTH:
        ratelimit_set(m->limit, value);
        return true;
    case MIG_OPT_DOWNTIME_LIMIT:
        pthread_mutex_lock(&m->lock);
        m->downtime_limit_ms = value;
        pthread_mutex_unlock(&m->lock);
        return true;
    case MIG_OPT_STALL_TIMEOUT:
        stall_set(m->stall, value);
        return true;
    default:
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "'%s' cannot change while a migration runs",
                    option->name);
        return false;
    }
}

uint64_t migration_downtime_limit_ms(Migration *m)
{
    uint64_t ms;

    pthread_mutex_lock(&m->lock);
    ms = m->downtime_limit_ms;
    pthread_mutex_unlock(&m->lock);
    return ms;
}
