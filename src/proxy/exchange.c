#include "proxy/exchange.h"

#include "base/bug.h"
#include "base/count.h"
#include "proxy/choose.h"
#include "proxy/exchange_steps.h"
#include "proxy/fields.h"
#include "proxy/forward.h"
#include "proxy/mirror.h"
#include "proxy/record.h"
#include "proxy/site.h"
#include "proxy/upgrade.h"

/* From this age on the client is watched for its end: most exchanges never get there. */
#define WATCH_AFTER_MS 100

static enum step choose_route(struct exchange *x);
static enum step wait_resolved(struct exchange *x);
static enum step wait_ready(struct exchange *x);
static enum step relay(struct exchange *x);
static enum step run_tunnel(struct exchange *x);
static enum step retire(struct exchange *x);

#define TO(state) (1u << EXCHANGE_##state)

/* clang-format off */
static const struct {
    const char *name;
    enum step (*run)(struct exchange *x); /* STEP_WAIT: an event, a timer or a task goes on */
    uint32_t may_enter;
} states[] = {
    [EXCHANGE_ROUTE]   = { "route",   choose_route, TO(RESOLVE) | TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_RESOLVE] = { "resolve", wait_resolved, TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_PICK]    = { "pick",    exchange_pick, TO(QUEUE) | TO(CONNECT) | TO(RELAY) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_QUEUE]   = { "queue",   exchange_wait_slot, TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_CONNECT] = { "connect", wait_ready,   TO(PICK) | TO(RELAY) | TO(REPLY) | TO(DONE) },
    /* back only while no response byte is out */
    [EXCHANGE_RELAY]   = { "relay",   relay,        TO(PICK) | TO(REPLY) | TO(TUNNEL) | TO(DONE) },
    [EXCHANGE_REPLY]   = { "reply",   reply_send,   TO(DONE) },
    [EXCHANGE_TUNNEL]  = { "tunnel",  run_tunnel,   TO(DONE) },
    [EXCHANGE_DONE]    = { "done",    retire,       0 },
};
/* clang-format on */

const char *exchange_state_name(enum exchange_state state)
{
    return states[state].name;
}

/* Over, and cut off: in a state that cannot be there is no sentence to rely on. */
enum step exchange_end_of_bug(struct exchange *x)
{
    if (x->state == EXCHANGE_QUEUE) pool_stop_waiting(x->pool, &x->waiter);
    x->is_cut = true;
    x->record.end = END_INTERNAL;
    if (x->state != EXCHANGE_DONE) loop_defer(&x->worker->loop, &x->end_task);
    x->state = EXCHANGE_DONE;
    return STEP_GO;
}

/* The only writer of x->state, with exchange_end_of_bug(). */
enum step exchange_enter(struct exchange *x, enum exchange_state next)
{
    if (bug_if(EXCHANGE, !(states[x->state].may_enter & (1u << next)))) return exchange_end_of_bug(x);
    /* However it leaves the queue: who is over must not have a turn. */
    if (x->state == EXCHANGE_QUEUE && next != EXCHANGE_PICK) pool_stop_waiting(x->pool, &x->waiter);
    x->state = (uint8_t)next;
    return STEP_GO;
}

/* DONE is left to the end of the turn: see exchange_finish(). */
void exchange_advance(struct exchange *x)
{
    do exchange_note(x);
    while (x->state != EXCHANGE_DONE && states[x->state].run(x) == STEP_GO);
}

/* time-outs */

static void set_timer(struct exchange *x)
{
    uint64_t at = UINT64_MAX;
    if (x->request_deadline_ms) at = x->request_deadline_ms;
    if (x->response_deadline_ms && x->response_deadline_ms < at) at = x->response_deadline_ms;
    if (x->total_deadline_ms && x->total_deadline_ms < at) at = x->total_deadline_ms;
    if (!x->is_watched && x->watch_ms < at) at = x->watch_ms;
    if (at != UINT64_MAX) timer_arm(&x->worker->loop.timers, &x->timer, at);
}

