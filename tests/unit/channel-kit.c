/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/channel-kit.h"

#include <glib/gstdio.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Fixture {
    char *dir;
    unsigned open_fds;
} Fixture;

typedef struct BulkWriter {
    IoChannel *channel;
    const uint8_t *bulk;
} BulkWriter;

/* Not one that was closed since it was listed, and no command's pidfd:
 * "anon_inode:[pidfd]", and in newer kernels "pidfd:[12]". */
static bool is_settled(const char *fd)
{
    g_autofree char *path = g_build_filename("/proc/self/fd", fd, NULL);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target && !strstr(target, "pidfd");
}

static bool count_fds(unsigned *count)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    const char *name;

    g_assert_nonnull(dir);
    *count = 0;
    while ((name = g_dir_read_name(dir))) {
        if (!is_settled(name)) {
            return false;
        }
        ++*count;
    }
    return true;
}

/* A command's pidfd is the last that GLib's own thread closes, in its time. */
static unsigned count_settled_fds(void)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;
    unsigned count;

    while (!count_fds(&count)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        sched_yield();
    }
    return count;
}

IoUri *parse_uri(const char *text)
{
    g_autoptr(GError) err = NULL;
    IoUri *uri = io_uri_parse(text, &err);

    g_assert_no_error(err);
    return uri;
}

IoChannel *try_connect(const char *text, GError **errp)
{
    g_autoptr(IoUri) uri = parse_uri(text);

    return io_channel_connect(uri, NULL, errp);
}

IoListener *try_listen(const char *text, GError **errp)
{
    g_autoptr(IoUri) uri = parse_uri(text);

    return io_listener_new(uri, errp);
}

IoChannel *connect_to(const char *text)
{
    g_autoptr(GError) err = NULL;
    IoChannel *channel = try_connect(text, &err);

    g_assert_no_error(err);
    g_assert_nonnull(channel);
    return channel;
}

IoListener *listen_at(const char *text)
{
    g_autoptr(GError) err = NULL;
    IoListener *listener = try_listen(text, &err);

    g_assert_no_error(err);
    g_assert_nonnull(listener);
    return listener;
}

IoChannel *accept_from(IoListener *listener)
{
    g_autoptr(GError) err = NULL;
    IoChannel *channel = io_listener_accept(listener, NULL, &err);

    g_assert_no_error(err);
    g_assert_nonnull(channel);
    return channel;
}

IoChannel *open_reader(const char *text)
{
    IoListener *listener = listen_at(text);
    IoChannel *channel = accept_from(listener);

    io_listener_free(listener);
    return channel;
}

void assert_fails_to_connect(const char *text, const char *says)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(try_connect(text, &err));
    g_test_message("%s", err->message);
    g_assert_true(g_str_has_prefix(err->message, text));
    g_assert_nonnull(strstr(err->message, says));
}

void assert_fails_to_listen(const char *text, const char *says)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(try_listen(text, &err));
    g_test_message("%s", err->message);
    g_assert_true(g_str_has_prefix(err->message, text));
    g_assert_nonnull(strstr(err->message, says));
}

bool write_bytes(IoChannel *channel, const void *buf, size_t size,
                 GError **errp)
{
    GOutputVector vector = { buf, size };

    return io_channel_writev(channel, &vector, 1, errp);
}

void write_text(IoChannel *channel, const char *text)
{
    g_autoptr(GError) err = NULL;

    write_bytes(channel, text, strlen(text), &err);
    g_assert_no_error(err);
}

void finish(IoChannel *channel)
{
    g_autoptr(GError) err = NULL;

    io_channel_finish(channel, &err);
    g_assert_no_error(err);
}

GByteArray *read_all(IoChannel *channel)
{
    GByteArray *all = g_byte_array_new();
    g_autofree uint8_t *buf = g_malloc(256 * 1024);
    g_autoptr(GError) err = NULL;
    size_t nread;

    do {
        io_channel_read(channel, buf, 256 * 1024, &nread, &err);
        g_assert_no_error(err);
        g_byte_array_append(all, buf, nread);
    } while (nread > 0);
    return all;
}

void assert_reads(IoChannel *channel, const char *text)
{
    g_autoptr(GByteArray) all = read_all(channel);

    g_assert_cmpmem(all->data, all->len, text, strlen(text));
}

char *read_text(IoChannel *channel)
{
    GByteArray *all = read_all(channel);

    g_byte_array_append(all, (const uint8_t *)"", 1);
    return (char *)g_byte_array_free(all, FALSE);
}

void assert_contents(const char *path, const char *want)
{
    g_autofree char *got = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &got, &size, NULL));
    g_assert_cmpmem(got, size, want, strlen(want));
}

uint8_t *make_bulk(void)
{
    uint8_t *bulk = g_malloc(BULK_SIZE);
    uint32_t x = 1;

    for (size_t i = 0; i < BULK_SIZE; i++) {
        x = x * 1664525 + 1013904223;
        bulk[i] = x >> 24;
    }
    return bulk;
}

