/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table in the middle has every option.  Ferry's own option table checks
 * the values of the pools' and the codec's options.
 */
#include "tools/relay/relay-args.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/relay/relay-http.h"
#include "util/args.h"
#include "util/clock.h"

static bool set_uri(void *target, const char *name, char *const *values,
                    GError **errp)
{
    IoUri **uri = target;

    io_uri_free(*uri);
    *uri = io_uri_parse(values[0], errp);
    return *uri != NULL;
}

static void clear_route(void *route)
{
    io_uri_free(((RelayRoute *)route)->uri);
}

/* A name is a file's, too, and stands in logs. */
bool relay_is_route_name(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!g_ascii_isalnum(name[i]) && !strchr("-_.", name[i])) {
            return false;
        }
    }
    return size > 0 && size < RELAY_ROUTE_SIZE && name[0] != '.';
}

/* NAME=URI */
static bool add_route(void *target, const char *option, char *const *values,
                      GError **errp)
{
    RelayArgs *args = target;
    const char *equals = strchr(values[0], '=');
    RelayRoute route = { "" };

    if (!equals ||
        !relay_is_route_name(values[0], (size_t)(equals - values[0]))) {
        return args_fail(errp, "expected NAME=URI, with a name of 1 to %d "
                         "letters, digits and - _ .", RELAY_ROUTE_SIZE - 1);
    }
    memcpy(route.name, values[0], (size_t)(equals - values[0]));
    if (relay_args_route(args, route.name)) {
        return args_fail(errp, "there is a route '%s' already", route.name);
    }
    route.uri = io_uri_parse(equals + 1, errp);
    if (!route.uri) {
        return false;
    }
    g_array_append_val(args->routes, route);
    return true;
}

static bool set_folder(void *target, const char *option, char *const *values,
                       GError **errp)
{
    RelayArgs *args = target;

    if (!g_file_test(values[0], G_FILE_TEST_IS_DIR)) {
        return args_fail(errp, "there is no such folder");
    }
    g_free(args->folder);
    args->folder = g_strdup(values[0]);
    return true;
}

bool relay_args_has_routes(const RelayArgs *args)
{
    return args->routes->len > 0 || args->folder;
}

const RelayRoute *relay_args_route(const RelayArgs *args, const char *name)
{
    for (unsigned i = 0; i < args->routes->len; i++) {
        const RelayRoute *route = &g_array_index(args->routes, RelayRoute, i);

        if (!strcmp(route->name, name)) {
            return route;
        }
    }
    return NULL;
}

static bool choose_role(RelayArgs *args, RelayRole role, GError **errp)
{
    if (args->role != RELAY_ROLE_AUTO && args->role != role) {
        return args_fail(errp, "this relay is to be '%s' already",
                         relay_role_name(args->role));
    }
    args->role = role;
    return true;
}

static bool set_role(void *target, const char *name, char *const *values,
                     GError **errp)
{
    for (RelayRole r = RELAY_ROLE_AUTO; r <= RELAY_ROLE_RECEIVE; r++) {
        if (!strcmp(values[0], relay_role_name(r))) {
            return choose_role(target, r, errp);
        }
    }
    return args_fail(errp, "expected auto, send or receive");
}

static bool set_to_qemu(void *target, const char *name, char *const *values,
                        GError **errp)
{
    return choose_role(target, RELAY_ROLE_TO_QEMU, errp);
}

static bool set_from_qemu(void *target, const char *name, char *const *values,
                          GError **errp)
{
    return choose_role(target, RELAY_ROLE_FROM_QEMU, errp);
}

static bool set_parameter(void *target, const char *name, char *const *values,
                          GError **errp)
{
    RelayArgs *args = target;
    const MigOption *option = mig_option_find(name, false, errp);

    args->packs |= g_str_has_prefix(name, "compress-");
    args->unpacks |= g_str_has_prefix(name, "decompress-");
    return option && mig_options_set_text(&args->options, option, values[0],
                                          errp);
}

