#include "proxy/exchange.h"

#include "base/bug.h"
#include "base/count.h"
#include "base/log.h"
#include "proxy/choose.h"
#include "proxy/compression.h"
#include "proxy/exchange_hedge.h"
#include "proxy/exchange_steps.h"
#include "proxy/exchange_trace.h"
#include "proxy/fault.h"
#include "proxy/fields.h"
#include "proxy/forward.h"
#include "proxy/grpc.h"
#include "proxy/mirror.h"
#include "proxy/record.h"
#include "proxy/site.h"
#include "proxy/upgrade.h"
#include "record/flight_ring.h"
#include "tls/challenges.h"
#include "tls/facts.h"

/* From this age on the client is watched for its end: most exchanges never get there. */
#define WATCH_AFTER_MS 100

static enum step choose_route(struct exchange *x);
static enum step wait_for_who(struct exchange *x);
static enum step go_on(struct exchange *x);
static enum step wait_for_event(struct exchange *x);
static enum step run_tunnel(struct exchange *x);
static enum step flush(struct exchange *x);
static enum step retire(struct exchange *x);

#define TO(state) (1u << EXCHANGE_##state)

/* clang-format off */
static const struct {
    const char *name;
    enum step (*run)(struct exchange *x); /* STEP_WAIT: an event, a timer or a task goes on */
    uint8_t wait; /* besides the request's */
    uint32_t may_enter;
} states[] = {
    [EXCHANGE_ROUTE]    = { "route",    choose_route, WAIT_NONE,
                            TO(AUTH) | TO(DELAY) | TO(FILE) | TO(RESOLVE) | TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_AUTH]     = { "auth",     wait_for_who, WAIT_NONE,
                            TO(DELAY) | TO(FILE) | TO(RESOLVE) | TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_DELAY]    = { "delay",    go_on, WAIT_NONE,
                            TO(FILE) | TO(RESOLVE) | TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_FILE]     = { "file",     wait_for_event, WAIT_NONE, TO(RESPONSE) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_RESOLVE]  = { "resolve",  wait_for_event, WAIT_RESOLVED, TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_PICK]     = { "pick",     exchange_pick, WAIT_NONE,
                            TO(QUEUE) | TO(CONNECT) | TO(REQUEST) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_QUEUE]    = { "queue",    exchange_wait_slot, WAIT_SLOT, TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_CONNECT]  = { "connect",  wait_for_event, WAIT_CONNECTED,
                            TO(PICK) | TO(REQUEST) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_REQUEST]  = { "request",  wait_for_event, WAIT_NONE,
                            TO(PICK) | TO(ANSWER) | TO(RESPONSE) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_ANSWER]   = { "answer",   wait_for_event, WAIT_FIRST_BYTE,
                            TO(PICK) | TO(RESPONSE) | TO(TUNNEL) | TO(REPLY) | TO(DONE) },
    /* to a reply only while no byte of it is out */
    [EXCHANGE_RESPONSE] = { "response", wait_for_event, WAIT_RESPONSE, TO(REPLY) | TO(FLUSH) | TO(DONE) },
    [EXCHANGE_TUNNEL]   = { "tunnel",   run_tunnel, WAIT_WRITE, TO(DONE) },
    [EXCHANGE_REPLY]    = { "reply",    reply_send, WAIT_WRITE, TO(FLUSH) | TO(DONE) },
    [EXCHANGE_FLUSH]    = { "flush",    flush, WAIT_WRITE, TO(DONE) },
    [EXCHANGE_DONE]     = { "done",     retire, WAIT_NONE, 0 },
};
/* clang-format on */

const char *exchange_state_name(enum exchange_state state)
{
    return states[state].name;
}

enum exchange_wait exchange_waits_for(enum exchange_state state)
{
    return (enum exchange_wait)states[state].wait;
}

const char *exchange_mention(const struct exchange *x, char out[MENTION_MAX])
{
    return mention_print(&x->record, x->trace ? x->trace->span.context.trace_id : NULL, out);
}

