#include "proxy/exchange.h"

#include <assert.h>

#include "base/count.h"
#include "proxy/fault.h"
#include "proxy/forward.h"
#include "proxy/record.h"
#include "proxy/upgrade.h"

/* A request that has passed through weir this often goes in circles. */
#define HOPS_MAX 16
/* From this age on the client is watched for its end: most exchanges never get there. */
#define WATCH_AFTER_MS 100

static enum step choose_route(struct exchange *x);
static enum step pick_server(struct exchange *x);
static enum step wait_slot(struct exchange *x);
static enum step wait_ready(struct exchange *x);
static enum step relay(struct exchange *x);
static enum step send_reply(struct exchange *x);
static enum step run_tunnel(struct exchange *x);
static enum step retire(struct exchange *x);

#define TO(state) (1u << EXCHANGE_##state)

/* clang-format off */
static const struct {
    const char *name;
    enum step (*run)(struct exchange *x); /* STEP_WAIT: an event, a timer or a task goes on */
    uint32_t may_enter;
} states[] = {
    [EXCHANGE_ROUTE]   = { "route",   choose_route, TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_PICK]    = { "pick",    pick_server,  TO(QUEUE) | TO(CONNECT) | TO(RELAY) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_QUEUE]   = { "queue",   wait_slot,    TO(PICK) | TO(REPLY) | TO(DONE) },
    [EXCHANGE_CONNECT] = { "connect", wait_ready,   TO(PICK) | TO(RELAY) | TO(REPLY) | TO(DONE) },
    /* back only while no response byte is out */
    [EXCHANGE_RELAY]   = { "relay",   relay,        TO(PICK) | TO(REPLY) | TO(TUNNEL) | TO(DONE) },
    [EXCHANGE_REPLY]   = { "reply",   send_reply,   TO(DONE) },
    [EXCHANGE_TUNNEL]  = { "tunnel",  run_tunnel,   TO(DONE) },
    [EXCHANGE_DONE]    = { "done",    retire,       0 },
};
/* clang-format on */

const char *exchange_state_name(enum exchange_state state)
{
    return states[state].name;
}

/* The only writer of x->state. */
static enum step enter(struct exchange *x, enum exchange_state next)
{
    assert(states[x->state].may_enter & (1u << next));
    x->state = (uint8_t)next;
    return STEP_GO;
}

/* DONE is left to the end of the turn: see finish(). */
static void advance(struct exchange *x)
{
    while (x->state != EXCHANGE_DONE && states[x->state].run(x) == STEP_GO) {}
}

static uint64_t now_ms(const struct exchange *x)
{
    return loop_now_ms(&x->worker->loop);
}

static uint32_t since_start_us(const struct exchange *x)
{
    return flight_us(x->start_ns, x->worker->loop.now_ns);
}