static bool set_history(void *target, const char *name, char *const *values,
                        GError **errp)
{
    RelayArgs *args = target;

    args->keeps = true;
    return mig_options_set_text(&args->options,
                                mig_option(MIG_OPT_COMPRESS_HISTORY),
                                values[0], errp);
}

/* Seconds, to ns. */
static bool set_patience(void *target, const char *name, char *const *values,
                         GError **errp)
{
    RelayArgs *args = target;
    guint64 seconds;

    if (!g_ascii_string_to_unsigned(values[0], 10, 0, RELAY_PATIENCE_MAX_S,
                                    &seconds, NULL)) {
        return args_fail(errp, "expected a number of seconds, 0 to %u",
                         RELAY_PATIENCE_MAX_S);
    }
    args->resumes = true;
    *(strcmp(name, "resume-timeout") ? &args->patience_stopped
                                     : &args->patience) =
        (int64_t)seconds * NS_PER_S;
    return true;
}

/* A number of bytes, as K, M, G or T. */
static bool set_size(void *target, const char *name, char *const *values,
                     GError **errp)
{
    const MigOption option = {
        .id = MIG_OPT_MAX_BANDWIDTH,
        .name = name,
        .kind = MIG_KIND_SIZE,
        .max = INT64_MAX,
    };
    RelayArgs *args = target;
    MigOptions values_of;

    mig_options_init(&values_of);
    if (!mig_options_set_text(&values_of, &option, values[0], errp)) {
        return false;
    }
    *(strcmp(name, "memory") ? &args->rate : &args->memory) =
        values_of.value[option.id];
    return true;
}

#define TARGET(member) offsetof(RelayArgs, member)

static const ArgsOption options[] = {
    { "listen", "URI", "where to wait for connections", set_uri,
      TARGET(listen) },
    { "connect", "URI", "where to connect to, for each of them", set_uri,
      TARGET(connect) },
    { "route", "NAME=URI", "one of several guests: where its QEMU connects to "
      "(send) or listens (receive); needs --role", add_route },
    { "routes", "DIR", "a folder with the sockets of more guests, by their "
      "names; send: make an empty file there to ask for one", set_folder },
    { "stdio", NULL, "standard input and output in place of one of the two",
      args_flag, TARGET(stdio) },
    { "role", "auto|send|receive", "which peers connect: send, QEMUs; receive, "
      "relays (auto: the first bytes tell)", set_role },
    { "to-qemu", NULL, "no second relay: make pages QEMU's compressed ones",
      set_to_qemu },
    { "from-qemu", NULL, "no second relay: make QEMU's compressed pages plain "
      "ones", set_from_qemu },
    { "compress-level", "N", "0 stores, 1 is the fastest, 9 the smallest (1)",
      set_parameter },
    { "compress-method", "NAME", "how pages are packed on the link: one of the "
      "methods below (auto)", set_parameter },
    { "compress-threads", "N", "threads that pack, per migration (8)",
      set_parameter },
    { "decompress-threads", "N", "threads that unpack, per migration (2)",
      set_parameter },
    { "history", "SIZE", "memory for earlier pages, per migration; the smaller "
      "of the two relays' counts, 0: none (64M)", set_history },
    { "memory", "SIZE", "the most memory for the histories of all migrations; "
      "0: no limit (0)", set_size },
    { "max-bandwidth", "SIZE", "the most bytes a second on the link, of all "
      "migrations; 0: no limit (0)", set_size },
    { "resume-timeout", "SECONDS", "how long a broken link may take to come "
      "back while the guest runs; 0: it fails the migration (300)",
      set_patience },
    { "resume-timeout-stopped", "SECONDS", "the same while the guest stands "
      "still (5)", set_patience },
    { "tls-creds", "DIR", "encrypt the link, with the certificates in this "
      "folder; needs --role", set_parameter },
    { "tls-hostname", "NAME", "name that the receiver's certificate must have "
      "(the host of --connect)", set_parameter },
    { "once", NULL, "end after one migration; the exit status is its outcome",
      args_flag, TARGET(once) },
    { "stats", NULL, "show on standard error every second how far they are",
      args_flag, TARGET(stats) },
    { "metrics", "URI", "serve how far they are to Prometheus: "
      "tcp:ADDRESS:PORT or unix:PATH", set_uri, TARGET(metrics) },
    { "json", NULL, "print a line of JSON at the end of each migration",
      args_flag, TARGET(json) },
    { "help", NULL, "show this help, as -h does", args_last_flag,
      TARGET(help) },
    { "version", NULL, "show the version, and which methods are built in",
      args_last_flag, TARGET(version) },
    { NULL },
};

