/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The domain of errors.  It stands on the lowest floor that reports one. */
#include "ferry/error.h"

/* G_DEFINE_QUARK is not used: it has a function static, which the first thread
 * sets without a lock. */
GQuark mig_error_quark(void)
{
    return g_quark_from_static_string("mig-error-quark");
}
