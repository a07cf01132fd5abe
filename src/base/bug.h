/* base/bug.h: what cannot be, asked in every build. Where traffic flows, a state that should be impossible ends the exchange
 * that met it, and the process goes on with the others:
 *
 *     if (bug_if(SLAB, page->free_count == slab->per_page)) return;
 *
 * Each is counted by its place (weir_bug_total{place}) and said in the log with file, line and condition. Builds with asserts
 * end the process instead, so that tests and fuzzers see it. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(identifier, place): the noun whose state it is. */
#define BUG_PLACES(X)             \
    X(BLOCK, "block")             \
    X(SLAB, "slab")               \
    X(ARENA, "arena")             \
    X(LOOP, "loop")               \
    X(TIMER, "timer")             \
    X(MAILBOX, "mailbox")         \
    X(ACCEPTOR, "acceptor")       \
    X(TRANSPORT, "transport")     \
    X(TLS, "tls")                 \
    X(HTTP_CONN, "http_conn")     \
    X(H1_IN, "h1_in")             \
    X(H1_BODY, "h1_body")         \
    X(H1_OUT, "h1_out")           \
    X(H1_CONN, "h1_conn")         \
    X(H1_SERVER, "h1_server")     \
    X(H1_CLIENT, "h1_client")     \
    X(H2_SESSION, "h2_session")   \
    X(H1_PIPELINE, "h1_pipeline") \
    X(CODING, "coding")           \
    X(BALANCE, "balance")         \
    X(ROUTE, "route")             \
    X(FORWARD, "forward")         \
    X(SPLIT, "split")             \
    X(STICKY, "sticky")           \
    X(POOL_WORKER, "pool_worker") \
    X(QUEUE, "queue")             \
    X(PEER_SET, "peer_set")       \
    X(ROSTER, "roster")           \
    X(GATE, "gate")               \
    X(FLIGHT, "flight")           \
    X(ACCESS_LOG, "access_log")   \
    X(SERVER, "server")           \
    X(UPSTREAM, "upstream")       \
    X(ATTEMPT, "attempt")         \
    X(EXCHANGE, "exchange")       \
    X(MIRROR, "mirror")           \
    X(TUNNEL, "tunnel")           \
    X(TCP, "tcp")                 \
    X(UDP, "udp")                 \
    X(SITE, "site")               \
    X(WORKER, "worker")

enum bug_place {
#define X(id, text) BUG_##id,
    BUG_PLACES(X)
#undef X
        BUG_PLACE_COUNT
};

/* True if `condition` holds, which it cannot. */
#define bug_if(place, condition) \
    (__builtin_expect(!!(condition), 0) && (bug_seen(BUG_##place, __FILE__, __LINE__, #condition), true))

/* Counts and says it. */
void bug_seen(enum bug_place place, const char *file, int line, const char *condition) __attribute__((cold));

const char *bug_place_name(enum bug_place place);
uint64_t bug_count(enum bug_place place);

/* For tests of how it is survived: whether the process ends at the next one. */
void bug_be_fatal(bool is_fatal);