static const ArgsProgram program = {
    .usage = "Usage: ferry-relay --listen URI --connect URI [options]\n"
             "Compress migrations between unmodified QEMUs.\n\n",
    .notes = "\nURI is tcp:HOST:PORT, unix:PATH or exec:COMMAND; to listen "
             "also fd:N or file:PATH.\n\n"
             "Methods, and what --compress-level is with each:\n\n",
    .dash = "--",
    .options = options,
};

const char *relay_role_name(RelayRole role)
{
    switch (role) {
    case RELAY_ROLE_AUTO:
        return "auto";
    case RELAY_ROLE_SEND:
        return "send";
    case RELAY_ROLE_RECEIVE:
        return "receive";
    case RELAY_ROLE_TO_QEMU:
        return "to-qemu";
    case RELAY_ROLE_FROM_QEMU:
        return "from-qemu";
    }
    g_assert_not_reached();
}

static bool is_any(const char *host)
{
    return !host[0] || !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
}

static bool is_loopback(const char *host)
{
    return !host[0] || !strcmp(host, "localhost") ||
           g_str_has_prefix(host, "127.") || !strcmp(host, "::1");
}

/* As far as the names tell.  HELLO's nonce shows the loops that names hide. */
static bool leads_to_itself(const IoUri *listen, const IoUri *connect)
{
    g_autofree char *here = NULL;
    g_autofree char *there = NULL;

    if (listen->kind != connect->kind) {
        return false;
    }
    switch (listen->kind) {
    case IO_URI_TCP:
        return listen->port == connect->port &&
               (!g_ascii_strcasecmp(listen->host, connect->host) ||
                ((is_any(listen->host) || is_loopback(listen->host)) &&
                 is_loopback(connect->host)));
    case IO_URI_UNIX:
        here = g_canonicalize_filename(listen->path, NULL);
        there = g_canonicalize_filename(connect->path, NULL);
        return !strcmp(here, there);
    default:
        return false;
    }
}

static bool is_descriptor_a_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Would a peer at this URI get no answer? */
static bool is_one_way(const IoUri *uri)
{
    return uri->kind == IO_URI_FILE ||
           (uri->kind == IO_URI_FD && !is_descriptor_a_socket(uri->fd));
}

/* Refuse at the start what would make every migration fail. */
static bool check_uris(const RelayArgs *args, GError **errp)
{
    const IoUri *listen = args->listen, *connect = args->connect;
    const char *text = NULL;

    if (connect && connect->kind == IO_URI_FILE) {
        text = "--connect file: cannot answer, and the next migration would "
               "overwrite it (with --role receive exec:'exec cat > FILE' "
               "writes a file, where the source has return-path off)";
    } else if (connect && connect->kind == IO_URI_FD) {
        text = "--connect fd: can be used once only (--stdio is for that)";
    } else if (listen && args->role == RELAY_ROLE_RECEIVE &&
               is_one_way(listen)) {
        text = "--listen with --role receive needs something that can be "
               "answered: no file, and no descriptor but a socket";
    } else if (listen && args->stdio && listen->kind == IO_URI_FD &&
               listen->fd <= STDERR_FILENO) {
        text = "--listen fd:0, fd:1 and fd:2 are what --stdio uses";
    }
    return !text || args_fail(errp, "%s", text);
}

static bool is_socket(const IoUri *uri)
{
    return uri->kind == IO_URI_TCP || uri->kind == IO_URI_UNIX;
}

