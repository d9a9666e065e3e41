/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/passed-fds.h"

#include <string.h>
#include <unistd.h>

struct PassedFds {
    int arrived[PASSED_FDS_MAX];
    unsigned count;
    GHashTable *named; /* name to descriptor */
};

static void close_value(gpointer fd)
{
    close(GPOINTER_TO_INT(fd));
}

PassedFds *passed_fds_new(void)
{
    PassedFds *fds = g_new0(PassedFds, 1);

    fds->named = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                       close_value);
    return fds;
}

static void close_arrived(PassedFds *fds)
{
    while (fds->count > 0) {
        close(fds->arrived[--fds->count]);
    }
}

void passed_fds_free(PassedFds *fds)
{
    if (fds) {
        close_arrived(fds);
        g_hash_table_unref(fds->named);
        g_free(fds);
    }
}

void passed_fds_arrive(PassedFds *fds, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
         c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t size = c->cmsg_len - CMSG_LEN(0);

            g_assert(size <= sizeof(fds->arrived));
            close_arrived(fds);
            memcpy(fds->arrived, CMSG_DATA(c), size);
            fds->count = (unsigned)(size / sizeof(int));
        }
    }
}

int passed_fds_next(PassedFds *fds)
{
    int first = fds->arrived[0];

    if (fds->count == 0) {
        return -1;
    }
    fds->arrived[0] = fds->arrived[--fds->count];
    close_arrived(fds);
    return first;
}

int passed_fds_take(PassedFds *fds, const char *name)
{
    g_autofree char *key = NULL;
    gpointer fd;

    if (!g_hash_table_steal_extended(fds->named, name, (gpointer *)&key,
                                     &fd)) {
        return -1;
    }
    return GPOINTER_TO_INT(fd);
}

void passed_fds_put(PassedFds *fds, const char *name, int fd)
{
    g_hash_table_replace(fds->named, g_strdup(name), GINT_TO_POINTER(fd));
}