static const struct {
    bool is_request;
    uint8_t timeout; /* enum end_reason */
} waits[] = {
    [WAIT_SEND] = { true, END_SEND_TIMEOUT },           [WAIT_BODY] = { true, END_BODY_TIMEOUT },
    [WAIT_RESOLVED] = { false, END_EGRESS_UNRESOLVED }, [WAIT_SLOT] = { false, END_QUEUE_TIMEOUT },
    [WAIT_CONNECTED] = { false, END_CONNECT_TIMEOUT },  [WAIT_FIRST_BYTE] = { false, END_FIRST_BYTE_TIMEOUT },
    [WAIT_RESPONSE] = { false, END_RESPONSE_TIMEOUT },  [WAIT_EARLY_RESPONSE] = { false, END_SEND_TIMEOUT },
    [WAIT_WRITE] = { false, END_WRITE_TIMEOUT },
};

static uint64_t wait_ms(const struct exchange *x, enum exchange_wait wait)
{
    switch (wait) {
    case WAIT_BODY: return x->routes->conf->timeouts.body_ms;
    case WAIT_WRITE: return x->routes->conf->timeouts.write_ms;
    case WAIT_RESOLVED:
    case WAIT_CONNECTED: return exchange_pool_timeouts(x)->connect_ms;
    case WAIT_SLOT: return exchange_pool_timeouts(x)->queue_ms;
    case WAIT_FIRST_BYTE: return exchange_pool_timeouts(x)->first_byte_ms;
    case WAIT_SEND:
    case WAIT_RESPONSE:
    case WAIT_EARLY_RESPONSE: break;
    }
    return exchange_pool_timeouts(x)->response_ms;
}

