/* proxy/exchange_steps.h: what the parts of an exchange call of one another. exchange_states.c: states, beginning and
 * end. exchange_attempt.c: servers, the queue. exchange_retry.c: whether a request goes out once more. exchange_hedge.h: another server
 * beside one that takes long.
 * exchange_request.c: from client to server. exchange_response.c: from server to client. exchange_reply.c: weir's own
 * answers. exchange_deadline.c: how long each is waited for. exchange_file.c: answers from files. exchange_auth.c: who may pass by what they show. exchange_rate.c: rate limits. exchange_egress.c: where egress
 * routes go. exchange_head.c: the head as the exchange's own. A response that is compressed on its way:
 * compression.h. */
#pragma once

#include "proxy/exchange.h"
#include "proxy/file_answer.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"
#include "record/mention.h"
#include "route/route_conf.h"

struct auth_conf;

/* Says to profiles what this thread is about. */
static inline void exchange_note(const struct exchange *x)
{
    struct activity *a = x->worker->loop.activity;
    if (a) activity_set(a, x->listener->listener->id, x->pool ? x->pool->pool->id : 0, x->state + 1u);
}

static inline uint64_t exchange_now_ms(const struct exchange *x)
{
    return loop_now_ms(&x->worker->loop);
}
static inline uint32_t exchange_since_start_us(const struct exchange *x)
{
    return flight_us(x->start_ns, x->worker->loop.now_ns);
}
/* The pool as it is now: who was tried, and who is named, is looked for in it, before those go whom the view held that the
 * exchange had. False: who is pinned is no more. */
MUST_CHECK bool exchange_use_view(struct exchange *x);
/* Of the pool as it was configured when the exchange last looked. */
static inline const struct pool_timeouts *exchange_pool_timeouts(const struct exchange *x)
{
    return &x->pool_conf->timeouts;
}

/* What its route says in place of the pool's and the listener's; NULL: nothing. */
static inline const struct route_timeouts *exchange_route_timeouts(const struct exchange *x)
{
    return x->route && x->route->conf ? x->route->conf->timeouts : NULL;
}
/* 0: as long as it takes. Without a pool the route alone says. */
static inline uint64_t exchange_total_ms(const struct exchange *x)
{
    const struct route_timeouts *own = exchange_route_timeouts(x);
    if (!own || !own->total_ms) return x->pool_conf ? exchange_pool_timeouts(x)->total_ms : 0;
    return own->total_ms == UINT64_MAX ? 0 : own->total_ms;
}

/* How many bytes a second the client has to send of its body; 0: it may be as slow as it likes, since it has an answer already, to which
 * the rest may be another, or speaks gRPC, where the two talk. */
static inline uint64_t exchange_request_rate(const struct exchange *x)
{
    return x->state < EXCHANGE_RESPONSE && !x->is_grpc ? x->routes->conf->limits.least_rate : 0;
}
/* It has moved, or it is waited for no longer. */
static inline void exchange_pace_request(struct exchange *x)
{
    pace_took(&x->request_pace, exchange_now_ms(x) - x->request_since_ms, x->body_in,
              exchange_request_rate(x));
}
/* Of the response; what others of the client's streams were sent in its place is to its credit. */
static inline uint64_t exchange_client_took(const struct exchange *x)
{
    return x->body_out + http_stream_passed(x->client);
}
static inline void exchange_pace_response(struct exchange *x, uint64_t waited_ms)
{
    pace_took(&x->response_pace, waited_ms, exchange_client_took(x), x->routes->conf->limits.least_rate);
}

/* Its streams are joined: what comes on one goes to the other. */
static inline bool exchange_is_with_server(const struct exchange *x)
{
    return x->state >= EXCHANGE_REQUEST && x->state <= EXCHANGE_RESPONSE;
}

/* Another configuration is in force: whoever is past its response's head lets go of the old one. */
void exchange_unpin(struct exchange *x);

/* What is waited for: how long that may take is a time-out of the listener or of the pool. */
enum exchange_wait {
    WAIT_NONE,
    WAIT_RESOLVED,
    WAIT_SLOT,
    WAIT_CONNECTED,
    WAIT_BODY,           /* the client is to send more of the request */
    WAIT_SEND,           /* the server is to take more of it */
    WAIT_EARLY_RESPONSE, /* it takes no more, and may have answered */
    WAIT_FIRST_BYTE,
    WAIT_RESPONSE, /* more of it */
    WAIT_WRITE,    /* the client is to take more of the response */
};

