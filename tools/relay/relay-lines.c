/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-lines.h"

#include <pthread.h>
#include <string.h>

#include "util/thread.h"

typedef struct Entry {
    SessionKey key;
    IoChannel *line;
    char *peer;
    unsigned holders; /* the lock of the Lines */
} Entry;

struct Lines {
    pthread_mutex_t lock;
    pthread_cond_t released;
    GPtrArray *entries; /* lock; of Entry */
};

static void entry_free(void *opaque)
{
    Entry *entry = opaque;

    g_free(entry->peer);
    g_free(entry);
}

Lines *lines_new(void)
{
    Lines *lines = g_new0(Lines, 1);

    pthread_mutex_init(&lines->lock, NULL);
    thread_cond_init(&lines->released);
    lines->entries = g_ptr_array_new_with_free_func(entry_free);
    return lines;
}

void lines_free(Lines *lines)
{
    if (lines) {
        g_assert(lines->entries->len == 0);
        g_ptr_array_unref(lines->entries);
        pthread_cond_destroy(&lines->released);
        pthread_mutex_destroy(&lines->lock);
        g_free(lines);
    }
}

void lines_add(Lines *lines, const SessionKey *key, IoChannel *line,
               const char *peer)
{
    Entry *entry = g_new0(Entry, 1);

    entry->key = *key;
    entry->line = line;
    entry->peer = g_strdup(peer);
    pthread_mutex_lock(&lines->lock);
    g_ptr_array_add(lines->entries, entry);
    pthread_mutex_unlock(&lines->lock);
}

static Entry *find_line_locked(const Lines *lines, const IoChannel *line)
{
    for (unsigned i = 0; i < lines->entries->len; i++) {
        Entry *entry = lines->entries->pdata[i];

        if (entry->line == line) {
            return entry;
        }
    }
    return NULL;
}

void lines_remove(Lines *lines, IoChannel *line)
{
    Entry *entry;

    pthread_mutex_lock(&lines->lock);
    entry = find_line_locked(lines, line);
    while (entry && entry->holders) {
        pthread_cond_wait(&lines->released, &lines->lock);
    }
    if (entry) {
        g_ptr_array_remove_fast(lines->entries, entry);
    }
    pthread_mutex_unlock(&lines->lock);
}

IoChannel *lines_hold(Lines *lines, const uint8_t id[RELAY_ID_SIZE],
                      const char *peer, SessionKey *key)
{
    IoChannel *line = NULL;

    pthread_mutex_lock(&lines->lock);
    for (unsigned i = 0; i < lines->entries->len; i++) {
        Entry *entry = lines->entries->pdata[i];

        if (!memcmp(entry->key.id, id, RELAY_ID_SIZE) &&
            !g_strcmp0(entry->peer, peer)) {
            entry->holders++;
            *key = entry->key;
            line = entry->line;
            break;
        }
    }
    pthread_mutex_unlock(&lines->lock);
    return line;
}

void lines_release(Lines *lines, IoChannel *line)
{
    pthread_mutex_lock(&lines->lock);
    find_line_locked(lines, line)->holders--;
    pthread_cond_broadcast(&lines->released);
    pthread_mutex_unlock(&lines->lock);
}