static const struct pool_timeouts *pool_timeouts(const struct exchange *x)
{
    return &x->pool->pool->conf->timeouts;
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

static void expect_response(struct exchange *x, uint64_t within_ms, enum end_reason timeout)
{
    x->response_deadline_ms = now_ms(x) + within_ms;
    x->response_timeout = timeout;
    set_timer(x);
}

static void expect_request(struct exchange *x, uint64_t within_ms, enum end_reason timeout)
{
    x->request_deadline_ms = now_ms(x) + within_ms;
    x->request_timeout = timeout;
    set_timer(x);
}

/* ends */

/* Over, for this reason. What is left to do is done at the end of the turn, when nobody is in the middle of it. */
static enum step finish(struct exchange *x, enum end_reason reason)
{
    if (x->state == EXCHANGE_DONE) return STEP_WAIT;
    x->record.end = (uint8_t)reason;
    enter(x, EXCHANGE_DONE);
    loop_defer(&x->worker->loop, &x->end_task);
    return STEP_WAIT;
}

/* Over with a fault: told to the client if nothing of a response has gone out, else shown by cutting it off. */
static enum step fail(struct exchange *x, enum end_reason reason)
{
    if (x->state == EXCHANGE_DONE || x->state == EXCHANGE_REPLY) return STEP_WAIT;
    bool is_telling = end_reason_info(reason)->status != 0;
    /* A head that still waits for its first body byte can give way to the sentence. */
    if (is_telling && x->response_started && http_stream_unsend(x->client)) {
        x->response_started = false;
        x->body_out = 0;
    }
    if (x->response_started || !is_telling) {
        x->is_cut = true;
        return finish(x, reason);
    }
    x->end = (uint8_t)reason;
    return enter(x, EXCHANGE_REPLY);
}

static enum step fail_with(struct exchange *x, enum end_reason reason, const char *detail)
{
    x->detail = detail;
    return fail(x, reason);
}

/* Gives the server back. */
static void leave_server(struct exchange *x, bool is_clean)
{
    if (x->server_stream) {
        if (is_clean)
            http_stream_release(x->server_stream);
        else
            http_stream_reset(x->server_stream);
        x->server_stream = NULL;
    }
    if (x->server) {
        pool_unlease(x->pool, x->server);
        x->server = NULL;
    }
}

/* choosing */

static struct slice path_of(const struct exchange *x)
{
    struct slice target = x->head.target;
    const char *query = memchr(target.data, '?', target.len);
    return query ? (struct slice){ target.data, (size_t)(query - target.data) } : target;
}

static const struct route *match_route(struct exchange *x)
{
    const struct listener *l = x->listener->listener;
    if (!l->table) return &l->routes[0];
    struct route_choice choice;
    uint32_t index = route_match(l->table, x->head.authority, path_of(x), &choice);
    return index == ROUTE_NONE ? NULL : &l->routes[index];
}

/* The gate was passed at accept with the peer's own address; who speaks for another passes again. */
static bool may_pass(struct exchange *x)
{
    const struct listener *l = x->listener->listener;
    if (l->conf->trust.count && forward_is_trusted(l, &x->peer)) {
        if (l->proxy->gate && gate_check(l->proxy->gate, &x->record.client) != GATE_PASS) return false;
        if (l->gate && gate_check(l->gate, &x->record.client) != GATE_PASS) return false;
    }
    return !x->route->gate || gate_check(x->route->gate, &x->record.client) == GATE_PASS;
}

/* The host's hash is the same in capitals, and with or without the port. */
static uint64_t hash_of_host(struct slice authority)
{
    char folded[ROUTE_HOST_MAX + 1];
    size_t len = 0;
    bool is_bracketed = false;
    for (; len < authority.len && len < sizeof(folded); len++) {
        char c = authority.data[len];
        if (c == '[') is_bracketed = true;
        if (c == ']') is_bracketed = false;
        if (c == ':' && !is_bracketed) break;
        folded[len] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return balance_hash((struct slice){ folded, len });
}

static uint64_t key_hash(const struct exchange *x, const struct balance_key *key)
{
    struct slice value;
    switch (key->kind) {
    case BALANCE_KEY_CLIENT:
        value = (struct slice){ (const char *)x->record.client.bytes, sizeof(x->record.client.bytes) };
        break;
    case BALANCE_KEY_PATH: value = path_of(x); break;
    case BALANCE_KEY_HOST: return hash_of_host(x->head.authority);
    case BALANCE_KEY_HEADER:
        value = http_field_value(http_head_find_name(&x->head, slice_of(key->header)));
        break;
    default: value = SLICE_NONE;
    }
    return balance_hash(value);
}

static enum step choose_route(struct exchange *x)
{
    const struct listener_conf *conf = x->listener->listener->conf;
    if (x->head.method == HTTP_CONNECT)
        return fail_with(x, END_METHOD_NOT_ALLOWED, "CONNECT is not served here");
    if (forward_hops(&x->head) >= HOPS_MAX) return fail(x, END_LOOP_DETECTED);
    x->route = match_route(x);
    if (!x->route) return fail(x, END_NO_ROUTE);
    x->record.route = x->route->id;
    x->record.pool = x->route->pool->id;
    if (!may_pass(x)) return fail(x, END_GATE_DENIED);
    if (conf->limits.body_bytes && x->head.body == HTTP_BODY_LENGTH &&
        x->head.content_length > conf->limits.body_bytes)
        return fail(x, END_BODY_TOO_LARGE);
    x->upgrade = upgrade_allowed(&x->head, x->route->conf);
    x->pool = x->worker->pools[x->route->pool->index];
    x->view = pool_view_get(x->pool);
    if (forward_fields(x) < 0) return fail(x, END_NO_MEMORY);
    const struct balance_key *key = balance_method_key(x->view->balance.method,
                                                       x->pool->pool->conf->balance.conf);
    if (key) x->hash = key_hash(x, key);
    if (pool_timeouts(x)->total_ms) x->total_deadline_ms = now_ms(x) + pool_timeouts(x)->total_ms;
    return enter(x, EXCHANGE_PICK);
}

static bool is_replayable(const struct exchange *x)
{
    return http_method_is_idempotent(x->head.method) || (x->route->conf && x->route->conf->idempotent);
}

/* The request goes to the server as far as it is here. */
static enum step begin_relay(struct exchange *x);

static void begin_attempt(struct exchange *x, uint32_t peer, enum balance_reason reason, bool is_reused)
{
    x->attempts++;
    x->attempt_ns = x->worker->loop.now_ns;
    x->server = x->view->set->servers[peer];
    x->detail = NULL;
    x->detail_number = 0;
    x->record.picked_us = since_start_us(x);
    x->record.connected_us = x->record.sent_us = x->record.first_byte_us = FLIGHT_NEVER;
    flight_begin_attempt(&x->record, x->server->id, reason, is_reused);
    metric_add(x->worker->metrics, x->server->meter_attempts, 1);
}

static void end_attempt(struct exchange *x, enum end_reason reason)
{
    struct flight_attempt *a = flight_last_attempt(&x->record);
    if (!a || a->end) return;
    a->end = (uint8_t)reason;
    uint32_t took = flight_us(x->attempt_ns, x->worker->loop.now_ns);
    if (a->first_byte_us == FLIGHT_NEVER) a->first_byte_us = took;
    if (reason != END_OK && x->server && end_reason_info(reason)->origin == ORIGIN_SERVER)
        metric_add(x->worker->metrics, x->server->meter_failures, 1);
}

static bool is_connect_failure(enum end_reason reason)
{
    return reason == END_CONNECT_REFUSED || reason == END_CONNECT_TIMEOUT || reason == END_CONNECT_FAILED;
}

static void mark_tried(struct exchange *x, uint32_t peer)
{
    if (x->tried_count < EXCHANGE_TRIED_MAX) x->tried[x->tried_count++] = peer;
}

static uint32_t peer_of(const struct exchange *x, const struct server *s)
{
    for (uint32_t i = 0; i < x->view->set->count; i++)
        if (x->view->set->servers[i] == s) return i;
    return BALANCE_NONE;
}

/* May the request go out once more (SEAMS: twice)? Either no byte of it was handed to the kernel, or it is safe to
 * repeat and nothing came back; and all of its body so far is here. */
static bool may_retry(const struct exchange *x, enum end_reason reason)
{
    const struct http_stream *s = x->server_stream;
    if (x->response_started || x->is_informed || x->body_in != x->replay_len) return false;
    if (reason == END_TOTAL_TIMEOUT) return false;
    if (x->attempts >= x->pool->pool->conf->retry.attempts && !(s && s->is_reused && !x->was_replaced))
        return false;
    if (is_connect_failure(reason) || !s || !s->has_sent) return true;
    bool is_broken = reason == END_SERVER_CLOSED || reason == END_SERVER_RESET || reason == END_SEND_FAILED;
    return is_broken && !s->has_received && is_replayable(x);
}

/* The attempt in hand has failed: on to another server, or to a sentence. */
static enum step attempt_failed(struct exchange *x, enum end_reason reason, const char *detail,
                                uint32_t number)
{
    if (x->state == EXCHANGE_DONE || x->state == EXCHANGE_REPLY) return STEP_WAIT;
    bool may = may_retry(x, reason);
    bool is_stale = x->server_stream && x->server_stream->is_reused && !x->server_stream->has_received &&
                    !is_connect_failure(reason);
    uint32_t peer = x->server ? peer_of(x, x->server) : BALANCE_NONE;
    end_attempt(x, reason);
    if (x->server && is_connect_failure(reason)) pool_report(x->pool, x->server, SERVER_CONNECT_FAILED);
    leave_server(x, false);
    x->detail = detail;
    x->detail_number = number;
    x->end = (uint8_t)reason;
    x->request_deadline_ms = x->response_deadline_ms = 0;
    if (!may) return fail(x, reason);
    /* A kept connection that dies is no fault of the server: the same one, on a new connection, once. */
    x->wants_fresh = is_stale && !x->was_replaced;
    if (x->wants_fresh) x->was_replaced = true;
    if (!x->wants_fresh && peer != BALANCE_NONE) mark_tried(x, peer);
    x->request_done = false;
    x->replay_sent = 0;
    x->send_failed = false;
    return enter(x, EXCHANGE_PICK);
}

static enum step no_server_left(struct exchange *x, bool is_full)
{
    if (is_full) return enter(x, EXCHANGE_QUEUE);
    /* The last failure says more than that none is left. */
    return fail(x, x->attempts ? (enum end_reason)x->end : END_NO_SERVER);
}

static enum step lease(struct exchange *x, uint32_t peer, enum balance_reason reason, bool *is_full)
{
    struct server *s = x->view->set->servers[peer];
    enum lease_need need = is_replayable(x) ? LEASE_ANY : LEASE_YOUNG;
    if (x->wants_fresh) need = LEASE_FRESH;
    x->wants_fresh = false;
    enum end_reason why = END_INTERNAL;
    struct http_stream *stream = NULL;
    enum lease got = pool_lease(x->pool, s, need, &stream, &why);
    if (got == LEASE_FULL) {
        *is_full = true;
        mark_tried(x, peer);
        return STEP_WAIT;
    }
    begin_attempt(x, peer, reason, got == LEASE_OPEN);
    if (got == LEASE_FAILED) {
        end_attempt(x, why);
        x->server = NULL; /* the lease was not granted */
        x->end = (uint8_t)why;
        if (!is_connect_failure(why)) return fail(x, why);
        pool_report(x->pool, s, SERVER_CONNECT_FAILED);
        mark_tried(x, peer);
        return STEP_WAIT;
    }
    x->server_stream = stream;
    exchange_listen_to_server(x);
    if (got == LEASE_OPEN) {
        flight_last_attempt(&x->record)->connect_us = 0;
        return begin_relay(x);
    }
    expect_response(x, pool_timeouts(x)->connect_ms, END_CONNECT_TIMEOUT);
    return enter(x, EXCHANGE_CONNECT);
}

static enum step pick_server(struct exchange *x)
{
    uint32_t failed = x->tried_count; /* behind these: found full in this round */
    bool is_full = false;
    while (x->state == EXCHANGE_PICK) {
        if (x->attempts >= x->pool->pool->conf->retry.attempts && !x->wants_fresh)
            return fail(x, (enum end_reason)x->end);
        struct balance_choice choice = { .peer = BALANCE_NONE };
        if (x->wants_fresh && x->record.attempt_count) {
            const struct flight_attempt *last = flight_last_attempt(&x->record);
            for (uint32_t i = 0; i < x->view->set->count; i++)
                if (x->view->set->servers[i]->id == last->server) choice.peer = i;
            choice.reason = (enum balance_reason)last->reason;
        } else if (x->view->set->count) {
            struct balance_query q = { .peers = x->view->set->peers,
                                       .peer_count = x->view->set->count,
                                       .tried = x->tried,
                                       .tried_count = x->tried_count,
                                       .hash = x->hash,
                                       .now_ns = x->worker->loop.now_ns,
                                       .rng = &x->worker->loop.rng };
            balance_pick(&x->view->balance, &q, &choice);
        }
        if (choice.peer == BALANCE_NONE || x->tried_count == EXCHANGE_TRIED_MAX) {
            x->wants_fresh = false;
            x->tried_count = failed;
            bool waits = is_full || (x->view->set->count && choice.reason == BALANCE_ALL_FULL);
            return no_server_left(x, waits);
        }
        enum step step = lease(x, choice.peer, choice.reason, &is_full);
        if (x->state != EXCHANGE_PICK) return step;
    }
    return STEP_GO;
}

/* the queue */

static void on_turn(struct pool_waiter *w)
{
    struct exchange *x = container_of(w, struct exchange, waiter);
    x->is_again = true;
    /* Who may be picked can have changed meanwhile. */
    pool_view_put(x->view);
    x->view = pool_view_get(x->pool);
    x->tried_count = 0;
    enter(x, EXCHANGE_PICK);
    advance(x);
}

static enum step wait_slot(struct exchange *x)
{
    x->waiter.on_turn = on_turn;
    if (!pool_wait(x->pool, &x->waiter, x->is_again)) return fail(x, END_QUEUE_FULL);
    /* Who had his turn in vain goes on with the time that he was given; whose attempt failed has none left. */
    if (!x->response_deadline_ms) expect_response(x, pool_timeouts(x)->queue_ms, END_QUEUE_TIMEOUT);
    return STEP_WAIT;
}

static enum step wait_ready(struct exchange *x)
{
    (void)x;
    return STEP_WAIT; /* on_open, on_error or the timer */
}

/* relaying */

static enum step relay(struct exchange *x)
{
    (void)x;
    return STEP_WAIT;
}

static void request_sent(struct exchange *x)
{
    x->request_done = true;
    x->request_deadline_ms = 0;
    x->record.sent_us = since_start_us(x);
    if (!x->response_started) expect_response(x, pool_timeouts(x)->first_byte_ms, END_FIRST_BYTE_TIMEOUT);
}

/* The end of a body whose last bytes went without it. */
static enum io send_end(struct exchange *x)
{
    size_t none = 0;
    if (x->trailer_count) return http_send_trailers(x->server_stream, x->trailers, x->trailer_count);
    return http_send_body(x->server_stream, NULL, 0, HTTP_END, &none);
}

/* What was kept of the body goes again, and its end if that has come. True once all of it is with the server's
 * stream. */
static bool send_replay(struct exchange *x)
{
    bool ends_with_bytes = x->request_ended && !x->trailer_count;
    while (x->replay_sent < x->replay_len) {
        size_t taken = 0;
        unsigned flags = ends_with_bytes ? HTTP_END : 0;
        enum io io = http_send_body(x->server_stream, x->replay->data + x->replay_sent,
                                    x->replay_len - x->replay_sent, flags, &taken);
        x->replay_sent += (uint32_t)taken;
        if (io == IO_FAIL) {
            x->send_failed = true;
            return false;
        }
        if (io == IO_AGAIN) return false;
    }
    if (!x->request_ended || x->request_done) return true;
    if ((!x->replay_len || !ends_with_bytes) && send_end(x) == IO_FAIL) {
        x->send_failed = true;
        return false;
    }
    request_sent(x);
    return true;
}

static enum step begin_relay(struct exchange *x)
{
    const struct http_head *head = &x->head;
    struct http_send send = { .head = head,
                              .authority = forward_authority(x),
                              .extra = x->extra,
                              .extra_count = x->extra_count,
                              .body = head->body,
                              .content_length = head->content_length,
                              .upgrade = x->upgrade };
    if (x->state != EXCHANGE_RELAY) enter(x, EXCHANGE_RELAY);
    x->record.connected_us = since_start_us(x);
    bool has_body = head->body != HTTP_BODY_NONE &&
                    !(head->body == HTTP_BODY_LENGTH && !head->content_length);
    bool follows = has_body && (x->request_follows || x->replay_len || x->client->held);
    if (http_send_head(x->server_stream, &send, follows ? HTTP_MORE : 0) != IO_OK)
        return attempt_failed(x, END_SEND_FAILED, NULL, 0);
    if (!has_body) {
        request_sent(x);
        return STEP_WAIT;
    }
    expect_request(x, x->listener->listener->conf->timeouts.body_ms, END_BODY_TIMEOUT);
    x->response_deadline_ms = 0;
    if (x->request_follows) return STEP_WAIT; /* on_body comes of itself */
    if (send_replay(x) && !x->request_ended) http_stream_resume(x->client);
    if (x->state != EXCHANGE_RELAY || !x->server_stream || x->send_failed) return STEP_WAIT;
    size_t none = 0;
    if (!x->server_stream->is_flushed)
        x->send_failed = http_send_body(x->server_stream, NULL, 0, 0, &none) == IO_FAIL;
    return STEP_WAIT;
}

static void keep_for_replay(struct exchange *x, const char *data, size_t len)
{
    uint64_t limit = x->pool->pool->conf->retry.buffer_bytes;
    if (!len || x->body_in != x->replay_len || x->replay_len + len > limit) return;
    struct block_pool *blocks = &x->worker->loop.blocks;
    if (!x->replay || x->replay->cap < x->replay_len + len) {
        struct block *bigger = block_get(blocks, x->replay_len + len);
        if (!bigger) return; /* then it cannot be sent again: no harm */
        if (x->replay) memcpy(bigger->data, x->replay->data, x->replay_len);
        block_put(blocks, x->replay);
        x->replay = bigger;
    }
    memcpy(x->replay->data + x->replay_len, data, len);
    x->replay_len += (uint32_t)len;
    x->replay_sent = x->replay_len;
}

/* Once nothing can be retried any more, what was kept is of no use. */
static void drop_replay(struct exchange *x)
{
    block_put(&x->worker->loop.blocks, x->replay);
    x->replay = NULL;
    x->replay_len = x->replay_sent = 0;
}

/* A copy in the arena. -1: out of memory. */
static int copy_fields(struct exchange *x, const struct http_field *from, uint32_t count,
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

static bool is_over_body_limit(const struct exchange *x, size_t more)
{
    uint64_t limit = x->listener->listener->conf->limits.body_bytes;
    return limit && x->body_in + more > limit;
}

static size_t on_request_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct exchange *x = s->owner;
    x->request_follows = false;
    if (x->state == EXCHANGE_REPLY || x->state == EXCHANGE_DONE || x->response_done) {
        x->body_in += len;
        if (flags & HTTP_END) x->request_ended = true;
        return len; /* nobody wants it any more */
    }
    if (is_over_body_limit(x, len)) {
        if (x->server_stream) end_attempt(x, END_BODY_TOO_LARGE);
        leave_server(x, false);
        fail(x, END_BODY_TOO_LARGE);
        advance(x);
        return len;
    }
    if (x->state != EXCHANGE_RELAY || x->send_failed || x->replay_sent < x->replay_len) {
        if (!len && (flags & HTTP_END)) x->request_ended = true; /* that is not told again */
        return 0;
    }
    size_t taken = 0;
    enum io io = http_send_body(x->server_stream, data, len, flags, &taken);
    keep_for_replay(x, data, taken);
    x->body_in += taken;
    if (io == IO_FAIL) {
        /* It may have answered before it closed: that is seen when it is read. */
        x->send_failed = true;
        x->request_deadline_ms = 0;
        expect_response(x, pool_timeouts(x)->response_ms, END_SEND_TIMEOUT);
        return taken;
    }
    if (taken < len) {
        expect_request(x, pool_timeouts(x)->response_ms, END_SEND_TIMEOUT);
        return taken;
    }
    if (flags & HTTP_END) {
        x->request_ended = true;
        request_sent(x);
    } else {
        expect_request(x, x->listener->listener->conf->timeouts.body_ms, END_BODY_TIMEOUT);
    }
    return taken;
}

static void on_request_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    struct exchange *x = s->owner;
    x->request_ended = true;
    if (copy_fields(x, fields, count, &x->trailers) == 0)
        x->trailer_count = count;
    else
        x->body_in++; /* not kept: then it is not sent twice */
    if (x->state != EXCHANGE_RELAY || x->send_failed || x->replay_sent < x->replay_len) return;
    if (http_send_trailers(x->server_stream, fields, count) == IO_FAIL)
        x->send_failed = true;
    else
        request_sent(x);
}

static void on_client_error(struct http_stream *s, const struct http_fault *fault)
{
    struct exchange *x = s->owner;
    if (x->state == EXCHANGE_DONE) return;
    x->detail = fault->detail;
    if (x->state == EXCHANGE_QUEUE) pool_stop_waiting(x->pool, &x->waiter);
    bool can_tell = end_reason_info(fault->reason)->status && !x->response_started &&
                    x->state != EXCHANGE_REPLY && x->state != EXCHANGE_TUNNEL;
    end_attempt(x, fault->reason);
    if (!can_tell) {
        x->is_cut = true;
        finish(x, fault->reason);
        return;
    }
    leave_server(x, false);
    fail(x, fault->reason);
    advance(x);
}

static void check_response_done(struct exchange *x)
{
    if (!x->response_done || x->state == EXCHANGE_DONE) return;
    if (!x->client->is_flushed) {
        expect_response(x, x->listener->listener->conf->timeouts.write_ms, END_WRITE_TIMEOUT);
        return;
    }
    finish(x, x->is_local ? (enum end_reason)x->end : END_OK);
}

static void send_more_reply(struct exchange *x);

static void on_client_writable(struct http_stream *s)
{
    struct exchange *x = s->owner;
    if (x->state == EXCHANGE_DONE) return;
    if (x->state == EXCHANGE_TUNNEL) {
        advance(x);
        return;
    }
    if (x->state == EXCHANGE_REPLY && !x->response_done) send_more_reply(x);
    if (!x->response_done && x->response_started && x->server_stream) {
        expect_response(x, pool_timeouts(x)->response_ms, END_RESPONSE_TIMEOUT);
        http_stream_resume(x->server_stream);
    }
    check_response_done(x);
}

static const struct http_stream_events client_events = {
    .on_body = on_request_body,
    .on_trailers = on_request_trailers,
    .on_error = on_client_error,
    .on_writable = on_client_writable,
};

/* the server's side */

static void on_open(struct http_stream *s)
{
    struct exchange *x = s->owner;
    if (x->state != EXCHANGE_CONNECT) return;
    flight_last_attempt(&x->record)->connect_us = flight_us(x->attempt_ns, x->worker->loop.now_ns);
    pool_report(x->pool, x->server, SERVER_CONNECTED);
    if (begin_relay(x) == STEP_GO) advance(x);
}

static void pass_informational(struct exchange *x, struct http_head *head)
{
    /* RFC 9110 15.2: never to a 1.0 client. */
    if (x->head.version == HTTP_VERSION_1_0) return;
    struct http_send send = { .head = head, .body = HTTP_BODY_NONE };
    x->is_informed = true;
    if (http_send_head(x->client, &send, 0) != IO_FAIL) return;
    x->is_cut = true;
    finish(x, END_CLIENT_ABORT);
}

/* What a bodiless response says of the body that it would have had. */
static void say_length(const struct http_head *head, struct http_send *send)
{
    struct slice text = http_field_value(http_head_find(head, HTTP_FIELD_CONTENT_LENGTH));
    send->is_bodiless = true;
    if (!text.len || head->status == 204) return;
    send->body = HTTP_BODY_LENGTH;
    send->content_length = 0;
    for (size_t i = 0; i < text.len; i++)
        send->content_length = send->content_length * 10 + (uint64_t)(text.data[i] - '0');
}

static bool is_bodiless(const struct exchange *x, uint16_t status)
{
    return x->head.method == HTTP_HEAD || status == 204 || status == 304;
}

/* 101 only to what was asked for (RFC 9110 15.2.2). */
static bool is_unasked(const struct exchange *x, const struct http_head *head)
{
    return head->status == 101 && !slice_equal_fold(head->upgrade, x->upgrade);
}

/* For the access log, which is written when the head's memory is gone. Out of memory: the line does without. */
static void keep_response(struct exchange *x, const struct http_head *head)
{
    if (!x->worker->access_log || !access_log_wants_response(x->worker->access_log)) return;
    struct http_head *copy = arena_alloc(&x->arena, sizeof(*copy));
    if (!copy) return;
    *copy = *head;
    copy->reason = SLICE_NONE;
    if (copy_fields(x, head->fields, head->field_count, &copy->fields) == 0) x->response = copy;
}

static void begin_response(struct exchange *x, struct http_head *head, unsigned flags)
{
    struct http_send send = { .head = head, .body = head->body, .content_length = head->content_length };
    if (is_bodiless(x, head->status)) say_length(head, &send);
    /* An answer before the request's end, by a server that will not read the rest or that the client may not send it
     * to: what still comes would have to be read to no purpose. */
    bool is_unwanted = x->server_stream->is_last || x->send_failed ||
                       (x->head.expects_continue && !x->is_informed);
    send.wants_close = !x->client->is_ended && is_unwanted;
    x->response_started = true;
    x->record.status = head->status;
    keep_response(x, head);
    if (x->request_done) drop_replay(x);
    if (http_send_head(x->client, &send, flags & HTTP_MORE) != IO_OK) {
        x->is_cut = true;
        finish(x, END_CLIENT_ABORT);
        return;
    }
    expect_response(x, pool_timeouts(x)->response_ms, END_RESPONSE_TIMEOUT);
    if (head->body != HTTP_BODY_NONE) return;
    x->response_done = true;
    check_response_done(x);
}

static void on_server_error(struct http_stream *s, const struct http_fault *fault);

static void on_response_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    struct exchange *x = s->owner;
    if (x->state != EXCHANGE_RELAY) return;
    if (head->status < 200 && head->status != 101) {
        pass_informational(x, head);
        return;
    }
    if (is_unasked(x, head)) {
        struct http_fault fault = { .reason = END_BAD_RESPONSE,
                                    .detail = "a 101 to a protocol that was not asked for" };
        on_server_error(s, &fault);
        return;
    }
    struct flight_attempt *a = flight_last_attempt(&x->record);
    uint64_t took = x->worker->loop.now_ns - x->attempt_ns;
    a->first_byte_us = flight_us(x->attempt_ns, x->worker->loop.now_ns);
    a->status = head->status;
    x->record.first_byte_us = since_start_us(x);
    metric_observe(x->worker->metrics, x->server->meter_latency, took / 1000);
    if (head->status == 101) {
        x->record.status = 101;
        x->response_started = true;
        if (upgrade_begin(x, head) < 0) {
            x->is_cut = true;
            finish(x, END_CLIENT_ABORT);
            return;
        }
        enter(x, EXCHANGE_TUNNEL);
        advance(x);
        return;
    }
    begin_response(x, head, flags);
}

