/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for a migration.
 *
 * A Migration takes its options when it is made, and the user may set them
 * (decompress-threads) until the source connects.  So it is not a Migration
 * that waits but a thread here, and the Migration is made when the source's
 * channel is there.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ferry/channel.h"
#include "ferry/uri.h"
#include "util/fail.h"

struct Incoming {
    Machine *machine;
    IoListener *listener;
    GCancellable *cancel;
    pthread_t thread;
    /* Set by the thread, then read by who joins it; one of the two. */
    IoChannel *channel;
    GError *error;
};

static void incoming_free(Incoming *incoming)
{
    io_channel_free(incoming->channel);
    io_listener_free(incoming->listener);
    g_clear_error(&incoming->error);
    g_object_unref(incoming->cancel);
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

/* As it is set now. */
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

    incoming->channel = mig_accept(incoming->listener, copy_tls_creds,
                                   incoming->machine, incoming->cancel,
                                   &incoming->error);
    machine_post(incoming->machine, on_accepted, NULL);
    return NULL;
}

bool machine_incoming_start(Machine *machine, const char *uri, GError **errp)
{
    g_autoptr(IoUri) parsed = io_uri_parse(uri, errp);
    const char *creds = mig_options_string(&machine->options,
                                           MIG_OPT_TLS_CREDS);
    IoListener *listener;
    Incoming *incoming;
    int err;

    /* Otherwise every source would be turned away. */
    if (!parsed ||
        (creds[0] && !io_channel_tls_check(creds, true, errp))) {
        return false;
    }
    listener = io_listener_new(parsed, errp);
    if (!listener) {
        return false;
    }
    incoming = g_new0(Incoming, 1);
    incoming->machine = machine;
    incoming->listener = listener;
    incoming->cancel = g_cancellable_new();
    err = pthread_create(&incoming->thread, NULL, accept_thread, incoming);
    if (err) {
        errno = err;
        fail_errno(errp, "cannot start a thread");
        incoming_free(incoming);
        return false;
    }
    pthread_setname_np(incoming->thread, "incoming");
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
