/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for a migration.
 *
 * A Migration takes its options when it is made, but the user may set them
 * (decompress-threads) until the source connects.  So a thread here waits for
 * the source, and the Migration is made when the source's channel is there.
 *
 * A listener owns the descriptor of an fd: URI, and closes it, but a caller
 * that is told of a failure still owns that descriptor.  So nothing may fail
 * once there is a listener.  Therefore the thread is started before, and held
 * up until the listener is there.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ferry/channel.h"
#include "ferry/uri.h"
#include "util/fail.h"

struct Incoming {
    Machine *machine;      /* constant */
    GCancellable *cancel;  /* main thread cancels, the thread waits */
    pthread_t thread;      /* main thread */
    pthread_mutex_t start; /* main thread holds it until listener is set */
    IoListener *listener;  /* main thread sets, the thread reads after start;
                            * NULL: there is none */
    /* The thread sets one of the two; main thread reads it once joined. */
    IoChannel *channel;
    GError *error;
};

static Incoming *incoming_new(Machine *machine)
{
    Incoming *incoming = g_new0(Incoming, 1);

    incoming->machine = machine;
    incoming->cancel = g_cancellable_new();
    pthread_mutex_init(&incoming->start, NULL);
    return incoming;
}

static void incoming_free(Incoming *incoming)
{
    io_channel_free(incoming->channel);
    io_listener_free(incoming->listener);
    g_clear_error(&incoming->error);
    g_object_unref(incoming->cancel);
    pthread_mutex_destroy(&incoming->start);
    g_free(incoming);
}

static bool receive(Machine *machine, Incoming *incoming, GError **errp)
{
    if (!incoming->channel) {
        g_propagate_error(errp, g_steal_pointer(&incoming->error));
        return false;
    }
    mig_free(machine->migration);
    machine->migration =
        mig_new(&machine->incoming_host, machine, &machine->options);
    return mig_receive(machine->migration,
                       g_steal_pointer(&incoming->channel), errp);
}

static void on_accepted(Machine *machine, const char *unused)
{
    Incoming *incoming = g_steal_pointer(&machine->incoming);
    g_autoptr(GError) err = NULL;

    pthread_join(incoming->thread, NULL);
    if (!receive(machine, incoming, &err)) {
        fprintf(stderr, "ferry-vm: load of migration failed: %s\n",
                err->message);
        machine_quit(machine, EXIT_FAILURE);
    }
    incoming_free(incoming);
}

/* The present value. */
static char *copy_tls_creds(void *opaque)
{
    Machine *machine = opaque;
    char *creds;

    pthread_mutex_lock(&machine->lock);
    creds = g_strdup(mig_options_string(&machine->options,
                                        MIG_OPT_TLS_CREDS));
    pthread_mutex_unlock(&machine->lock);
    return creds;
}

static void *accept_thread(void *opaque)
{
    Incoming *incoming = opaque;

    pthread_mutex_lock(&incoming->start);
    pthread_mutex_unlock(&incoming->start);
    if (!incoming->listener) {
        return NULL;
    }
    incoming->channel = mig_accept(incoming->listener, copy_tls_creds,
                                   incoming->machine, incoming->cancel,
                                   &incoming->error);
    machine_post(incoming->machine, on_accepted, NULL);
    return NULL;
}

static bool start_thread(Incoming *incoming, GError **errp)
{
    int err = pthread_create(&incoming->thread, NULL, accept_thread, incoming);

    if (err) {
        errno = err;
        return fail_errno(errp, "cannot start a thread");
    }
    pthread_setname_np(incoming->thread, "incoming");
    return true;
}

static bool start_waiting(Incoming *incoming, const IoUri *uri, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&incoming->start);
    ok = start_thread(incoming, errp);
    if (ok) {
        incoming->listener = io_listener_new(uri, errp);
    }
    pthread_mutex_unlock(&incoming->start);
    if (ok && !incoming->listener) {
        pthread_join(incoming->thread, NULL);
    }
    return incoming->listener;
}

bool machine_incoming_start(Machine *machine, const char *uri, GError **errp)
{
    g_autoptr(IoUri) parsed = io_uri_parse(uri, errp);
    const char *creds = mig_options_string(&machine->options,
                                           MIG_OPT_TLS_CREDS);
    Incoming *incoming;

    /* With bad certificates every source would be turned away. */
    if (!parsed ||
        (creds[0] && !io_channel_tls_check(creds, true, errp))) {
        return false;
    }
    incoming = incoming_new(machine);
    if (!start_waiting(incoming, parsed, errp)) {
        incoming_free(incoming);
        return false;
    }
    machine->incoming = incoming;
    machine->incoming_used = true;
    return true;
}

void machine_incoming_stop(Machine *machine)
{
    Incoming *incoming = g_steal_pointer(&machine->incoming);

    if (incoming) {
        g_cancellable_cancel(incoming->cancel);
        pthread_join(incoming->thread, NULL);
        incoming_free(incoming);
    }
}

const IoUri *machine_incoming_address(const Machine *machine)
{
    return machine->incoming ? io_listener_uri(machine->incoming->listener)
                             : NULL;
}
