/* pool/server_past.h: what is known of a server's health, as one process leaves it to the next (control/health_notes.h): so that one
 * that was out is not asked again at once, and one that was well is not taken for down by its first check. Times are ages or what is
 * left of them: processes share no clock that their tests could set. Control thread. */
#pragma once

#include "pool/server_health.h"

/* X(member): all of them numbers, which are 0 where there is nothing to say. */
#define SERVER_PAST_NUMBERS(X)                                                                    \
    X(since_ms)        /* for how long it is in this health */                                    \
    X(ejected_left_ms) /* until it is let back */                                                 \
    X(eject_ms)        /* how long its latest ejection was: the next is longer */                 \
    X(back_ms)         /* for how long it has been back since one; large: it never was out */     \
    X(warm_ms)         /* for how long it has been warming up */                                  \
    X(failures)        /* to connect, on end, as the next two are of checks */                    \
    X(checks_passed)                                                                              \
    X(checks_failed)                                                                              \
    X(is_readmitted)                                                                              \
    X(is_on_trial)                                                                                \
    X(latency_us) /* what is expected of it (balance/peak.h), and how old that is, as the next */ \
    X(latency_age_ms)                                                                             \
    X(failing)                                                                                    \
    X(failing_age_ms)

struct server_past {
    enum server_health health;
    enum server_health_reason reason;
#define X(member) uint64_t member;
    SERVER_PAST_NUMBERS(X)
#undef X
    char words[SERVER_WORDS_MAX];
};

/* False: nothing is known of it that another process would not find out as fast. */
bool server_past_of(const struct server *s, uint64_t now_ms, struct server_past *out);
/* A server of a new process, of which nothing is known yet, begins with that, as far as its configuration still has what it comes
 * from: it is down only if it is checked, and out only as long as it may be. is_checked: it is. True: it has; who may be picked may have
 * changed. Whatever the numbers are, no bound is passed. */
bool server_past_resume(struct server *s, const struct server_past *past, bool is_checked, uint64_t now_ms);