static struct log_limit *bug_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

/* Over, and cut off: in a state that cannot be there is no sentence to rely on. */
enum step exchange_end_of_bug(struct exchange *x)
{
    char mention[MENTION_MAX];
    uint32_t suppressed = 0;
    if (log_limit_pass(bug_limit(), x->worker->loop.now_ns, 1,
                       &suppressed)) /* beside the line of what it was */
        log_event(LOG_ERROR, "ended_by_bug", "state=%s suppressed=%u%s", states[x->state].name, suppressed,
                  exchange_mention(x, mention));
    if (x->state == EXCHANGE_QUEUE) pool_stop_waiting(x->pool, &x->waiter);
    x->is_cut = true;
    x->record.end = END_INTERNAL;
    if (x->state != EXCHANGE_DONE) loop_defer(&x->worker->loop, &x->end_task);
    x->state = EXCHANGE_DONE;
    x->request = REQUEST_UNWANTED;
    return STEP_GO;
}

/* Nobody wants an answer any more: what ends the exchange ends this attempt too, but speaks of the server in hand. */
static void end_hedge(struct exchange *x)
{
    enum end_reason reason = (enum end_reason)(x->record.end ? x->record.end : x->end);
    bool is_its_own = reason > END_OK && end_reason_info(reason)->origin != ORIGIN_SERVER;
    exchange_hedge_drop(x, is_its_own ? reason : END_OUTRUN);
}

/* The only writer of x->state, with exchange_end_of_bug(). */
enum step exchange_enter(struct exchange *x, enum exchange_state next)
{
    if (bug_if(EXCHANGE, !(states[x->state].may_enter & (1u << next)))) return exchange_end_of_bug(x);
    bool was_waiting = x->state == EXCHANGE_QUEUE;
    /* However it leaves the queue: who is over must not have a turn. */
    if (was_waiting && next != EXCHANGE_PICK) pool_stop_waiting(x->pool, &x->waiter);
    x->state = (uint8_t)next;
    if (next >= EXCHANGE_REPLY) {
        x->request = REQUEST_UNWANTED;
        if (x->hedge) end_hedge(x);
        if (x->compression) compression_end(x);
        if (x->file) file_answer_close(x->file);
    }
    /* Who had a turn in vain goes on with the time that was given then; whose attempt failed is given new time. */
    if (next == EXCHANGE_PICK && !was_waiting) x->since_ms = 0;
    if (states[next].wait && !(next == EXCHANGE_QUEUE && x->since_ms)) exchange_moved(x);
    return STEP_GO;
}

/* DONE is left to the end of the turn: see exchange_finish(). */
void exchange_advance(struct exchange *x)
{
    do exchange_note(x);
    while (x->state != EXCHANGE_DONE && states[x->state].run(x) == STEP_GO);
}

/* ends */

/* Over, for this reason. What is left to do is done at the end of the turn, when nobody is in the middle of it. */
enum step exchange_finish(struct exchange *x, enum end_reason reason)
{
    if (x->state == EXCHANGE_DONE) return STEP_WAIT;
    x->record.end = (uint8_t)reason;
    exchange_enter(x, EXCHANGE_DONE);
    loop_defer(&x->worker->loop, &x->end_task);
    return STEP_WAIT;
}

enum step exchange_cut(struct exchange *x, enum end_reason reason)
{
    x->is_cut = true;
    return exchange_finish(x, reason);
}

/* A head that still waits for its first body byte can give way to the sentence. */
static bool can_tell(struct exchange *x)
{
    if (x->state < EXCHANGE_RESPONSE) return true;
    if (x->state != EXCHANGE_RESPONSE || !http_stream_unsend(x->client)) return false;
    x->body_out = 0;
    if (x->compression) compression_end(x);
    x->compression = NULL; /* what goes is another body */
    return true;
}

