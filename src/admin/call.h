/* admin/call.h: one request to the API, from its head to the last byte of the answer: checks it, gathers
 * its body (bounded), lets the route's handler answer at once, and sends what that made as fast as the
 * client takes it, within limits of time. Control thread. */
#pragma once

#include "admin/guard.h"
#include "admin/router.h"
#include "admin/witness.h"
#include "http/stream.h"

/* The largest body that a request may have, unless its route says another. */
#define CALL_BODY_MAX (64u << 10)
/* The time that a request's body may take; that a client may take nothing of an answer; and all of an
 * answer. */
#define CALL_BODY_MS 10000
#define CALL_WRITE_MS 10000
#define CALL_ANSWER_MS 60000

struct call_env {
    struct proxy *proxy; /* borrowed, like all up to routes */
    struct watch *watch; /* may be NULL */
    struct rule_log *rule_log;
    struct profiler *profiler;
    struct jobs *jobs; /* may be NULL */
    struct leak_watch *leaks;
    struct stall_watch *stalls;        /* may be NULL */
    struct invariants *invariants;     /* may be NULL */
    struct reloader *reloader;         /* may be NULL */
    struct upgrader *upgrader;         /* may be NULL */
    struct certifier *certifier;       /* may be NULL */
    struct finder *finder;             /* likewise */
    const struct history *history;     /* likewise */
    struct before_after *before_after; /* NULL: no memory, or it is over */
    struct audit *audit;               /* likewise */
    struct metrics_texts *metrics;
    struct loop *loop;
    const struct admin_route *routes;
    struct guard guard;
    struct list calls;
    uint64_t next_id;
};

/* What a handler keeps of a call that it does not answer at once: the call may be over by then. */
struct call_ticket {
    struct call_env *env;
    uint64_t id;
};

/* So many calls may be waiting for an answer that comes later, or stream, at a time: the API's other callers have room. */
#define CALL_LONG_MAX 96u

/* For http_service. */
void call_on_request(struct call_env *env, struct http_stream *s, struct http_head *head,
                     const struct call_from *from);
void call_on_fault(struct call_env *env, struct http_stream *s, const struct http_fault *fault);
/* For handlers. The answer comes by call_answer(), within timeout_ms; 0 takes it back. `on_gone` (may be NULL) is called
 * once if nobody wants the answer any more, be it that the client has gone, that it took too long or that weir stops: what
 * is being done for it ends. The context is borrowed until then or until call_answer(). */
struct call_ticket call_wait(const struct admin_request *rq, uint64_t timeout_ms,
                             void (*on_gone)(void *context), void *context);
/* Takes the answer, of whatever call; false: it is over. on_gone() is not called any more. */
bool call_answer(struct call_ticket t, struct answer *a);
/* The answer is a 200 whose body comes piece by piece by call_push(), without an end, as long as the client takes it.
 * `on_gone` is called once, when the client has gone; the context is borrowed until then. */
struct call_ticket call_stream(const struct admin_request *rq, const char *content_type,
                               void (*on_gone)(void *context), void *context);
/* So much waits for a client at most. */
#define CALL_STREAM_MAX (256u << 10)
bool call_is_open(struct call_ticket t);
/* False: the call is over, or its client takes too slowly and this piece is left out. */
bool call_push(struct call_ticket t, const char *data, size_t len);
/* Nothing more comes: it ends as it should, when its client has taken what waits. It is open no longer; on_gone is called as ever. */
void call_end(struct call_ticket t);
struct call_env *call_env_of(const struct admin_request *rq);
/* Ends the streams of those who may not have them any more. */
void call_end_streams(struct call_env *env,
                      bool (*may)(void *context, const struct guard_who *who, enum admin_role needs),
                      void *context);
/* Breaks off every call that is going on. */
void call_kill_all(struct call_env *env);
