/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table has every option: its name, its value, its help and what it does.
 * Those of the pools and the codec come from Ferry's own option table.
 */
#include "tools/relay/relay-args.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ferry/error.h"

typedef struct RelayOption {
    const char *name;
    const char *value; /* what help calls it; NULL: there is none */
    const char *help;
    bool (*set)(RelayArgs *args, const char *name, const char *value,
                GError **errp);
} RelayOption;

static bool set_listen(RelayArgs *args, const char *name, const char *value,
                       GError **errp)
{
    io_uri_free(args->listen);
    args->listen = io_uri_parse(value, errp);
    return args->listen != NULL;
}

static bool set_connect(RelayArgs *args, const char *name, const char *value,
                        GError **errp)
{
    io_uri_free(args->connect);
    args->connect = io_uri_parse(value, errp);
    return args->connect != NULL;
}

static bool choose_role(RelayArgs *args, RelayRole role, GError **errp)
{
    if (args->role != RELAY_ROLE_AUTO && args->role != role) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "this relay is to be '%s' already",
                    relay_role_name(args->role));
        return false;
    }
    args->role = role;
    return true;
}

static bool set_role(RelayArgs *args, const char *name, const char *value,
                     GError **errp)
{
    for (RelayRole r = RELAY_ROLE_AUTO; r <= RELAY_ROLE_RECEIVE; r++) {
        if (!strcmp(value, relay_role_name(r))) {
            return choose_role(args, r, errp);
        }
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                "expected auto, send or receive");
    return false;
}

static bool set_to_qemu(RelayArgs *args, const char *name, const char *value,
                        GError **errp)
{
    return choose_role(args, RELAY_ROLE_TO_QEMU, errp);
}

static bool set_from_qemu(RelayArgs *args, const char *name,
                          const char *value, GError **errp)
{
    return choose_role(args, RELAY_ROLE_FROM_QEMU, errp);
}

static bool set_flag(RelayArgs *args, const char *name, const char *value,
                     GError **errp)
{
    struct { const char *name; bool *flag; } flags[] = {
        { "stdio", &args->stdio }, { "once", &args->once },
        { "stats", &args->stats }, { "json", &args->json },
        { "help", &args->help },   { "version", &args->version },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (!strcmp(name, flags[i].name)) {
            *flags[i].flag = true;
        }
    }
    return true;
}

static bool set_parameter(RelayArgs *args, const char *name,
                          const char *value, GError **errp)
{
    const MigOption *option = mig_option_find(name, false, errp);

    args->packs |= g_str_has_prefix(name, "compress-");
    args->unpacks |= g_str_has_prefix(name, "decompress-");
    return option && mig_options_set_text(&args->options, option, value,
                                          errp);
}

static const RelayOption relay_options[] = {
    { "listen", "URI", "where to wait for connections", set_listen },
    { "connect", "URI", "where to connect to, once for each", set_connect },
    { "stdio", NULL, "standard input and output instead of one of them",
      set_flag },
    { "role", "auto|send|receive", "send: who connects is a QEMU; receive: "
      "who connects is a relay (auto: by the first bytes)", set_role },
    { "to-qemu", NULL, "no second relay: make pages QEMU's compressed ones",
      set_to_qemu },
    { "from-qemu", NULL, "no second relay: make QEMU's compressed pages plain "
      "ones", set_from_qemu },
    { "compress-level", "N", "0 stores, 1 is the fastest, 9 the smallest (1)",
      set_parameter },
    { "compress-method", "NAME", "how pages are packed on the link: zlib, zstd "
      "or lz4 (zlib)", set_parameter },
    { "compress-threads", "N", "threads that pack, per migration (8)",
      set_parameter },
    { "decompress-threads", "N", "threads that unpack, per migration (2)",
      set_parameter },
    { "tls-creds", "DIR", "encrypt the link, with the certificates in this "
      "folder; needs --role", set_parameter },
    { "tls-hostname", "NAME", "whom the receiver's certificate must be for "
      "(the host of --connect)", set_parameter },
    { "once", NULL, "end after one migration; the exit status is its outcome",
      set_flag },
    { "stats", NULL, "show every second on standard error what moves",
      set_flag },
    { "json", NULL, "print a line of JSON at the end of each migration",
      set_flag },
    { "help", NULL, "show this help", set_flag },
    { "version", NULL, "show the version", set_flag },
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

/* "--name", "-name", with or without "=value" behind it. */
static const RelayOption *find_option(const char *arg, const char **value,
                                      GError **errp)
{
    size_t dashes = strspn(arg, "-");
    const char *name = arg + dashes;
    size_t length = strcspn(name, "=");

    *value = name[length] ? name + length + 1 : NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(relay_options); i++) {
        if ((dashes == 1 || dashes == 2) &&
            strlen(relay_options[i].name) == length &&
            !strncmp(relay_options[i].name, name, length)) {
            return &relay_options[i];
        }
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION, "%s: invalid option", arg);
    return NULL;
}