static size_t on_response_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct exchange *x = s->owner;
    if (x->state != EXCHANGE_RELAY) return len;
    size_t taken = 0;
    enum io io = http_send_body(x->client, data, len, flags, &taken);
    x->body_out += taken;
    if (io == IO_FAIL) {
        x->is_cut = true;
        finish(x, END_CLIENT_ABORT);
        return len;
    }
    if (taken < len) {
        expect_response(x, x->listener->listener->conf->timeouts.write_ms, END_WRITE_TIMEOUT);
        return taken;
    }
    if (flags & HTTP_END) {
        x->response_done = true;
        check_response_done(x);
    } else {
        expect_response(x, pool_timeouts(x)->response_ms, END_RESPONSE_TIMEOUT);
    }
    return taken;
}

static void on_response_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    struct exchange *x = s->owner;
    if (x->state != EXCHANGE_RELAY) return;
    x->response_done = true;
    if (http_send_trailers(x->client, fields, count) == IO_FAIL) {
        x->is_cut = true;
        finish(x, END_CLIENT_ABORT);
        return;
    }
    check_response_done(x);
}

static void on_server_error(struct http_stream *s, const struct http_fault *fault)
{
    struct exchange *x = s->owner;
    if (x->state != EXCHANGE_CONNECT && x->state != EXCHANGE_RELAY) return;
    enum end_reason reason = fault->reason;
    if (x->send_failed && (reason == END_SERVER_CLOSED || reason == END_SERVER_RESET))
        reason = END_SEND_FAILED;
    if (attempt_failed(x, reason, fault->detail, fault->number) == STEP_GO) advance(x);
}

