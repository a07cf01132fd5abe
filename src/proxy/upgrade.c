#include "proxy/upgrade.h"

#include "base/bug.h"
#include "base/count.h"
#include "http/websocket.h"
#include "pool/pool_lease.h"
#include "proxy/exchange_steps.h"
#include "proxy/headers.h"
#include "proxy/route_set.h"
#include "proxy/tunnel.h"
#include "route/route_conf.h"

static bool is_allowed(struct slice protocol, const struct route_conf *conf)
{
    if (!conf) return slice_equal_fold(protocol, SLICE("websocket"));
    const char *const *allowed = conf->upgrade.data;
    for (uint32_t i = 0; i < conf->upgrade.count; i++)
        if (slice_equal_fold(protocol, slice_of(allowed[i]))) return true;
    return false;
}

struct slice upgrade_allowed(const struct http_head *head, const struct route_conf *conf)
{
    struct slice rest = head->upgrade;
    struct slice protocol;
    bool has_body = head->body == HTTP_BODY_UNKNOWN ||
                    (head->body == HTTP_BODY_LENGTH && head->content_length);
    /* A 1.0 request cannot upgrade; one with a body would have to be read to its end first (RFC 9110 7.8). */
    if (head->version == HTTP_VERSION_1_0 || has_body) return SLICE_NONE;
    while (slice_next_element(&rest, &protocol))
        if (is_allowed(protocol, conf)) return protocol;
    return SLICE_NONE;
}

bool upgrade_is_over_http2(const struct exchange *x)
{
    return x->head.version == HTTP_VERSION_2 && x->head.upgrade.len;
}

/* RFC 8441 5: a 2xx says that it is open, whoever says it. */
static bool says_open(uint16_t status)
{
    return status >= 200 && status < 300;
}

bool upgrade_is_refused(const struct exchange *x)
{
    if (!upgrade_is_over_http2(x)) return false;
    const struct route_conf *conf = x->route->conf;
    if (!x->pool) return conf->files || (conf->respond && says_open((uint16_t)conf->respond->status));
    return !upgrade_allowed(&x->head, conf).len;
}

static bool is_websocket(const struct exchange *x)
{
    return slice_equal_fold(x->upgrade, SLICE("websocket"));
}

/* What an HTTP/1 client's handshake has to be answered with; NULL: it has none that could be. */
static const char *key_of_client(const struct exchange *x)
{
    struct slice key = http_field_value(http_head_find_name(&x->head, SLICE("sec-websocket-key")));
    return key.len == WEBSOCKET_KEY_LEN ? key.data : NULL;
}

/* To a server of HTTP/2 nothing else is asked for; and of what an HTTP/1 client has not asked as RFC 6455 has it, nothing. */
static bool can_be_over_http2(const struct exchange *x)
{
    return is_websocket(x) && (upgrade_is_over_http2(x) || key_of_client(x));
}

bool upgrade_awaits_word(const struct exchange *x)
{
    struct http_stream *s = x->attempt.stream;
    if (!s->ops->tunnels || !can_be_over_http2(x)) return false;
    return s->ops->tunnels(s) == HTTP_TUNNELS_UNKNOWN;
}

const char *upgrade_prepare(struct exchange *x)
{
    struct http_stream *s = x->attempt.stream;
    if (!x->upgrade.len || !s->ops->tunnels) return NULL;
    if (!can_be_over_http2(x))
        x->upgrade = SLICE_NONE; /* it goes without (RFC 9110 7.8) */
    else if (s->ops->tunnels(s) != HTTP_TUNNELS_YES)
        return "its server takes no WebSockets over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)";
    return NULL;
}

const char *upgrade_why_unfit(const struct exchange *x, const struct http_head *head)
{
    /* 101 only to what was asked for (RFC 9110 15.2.2). */
    if (head->status == 101 && !slice_equal_fold(head->upgrade, x->upgrade))
        return "a 101 to a protocol that was not asked for";
    if (!upgrade_is_over_http2(x) || (head->status == 101 && x->attempt.stream->ops->tunnels)) return NULL;
    if (says_open(head->status)) return "no WebSocket was opened, and no error said";
    if (head->status != 101) return NULL;
    const struct http_field *accept = http_head_find_name(head, SLICE("sec-websocket-accept"));
    if (websocket_is_answer(x->websocket_key, http_field_value(accept))) return NULL;
    return "a 101 without the Sec-WebSocket-Accept that answers the key";
}

static void drop_accept(struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_field *f = &head->fields[i];
        if (slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("sec-websocket-accept")))
            f->is_dropped = true;
    }
}

/* As HTTP/2 says it: 200, and what follows is the tunnel. */
static void say_open(struct http_head *head, struct http_send *send)
{
    head->status = 200;
    send->body = HTTP_BODY_UNKNOWN;
    send->upgrade = SLICE_NONE;
    drop_accept(head);
}

