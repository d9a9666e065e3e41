/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A destination's way of telling a source from a stranger: by the stream's
 * header, its first eight bytes.
 */
#include "ferry/migration.h"
#include "migration/wire/section.h"

/* A source sends its header at once.  Where packets are lost, it may take some
 * seconds to come, with a TLS handshake before it. */
#define PATIENCE_MS 10000u

IoChannel *mig_accept(IoListener *listener, char *(*tls_creds)(void *opaque),
                      void *opaque, GCancellable *cancel, GError **errp)
{
    IoAdmit source = {
        .head_size = WIRE_HEADER_SIZE,
        .knows = section_check_header,
        .tls_creds = tls_creds,
        .opaque = opaque,
        .patience_ms = PATIENCE_MS,
    };

    return io_listener_admit(listener, &source, cancel, errp);
}
