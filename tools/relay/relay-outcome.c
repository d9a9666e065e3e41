/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's own word counts most: SHUT on the return path says whether
 * it could load the guest.  Without a return path the stream itself must show
 * that it came to its end.  With one, a stream that is whole proves nothing
 * without SHUT: the source waits for SHUT as well, and keeps the guest when
 * none comes.
 *
 * Between two Ferry ends SHUT 0 only says "I have everything", and the guest
 * stays at the source until the source says GO.
 */
#include "tools/relay/relay-outcome.h"

void ending_set(Ending *ending, StreamEnd end, const char *reason)
{
    ending->end = end;
    g_free(ending->reason);
    ending->reason = g_strdup(reason);
}

void ending_clear(Ending *ending)
{
    g_clear_pointer(&ending->reason, g_free);
}

bool ending_is_whole(const Ending *ending)
{
    return ending->end == END_WHOLE || ending->end == END_ASKED;
}

void ending_expect_go(Ending *ending, const ReturnWatch *back)
{
    if (ending_is_whole(ending) && return_watch_expects_go(back) &&
        !ending->has_go) {
        ending_set(ending, END_CUT, "the source has not said GO, so it keeps "
                                    "the guest");
    }
}

static RelayOutcome shut_outcome(const ReturnWatch *back, char **why)
{
    if (back->shut_value == 0) {
        return RELAY_COMPLETED;
    }
    *why = g_strdup_printf("the destination says that it could not load the "
                           "guest: %s", back->reason
                               ? back->reason
                               : "it does not say why, but its log may");
    return RELAY_FAILED;
}

RelayOutcome relay_judge(const Ending *ending, const ReturnWatch *back,
                         char **why)
{
    *why = NULL;
    if (back->has_shut &&
        (back->shut_value || !return_watch_expects_go(back) ||
         ending->end == END_ASKED)) {
        return shut_outcome(back, why);
    }
    switch (ending->end) {
    case END_CUT:
        *why = g_strdup(ending->reason);
        return RELAY_FAILED;
    case END_OPAQUE:
        *why = g_strdup_printf("the stream was passed on to its end without "
                               "being understood: %s", ending->reason);
        return RELAY_UNKNOWN;
    case END_UNTOLD:
        *why = g_strdup("the other relay is an older one, which does not say "
                        "whether the stream was whole");
        return RELAY_UNKNOWN;
    case END_ASKED:
        *why = g_strdup("the destination was given the whole stream, and has "
                        "closed without saying whether it has loaded the "
                        "guest");
        return RELAY_UNKNOWN;
    case END_WHOLE:
        return RELAY_COMPLETED;
    }
    g_assert_not_reached();
}

const char *relay_outcome_name(RelayOutcome outcome)
{
    switch (outcome) {
    case RELAY_COMPLETED:
        return "completed";
    case RELAY_FAILED:
        return "failed";
    case RELAY_UNKNOWN:
        return "unknown";
    }
    g_assert_not_reached();
}
