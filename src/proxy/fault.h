/* proxy/fault.h: the sentence that a person reads when weir answers itself. */
#pragma once

#include "proxy/cors.h"
#include "proxy/exchange_steps.h"

struct maintenance_conf;
struct server;

struct fault_reply {
    struct http_head head; /* status, reason; no fields of its own */
    struct http_field
        fields[9 + EXCHANGE_RATE_FIELDS + EXCHANGE_CHALLENGES + CORS_FIELDS + CORS_PREFLIGHT_FIELDS];
    uint32_t field_count;
    struct slice body;
    bool is_bodiless; /* not even a length is said */
};

/* Builds the reply for x->end in x->arena: a page of the configuration's, or plain text, or problem+json (RFC 9457) if the
 * client prefers JSON, or a gRPC status if it asked so.
 * -1: out of memory. */
int fault_reply(struct exchange *x, struct fault_reply *out);
#define FAULT_TRAILERS 2u
/* x->end in gRPC's words, as trailers, in x->arena. -1: out of memory. */
int fault_trailers(struct exchange *x, struct http_field fields[FAULT_TRAILERS]);
/* Where the route redirects to, in x->arena. END_BAD_REQUEST: the request does not say what it is made from. */
enum end_reason fault_make_location(struct exchange *x, struct slice *location);
/* As the last recipient of OPTIONS or TRACE (RFC 9110 7.6.2). */
int fault_reply_as_last(struct exchange *x, struct fault_reply *out);
/* What a CA asks for (RFC 8555 8.3). */
int fault_reply_with_proof(struct exchange *x, struct fault_reply *out);
/* In place of a server's answer with the status x->replaced. -1: out of memory. */
int fault_reply_in_place(struct exchange *x, struct fault_reply *out);
/* To a CORS preflight. */
void fault_reply_to_preflight(struct exchange *x, struct fault_reply *out);
/* The route's own answer (redirect to x->location, respond), likewise. */
int fault_reply_by_route(struct exchange *x, struct fault_reply *out);
/* The one that x->end is for; NULL: it is for another reason. */
const struct maintenance_conf *fault_maintenance(const struct exchange *x);
/* The server that failed; NULL: none was asked, or who it was is not known any more. */
const struct server *fault_server(const struct exchange *x);
/* True if Accept asks for JSON rather than for text (RFC 9110 12.5.1, by quality, then by order). */
bool fault_wants_json(const struct http_head *head);