void exchange_expect(struct exchange *x, enum exchange_wait wait)
{
    uint64_t deadline_ms = exchange_now_ms(x) + wait_ms(x, wait);
    if (waits[wait].is_request) {
        x->request_deadline_ms = deadline_ms;
        x->request_timeout = (enum end_reason)waits[wait].timeout;
    } else {
        x->response_deadline_ms = deadline_ms;
        x->response_timeout = (enum end_reason)waits[wait].timeout;
    }
    set_timer(x);
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

/* Over with a fault: told to the client if nothing of a response has gone out, else shown by cutting it off. */
enum step exchange_fail(struct exchange *x, enum end_reason reason)
{
    if (x->state == EXCHANGE_DONE || x->state == EXCHANGE_REPLY) return STEP_WAIT;
    if (reason == END_NO_MEMORY) worker_ask_for_memory(x->worker);
    bool is_telling = end_reason_info(reason)->status != 0;
    /* A head that still waits for its first body byte can give way to the sentence. */
    if (is_telling && x->response_started && http_stream_unsend(x->client)) {
        x->response_started = false;
        x->body_out = 0;
    }
    if (x->response_started || !is_telling) return exchange_cut(x, reason);
    x->end = (uint8_t)reason;
    return exchange_enter(x, EXCHANGE_REPLY);
}

enum step exchange_fail_with(struct exchange *x, enum end_reason reason, const char *detail)
{
    x->detail = detail;
    return exchange_fail(x, reason);
}

/* choosing */

static void apply_choice(struct exchange *x, const struct choose_result *c)
{
    x->route = c->route;
    x->record.route = c->route->id;
    x->variant = c->variant;
    x->is_override = c->split_reason == CHOOSE_BY_OVERRIDE;
    x->split_bucket = c->seat.bucket;
    if (c->variant) x->record.variant = c->variant->id;
    if (!c->pool) return;
    x->record.pool = c->pool->pool->id;
    x->pool = x->attempt.pool = c->pool->pool->workers[x->worker->index];
    x->named = c->named;
    x->named_reason = (uint8_t)c->reason;
    x->has_current_cookie = c->has_current_cookie;
    x->hash = c->hash;
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

static enum step choose_route(struct exchange *x)
{
    struct choose_request rq = { .head = &x->head,
                                 .path_fault = (enum http_path_fault)x->path_fault,
                                 .peer = x->peer,
                                 .client = x->record.client,
                                 .request_id = slice_of(x->request_id),
                                 .scratch = x->worker->scratch,
                                 .is_secure = exchange_is_secure(x),
                                 .now_ms = exchange_now_ms(x) };
    struct choose_result c;
    choose(x->routes, &rq, &c);
    if (c.route) apply_choice(x, &c);
    if (c.refusal != END_NONE) return exchange_fail_with(x, c.refusal, c.detail);
    if (!x->pool) return exchange_reply_by_route(x);
    if (forward_max_forwards(&x->head) == 0) return exchange_reply_as_last(x);
    x->upgrade = upgrade_allowed(&x->head, x->route->conf);
    exchange_use_view(x);
    if (x->route->rewrite && rewrite(x) == STEP_GO) return STEP_GO;
    if (forward_fields(x) < 0) return exchange_fail(x, END_NO_MEMORY);
    uint64_t total_ms = exchange_pool_timeouts(x)->total_ms;
    if (total_ms) x->total_deadline_ms = exchange_now_ms(x) + total_ms;
    if (x->route->egress) return egress_begin(x);
    if (x->route->mirror) mirror_begin(x);
    return exchange_enter(x, EXCHANGE_PICK);
}

static enum step wait_resolved(struct exchange *x)
{
    (void)x;
    return STEP_WAIT; /* the resolver's answer or the timer */
}

static enum step wait_ready(struct exchange *x)
{
    (void)x;
    return STEP_WAIT; /* on_open, on_error or the timer */
}

/* tunnels */

static enum step run_tunnel(struct exchange *x)
{
    if (bug_if(EXCHANGE, !x->client || !x->attempt.stream || x->tunnel)) return exchange_end_of_bug(x);
    if (!x->client->is_flushed) {
        exchange_expect(x, WAIT_WRITE);
        return STEP_WAIT;
    }
    exchange_expect_nothing(x);
    x->total_deadline_ms = 0;
    loop_disarm(&x->worker->loop, &x->timer);
    if (upgrade_start(x) < 0) return exchange_cut(x, END_NO_MEMORY);
    return STEP_WAIT;
}

void exchange_on_tunnel_end(struct exchange *x, enum end_reason reason)
{
    (void)bug_if(EXCHANGE, x->tunnel);
    exchange_finish(x, reason);
}

static enum step relay(struct exchange *x)
{
    (void)x;
    return STEP_WAIT;
}

/* A copy in the arena. -1: out of memory. */
int exchange_copy_fields(struct exchange *x, const struct http_field *from, uint32_t count,
                         struct http_field **to)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += from[i].name_len + from[i].value_len;
    struct http_field *fields = arena_alloc(&x->arena, (count + 1) * sizeof(*fields));
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!fields || !memory) return -1;
    struct text t = text_over(memory, size + 1);
    for (uint32_t i = 0; i < count; i++) {
        const struct http_field *f = &from[i];
        fields[i] = *f;
        fields[i].name = text_put(&t, (struct slice){ f->name, f->name_len }).data;
        fields[i].value = text_put(&t, (struct slice){ f->value, f->value_len }).data;
    }
    *to = fields;
    return 0;
}

/* the end */

static void bury(struct loop_grave *g)
{
    struct exchange *x = container_of(g, struct exchange, grave);
    arena_fini(&x->arena);
    slab_put(&x->worker->exchanges, x);
}

static enum step retire(struct exchange *x)
{
    struct loop *l = &x->worker->loop;
    loop_disarm(l, &x->timer);
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
    if (x->egress) egress_end(x);
    if (x->mirror) mirror_original_ended(x);
    if (x->view) pool_view_put(x->view);
    if (x->site) site_view_put(x->site);
    if (x->straggles) atomic_fetch_sub_explicit(&x->straggles->stragglers, 1, memory_order_release);
    request_drop_replay(x);
    count_add(&x->worker->live.exchanges, -1);
    loop_bury(l, &x->grave, bury);
    return STEP_WAIT;
}

static void on_end_task(struct loop_task *t)
{
    struct exchange *x = container_of(t, struct exchange, end_task);
    states[x->state].run(x);
}

