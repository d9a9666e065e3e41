/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of revoked certificates, which GIO does not know.  GnuTLS, on which
 * GIO's TLS is built anyway, does the looking up.  The list is the
 * administrator's, as ca-cert.pem is, so its signature is not checked; but a
 * list that is out of date is not trusted.  A build without GnuTLS refuses to
 * work where there is a list, because it cannot read it.
 */
#include <errno.h>
#include <sys/stat.h>

#include "io/io-internal.h"

#ifdef HAVE_GNUTLS

#include <gnutls/x509.h>
#include <time.h>

typedef struct CrlList {
    gnutls_x509_crl_t *crls;
    unsigned count;
} CrlList;

static bool gnutls_failed(int code, GError **errp)
{
    if (code < 0) {
        g_set_error(errp, G_TLS_ERROR, G_TLS_ERROR_MISC, "%s",
                    gnutls_strerror(code));
    }
    return code < 0;
}

static bool list_load(CrlList *list, const char *path, GError **errp)
{
    g_autofree char *text = NULL;
    gnutls_datum_t data;
    gsize size;

    if (!g_file_get_contents(path, &text, &size, errp)) {
        return false;
    }
    data = (gnutls_datum_t){ (unsigned char *)text, (unsigned)size };
    return !gnutls_failed(gnutls_x509_crl_list_import2(
                              &list->crls, &list->count, &data,
                              GNUTLS_X509_FMT_PEM, 0), errp);
}

static void list_destroy(CrlList *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        gnutls_x509_crl_deinit(list->crls[i]);
    }
    gnutls_free(list->crls);
}

static bool check_dates(const CrlList *list, GError **errp)
{
    for (unsigned i = 0; i < list->count; i++) {
        time_t next = gnutls_x509_crl_get_next_update(list->crls[i]);

        if (next != (time_t)-1 && next < time(NULL)) {
            g_set_error(errp, G_TLS_ERROR, G_TLS_ERROR_MISC,
                        "it is out of date");
            return false;
        }
    }
    return true;
}

/* 1: on the list; 0: not on it; otherwise an error of GnuTLS. */
static int find_on_list(const CrlList *list, GTlsCertificate *certificate)
{
    g_autoptr(GByteArray) der = NULL;
    gnutls_datum_t data;
    gnutls_x509_crt_t parsed;
    int code = gnutls_x509_crt_init(&parsed);

    if (code < 0) {
        return code;
    }
    g_object_get(certificate, "certificate", &der, NULL);
    data = (gnutls_datum_t){ der->data, der->len };
    code = gnutls_x509_crt_import(parsed, &data, GNUTLS_X509_FMT_DER);
    if (code >= 0) {
        code = gnutls_x509_crt_check_revocation(parsed, list->crls,
                                                (int)list->count);
    }
    gnutls_x509_crt_deinit(parsed);
    return code;
}

static bool check_chain(const CrlList *list, GTlsCertificate *certificate,
                        GError **errp)
{
    for (; certificate; certificate = g_tls_certificate_get_issuer(certificate))
    {
        int code = find_on_list(list, certificate);

        if (gnutls_failed(code, errp)) {
            return false;
        }
        if (code > 0) {
            g_set_error(errp, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                        "the peer's certificate has been revoked");
            return false;
        }
    }
    return true;
}

static bool check_list(const char *path, GTlsCertificate *peer, GError **errp)
{
    CrlList list = { 0 };
    bool ok = list_load(&list, path, errp) && check_dates(&list, errp) &&
              check_chain(&list, peer, errp);

    list_destroy(&list);
    return ok;
}

#else

static bool check_list(const char *path, GTlsCertificate *peer, GError **errp)
{
    g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "this build cannot read it, because it has no GnuTLS");
    return false;
}

#endif

bool tls_crl_check(const char *creds, GTlsCertificate *peer, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/ca-crl.pem", creds);
    struct stat st;

    if (lstat(path, &st) < 0 && errno == ENOENT) {
        return true;
    }
    if (!check_list(path, peer, errp)) {
        g_prefix_error(errp, "%s: ", path);
        return false;
    }
    return true;
}