/* It shows when guests move, so nobody is served at all addresses by a slip. */
static bool check_metrics(const IoUri *uri, GError **errp)
{
    const char *text = NULL;

    if (!uri) {
        return true;
    }
    if (!strcmp(http_library(), "none")) {
        text = "--metrics needs libmicrohttpd, which this build lacks";
    } else if (!is_socket(uri)) {
        text = "--metrics is served at a socket: tcp or unix";
    } else if (uri->kind == IO_URI_TCP && !uri->host[0]) {
        text = "--metrics needs an address, such as tcp:127.0.0.1:9100";
    }
    return !text || args_fail(errp, "%s", text);
}

/* NULL, or why the other options do not fit routes.  Only the link is needed
 * besides them. */
static const char *routes_fit(const RelayArgs *args)
{
    const IoUri *link = args->role == RELAY_ROLE_SEND ? args->connect
                                                      : args->listen;

    if (args->role != RELAY_ROLE_SEND && args->role != RELAY_ROLE_RECEIVE) {
        return "a route needs --role send or --role receive";
    }
    if (args->stdio) {
        return "a route does not work with --stdio";
    }
    if (!link) {
        return args->role == RELAY_ROLE_SEND
                   ? "a route needs --connect, where the other relay is"
                   : "a route needs --listen, for the other relay";
    }
    if (args->role == RELAY_ROLE_RECEIVE && !is_socket(link)) {
        return "a route needs a --listen that takes several peers: tcp or unix";
    }
    for (unsigned i = 0; i < args->routes->len; i++) {
        const IoUri *uri = g_array_index(args->routes, RelayRoute, i).uri;

        if (!is_socket(uri)) {
            return "a route leads to a socket: tcp or unix";
        }
    }
    return NULL;
}

/* Which options exclude or need each other. */
static bool check_together(const RelayArgs *args, GError **errp)
{
    bool packs = args->role != RELAY_ROLE_RECEIVE &&
                 args->role != RELAY_ROLE_FROM_QEMU;
    bool unpacks = args->role != RELAY_ROLE_SEND &&
                   args->role != RELAY_ROLE_TO_QEMU;
    const char *text = NULL;

    if (relay_args_has_routes(args)) {
        text = routes_fit(args);
    } else if (args->stdio && !args->listen == !args->connect) {
        text = "--stdio needs exactly one of --listen and --connect";
    } else if (!args->stdio && (!args->listen || !args->connect)) {
        text = "give --listen and --connect";
    }
    if (text) {
        return args_fail(errp, "%s", text);
    }
    if (args->role > RELAY_ROLE_RECEIVE &&
        codec_without_packs(args->options.value[MIG_OPT_COMPRESS_METHOD]) !=
            &codec_zlib) {
        text = "QEMU's compressed pages are zlib: no --compress-method with "
               "--to-qemu and --from-qemu";
    } else if (args->role > RELAY_ROLE_RECEIVE && args->keeps) {
        text = "--history is kept by two relays: not with --to-qemu and "
               "--from-qemu";
    } else if (args->role > RELAY_ROLE_RECEIVE && args->memory) {
        text = "--memory is for histories: not with --to-qemu and --from-qemu";
    } else if (args->rate && args->role != RELAY_ROLE_SEND &&
               args->role != RELAY_ROLE_AUTO) {
        text = "--max-bandwidth is the sender's";
    } else if (args->role > RELAY_ROLE_RECEIVE && args->resumes) {
        text = "--resume-timeout is for the link between two relays: not with "
               "--to-qemu and --from-qemu";
    } else if (args->packs && !packs) {
        text = "--compress-... does nothing where pages are only unpacked";
    } else if (args->unpacks && !unpacks) {
        text = "--decompress-... does nothing where pages are only packed";
    }
    if (!text && args->listen && args->connect &&
        leads_to_itself(args->listen, args->connect)) {
        text = "--connect leads to --listen: the relay would connect to itself "
               "again and again";
    }
    return !text || args_fail(errp, "%s", text);
}

static const char *host_of(const IoUri *uri)
{
    if (!uri || uri->kind != IO_URI_TCP) {
        return "";
    }
    return uri->host[0] ? uri->host : "localhost";
}

/* Is the link a command's input and output? */
static bool is_link_a_command(const RelayArgs *args)
{
    const IoUri *link = args->role == RELAY_ROLE_SEND ? args->connect
                                                      : args->listen;

    return link && link->kind == IO_URI_EXEC;
}

