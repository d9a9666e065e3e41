/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One page by HTTP, in the default main context, without a thread. */
#ifndef RELAY_HTTP_H
#define RELAY_HTTP_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/uri.h"

#define HTTP_PATH "/metrics"

typedef struct Http Http;

typedef struct HttpConfig {
    const IoUri *at; /* tcp, or unix: the socket has mode 0600 */
    const char *type; /* of the content */
    char *(*page)(void *opaque); /* newly allocated, for each request */
    void *opaque;
} HttpConfig;

Http *http_new(const HttpConfig *config, GError **errp);
void http_free(Http *http); /* NULL is fine */

/* Where it listens, with the port that was chosen. */
const char *http_address(const Http *http);

/* The library's name and version, or "none": http_new() fails. */
const char *http_library(void);

#endif