/* Besides what its request waits for. */
enum exchange_wait exchange_waits_for(enum exchange_state state);
/* How it ends where no sentence can be said any more. */
enum end_reason exchange_own_end(const struct exchange *x, enum end_reason otherwise);
void exchange_on_timer(struct timer *t);
/* Of a gRPC call: the time that its client gives it, from now on. */
void exchange_take_deadline(struct exchange *x);
/* The total time of what it is for, unless its client gives it less. */
void exchange_set_total(struct exchange *x);
/* It is looked at again by then. */
void exchange_be_called_by(struct exchange *x, uint64_t at_ms);

/* The only writer of x->state. STEP_GO */
enum step exchange_enter(struct exchange *x, enum exchange_state next);
/* Runs states until one waits. */
void exchange_advance(struct exchange *x);
/* What its state waits for has moved: the time for it begins anew. */
void exchange_moved(struct exchange *x);
/* Likewise for the request. */
void exchange_request_is(struct exchange *x, enum exchange_request request);
/* Over, for this reason. What is left to do is done at the end of the turn, when nobody is in the middle of it. */
enum step exchange_finish(struct exchange *x, enum end_reason reason);
/* Over, and so that the client sees that it was cut off. */
enum step exchange_cut(struct exchange *x, enum end_reason reason);
/* Over with a fault, and so the attempt in hand: told to the client if nothing of a response has gone out, else shown by
 * cutting it off. `detail` is static. */
enum step exchange_fail(struct exchange *x, enum end_reason reason);
enum step exchange_fail_with(struct exchange *x, enum end_reason reason, const char *detail);
/* How the log names it (record/mention.h). */
const char *exchange_mention(const struct exchange *x, char out[MENTION_MAX]);
/* It is in a state that cannot be: cut off, for END_INTERNAL. From anywhere; STEP_GO */
enum step exchange_end_of_bug(struct exchange *x);
/* The head as the exchange's own: it outlives the buffer that it was read into. Its path becomes canonical on the way:
 * from here on nobody sees another. -1: out of memory, for both. */
int exchange_copy_head(struct exchange *x, const struct http_head *head);
/* A copy in the arena. */
int exchange_copy_fields(struct exchange *x, const struct http_field *from, uint32_t count,
                         struct http_field **to);

enum step exchange_pick(struct exchange *x);
enum step exchange_wait_slot(struct exchange *x);
/* The attempt in hand has failed: on to another server, or to a sentence. */
enum step exchange_attempt_failed(struct exchange *x, enum end_reason reason, const char *detail,
                                  uint32_t number);
/* Likewise, once that is decided: why another attempt follows, POOL_RETRY_NONE for the sentence. */
enum step exchange_leave_attempt(struct exchange *x, enum end_reason reason, const char *detail,
                                 uint32_t number, enum pool_retry why);

/* Not this one again; which is its place in the view. BALANCE_NONE: it is not in it. */
void exchange_mark_tried(struct exchange *x, uint32_t peer);
uint32_t exchange_peer_of(const struct exchange *x, const struct server *s);

bool exchange_is_replayable(const struct exchange *x);
/* Somebody else could be asked now. */
bool exchange_has_another_server(const struct exchange *x);
/* Whether another attempt may follow the one in hand, which is over for `reason`; if so it is paid for. */
enum pool_retry exchange_retry(struct exchange *x, enum end_reason reason);
/* Gives the attempt in hand up for one at another server, if there is one and all that speaks for it; else nothing has
 * happened. */
bool exchange_try_another(struct exchange *x, enum end_reason reason);
/* Likewise, of an answer with this status. */
bool exchange_answer_is_given_up(struct exchange *x, uint16_t status);
/* When the attempt in hand has taken longer than one may. */
void exchange_try_until(struct exchange *x, uint64_t at_ms);

/* What a server is sent of the head. */
void request_describe(const struct exchange *x, const struct server *s, struct http_send *send);
/* The request goes to the server as far as it is here. */
enum step request_begin(struct exchange *x);
/* All of the request is with the server's stream. */
void request_sent(struct exchange *x);
/* What was kept of the body goes again, and its end if that has come. True once all of it is with the server's
 * stream. */
bool request_go_on(struct exchange *x);
/* Once nothing can be retried any more, what was kept is of no use. */
void request_drop_replay(struct exchange *x);
extern const struct http_stream_events exchange_client_events;

