/* admin/call.h: one request to the API, from its head to the last byte of the answer: checks it, gathers
 * its body (bounded), lets the route's handler answer at once, and sends what that made as fast as the
 * client takes it, within limits of time. Control thread. */
#pragma once

#include "admin/guard.h"
#include "admin/router.h"
#include "http/stream.h"

/* The largest body that a request may have. */
#define CALL_BODY_MAX (64u << 10)
/* The time that a request's body may take; that a client may take nothing of an answer; and all of an
 * answer. */
#define CALL_BODY_MS 10000
#define CALL_WRITE_MS 10000
#define CALL_ANSWER_MS 60000

struct call_env {
    struct proxy *proxy; /* borrowed, like loop and routes */
    struct loop *loop;
    const struct admin_route *routes;
    struct guard guard;
    struct list calls;
};

/* For http_service. */
void call_on_request(struct call_env *env, struct http_stream *s, struct http_head *head);
void call_on_fault(struct call_env *env, struct http_stream *s, const struct http_fault *fault);
/* Breaks off every call that is going on. */
void call_kill_all(struct call_env *env);
