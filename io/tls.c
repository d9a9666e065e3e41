/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS over a connected socket.  The TLS is GIO's, which loads its back end
 * (glib-networking) when it is first used.  The handshake is done at once, with
 * the channel's cancellable, so that it ends when the channel is aborted.  Then
 * the channel becomes one over TLS (tls-channel.c).  For a caller that accepts
 * many channels at a time (io/admit.c), GIO's threads make the handshakes, and
 * the caller is told.
 *
 * Both ends show a certificate, and each takes the other's only if a CA of
 * ca-cert.pem has signed it.  The client also checks that the certificate is
 * for the host that it wanted.  The certificates of the system's CAs do not
 * count.
 *
 * A folder is read anew for each channel, because certificates are renewed
 * while programs run.
 *
 * GIO's error only says that a certificate is unacceptable.  The reasons go to
 * the handler of the signal accept-certificate, which decides.  On a server it
 * is called for good certificates, too; on a client only for bad ones.  GIO
 * does not know lists of revoked certificates: io/tls-crl.c does.
 *
 * The end that accepts is the last to look at a certificate, and in TLS 1.3 the
 * other end has finished by then.  That end learns that it was refused when it
 * reads.
 */
#include "io/channel-kind.h"
#include "io/io-internal.h"

typedef struct Handshake {
    IoChannel *channel;
    const char *creds;
    GTlsConnection *tls;
    GTlsCertificateFlags faults; /* of the peer's certificate */
    const char *hostname;        /* NULL: we are the server */
} Handshake;

/* A handshake in GIO's threads, whose caller is told of the end. */
typedef struct Accept {
    Handshake h;
    char *creds;
    TlsDone *done;
    void *opaque;
} Accept;

static bool have_backend(GError **errp)
{
    if (!g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "tls-creds cannot be used: GLib finds no TLS here (the "
                    "package glib-networking)");
        return false;
    }
    return true;
}

static bool have_connection(IoChannel *channel, GError **errp)
{
    if (!io_connection_of(channel)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "tls-creds is set, and only sockets can be encrypted");
        return false;
    }
    return true;
}

static GTlsCertificate *load_certificate(const char *creds, bool accepts,
                                         GError **errp)
{
    const char *side = accepts ? "server" : "client";
    g_autofree char *cert = g_strdup_printf("%s/%s-cert.pem", creds, side);
    g_autofree char *key = g_strdup_printf("%s/%s-key.pem", creds, side);
    GTlsCertificate *found = g_tls_certificate_new_from_files(cert, key, errp);

    if (!found) {
        g_prefix_error(errp, "cannot load %s and %s: ", cert, key);
    }
    return found;
}

static GTlsDatabase *load_authorities(const char *creds, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/ca-cert.pem", creds);
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    GTlsDatabase *found = g_tls_file_database_new(absolute, errp);

    if (!found) {
        g_prefix_error(errp, "cannot load %s: ", path);
    }
    return found;
}

/* Called by the thread that runs the handshake. */
static gboolean on_certificate(GTlsConnection *tls, GTlsCertificate *peer,
                               GTlsCertificateFlags faults, gpointer opaque)
{
    Handshake *h = opaque;

    h->faults = faults;
    return faults == 0;
}

/* An address is handed on as one, because TLS asks a peer for names only. */
static GSocketConnectable *identity_of(const char *hostname)
{
    GSocketAddress *address = g_inet_socket_address_new_from_string(hostname,
                                                                    0);

    return address ? G_SOCKET_CONNECTABLE(address)
                   : g_network_address_new(hostname, 0);
}

/* Sets the database at once: a connection that is made without one begins by
 * reading the system's, which takes longer than a handshake. */
static GTlsConnection *make_connection(const Handshake *h,
                                       GTlsCertificate *mine,
                                       GTlsDatabase *authorities,
                                       GError **errp)
{
    GTlsBackend *backend = g_tls_backend_get_default();
    GSocketConnection *socket = io_connection_of(h->channel);
    g_autoptr(GSocketConnectable) server = NULL;

    if (!h->hostname) {
        return g_initable_new(g_tls_backend_get_server_connection_type(backend),
                              NULL, errp, "base-io-stream", socket,
                              "certificate", mine, "database", authorities,
                              "authentication-mode",
                              G_TLS_AUTHENTICATION_REQUIRED, NULL);
    }
    server = identity_of(h->hostname);
    return g_initable_new(g_tls_backend_get_client_connection_type(backend),
                          NULL, errp, "base-io-stream", socket,
                          "certificate", mine, "database", authorities,
                          "server-identity", server, NULL);
}

static bool set_up(Handshake *h, GError **errp)
{
    g_autoptr(GTlsCertificate) mine = load_certificate(h->creds, !h->hostname,
                                                       errp);
    g_autoptr(GTlsDatabase) authorities = NULL;

    if (!mine) {
        return false;
    }
    authorities = load_authorities(h->creds, errp);
    if (!authorities) {
        return false;
    }
    h->tls = make_connection(h, mine, authorities, errp);
    if (!h->tls) {
        return false;
    }
    g_signal_connect(h->tls, "accept-certificate",
                     G_CALLBACK(on_certificate), h);
    return true;
}

