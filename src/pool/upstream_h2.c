/* An upstream that speaks HTTP/2: as many streams at a time as both sides allow. */
#include "http/h2_client.h"
#include "pool/pool_lease.h"
#include "pool/upstream_kind.h"

/* What a server may send that says nothing: more than any does by itself, however it measures its lines. */
#define PINGS_MAX 20000u
#define SETTINGS_MAX 100u
#define OTHERS_MAX 2000u
#define WINDOWS_MAX 20000u
#define CONTINUATIONS_MAX 32u

struct h2_upstream {
    struct upstream base; /* first */
    struct h2_client http;
    bool went_on; /* as another, which is the connection now */
};

static struct upstream *upstream_of(struct h2_client *c)
{
    return &container_of(c, struct h2_upstream, http)->base;
}

static struct h2_client *client_of(const struct upstream *u)
{
    return &container_of((struct upstream *)(uintptr_t)u, struct h2_upstream, base)->http;
}

static struct http_stream *lease(struct upstream *u, enum lease_need need)
{
    (void)need;
    return h2_client_lease(client_of(u));
}

static uint32_t capacity(const struct upstream *u)
{
    uint32_t room = h2_client_room(client_of(u));
    if (!u->max_leases) return room;
    uint32_t left = u->leases < u->max_leases ? u->max_leases - u->leases : 0;
    return left < room ? left : room;
}

static void close_connection(struct upstream *u)
{
    h2_client_close(client_of(u));
}

static void reach(const struct upstream *u, struct http_reach *out)
{
    h2_client_reach(client_of(u), out);
}

static const struct upstream_ops ops = {
    .lease = lease,
    .capacity = capacity,
    .close = close_connection,
    .reach = reach,
};

static void bury(struct loop_grave *g)
{
    upstream_bury(&container_of(g, struct h2_upstream, http.grave)->base);
}

static void on_opened(struct h2_client *c)
{
    struct upstream *u = upstream_of(c);
    u->is_opening = u->home->is_http1 = false;
}

/* The server has chosen: what was leased goes on there. */
static enum end_reason on_http1(struct h2_client *c)
{
    struct h2_upstream *h = container_of(c, struct h2_upstream, http);
    struct upstream *u = &h->base, *to = upstream_h1_take_over(u);
    if (!to) return END_NO_MEMORY;
    u->home->is_http1 = h->went_on = true;
    upstream_has_room(u, false);
    struct http_stream *stream = upstream_lease(to, LEASE_ANY);
    if (!stream) {
        to->ops->close(to);
        return END_NO_MEMORY;
    }
    h2_client_go_on_as(c, stream);
    return END_NONE;
}

static void on_room(struct h2_client *c)
{
    struct upstream *u = upstream_of(c);
    uint32_t allowed = h2_client_streams_allowed(c);
    if (allowed) u->home->streams_allowed = allowed;
    upstream_has_room(u, capacity(u) > 0);
}

static void on_idle(struct h2_client *c)
{
    upstream_went_idle(upstream_of(c));
}

static void on_closed(struct h2_client *c)
{
    struct upstream *u = upstream_of(c);
    upstream_closed(u, c->closed_by_peer);
    if (!container_of(c, struct h2_upstream, http)->went_on)
        pool_connection_closed(u->home->pool, u->home->server);
    loop_bury(u->home->pool->env->loop, &c->grave, bury);
}

static const struct h2_client_owner owner = {
    .on_opened = on_opened,
    .on_http1 = on_http1,
    .on_room = on_room,
    .on_idle = on_idle,
    .on_closed = on_closed,
};

static void on_timer(struct timer *t)
{
    struct h2_upstream *h = container_of(t, struct h2_upstream, http.timer);
    if (h->base.is_idle) upstream_check_idle(&h->base);
    h2_client_look(&h->http);
}

static struct h2_limits limits_of(const struct pool_conf *conf)
{
    return (struct h2_limits){ .streams = conf->http2.streams,
                               .window_bytes = (uint32_t)conf->http2.window_bytes,
                               .memory_bytes = (uint32_t)conf->http2.memory_bytes,
                               .continuations = CONTINUATIONS_MAX,
                               .floods = { [H2_FLOOD_RESETS] = OTHERS_MAX,
                                           [H2_FLOOD_SETTINGS] = SETTINGS_MAX,
                                           [H2_FLOOD_PINGS] = PINGS_MAX,
                                           [H2_FLOOD_EMPTY] = OTHERS_MAX,
                                           [H2_FLOOD_WINDOWS] = WINDOWS_MAX } };
}

/* While it is opening. Where it may turn out to speak HTTP/1.1, one can be served then; how many if not, the last one knows. */
static uint32_t streams_expected(const struct upstream *u)
{
    const struct server_worker *home = u->home;
    bool is_unsure = u->protocol == POOL_AUTO && (home->is_http1 || !home->streams_allowed);
    return is_unsure ? 1 : home->streams_allowed;
}

int upstream_h2_begin(struct upstream *u, const struct pool_target *target)
{
    struct h2_upstream *h = container_of(u, struct h2_upstream, base);
    const struct pool_worker *pw = u->home->pool;
    const struct pool_conf *conf = pw->view->set->roster->conf;
    (void)target; /* egress pools speak HTTP/1 */
    u->ops = &ops;
    u->transport = &h->http.transport;
    u->timer = &h->http.timer;
    u->is_opening = true;
    h->http.limits = limits_of(conf);
    h->http.streams_expected = streams_expected(u);
    h->http.allows_http1 = u->protocol == POOL_AUTO;
    h->http.write_timeout_ms = conf->timeouts.response_ms;
    if (h2_client_connect(&h->http, &owner, pw->env->h2, &u->home->server->address, NULL, &pw->limits) < 0) {
        loop_bury(pw->env->loop, &h->http.grave, bury);
        return -1;
    }
    h->http.timer.on_timer = on_timer;
    return 0;
}

size_t upstream_h2_size(void)
{
    return sizeof(struct h2_upstream);
}