static bool parse_one(RelayArgs *args, char ***arg, GError **errp)
{
    const char *value;
    const RelayOption *option = find_option(**arg, &value, errp);

    if (!option) {
        return false;
    }
    if (option->value && !value) {
        value = *(*arg + 1);
        if (value) {
            ++*arg;
        }
    }
    if (!option->value != !value) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    option->value ? "--%s: requires an argument"
                                  : "--%s: takes no argument", option->name);
        return false;
    }
    if (!option->set(args, option->name, value, errp)) {
        g_prefix_error(errp, "--%s%s%s: ", option->name, value ? " " : "",
                       value ? value : "");
        return false;
    }
    return true;
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

/* As far as the names tell; what they hide, HELLO's nonce shows. */
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

/* A peer at this URI could not be answered. */
static bool is_one_way(const IoUri *uri)
{
    return uri->kind == IO_URI_FILE ||
           (uri->kind == IO_URI_FD && !is_descriptor_a_socket(uri->fd));
}

/* What would fail at each migration is refused when the program starts. */
static bool check_uris(const RelayArgs *args, GError **errp)
{
    const IoUri *listen = args->listen, *connect = args->connect;
    const char *text = NULL;

    if (connect && connect->kind == IO_URI_FILE) {
        text = "--connect file: cannot answer, and the next migration would "
               "overwrite it (with --role receive exec:'exec cat > FILE' "
               "writes one, where the source has return-path off)";
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
    if (text) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_OPTION, text);
    }
    return !text;
}

/* What no single option can see. */
static bool check_together(const RelayArgs *args, GError **errp)
{
    bool packs = args->role != RELAY_ROLE_RECEIVE &&
                 args->role != RELAY_ROLE_FROM_QEMU;
    bool unpacks = args->role != RELAY_ROLE_SEND &&
                   args->role != RELAY_ROLE_TO_QEMU;
    const char *text = NULL;

    if (args->stdio && !args->listen == !args->connect) {
        text = "--stdio needs exactly one of --listen and --connect";
    } else if (!args->stdio && (!args->listen || !args->connect)) {
        text = "give --listen and --connect";
    } else if (args->role > RELAY_ROLE_RECEIVE &&
               args->options.value[MIG_OPT_COMPRESS_METHOD]) {
        text = "QEMU's compressed pages are zlib: no --compress-method with "
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
    if (text) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_OPTION, text);
    }
    return !text;
}

static const char *host_of(const IoUri *uri)
{
    if (!uri || uri->kind != IO_URI_TCP) {
        return "";
    }
    return uri->host[0] ? uri->host : "localhost";
}

/* Where the link is a command's input and output. */
static bool is_link_a_command(const RelayArgs *args)
{
    const IoUri *link = args->role == RELAY_ROLE_SEND ? args->connect
                                                      : args->listen;

    return link && link->kind == IO_URI_EXEC;
}

/* With --role auto a peer that does not encrypt would be taken for a QEMU. */
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
        text = "--tls-creds encrypts sockets, and the standard input, which "
               "is the link here, is none";
    } else if (is_link_a_command(args)) {
        text = "--tls-creds encrypts sockets, and a command is none: have the "
               "command encrypt, as ssh does";
    } else if (args->role == RELAY_ROLE_SEND && !args->tls_peer[0]) {
        text = "--tls-creds needs --tls-hostname where --connect is not tcp";
    }
    if (text) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_OPTION, text);
    }
    return !text;
}

static bool is_socket(const IoUri *uri)
{
    return uri->kind == IO_URI_TCP || uri->kind == IO_URI_UNIX;
}

bool relay_args_parse(RelayArgs *args, int argc, char **argv, GError **errp)
{
    *args = (RelayArgs){ .listen = NULL };
    mig_options_init(&args->options);
    for (char **arg = argv + 1; *arg && !args->help && !args->version; arg++) {
        if (!parse_one(args, &arg, errp)) {
            return false;
        }
    }
    if (args->help || args->version) {
        return true;
    }
    if (!check_together(args, errp) || !check_uris(args, errp) ||
        !settle_tls(args, errp) ||
        !mig_options_check(&args->options, errp)) {
        return false;
    }
    args->codec =
        codec_by_method(args->options.value[MIG_OPT_COMPRESS_METHOD]);
    args->nonce = ((uint64_t)g_random_int() << 32 | g_random_int()) | 1;
    args->one_peer = !args->listen || !is_socket(args->listen);
    args->one_place = !args->connect;
    args->once = args->once || args->one_peer || args->one_place;
    return true;
}

void relay_args_clear(RelayArgs *args)
{
    g_clear_pointer(&args->listen, io_uri_free);
    g_clear_pointer(&args->connect, io_uri_free);
}

char *relay_args_help(void)
{
    GString *text = g_string_new(
        "Usage: ferry-relay --listen URI --connect URI [options]\n"
        "Compress migrations between unmodified QEMUs.\n\n");

    for (size_t i = 0; i < G_N_ELEMENTS(relay_options); i++) {
        const RelayOption *o = &relay_options[i];

        g_string_append_printf(text, "--%s%s%s\n        %s\n", o->name,
                               o->value ? " " : "", o->value ? o->value : "",
                               o->help);
    }
    g_string_append(text, "\nURI is tcp:HOST:PORT, unix:PATH or "
                          "exec:COMMAND; to listen also fd:N or file:PATH.\n");
    return g_string_free(text, FALSE);
}