/* What gRPC's answers end with says how they end: weir's word for it can stand where the server's would have. */
static bool tell_behind(struct exchange *x, enum end_reason reason)
{
    struct http_field fields[FAULT_TRAILERS];
    if (!x->is_grpc || x->state != EXCHANGE_RESPONSE || x->compression) return false;
    x->end = (uint8_t)reason;
    if (fault_trailers(x, fields) < 0) return false;
    x->is_told_behind = http_send_trailers(x->client, fields, FAULT_TRAILERS) == IO_OK;
    return x->is_told_behind;
}

enum step exchange_fail(struct exchange *x, enum end_reason reason)
{
    if (x->state == EXCHANGE_DONE || x->state == EXCHANGE_REPLY) return STEP_WAIT;
    if (bug_if(EXCHANGE, reason <= END_OK)) return exchange_end_of_bug(x); /* a failure that is none */
    if (reason == END_NO_MEMORY) worker_ask_for_memory(x->worker);
    if (!end_reason_info(reason)->status) return exchange_cut(x, reason);
    if (!can_tell(x)) {
        if (!tell_behind(x, reason)) return exchange_cut(x, reason);
        attempt_end(&x->attempt, reason);
        attempt_leave(&x->attempt);
        return exchange_enter(x, EXCHANGE_FLUSH);
    }
    attempt_end(&x->attempt, reason);
    attempt_leave(&x->attempt);
    x->end = (uint8_t)reason;
    return exchange_enter(x, EXCHANGE_REPLY);
}

enum step exchange_fail_with(struct exchange *x, enum end_reason reason, const char *detail)
{
    x->detail = detail;
    return exchange_fail(x, reason);
}

/* choosing */

/* False: workers know a configuration's pools before they go by it, and this one does not. */
static bool apply_choice(struct exchange *x, const struct choose_result *c)
{
    x->route = c->route;
    x->record.route = c->route->id;
    x->variant = c->variant;
    x->is_preflight = c->is_preflight;
    x->is_override = c->split_reason == CHOOSE_BY_OVERRIDE;
    x->split_bucket = c->seat.bucket;
    if (c->variant) x->record.variant = c->variant->id;
    if (!c->pool) return true;
    x->record.pool = c->pool->pool->id;
    x->pool = x->attempt.pool = c->pool->pool->workers[x->worker->index];
    if (bug_if(EXCHANGE, !x->pool)) return false;
    x->named = c->named;
    x->named_reason = (uint8_t)c->reason;
    x->is_named_found = c->named && c->pool->is_open;
    /* It may be held back before it goes there, and nothing else would hold who is named. */
    if (x->is_named_found) x->view = x->attempt.view = pool_view_get(x->pool);
    x->has_current_cookie = c->has_current_cookie;
    x->hash = c->hash;
    return true;
}

static enum step rewrite(struct exchange *x)
{
    size_t room = choose_target_room(x->head.target);
    char *memory = arena_alloc(&x->arena, room);
    if (!memory) return exchange_fail(x, END_NO_MEMORY);
    struct text t = text_over(memory, room);
    x->target = x->head.target;
    enum end_reason refusal = choose_target(x->routes, x->route, x->worker->scratch, &x->target, &t);
    return refusal == END_NONE ? STEP_WAIT : exchange_fail(x, refusal);
}

/* What weir says itself costs no more than to refuse it; what was let in before it was known who it is goes on. */
static enum end_reason refused_by_load(const struct exchange *x, const struct route *r)
{
    struct worker *w = x->worker;
    const struct route_conf *conf = r->conf;
    if (x->auth || !(r->pool || r->split || (conf && conf->files))) return END_NONE;
    return overload_refuses(w, &w->overload, w->loop.now_ns, conf ? conf->priority : POOL_PRIORITY_NORMAL);
}