static void on_server_writable(struct http_stream *s)
{
    struct exchange *x = s->owner;
    if (x->state != EXCHANGE_RELAY || x->request_done || x->send_failed) return;
    if (send_replay(x) && !x->request_ended) http_stream_resume(x->client);
}

static const struct http_stream_events server_events = {
    .on_open = on_open,
    .on_head = on_response_head,
    .on_body = on_response_body,
    .on_trailers = on_response_trailers,
    .on_error = on_server_error,
    .on_writable = on_server_writable,
};

void exchange_listen_to_server(struct exchange *x)
{
    x->server_stream->events = &server_events;
    x->server_stream->owner = x;
}

/* weir's own answers */

static void send_more_reply(struct exchange *x)
{
    size_t taken = 0;
    enum io io = http_send_body(x->client, x->reply_body.data, x->reply_body.len, HTTP_END, &taken);
    x->body_out += taken;
    x->reply_body.data += taken;
    x->reply_body.len -= taken;
    if (io == IO_FAIL) {
        x->is_cut = true;
        finish(x, (enum end_reason)x->end);
    } else if (!x->reply_body.len) {
        x->response_done = true;
    }
}

static enum step send_reply(struct exchange *x)
{
    struct fault_reply reply;
    leave_server(x, false);
    x->is_local = true;
    x->request_deadline_ms = 0;
    x->record.flags |= FLIGHT_LOCAL_REPLY;
    if (fault_reply(x, &reply) < 0) {
        x->is_cut = true;
        return finish(x, (enum end_reason)x->end);
    }
    x->record.status = reply.head.status;
    x->response_started = true;
    bool is_head = x->head.method == HTTP_HEAD && x->head.method_text.len;
    struct http_send send = { .head = &reply.head,
                              .extra = reply.fields,
                              .extra_count = reply.field_count,
                              .body = HTTP_BODY_LENGTH,
                              .content_length = reply.body.len,
                              .is_bodiless = is_head,
                              .wants_close = !x->client->is_ended };
    x->reply_body = is_head ? SLICE_NONE : reply.body;
    expect_response(x, x->listener->listener->conf->timeouts.write_ms, END_WRITE_TIMEOUT);
    if (http_send_head(x->client, &send, is_head ? 0 : HTTP_MORE) != IO_OK) {
        x->is_cut = true;
        return finish(x, (enum end_reason)x->end);
    }
    if (is_head)
        x->response_done = true;
    else
        send_more_reply(x);
    check_response_done(x);
    return STEP_WAIT;
}