/* TLS needs a role: with auto, a peer that does not encrypt would be taken for
 * a QEMU. */
static bool settle_tls(RelayArgs *args, GError **errp)
{
    const char *text = NULL;

    args->tls_creds = mig_options_string(&args->options, MIG_OPT_TLS_CREDS);
    args->tls_peer = mig_options_string(&args->options, MIG_OPT_TLS_HOSTNAME);
    if (!args->tls_peer[0]) {
        args->tls_peer = host_of(args->connect);
    }
    if (!args->tls_creds[0]) {
        return true;
    }
    if (args->role != RELAY_ROLE_SEND && args->role != RELAY_ROLE_RECEIVE) {
        text = "--tls-creds needs --role send or --role receive";
    } else if (args->stdio &&
               !args->connect == (args->role == RELAY_ROLE_SEND) &&
               !is_descriptor_a_socket(STDIN_FILENO)) {
        text = "--tls-creds encrypts sockets, and the link is standard input, "
               "which is none";
    } else if (is_link_a_command(args)) {
        text = "--tls-creds encrypts sockets, and a command is none: have the "
               "command encrypt, as ssh does";
    } else if (args->role == RELAY_ROLE_SEND && !args->tls_peer[0]) {
        text = "--tls-creds needs --tls-hostname where --connect is not tcp";
    }
    return !text || args_fail(errp, "%s", text);
}

/* auto: to a receiver that does not know packs, the one with the fewest
 * bytes. */
static const Codec *codec_for_relays(const MigOptions *values)
{
    uint64_t method = values->value[MIG_OPT_COMPRESS_METHOD];
    Ladder all = ladder_of_all(codec_features());
    const Codec *highest = all.rung[all.rungs - 1].codec;

    return method == MIG_METHOD_AUTO && highest ? highest
                                                : codec_without_packs(method);
}

bool relay_args_parse(RelayArgs *args, int argc, char **argv, GError **errp)
{
    *args = (RelayArgs){ .listen = NULL };
    args->routes = g_array_new(FALSE, FALSE, sizeof(RelayRoute));
    g_array_set_clear_func(args->routes, clear_route);
    args->patience = RELAY_PATIENCE_NS;
    args->patience_stopped = RELAY_PATIENCE_STOPPED_NS;
    mig_options_init(&args->options);
    if (!args_parse(&program, args, argv, errp)) {
        return false;
    }
    if (args->help || args->version) {
        return true;
    }
    if (!check_together(args, errp) || !check_uris(args, errp) ||
        !check_metrics(args->metrics, errp) ||
        !settle_tls(args, errp) ||
        !mig_options_check(&args->options, errp)) {
        return false;
    }
    args->codec = codec_for_relays(&args->options);
    args->nonce = ((uint64_t)g_random_int() << 32 | g_random_int()) | 1;
    args->one_peer = !relay_args_has_routes(args) &&
                     (!args->listen || !is_socket(args->listen));
    args->one_place = !relay_args_has_routes(args) && !args->connect;
    args->once = args->once || args->one_peer || args->one_place;
    return true;
}

void relay_args_clear(RelayArgs *args)
{
    g_clear_pointer(&args->listen, io_uri_free);
    g_clear_pointer(&args->connect, io_uri_free);
    g_clear_pointer(&args->metrics, io_uri_free);
    g_clear_pointer(&args->routes, g_array_unref);
    g_clear_pointer(&args->folder, g_free);
}

char *relay_args_help(void)
{
    g_autofree char *options_help = args_help(&program);
    GString *text = g_string_new(options_help);

    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);

        g_string_append_printf(text, "%s%s\n        %s\n        %s\n",
                               codec->name,
                               codec->available ? "" : " (not built in)",
                               codec->help, codec->levels);
    }
    g_string_append(text, "auto\n        whichever is fastest now, of those "
                          "that both relays have\n        does not matter, but "
                          "to a relay that knows no packs: zstd's\n");
    return g_string_free(text, FALSE);
}