/* It may go on to where it was chosen to go. */
static enum step lead(struct exchange *x)
{
    bool is_of_file = !x->is_preflight && x->route->conf && x->route->conf->files;
    if (bug_if(EXCHANGE, x->pool_conf || x->file))
        return exchange_end_of_bug(x); /* it was led there before */
    if (upgrade_is_refused(x)) return exchange_fail(x, END_UPGRADE_NOT_SUPPORTED);
    if (is_of_file) exchange_set_total(x);
    if (is_of_file)
        return x->route->rewrite && rewrite(x) == STEP_GO ? STEP_GO : exchange_answer_from_file(x);
    if (!x->pool) return exchange_reply_by_route(x);
    if (forward_max_forwards(&x->head) == 0) return exchange_reply_as_last(x);
    x->upgrade = upgrade_allowed(&x->head, x->route->conf);
    bool may_go_on = exchange_use_view(x);
    retry_budget_began(x->pool);
    if (!may_go_on) return exchange_fail(x, END_PIN_UNKNOWN);
    if (x->route->rewrite && rewrite(x) == STEP_GO) return STEP_GO;
    if (forward_fields(x) < 0) return exchange_fail(x, END_NO_MEMORY);
    exchange_set_total(x);
    if (x->route->egress) return egress_begin(x);
    if (x->route->mirror) mirror_begin(x);
    return exchange_enter(x, EXCHANGE_PICK);
}

/* Where the listener's rate goes by who it is, that is to be known first. */
static enum step choose_route(struct exchange *x)
{
    const struct rate_limit *rate = x->routes->rate;
    if (tls_challenges_are_any(x->worker->proxy->challenges) && exchange_has_proof(x)) {
        x->end = END_OK;
        return exchange_enter(x, EXCHANGE_REPLY);
    }
    if (rate && !rate->asks_user && exchange_is_over_rate(x, rate)) return exchange_refuse_by_rate(x);
    return exchange_decide(x);
}

enum step exchange_decide(struct exchange *x)
{
    const struct rate_limit *rate = x->routes->rate;
    struct choose_request rq = { .head = &x->head,
                                 .path_fault = (enum http_path_fault)x->path_fault,
                                 .peer = x->peer,
                                 .client = x->record.client,
                                 .request_id = slice_of(x->request_id),
                                 .user = exchange_user(x),
                                 .scratch = x->worker->scratch,
                                 .is_secure = exchange_is_secure(x),
                                 .now_ms = exchange_now_ms(x),
                                 .worker = x->worker->index + 1 };
    struct choose_result c;
    choose(x->routes, &rq, &c);
    if (c.route && !apply_choice(x, &c)) return exchange_end_of_bug(x);
    enum end_reason load = c.route && c.refusal == END_NONE ? refused_by_load(x, c.route) : END_NONE;
    if (load != END_NONE) return exchange_fail(x, load);
    const struct rate_limit *own = c.route ? c.route->rate : NULL;
    /* It bounds guesses as well, unless it is to know who it is; then it comes behind. */
    bool is_due = c.refusal == END_NONE && own && !own->asks_user && !x->auth;
    if (is_due && exchange_is_over_rate(x, own)) return exchange_refuse_by_rate(x);
    if (c.auth) return exchange_ask_who(x, c.auth);
    if (c.refusal != END_NONE) return exchange_fail_with(x, c.refusal, c.detail);
    if (bug_if(EXCHANGE, !c.route)) return exchange_end_of_bug(x);
    if ((rate && rate->asks_user && exchange_is_over_rate(x, rate)) ||
        (own && own->asks_user && exchange_is_over_rate(x, own)) ||
        exchange_is_over_rate(x, site_pool_rate(x->routes->site, c.pool)))
        return exchange_refuse_by_rate(x);
    return x->resume_ms ? exchange_enter(x, EXCHANGE_DELAY) : lead(x);
}

static enum step go_on(struct exchange *x)
{
    if (exchange_now_ms(x) >= x->resume_ms) return lead(x);
    exchange_be_called_by(x, x->resume_ms);
    return STEP_WAIT;
}

static enum step wait_for_who(struct exchange *x)
{
    exchange_be_called_by(x, exchange_auth_until_ms(x));
    return STEP_WAIT;
}

static enum step wait_for_event(struct exchange *x)
{
    (void)x;
    return STEP_WAIT;
}