/* tunnels */

static enum step run_tunnel(struct exchange *x)
{
    if (!x->client->is_flushed) {
        expect_response(x, x->listener->listener->conf->timeouts.write_ms, END_WRITE_TIMEOUT);
        return STEP_WAIT;
    }
    x->request_deadline_ms = x->response_deadline_ms = x->total_deadline_ms = 0;
    loop_disarm(&x->worker->loop, &x->timer);
    if (upgrade_start(x) < 0) {
        x->is_cut = true;
        return finish(x, END_NO_MEMORY);
    }
    return STEP_WAIT;
}

void exchange_on_tunnel_end(struct exchange *x, enum end_reason reason)
{
    finish(x, reason);
}

/* the end */

static void bury(struct loop_grave *g)
{
    struct exchange *x = container_of(g, struct exchange, grave);
    struct arena arena = x->arena; /* holds x */
    arena_fini(&arena);
}

static enum step retire(struct exchange *x)
{
    struct loop *l = &x->worker->loop;
    loop_disarm(l, &x->timer);
    end_attempt(x, (enum end_reason)x->record.end);
    if (x->record.flags & FLIGHT_TUNNEL) x->server_stream = NULL;
    leave_server(x, x->record.end == END_OK);
    if (x->client) {
        x->record.bytes_out += x->client->head_bytes;
        if (x->is_cut)
            http_stream_reset(x->client);
        else
            http_stream_release(x->client);
    }
    record_exchange(x);
    if (x->view) pool_view_put(x->view);
    drop_replay(x);
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
    case EXCHANGE_QUEUE:
        pool_stop_waiting(x->pool, &x->waiter);
        step = fail(x, reason);
        break;
    case EXCHANGE_CONNECT: step = attempt_failed(x, reason, NULL, 0); break;
    case EXCHANGE_RELAY:
        end_attempt(x, reason);
        leave_server(x, false);
        step = fail(x, reason);
        break;
    case EXCHANGE_REPLY:
    case EXCHANGE_TUNNEL:
        x->is_cut = true;
        step = finish(x, x->is_local ? (enum end_reason)x->end : reason);
        break;
    case EXCHANGE_ROUTE:
    case EXCHANGE_PICK:
    case EXCHANGE_DONE: break;
    }
    if (step == STEP_GO) advance(x);
}