static void on_deadline(struct exchange *x, enum end_reason reason)
{
    enum step step = STEP_WAIT;
    switch ((enum exchange_state)x->state) {
    case EXCHANGE_RESOLVE:
        egress_end(x);
        step = exchange_fail(x, reason);
        break;
    case EXCHANGE_QUEUE:
        pool_stop_waiting(x->pool, &x->waiter);
        step = exchange_fail(x, reason);
        break;
    case EXCHANGE_CONNECT: step = exchange_attempt_failed(x, reason, NULL, 0); break;
    case EXCHANGE_RELAY:
        attempt_end(&x->attempt, reason);
        attempt_leave(&x->attempt);
        step = exchange_fail(x, reason);
        break;
    case EXCHANGE_REPLY:
    case EXCHANGE_TUNNEL: step = exchange_cut(x, x->is_local ? (enum end_reason)x->end : reason); break;
    case EXCHANGE_ROUTE:
    case EXCHANGE_PICK:
    case EXCHANGE_DONE: break;
    }
    if (step == STEP_GO) exchange_advance(x);
}

static void on_timer(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    uint64_t now = exchange_now_ms(x);
    if (!x->is_watched && now >= x->watch_ms && x->client) {
        x->is_watched = true;
        http_stream_watch(x->client);
    }
    if (x->state == EXCHANGE_DONE) return;
    if (x->total_deadline_ms && now >= x->total_deadline_ms)
        on_deadline(x, END_TOTAL_TIMEOUT);
    else if (x->response_deadline_ms && now >= x->response_deadline_ms)
        on_deadline(x, x->response_timeout);
    else if (x->request_deadline_ms && now >= x->request_deadline_ms)
        on_deadline(x, x->request_timeout);
    else
        set_timer(x);
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
    timer_init(&x->timer, on_timer);
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
    if (client->is_secure) r->flags |= FLIGHT_CLIENT_TLS;
    s->events = &exchange_client_events;
    s->owner = x;
    count_add(&w->live.exchanges, 1);
    return x;
}

/* The head as the exchange's own: it outlives the buffer that it was read into. Its path becomes canonical on the way:
 * from here on nobody sees another. */
static int copy_head(struct exchange *x, const struct http_head *head)
{
    size_t size = head->method_text.len + head->authority.len + head->scheme.len + head->upgrade.len +
                  http_path_room(head->target);
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!memory) return -1;
    struct text t = text_over(memory, size + 1);
    x->head = *head;
    x->head.method_text = text_put(&t, head->method_text);
    x->head.authority = text_put(&t, head->authority);
    x->head.scheme = text_put(&t, head->scheme);
    x->head.upgrade = text_put(&t, head->upgrade);
    x->path_fault = (uint8_t)http_path_put(&x->routes->conf->paths, head->target, &t, &x->head.target);
    x->head.field_count = 0;
    if (exchange_copy_fields(x, head->fields, head->field_count, &x->head.fields) < 0) return -1;
    x->head.field_count = head->field_count;
    return 0;
}

static struct exchange *begin(struct http_service *service, struct http_stream *s)
{
    struct listener_worker *lw = container_of(service, struct listener_worker, service);
    struct exchange *x = exchange_new(lw, s);
    if (x) return x;
    /* Not even room to say so. */
    metric_add(lw->worker->metrics, lw->listener->meter_ends[END_NO_MEMORY], 1);
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
    if (copy_head(x, head) < 0) {
        exchange_fail(x, END_NO_MEMORY);
        exchange_advance(x);
        return;
    }
    x->record.method = (uint8_t)head->method;
    x->record.version = (uint8_t)head->version;
    flight_set_target(&x->record, x->head.target);
    const char *refused = fields_admit(x->routes, &x->peer, x->head.fields, x->head.field_count);
    x->record.client = forward_client(x->routes, &x->record.client, &x->head);
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
    x->head.version = HTTP_VERSION_1_1;
    x->record.bytes_in = start.len;
    forward_request_id(x);
    size_t line = 0;
    while (line < start.len && line < FLIGHT_TARGET_MAX && start.data[line] > ' ' && start.data[line] < 127)
        line++;
    flight_set_target(&x->record, (struct slice){ start.data, line });
    exchange_fail_with(x, fault->reason, fault->detail);
    exchange_advance(x);
}
