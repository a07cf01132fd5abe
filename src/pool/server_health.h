/* pool/server_health.h: how a server is, why, and since when: one state machine, of which server_set_health() is the only
 * writer. What is said of it comes from three sides: connections that workers open, checks (health/checker.h), and what is
 * found in the answers (pool/ejection.h). The operator's word stands beside it and is nobody else's. Control thread, but for
 * what any may ask. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum server_admin { SERVER_ENABLED, SERVER_DRAIN, SERVER_MAINTENANCE }; /* the operator's */
/* weir's. down: its checks say so, and they alone end it; ejected: for a time. */
enum server_health { SERVER_UNKNOWN, SERVER_UP, SERVER_WARMING, SERVER_EJECTED, SERVER_DOWN };

/* Why it is in the health that it is in. X(identifier, name) */
/* clang-format off */
#define SERVER_HEALTH_REASONS(X)                                                                  \
    X(START, "start")                       /* nothing is known yet */                            \
    X(CONNECTED, "connected")               /* a connection opened */                             \
    X(CONNECT_FAILURES, "connect_failures") /* none did, several times on end */                  \
    X(SEEN_FAILING, "seen_failing")         /* another's log shows it to be bad */                \
    X(EJECTION_OVER, "ejection_over")       /* its time is over: it is tried again */             \
    X(WARMED_UP, "warmed_up")               /* the time of its warm-up is over */                 \
    X(ENABLED, "enabled")                   /* the operator put it back: it begins with little */ \
    X(CHECK_PASSED, "check_passed")         /* as many checks on end as were asked for */         \
    X(CHECK_FAILED, "check_failed")         /* likewise */                                        \
    X(CHECKS_ENDED, "checks_ended")         /* nobody checks it any more */                       \
    X(TIMEOUTS, "timeouts")                 /* on end, and the others answer, as in the next */   \
    X(GATEWAY_ERRORS, "gateway_errors")     /* 502 to 504, or answers that broke off */           \
    X(SERVER_ERRORS, "server_errors")       /* 5xx */                                             \
    X(FAILURE_SHARE, "failure_share")       /* it fails more often than the others */              \
    X(LATENCY, "latency")                   /* it is slower than the others */
/* clang-format on */

enum server_health_reason {
#define X(id, name) SERVER_BY_##id,
    SERVER_HEALTH_REASONS(X)
#undef X
        SERVER_HEALTH_REASON_COUNT
};

/* What is said of a server, by whoever saw it. */
/* SERVER_SEEN_FAILING: somebody who counts over a time, such as a log's reader, finds it bad: one word is enough. */
/* SERVER_FAULTS: so many on end that it is to be looked at beside the others (pool/ejection.h); server_report() has no use for it. */
enum server_evidence { SERVER_CONNECTED, SERVER_CONNECT_FAILED, SERVER_SEEN_FAILING, SERVER_FAULTS };

/* Parts of a server's weight, and with how many of them one begins that is new or comes back. */
#define SERVER_WARM_WHOLE 10000u
#define SERVER_WARM_START 1000u

#define SERVER_WORDS_MAX 200

struct server;

/* What was seen of it by the latest check. */
struct server_check_result {
    bool has_passed;
    uint16_t status; /* 0: no answer over HTTP came */
    uint64_t at_ms;  /* of the loops' clock; 0: none has ended yet */
    uint64_t took_ns;
    char words[SERVER_WORDS_MAX]; /* a sentence without capital and full stop, of one that failed */
};