static void on_timer(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    uint64_t now = now_ms(x);
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
    struct arena arena;
    arena_init(&arena, &w->loop.blocks);
    struct exchange *x = arena_alloc(&arena, sizeof(*x));
    if (!x) return NULL;
    memset(x, 0, sizeof(*x));
    x->arena = arena;
    x->worker = w;
    x->listener = lw;
    x->client = s;
    timer_init(&x->timer, on_timer);
    loop_task_init(&x->end_task, on_end_task);
    list_init(&x->waiter.link);
    const struct http_client *client = &h1_server_of(s)->client;
    x->connection_id = client->id;
    x->connection_requests = client->requests;
    x->start_ns = client->head_started_ns ? client->head_started_ns : w->loop.now_ns;
    x->watch_ms = loop_now_ms(&w->loop) + WATCH_AFTER_MS;
    struct flight_record *r = &x->record;
    flight_init(r);
    r->id = flight_next_id(w->flights);
    r->start_wall_ns = x->start_ns + w->loop.wall_offset_ns;
    r->head_us = since_start_us(x);
    r->listener = lw->listener->id;
    r->client = x->peer = client->ip;
    r->client_port = client->port;
    r->bytes_in = client->received;
    r->method = HTTP_OTHER;
    s->events = &client_events;
    s->owner = x;
    count_add(&w->live.exchanges, 1);
    return x;
}

/* The head as the exchange's own: it outlives the buffer that it was read into. */
static int copy_head(struct exchange *x, const struct http_head *head)
{
    size_t size = head->method_text.len + head->target.len + head->authority.len + head->scheme.len +
                  head->upgrade.len;
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!memory) return -1;
    struct text t = text_over(memory, size + 1);
    x->head = *head;
    x->head.method_text = text_put(&t, head->method_text);
    x->head.target = text_put(&t, head->target);
    x->head.authority = text_put(&t, head->authority);
    x->head.scheme = text_put(&t, head->scheme);
    x->head.upgrade = text_put(&t, head->upgrade);
    x->head.field_count = 0;
    if (copy_fields(x, head->fields, head->field_count, &x->head.fields) < 0) return -1;
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
    http_stream_reset(s);
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
        fail(x, END_NO_MEMORY);
        advance(x);
        return;
    }
    x->record.method = (uint8_t)head->method;
    x->record.version = (uint8_t)head->version;
    flight_set_target(&x->record, x->head.target);
    x->record.client = forward_client(x->listener->listener, &x->record.client, &x->head);
    forward_request_id(x);
    advance(x);
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
    fail_with(x, fault->reason, fault->detail);
    advance(x);
}
