/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/admit-kit.h"

#include <pthread.h>
#include <string.h>

#define PATIENCE_MS 600000u /* no test waits for it */

struct Wait {
    IoListener *listener;
    char *creds;
    IoAdmit wanted;
    GCancellable *cancel;
    pthread_t thread;
    int ended; /* atomic */
    /* set by the thread; read once it was joined */
    IoChannel *channel;
    GError *err;
};

/* What was logged, for the tests' one thread and the one that waits. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t log_grew = PTHREAD_COND_INITIALIZER;
static GString *log_text;

static void note_warning(const char *domain, GLogLevelFlags level,
                         const char *text, void *opaque)
{
    pthread_mutex_lock(&log_lock);
    g_string_append_printf(log_text, "%s\n", text);
    pthread_cond_broadcast(&log_grew);
    pthread_mutex_unlock(&log_lock);
}

static void start_log(void)
{
    static unsigned handler;

    if (!handler) {
        log_text = g_string_new(NULL);
        /* Warnings are what these tests are about. */
        g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
        handler = g_log_set_handler("ferry", G_LOG_LEVEL_WARNING,
                                    note_warning, NULL);
    }
    pthread_mutex_lock(&log_lock);
    g_string_truncate(log_text, 0);
    pthread_mutex_unlock(&log_lock);
}

void await_warning(Wait *wait, const char *words)
{
    pthread_mutex_lock(&log_lock);
    while (!strstr(log_text->str, words)) {
        pthread_cond_wait(&log_grew, &log_lock);
    }
    pthread_mutex_unlock(&log_lock);
    g_assert_true(!wait || !__atomic_load_n(&wait->ended, __ATOMIC_ACQUIRE));
}

static bool knows_welcome(const uint8_t *head, size_t size, GError **errp)
{
    if (memcmp(head, "welcome!", size) != 0) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "not welcome");
        return false;
    }
    return true;
}

const IoAdmit welcome = {
    .head_size = 8,
    .knows = knows_welcome,
    .patience_ms = PATIENCE_MS,
};

static char *copy_creds(void *opaque)
{
    return g_strdup(((Wait *)opaque)->creds);
}

static void *wait_main(void *opaque)
{
    Wait *wait = opaque;

    wait->channel = io_listener_admit(wait->listener, &wait->wanted,
                                      wait->cancel, &wait->err);
    __atomic_store_n(&wait->ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

Wait *wait_start_with(IoListener *listener, const char *creds,
                      unsigned patience_ms)
{
    Wait *wait = g_new0(Wait, 1);

    start_log();
    wait->listener = listener;
    wait->creds = g_strdup(creds);
    wait->wanted = welcome;
    wait->wanted.patience_ms = patience_ms;
    if (creds) {
        wait->wanted.tls_creds = copy_creds;
        wait->wanted.opaque = wait;
    }
    wait->cancel = g_cancellable_new();
    g_assert_cmpint(pthread_create(&wait->thread, NULL, wait_main, wait), ==,
                    0);
    return wait;
}

Wait *wait_start(IoListener *listener, const char *creds)
{
    return wait_start_with(listener, creds, PATIENCE_MS);
}

const char *wait_address(const Wait *wait)
{
    return io_listener_address(wait->listener);
}

static IoChannel *wait_join(Wait *wait, GError **errp)
{
    IoChannel *channel;

    pthread_join(wait->thread, NULL);
    channel = wait->channel;
    if (wait->err) {
        g_propagate_error(errp, wait->err);
    }
    io_listener_free(wait->listener);
    g_object_unref(wait->cancel);
    g_free(wait->creds);
    g_free(wait);
    return channel;
}

IoChannel *wait_end(Wait *wait)
{
    GError *err = NULL;
    IoChannel *channel = wait_join(wait, &err);

    g_assert_no_error(err);
    g_assert_nonnull(channel);
    return channel;
}

void wait_cancel(Wait *wait)
{
    GError *err = NULL;

    g_cancellable_cancel(wait->cancel);
    g_assert_null(wait_join(wait, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_error_free(err);
}

void assert_hung_up(IoChannel *channel)
{
    char byte;
    size_t got = 0;

    /* A reset, where it had said something that nobody has read. */
    if (io_channel_read(channel, &byte, 1, &got, NULL)) {
        g_assert_cmpuint(got, ==, 0);
    }
    io_channel_free(channel);
}