/* What a server does not say over HTTP/2. */
static int add_accept(struct exchange *x, struct http_send *send)
{
    struct http_field *extra = arena_alloc(&x->arena, (send->extra_count + 1) * sizeof(*extra));
    char *accept = arena_alloc(&x->arena, WEBSOCKET_ACCEPT_LEN + 1);
    const char *key = key_of_client(x);
    if (!extra || !accept || bug_if(EXCHANGE, !key)) return -1;
    websocket_make_accept(key, accept);
    if (send->extra_count) memcpy(extra, send->extra, send->extra_count * sizeof(*extra));
    extra[send->extra_count] = (struct http_field){ .name = "Sec-WebSocket-Accept",
                                                    .name_len = sizeof("Sec-WebSocket-Accept") - 1,
                                                    .value = accept,
                                                    .value_len = WEBSOCKET_ACCEPT_LEN };
    send->extra = extra;
    send->extra_count++;
    return 0;
}

int upgrade_begin(struct exchange *x, struct http_head *head)
{
    struct http_send send = { .head = head, .body = HTTP_BODY_NONE, .upgrade = head->upgrade };
    bool lacks_accept = !upgrade_is_over_http2(x) && x->attempt.stream->ops->tunnels;
    if (upgrade_is_over_http2(x)) say_open(head, &send);
    if (lacks_accept) drop_accept(head); /* no answer to this client's key */
    x->record.status = head->status;
    if (headers_of_response(x, head, &send) < 0) return -1;
    if (lacks_accept && add_accept(x, &send) < 0) return -1;
    return http_send_head(x->client, &send, 0) == IO_OK ? 0 : -1;
}

static void bury(struct loop_grave *g)
{
    struct tunnel *t = container_of(g, struct tunnel, grave);
    if (bug_if(TUNNEL, !t->is_ended || !list_is_empty(&t->link)))
        return; /* leaked rather than freed under somebody */
    /* Its exchange may be buried already. */
    slab_put(&container_of(t->loop, struct worker, loop)->tunnels, t);
}

void upgrade_on_tunnel_end(struct tunnel *t, enum end_reason reason)
{
    struct exchange *x = t->owner;
    struct worker *w = x->worker;
    (void)bug_if(TUNNEL, x->tunnel != t); /* it would be taken for going on */
    x->body_in += t->halves[TUNNEL_CLIENT].bytes;
    x->body_out += t->halves[TUNNEL_SERVER].bytes;
    if (t->halves[TUNNEL_SERVER].is_connection) pool_connection_closed(x->pool, x->attempt.server);
    list_remove(&t->link);
    count_less(TUNNEL, &w->live.tunnels);
    if (t->halves[TUNNEL_CLIENT].is_connection)
        worker_client_closed(x->listener, &x->peer, x->is_client_counted);
    loop_bury(&w->loop, &t->grave, bury);
    x->tunnel = NULL;
    exchange_on_tunnel_end(x, reason);
}

static int take(struct http_stream *s, struct tunnel_half *half)
{
    struct slice bytes;
    half->is_connection = true; /* a closed one, too */
    if (s->ops->detach(s, &half->transport, &half->hold, &bytes) < 0) return -1;
    half->is_connection = half->transport.io.fd >= 0; /* a stream has none of its own */
    if (!half->hold) return 0;
    const char *from = half->hold->data, *to = from + half->hold->cap;
    if (bug_if(TUNNEL,
               !bytes.len || bytes.data < from || bytes.data > to || bytes.len > (size_t)(to - bytes.data)))
        bytes = (struct slice){ half->hold->data, 0 }; /* goes back at the end */
    half->begin = (uint32_t)(bytes.data - half->hold->data);
    half->end = half->begin + (uint32_t)bytes.len;
    return 0;
}

int upgrade_start(struct exchange *x)
{
    struct worker *w = x->worker;
    const struct pool_timeouts *conf = exchange_pool_timeouts(x);
    const struct route_timeouts *own = exchange_route_timeouts(x);
    struct tunnel_timeouts timeouts = { conf->idle_ms, conf->half_closed_ms, exchange_total_ms(x) };
    if (own && own->idle_ms) timeouts.idle_ms = own->idle_ms;
    if (own && own->half_closed_ms) timeouts.half_closed_ms = own->half_closed_ms;
    if (bug_if(TUNNEL, x->tunnel || !x->client || !x->attempt.stream)) return -1;
    struct tunnel *t = slab_get(&w->tunnels);
    if (!t) return -1;
    tunnel_init(t, &w->loop, &timeouts, upgrade_on_tunnel_end, x);
    x->record.flags |= FLIGHT_TUNNEL;
    x->tunnel = t;
    list_push_back(&x->listener->tunnels, &t->link);
    count_add(&w->live.tunnels, 1);
    int client = take(x->client, &t->halves[TUNNEL_CLIENT]);
    int server = take(x->attempt.stream, &t->halves[TUNNEL_SERVER]);
    x->client = NULL;
    x->attempt.stream = NULL;
    t->halves[TUNNEL_CLIENT].transport.on_ready = tunnel_on_ready_client;
    t->halves[TUNNEL_SERVER].transport.on_ready = tunnel_on_ready_server;
    if (client < 0 || server < 0)
        tunnel_kill(t, END_NO_DESCRIPTORS);
    else
        tunnel_start(t);
    return 0;
}