/* Vectors of 0 to 16 KiB, and a byte or nothing between them. */
void write_bulk(IoChannel *channel, const uint8_t *bulk)
{
    g_autoptr(GArray) vectors = g_array_new(FALSE, FALSE,
                                            sizeof(GOutputVector));
    g_autoptr(GError) err = NULL;
    size_t done = 0;

    while (done < BULK_SIZE) {
        size_t size = MIN(bulk[done] * 64, BULK_SIZE - done);
        GOutputVector many = { bulk + done, size };
        GOutputVector few = { bulk + done, size == 0 };

        g_array_append_val(vectors, many);
        g_array_append_val(vectors, few);
        done += many.size + few.size;
    }
    g_assert_cmpuint(vectors->len, >, 2000);
    io_channel_writev(channel, (GOutputVector *)vectors->data, vectors->len,
                      &err);
    g_assert_no_error(err);
    finish(channel);
}

static void *bulk_writer_main(void *opaque)
{
    BulkWriter *writer = opaque;

    write_bulk(writer->channel, writer->bulk);
    return NULL;
}

void check_transfer(IoChannel *from, IoChannel *to)
{
    g_autofree uint8_t *bulk = make_bulk();
    BulkWriter writer = { from, bulk };
    g_autoptr(GByteArray) got = NULL;
    pthread_t thread;

    g_assert_cmpint(
        pthread_create(&thread, NULL, bulk_writer_main, &writer), ==, 0);
    got = read_all(to);
    pthread_join(thread, NULL);
    g_assert_cmpuint(got->len, ==, BULK_SIZE);
    g_assert_cmpint(memcmp(got->data, bulk, BULK_SIZE), ==, 0);
}

void check_two_way(IoChannel *a, IoChannel *b)
{
    g_assert_true(io_channel_is_two_way(a));
    g_assert_true(io_channel_is_two_way(b));
    check_transfer(a, b);
    check_transfer(b, a);
    io_channel_free(a);
    io_channel_free(b);
}

void connect_and_check(IoListener *listener, const char *to)
{
    IoChannel *sender = connect_to(to);

    check_two_way(sender, accept_from(listener));
}

bool machine_has_ipv6(void)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6,
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address,
                               sizeof(address)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return has;
}

char *same_port(IoListener *listener, const char *host)
{
    return g_strconcat("tcp:", host,
                       strrchr(io_listener_address(listener), ':'), NULL);
}

char *fd_uri(int fd)
{
    return g_strdup_printf("fd:%d", fd);
}

IoChannel *open_endless(pid_t *pid)
{
    IoChannel *channel = open_reader("exec:echo $$; exec sleep 100000");
    g_autoptr(GError) err = NULL;
    char text[32] = "";
    size_t nread;

    io_channel_read(channel, text, sizeof(text) - 1, &nread, &err);
    g_assert_no_error(err);
    *pid = g_ascii_strtoull(text, NULL, 10);
    g_assert_cmpint(kill(*pid, 0), ==, 0);
    return channel;
}

void make_pair(IoChannel *ends[2])
{
    g_autoptr(GError) err = NULL;

    io_channel_pair(ends, &err);
    g_assert_no_error(err);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("ferry-channel-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    g_assert_cmpint(chdir(f->dir), ==, 0);
    f->open_fds = count_settled_fds();
}

static void remove_files(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        g_remove(file);
    }
    g_remove(path);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;

    /* GLib's own thread may still have a descriptor of its own to close. */
    while (count_settled_fds() != f->open_fds &&
           g_get_monotonic_time() < deadline) {
        sched_yield();
    }
    g_assert_cmpuint(count_settled_fds(), ==, f->open_fds);
    g_assert_cmpint(chdir("/"), ==, 0);
    remove_files(f->dir);
    g_free(f->dir);
}

static void run_test(Fixture *f, gconstpointer test)
{
    const ChannelTest *t = test;

    if (t->uses_exec && !io_exec_is_built_in(NULL)) {
        g_test_skip("built without exec: URIs");
        return;
    }
    t->run();
}

int run_channel_tests(int argc, char **argv, const ChannelTest *tests,
                      size_t count)
{
    g_autoptr(GSubprocess) command = NULL;

    g_test_init(&argc, &argv, NULL);
    /* GLib's thread and its eventfd start with the first command, and those of
     * the default context with the first wait for one that has not ended. */
    command = g_subprocess_new(G_SUBPROCESS_FLAGS_NONE, NULL, "true", NULL);
    g_assert_true(g_subprocess_wait(command, NULL, NULL));
    g_main_context_default();
    for (size_t i = 0; i < count; i++) {
        g_autofree char *path = g_strconcat("/channel/", tests[i].name, NULL);

        g_test_add(path, Fixture, &tests[i], set_up, run_test, tear_down);
    }
    return g_test_run();
}
