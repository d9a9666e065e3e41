/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine that only pretends, and clients of its monitor, all in one thread:
 * waiting for a client's input runs the main context.  A wait that takes more
 * than ten seconds fails the test.
 */
#ifndef FERRY_TEST_MONITOR_FIXTURE_H
#define FERRY_TEST_MONITOR_FIXTURE_H

#include <gio/gio.h>
#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "ferry/monitor.h"

#define PROMPT "(ferry) "
#define DONE   "{\"return\": {}}"

/* All capabilities with their states at first, but for that of compress. */
#define CAPABILITIES(compress, is, next)                                       \
    "xbzrle" is "off" next                                                     \
    "auto-converge" is "off" next "compress" is compress next "events" is      \
    "off" next "return-path" is "on" next "pause-before-switchover" is         \
    "off" next "validate-uuid" is "off" next "verify" is "off"

typedef struct FakeMachine {
    MonHost host;
    Monitor *monitor;
    GString *calls; /* "stop; migrate tcp:a:1; ", in the order of the calls */

    const char *status;
    bool running;
    MigOptions options;
    const char *refusal; /* why everything that can fail fails, or NULL */
    const char *fixed;   /* name of an option that must not change, or NULL */
    bool has_info;
    const IoUri *address;
    MigInfo info; /* its error is not owned */
} FakeMachine;

FakeMachine *fake_machine_new(void);
void fake_machine_free(FakeMachine *machine);

/* Put in the figures of the example in the documentation. */
void fake_machine_set_info(FakeMachine *machine, MigState state);

typedef struct Client {
    GSocket *socket;
    GSource *source; /* NULL for one that does not read */
    GString *got;    /* not taken yet */
    bool ended;      /* the monitor has closed the connection */
} Client;

Client *client_new(FakeMachine *machine, MonKind kind);
void client_free(Client *client);
void client_stop_reading(Client *client);
void client_send(Client *client, const char *text);
void client_send_bytes(Client *client, const char *data, size_t size);
void client_close_output(Client *client);
void client_wait_end(Client *client);

/* Wait for end, and take everything up to and with it. */
char *client_take(Client *client, const char *end);

/* HMP: send a line, and take what it prints up to the prompt, which is cut
 * off, as "\r" is. */
char *client_ask(Client *client, const char *line);

/* QMP: take one line, or a request's answer, and compare it with JSON text. */
void client_expect_json(Client *client, const char *expected);
JsonNode *client_take_json(Client *client);
void client_expect_answer(Client *client, const char *request,
                          const char *expected);

/* QMP: the request fails with a GenericError with that description. */
void client_expect_error(Client *client, const char *request, const char *desc);

/* Take the greeting; and then negotiate. */
Client *client_new_hmp(FakeMachine *machine);
Client *client_new_qmp(FakeMachine *machine);

/* Run the main context until *flag is set. */
void run_until(const bool *flag);

/* What most tests have: a machine with one client, which is ready. */
typedef struct Fixture {
    FakeMachine *machine;
    Client *client;
} Fixture;

typedef void FixtureTest(Fixture *f, gconstpointer data);

/* As g_test_add() wants them, and in one with that. */
void fixture_set_up_hmp(Fixture *f, gconstpointer data);
void fixture_set_up_qmp(Fixture *f, gconstpointer data);
void fixture_tear_down(Fixture *f, gconstpointer data);
void fixture_add(MonKind kind, const char *path, FixtureTest *test);

void fixture_expect_calls(Fixture *f, const char *expected);

#endif