/* Times are of the loops' clock. */
struct server_state {
    enum server_health_reason reason;
    uint64_t since_ms; /* 0: since it is there */
    char words
        [SERVER_WORDS_MAX]; /* what was seen: a sentence without capital and full stop; "": there is no more to say */
    uint32_t failures;                     /* to connect, on end */
    uint32_t checks_passed, checks_failed; /* on end */
    struct server_check_result check;      /* the latest */
    uint64_t ejected_until_ms, back_since_ms, warm_since_ms;
    uint64_t eject_ms;   /* of the latest ejection */
    uint32_t warm_parts; /* of SERVER_WARM_WHOLE, while it is warming */
    bool is_readmitted;  /* it was let back and nobody has connected to it since */
    bool is_on_trial;    /* likewise, and has not answered well often enough since */
};

/* What workers count of its attempts. Sums wrap around. */
struct server_answers {
    uint32_t attempts, faults; /* that have shown how they go; of these, that failed */
    uint32_t answers;          /* good ones that were timed, if the pool goes by latency */
    uint64_t waits;            /* of these, the binary logarithms of how many µs each took, in 256ths */
};

/* What was counted of its attempts by the last look of pool/ejection.h. */
struct server_window {
    struct server_answers seen;              /* the workers' counters then */
    double attempts, faults, answers, waits; /* each look before counts less */
};

const char *server_admin_name(enum server_admin admin);
const char *server_health_name(enum server_health health);
const char *server_health_reason_name(enum server_health_reason reason);

/* What people are shown, of health and the operator's word together. */
enum server_shown {
    SERVER_SHOWN_UP,
    SERVER_SHOWN_WARMING,
    SERVER_SHOWN_EJECTED,
    SERVER_SHOWN_DOWN,
    SERVER_SHOWN_DRAINING,
    SERVER_SHOWN_MAINTENANCE,
    SERVER_SHOWN_COUNT
};
enum server_shown server_shown(const struct server *s);
const char *server_shown_name(enum server_shown shown);
const char *server_state_name(const struct server *s);

/* The only writer of health: keeps reason, time and words (borrowed; NULL: there are none), counts it in the pool, and says
 * it in the log; the same health again is nothing new, but a warm-up that begins anew is. Which may follow which is a table. */
void server_set_health(struct server *s, enum server_health to, enum server_health_reason reason,
                       const char *words, uint64_t now_ms);
/* True if who may be picked has changed. */
bool server_report(struct server *s, enum server_evidence evidence, uint64_t now_ms);
/* A check has ended; likewise. rise, fall: how many on end must pass or fail. Of a server of which nothing is known yet the
 * first says enough. A check that passes ends an ejection only if nobody could connect: of what was wrong with the answers
 * it knows nothing. */
bool server_check_ended(struct server *s, const struct server_check_result *r, uint32_t rise, uint32_t fall);
/* Nobody checks it any more; likewise. */
bool server_checks_stopped(struct server *s, uint64_t now_ms);
/* By its checks it is neither well nor down for certain: some on end have failed, or passed, and not as many as are needed. */
bool server_is_changing(const struct server *s, uint32_t rise, uint32_t fall);
/* Takes one that is in out for a while: longer each time, until it has been in for as long as the longest. */
void server_eject(struct server *s, enum server_health_reason reason, const char *words, uint64_t now_ms);
/* Lets an ejected server back when its time is over; true if it did. */
bool server_readmit(struct server *s, uint64_t now_ms);
/* The operator's word. Whoever is enabled again, and is not ejected, begins to warm up. */
void server_set_admin(struct server *s, enum server_admin admin, uint64_t now_ms);
/* Goes on with the warm-up; false if it is not warming. A server warms up when it is let back after an
 * ejection, anew from its first connection after that, when its checks pass again, and when the operator enables it again;
 * not at the start of the process, when all are equally cold. */
bool server_warm_up(struct server *s, uint64_t now_ms);
/* Of SERVER_WARM_WHOLE. */
uint32_t server_warm_parts(const struct server *s);

/* Any thread. May it be picked for new exchanges, health left aside or not? */
bool server_is_enabled(const struct server *s);
bool server_is_usable(const struct server *s);
/* Health alone, whatever the operator says. */
bool server_is_healthy(const struct server *s);