/* The most important fault of the peer's certificate. */
static const char *worst_fault(GTlsCertificateFlags faults)
{
    static const struct {
        GTlsCertificateFlags flag;
        const char *text;
    } rows[] = {
        { G_TLS_CERTIFICATE_UNKNOWN_CA, "is not signed by the CA" },
        { G_TLS_CERTIFICATE_BAD_IDENTITY, "is for another host" },
        { G_TLS_CERTIFICATE_REVOKED, "has been revoked" },
        { G_TLS_CERTIFICATE_EXPIRED, "has expired" },
        { G_TLS_CERTIFICATE_NOT_ACTIVATED, "is not valid yet" },
        { G_TLS_CERTIFICATE_INSECURE, "is not secure" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (faults & rows[i].flag) {
            return rows[i].text;
        }
    }
    return "is not valid";
}

static void refuse_certificate(const Handshake *h, GError **errp)
{
    if (h->faults & G_TLS_CERTIFICATE_UNKNOWN_CA || !h->hostname) {
        g_set_error(errp, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                    "the peer's certificate %s (%s/ca-cert.pem)",
                    worst_fault(h->faults), h->creds);
    } else {
        g_set_error(errp, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                    "the peer's certificate %s (tls-hostname '%s')",
                    worst_fault(h->faults), h->hostname);
    }
}

/* All that comes before the first message of the handshake. */
static bool handshake_prepare(Handshake *h, GError **errp)
{
    return have_backend(errp) && have_connection(h->channel, errp) &&
           set_up(h, errp);
}

/* The handshake is over: did it succeed?  Takes err. */
static bool handshake_judge(Handshake *h, GError *err, GError **errp)
{
    if (!err) {
        return tls_crl_check(
            h->creds, g_tls_connection_get_peer_certificate(h->tls), errp);
    }
    if (h->faults) {
        refuse_certificate(h, errp);
        g_error_free(err);
        return false;
    }
    if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_prefix_error(&err, "the handshake failed (is tls-creds set at the "
                       "other end? did it refuse us?): ");
    }
    g_propagate_error(errp, err);
    return false;
}

/* Leave the channel encrypted, or put its name before the error. */
static bool handshake_end(Handshake *h, bool ok, GError **errp)
{
    if (ok) {
        io_connection_set_tls(h->channel, h->tls);
    } else {
        g_prefix_error(errp, "%s: TLS: ", io_channel_name(h->channel));
    }
    if (h->tls) {
        g_signal_handlers_disconnect_by_data(h->tls, h);
        g_object_unref(h->tls);
    }
    return ok;
}

static bool shake_hands(Handshake *h, GError **errp)
{
    GError *err = NULL;

    g_tls_connection_handshake(h->tls, h->channel->aborted, &err);
    return handshake_judge(h, err, errp);
}

static bool start_tls(Handshake *h, GError **errp)
{
    bool ok = handshake_prepare(h, errp) && shake_hands(h, errp);

    return handshake_end(h, ok, errp);
}

bool io_channel_tls_connect(IoChannel *channel, const char *creds,
                            const char *hostname, GError **errp)
{
    Handshake h = { channel, creds, .hostname = hostname };

    return start_tls(&h, errp);
}

bool io_channel_tls_accept(IoChannel *channel, const char *creds,
                           GError **errp)
{
    Handshake h = { channel, creds };

    return start_tls(&h, errp);
}

static void accept_end(Accept *a, bool ok, GError *err)
{
    handshake_end(&a->h, ok, ok ? NULL : &err);
    a->done(a->opaque, err);
    g_free(a->creds);
    g_free(a);
}

static void on_handshake(GObject *tls, GAsyncResult *result, gpointer opaque)
{
    Accept *a = opaque;
    GError *err = NULL;
    GError *why = NULL;
    bool ok;

    g_tls_connection_handshake_finish(G_TLS_CONNECTION(tls), result, &err);
    ok = handshake_judge(&a->h, err, &why);
    accept_end(a, ok, why);
}

void tls_accept_begin(IoChannel *channel, const char *creds, TlsDone *done,
                      void *opaque)
{
    Accept *a = g_new0(Accept, 1);
    GError *err = NULL;

    a->creds = g_strdup(creds);
    a->h = (Handshake){ channel, a->creds };
    a->done = done;
    a->opaque = opaque;
    if (!handshake_prepare(&a->h, &err)) {
        accept_end(a, false, err);
        return;
    }
    g_tls_connection_handshake_async(a->h.tls, G_PRIORITY_DEFAULT,
                                     channel->aborted, on_handshake, a);
}

bool io_channel_tls_check(const char *creds, bool accepts, GError **errp)
{
    g_autoptr(GTlsCertificate) mine = NULL;
    g_autoptr(GTlsDatabase) authorities = NULL;

    if (have_backend(errp)) {
        mine = load_certificate(creds, accepts, errp);
    }
    if (mine) {
        authorities = load_authorities(creds, errp);
    }
    if (!authorities || !tls_crl_check(creds, NULL, errp)) {
        g_prefix_error(errp, "TLS: ");
        return false;
    }
    return true;
}