/* Of a server, or of a file: its head, and then bytes of its body, of which those that were taken are returned. */
void exchange_begin_response(struct exchange *x, struct http_head *head, unsigned flags);
size_t exchange_take_response(struct exchange *x, const char *data, size_t len, unsigned flags);
/* An event of its source's stream: see http_stream_events. */
size_t exchange_may_take_response(struct http_stream *s);
/* What the response comes from; there is one. */
static inline struct http_stream *exchange_source(const struct exchange *x)
{
    return x->file ? &x->file->stream : x->attempt.stream;
}
/* All of the response is with the client's stream. */
void exchange_response_is_whole(struct exchange *x);
/* It has not taken all that it was given, and says when it takes more. */
void exchange_wait_for_client(struct exchange *x);
/* The client's side takes no more of the response: its connection has broken, or memory is out. */
void exchange_client_failed(struct exchange *x);

/* State REPLY: x->end told to the client, or what the route says. */
enum step reply_send(struct exchange *x);
enum step reply_send_more(struct exchange *x);
/* The route redirects or answers by itself, or it is a preflight. */
enum step exchange_reply_by_route(struct exchange *x);
/* State FILE: what the request means below the route's folder is looked for, and becomes the response. */
enum step exchange_answer_from_file(struct exchange *x);
/* The name of that below the root, terminated. NULL, or a static clause that says why there is none. */
const char *exchange_file_name(const struct files_conf *conf, struct slice target, struct text *out);
/* What a refusal says besides, of the file: the number of fields, 1 at most. */
uint32_t exchange_file_fields(struct exchange *x, struct http_field *out);
/* OPTIONS and TRACE go no further than this. */
enum step exchange_reply_as_last(struct exchange *x);
/* It is a CA's question for the proof of a name, and x->proof the answer: before all that a configuration says. */
bool exchange_has_proof(struct exchange *x);

/* What it leads to, by all that is known of it. */
enum step exchange_decide(struct exchange *x);

/* Finds out who it is, by what it shows; then it is decided anew. */
enum step exchange_ask_who(struct exchange *x, const struct auth_conf *conf);
/* In state AUTH: until when it waits. */
uint64_t exchange_auth_until_ms(const struct exchange *x);
/* Who it is: empty where that is not said. NULL: nobody has asked. */
const struct slice *exchange_user(const struct exchange *x);
/* For templates. */
static inline struct slice exchange_user_text(const struct exchange *x)
{
    const struct slice *user = x->auth ? exchange_user(x) : NULL;
    return user ? *user : SLICE_NONE;
}
/* What was shown does not go on to servers, unless it is told to. */
void exchange_auth_hide(struct exchange *x);
/* What servers are told of who it is: their number. */
uint32_t exchange_auth_fields(const struct exchange *x, const struct http_field **fields);
/* To the service that decides; NULL: none does. */
const struct auth_call *exchange_auth_call(const struct exchange *x);
/* The status of a refusal that another has decided; 0: its reason's. */
uint16_t exchange_auth_status(const struct exchange *x);
#define EXCHANGE_CHALLENGES 8u
/* What a refusal asks for: their number. */
uint32_t exchange_auth_challenges(struct exchange *x, struct http_field out[EXCHANGE_CHALLENGES]);
/* No answer comes any more. */
void exchange_auth_end(struct exchange *x);

/* Asks a limit, which counts it: true if it is refused. `l` may be NULL. */
bool exchange_is_over_rate(struct exchange *x, const struct rate_limit *l);
/* Tells it so. */
enum step exchange_refuse_by_rate(struct exchange *x);
#define EXCHANGE_RATE_FIELDS 3u
/* What its response says of the rate: their number. */
uint32_t exchange_rate_fields(struct exchange *x, struct http_field out[EXCHANGE_RATE_FIELDS]);

/* Finds out where an egress route's request goes. */
enum step egress_begin(struct exchange *x);
/* Where the connection is to lead; NULL: to the pool's server itself. */
const struct pool_target *egress_target(const struct exchange *x);
/* The address in hand cannot be reached: true if there is another that may be asked. */
bool egress_next_address(struct exchange *x);
/* What Host says upstream. */
struct slice egress_authority(const struct exchange *x);
/* No answer of the resolver comes any more. */
void egress_end(struct exchange *x);