/* tunnels */

static enum step run_tunnel(struct exchange *x)
{
    if (bug_if(EXCHANGE, !x->client || !x->attempt.stream || x->tunnel)) return exchange_end_of_bug(x);
    if (!x->client->is_flushed) return STEP_WAIT;
    loop_disarm(&x->worker->loop, &x->timer);
    if (upgrade_start(x) < 0) return exchange_cut(x, END_NO_MEMORY);
    return STEP_WAIT;
}

void exchange_on_tunnel_end(struct exchange *x, enum end_reason reason)
{
    (void)bug_if(EXCHANGE, x->tunnel);
    exchange_finish(x, reason);
}

/* the end */

enum end_reason exchange_own_end(const struct exchange *x, enum end_reason otherwise)
{
    return exchange_is_local(x) || x->is_told_behind ? (enum end_reason)x->end : otherwise;
}

static enum step flush(struct exchange *x)
{
    return x->client->is_flushed ? exchange_finish(x, exchange_own_end(x, END_OK)) : STEP_WAIT;
}

static void bury(struct loop_grave *g)
{
    struct exchange *x = container_of(g, struct exchange, grave);
    /* Either would come to it when its memory is another's. */
    if (bug_if(EXCHANGE, timer_is_armed(&x->timer) || !list_is_empty(&x->end_task.link))) {
        loop_disarm(&x->worker->loop, &x->timer);
        loop_cancel(&x->end_task);
    }
    tls_facts_put(x->tls);
    arena_fini(&x->arena);
    slab_put(&x->worker->exchanges, x);
}

static enum step retire(struct exchange *x)
{
    struct loop *l = &x->worker->loop;
    loop_disarm(l, &x->timer);
    if (bug_if(EXCHANGE, !list_is_empty(&x->waiter.link))) pool_stop_waiting(x->pool, &x->waiter);
    compression_end(x);
    if (x->file) file_answer_close(x->file); /* also where it met what cannot be */
    if (x->hedge) end_hedge(x);              /* likewise */
    if (x->pool_conf) retry_budget_ended(x->pool, x->is_retrying);
    attempt_end(&x->attempt, (enum end_reason)x->record.end);
    if (x->record.flags & FLIGHT_TUNNEL) x->attempt.stream = NULL;
    attempt_leave(&x->attempt);
    if (x->client) {
        x->record.bytes_out += x->client->head_bytes;
        if (x->is_cut)
            http_stream_reset(x->client, (enum end_reason)x->record.end);
        else
            http_stream_release(x->client);
    }
    record_exchange(x);
    overload_note(x->worker, (enum end_reason)x->record.end);
    if (x->auth) exchange_auth_end(x);
    if (x->egress) egress_end(x);
    if (x->mirror) mirror_original_ended(x);
    if (x->view) pool_view_put(x->view);
    if (x->site) site_view_put(x->site);
    if (x->straggles) count_less_shared(SITE, &x->straggles->stragglers);
    request_drop_replay(x);
    count_less(EXCHANGE, &x->worker->live.exchanges);
    x->listener->ended++;
    x->worker->recorded++;
    loop_bury(l, &x->grave, bury);
    return STEP_WAIT;
}

static void on_end_task(struct loop_task *t)
{
    struct exchange *x = container_of(t, struct exchange, end_task);
    if (bug_if(EXCHANGE, x->state != EXCHANGE_DONE)) { /* it ends then once more, which is its end */
        exchange_end_of_bug(x);
        return;
    }
    states[x->state].run(x);
}

const struct exchange *exchange_that_ends(const struct loop_task *t)
{
    return t->run == on_end_task ? container_of(t, const struct exchange, end_task) : NULL;
}

/* the beginning */

