/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread that waits for a peer that says "welcome!". */
#ifndef TESTS_ADMIT_KIT_H
#define TESTS_ADMIT_KIT_H

#include "ferry/channel.h"

typedef struct Wait Wait;

/* The peer that is wanted, without encryption. */
extern const IoAdmit welcome;

/* Takes the listener.  creds: a folder, or NULL. */
Wait *wait_start(IoListener *listener, const char *creds);
Wait *wait_start_with(IoListener *listener, const char *creds,
                      unsigned patience_ms);
const char *wait_address(const Wait *wait);

/* The peer that has come; wait is gone, but its warnings stay. */
IoChannel *wait_end(Wait *wait);
/* Cancel the wait; it ends with that error. */
void wait_cancel(Wait *wait);

/* Until a warning with these words has been logged since the last
 * wait_start(); wait, if it is not NULL, must still go on then. */
void await_warning(Wait *wait, const char *words);

/* The other end is closed; and so is this. */
void assert_hung_up(IoChannel *channel);

#endif
