/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef FERRY_ERROR_H
#define FERRY_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

/* The domain of every error that the migration library reports. */
#define MIG_ERROR (mig_error_quark())

typedef enum {
    MIG_ERROR_EOF,          /* the channel ended in the middle of something */
    MIG_ERROR_IO,           /* the channel failed */
    MIG_ERROR_CANCELLED,    /* mig_cancel() or mig_free() was called */
    MIG_ERROR_STREAM,       /* the bytes are not a valid stream */
    MIG_ERROR_PEER,         /* the other end disagrees or reported a failure */
    MIG_ERROR_UNSUPPORTED,  /* valid, but not something Ferry can do */
    MIG_ERROR_OPTION,       /* a bad option name or value */
    MIG_ERROR_HOST,         /* a call of the host interface failed */
    MIG_ERROR_STATE,        /* not possible in the migration's state */
    MIG_ERROR_OUTCOME,      /* source: nobody knows whether the destination
                             * runs the guest, so it stays stopped here */
} MigErrorCode;

GQuark mig_error_quark(void);

G_END_DECLS

#endif