static struct exchange *exchange_new(struct listener_worker *lw, struct http_stream *s)
{
    struct worker *w = lw->worker;
    struct exchange *x = slab_get(&w->exchanges);
    if (!x) return NULL;
    arena_init(&x->arena, &w->loop.blocks);
    x->worker = w;
    x->listener = lw;
    x->site = site_view_get(lw->view);
    x->routes = lw->routes;
    x->client = s;
    timer_init(&x->timer, exchange_on_timer);
    loop_task_init(&x->end_task, on_end_task);
    list_init(&x->waiter.link);
    const struct http_client *client = s->client;
    x->is_client_counted = client->is_counted;
    x->connection_id = client->id;
    x->connection_requests = client->requests;
    x->start_ns = client->head_started_ns ? client->head_started_ns : w->loop.now_ns;
    x->watch_ms = loop_now_ms(&w->loop) + WATCH_AFTER_MS;
    struct flight_record *r = x->attempt.record = &x->record;
    flight_init(r);
    r->id = flight_next_id(w->flights);
    r->start_wall_ns = x->start_ns + w->loop.wall_offset_ns;
    r->head_us = exchange_since_start_us(x);
    r->listener = lw->listener->id;
    r->client = x->peer = client->ip;
    r->client_port = client->port;
    r->bytes_in = client->received;
    r->method = HTTP_OTHER;
    if (client->is_secure) {
        x->tls = tls_facts_get(client->tls);
        flight_set_tls(r, x->tls);
    }
    s->events = &exchange_client_events;
    s->owner = x;
    count_add(&w->live.exchanges, 1);
    lw->begun++;
    return x;
}

static struct exchange *begin(struct http_service *service, struct http_stream *s)
{
    struct listener_worker *lw = container_of(service, struct listener_worker, service);
    struct exchange *x = exchange_new(lw, s);
    if (x) return x;
    /* Not even room to say so. */
    metric_add(lw->worker->metrics, lw->listener->meter_ends[END_NO_MEMORY], 1);
    overload_note(lw->worker, END_NO_MEMORY);
    http_stream_reset(s, END_NO_MEMORY);
    return NULL;
}

void exchange_on_request(struct http_service *service, struct http_stream *s, struct http_head *head,
                         unsigned flags)
{
    struct exchange *x = begin(service, s);
    if (!x) return;
    x->request_follows = flags & HTTP_MORE;
    x->request_ended = head->body == HTTP_BODY_NONE ||
                       (head->body == HTTP_BODY_LENGTH && !head->content_length);
    if (exchange_copy_head(x, head) < 0) {
        exchange_fail(x, END_NO_MEMORY);
        exchange_advance(x);
        return;
    }
    x->record.method = (uint8_t)head->method;
    x->record.version = (uint8_t)head->version;
    x->is_grpc = grpc_is_asked(&x->head);
    if (x->is_grpc) exchange_take_deadline(x);
    flight_set_target(&x->record, x->head.target);
    const char *refused = fields_admit(x->routes, &x->peer, x->head.fields, x->head.field_count);
    x->record.client = forward_client(x->routes, &x->record.client, &x->head);
    if (x->worker->proxy->spans) exchange_trace_begin(x);
    forward_request_id(x);
    if (s->client->refusal)
        exchange_fail(x, (enum end_reason)s->client->refusal);
    else if (refused)
        exchange_fail_with(x, END_BAD_REQUEST, refused);
    exchange_advance(x);
    x->request_follows = false;
}

void exchange_on_fault(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                       struct slice start)
{
    struct exchange *x = begin(service, s);
    if (!x) return;
    x->request_ended = true;
    x->head.version = s->client->version == HTTP_VERSION_2 ? HTTP_VERSION_2 : HTTP_VERSION_1_1;
    if (s->client->version == HTTP_VERSION_2) x->record.version = HTTP_VERSION_2;
    x->record.bytes_in = start.len;
    forward_request_id(x);
    size_t line = 0;
    while (line < start.len && line < FLIGHT_TARGET_MAX && start.data[line] > ' ' && start.data[line] < 127)
        line++;
    flight_set_target(&x->record, (struct slice){ start.data, line });
    exchange_fail_with(x, fault->reason, fault->detail);
    exchange_advance(x);
}
