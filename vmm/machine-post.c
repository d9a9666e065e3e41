/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the other threads reach the main thread: calls, and events for the
 * monitors.  Both wait in a queue, in the order in which they came.
 *
 * The main thread makes the calls, and sends the events, as soon as it can.  It
 * also sends events at the end of each monitor command that may have caused
 * some, so that STOP comes before the answer to "stop".
 */
#include "vmm/machine.h"

typedef struct Post {
    MachineCall *fn;
    const char *arg;
} Post;

typedef struct Event {
    enum { EVENT_PLAIN, EVENT_SHUTDOWN, EVENT_MIGRATION } kind;
    const char *name;     /* plain */
    MonShutdown shutdown; /* shutdown: why */
    MigEvent migration;   /* migration */
    int64_t time;         /* when it happened */
} Event;

static void queue_init(MachineQueue *queue)
{
    pthread_mutex_init(&queue->lock, NULL);
    g_queue_init(&queue->items);
}

static void queue_destroy(MachineQueue *queue)
{
    g_queue_clear_full(&queue->items, g_free);
    pthread_mutex_destroy(&queue->lock);
}

static void push(MachineQueue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    g_queue_push_tail(&queue->items, item);
    pthread_mutex_unlock(&queue->lock);
}

static void *pop(MachineQueue *queue)
{
    void *item;

    pthread_mutex_lock(&queue->lock);
    item = g_queue_pop_head(&queue->items);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

/* Calls */

static gboolean run_post(void *opaque)
{
    Machine *machine = opaque;
    g_autofree Post *post = pop(&machine->posts);

    post->fn(machine, post->arg);
    return G_SOURCE_REMOVE;
}

void machine_post(Machine *machine, MachineCall *fn, const char *arg)
{
    const Post post = { .fn = fn, .arg = arg };

    push(&machine->posts, g_memdup2(&post, sizeof(post)));
    g_idle_add_full(G_PRIORITY_DEFAULT, run_post, machine, NULL);
}

/* Events */

static void send_later(Machine *machine, const char *unused)
{
    machine_send_events(machine);
}

static void push_event(Machine *machine, Event event)
{
    event.time = g_get_real_time();
    push(&machine->events, g_memdup2(&event, sizeof(event)));
    machine_post(machine, send_later, NULL);
}

void machine_tell(Machine *machine, const char *name)
{
    const Event event = { .kind = EVENT_PLAIN, .name = name };

    push_event(machine, event);
}

void machine_tell_shutdown(Machine *machine, MonShutdown why)
{
    const Event event = { .kind = EVENT_SHUTDOWN, .shutdown = why };

    push_event(machine, event);
}

void machine_tell_migration(Machine *machine, const MigEvent *migration)
{
    const Event event = { .kind = EVENT_MIGRATION, .migration = *migration };

    push_event(machine, event);
}

static void emit(Monitor *monitor, const Event *event)
{
    switch (event->kind) {
    case EVENT_PLAIN:
        mon_emit(monitor, event->name, event->time);
        return;
    case EVENT_SHUTDOWN:
        mon_emit_shutdown(monitor, event->shutdown, event->time);
        return;
    case EVENT_MIGRATION:
        mon_emit_migration(monitor, &event->migration, event->time);
        return;
    }
    g_assert_not_reached();
}

void machine_send_events(Machine *machine)
{
    Event *event;

    while ((event = pop(&machine->events))) {
        if (machine->monitor) {
            emit(machine->monitor, event);
        }
        g_free(event);
    }
}

void machine_post_init(Machine *machine)
{
    queue_init(&machine->posts);
    queue_init(&machine->events);
}

void machine_post_destroy(Machine *machine)
{
    while (g_idle_remove_by_data(machine)) {
        /* Drop the calls, which come too late. */
    }
    queue_destroy(&machine->posts);
    queue_destroy(&machine->events);
}
