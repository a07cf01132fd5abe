/* An upstream that speaks HTTP/1: one stream at a time. */
#include "base/bug.h"
#include "http/h1_client.h"
#include "pool/pool_lease.h"
#include "pool/upstream_kind.h"
#include "pool/upstream_tls.h"

struct h1_upstream {
    struct upstream base; /* first */
    struct h1_client http;
    struct h1_pipeline pipeline;
    struct upstream_target target[]; /* one in egress pools, none in others */
};

static struct h1_upstream *h1_upstream_of(struct h1_client *c)
{
    return container_of(c, struct h1_upstream, http);
}

static struct h1_client *client_of(const struct upstream *u)
{
    return &container_of((struct upstream *)(uintptr_t)u, struct h1_upstream, base)->http;
}

static struct pipelining *pipelining_of(const struct upstream *u)
{
    return &u->home->pipelining;
}

static const struct pool_pipeline_conf *pipeline_conf_of(const struct upstream *u)
{
    return &u->home->pool->view->set->roster->conf->pipeline;
}

static struct http_stream *lease(struct upstream *u, enum lease_need need)
{
    struct h1_pipeline *p = &h1_upstream_of(client_of(u))->pipeline;
    const struct pool_pipeline_conf *conf = pipeline_conf_of(u);
    if (need != LEASE_SHARED || conf->depth < 2 || u->target) return h1_client_lease(client_of(u));
    p->patience_ms = conf->patience_ms;
    return h1_pipeline_lease(p);
}

static uint32_t capacity(const struct upstream *u)
{
    struct h1_client *c = client_of(u);
    const struct h1_pipeline *p = &h1_upstream_of(c)->pipeline;
    if (h1_client_is_free(c)) return 1;
    if (!h1_pipeline_is_active(p) || (u->max_leases && u->leases >= u->max_leases)) return 0;
    uint64_t now_ms = loop_now_ms(u->home->pool->env->loop);
    return h1_pipeline_room(
        p, pipelining_depth(pipelining_of(u), pipeline_conf_of(u)->depth, u->leases, now_ms));
}

static void close_connection(struct upstream *u)
{
    h1_client_close(client_of(u));
}

static void reach(const struct upstream *u, struct http_reach *out)
{
    h1_client_reach(client_of(u), out);
}

static const struct upstream_ops ops = {
    .lease = lease,
    .capacity = capacity,
    .close = close_connection,
    .reach = reach,
};

static void bury(struct loop_grave *g)
{
    upstream_bury(&container_of(g, struct h1_upstream, http.grave)->base);
}

static void on_idle(struct h1_client *c)
{
    upstream_went_idle(&h1_upstream_of(c)->base);
}

static void on_closed(struct h1_client *c)
{
    struct upstream *u = &h1_upstream_of(c)->base;
    h1_pipeline_fini(&h1_upstream_of(c)->pipeline);
    upstream_closed(u, c->closed_by_peer);
    if (!c->conn.is_detached) pool_connection_closed(u->home->pool, u->home->server);
    loop_bury(u->home->pool->env->loop, &c->grave, bury);
}

static void on_stale(struct h1_client *c, uint64_t idle_ns)
{
    upstream_was_stale(&h1_upstream_of(c)->base, idle_ns);
}

static void on_keep_alive(struct h1_client *c, uint32_t timeout_s, uint32_t max)
{
    struct upstream *u = &h1_upstream_of(c)->base;
    if (timeout_s && !u->target) server_said_idle(u->home->server, timeout_s);
    if (max == UINT32_MAX) return;
    uint64_t last = (uint64_t)u->leases + max; /* max: how many more it will serve */
    if (last < UINT32_MAX && (!u->max_leases || last < u->max_leases)) u->max_leases = (uint32_t)last;
}

static bool on_whole(struct h1_client *c)
{
    return h1_pipeline_whole(&h1_upstream_of(c)->pipeline);
}

static const struct h1_client_owner owner = {
    .on_idle = on_idle,
    .on_closed = on_closed,
    .on_stale = on_stale,
    .on_keep_alive = on_keep_alive,
    .on_whole = on_whole,
};

static struct upstream *upstream_of_pipeline(struct h1_pipeline *p)
{
    return &container_of(p, struct h1_upstream, pipeline)->base;
}

static void on_room(struct h1_pipeline *p)
{
    struct upstream *u = upstream_of_pipeline(p);
    upstream_has_room(u, capacity(u));
}

static void on_answered(struct h1_pipeline *p, uint64_t took_ns)
{
    struct upstream *u = upstream_of_pipeline(p);
    if (bug_if(UPSTREAM, p->count > u->leases)) return; /* each of those that wait is one */
    pipelining_note(pipelining_of(u), took_ns, pipeline_conf_of(u)->spread);
    if (p->client->conn.is_persistent) pipelining_outlive(pipelining_of(u), u->leases - p->count);
}

static void on_loss(struct h1_pipeline *p, enum h1_pipeline_loss why, uint32_t lost)
{
    struct upstream *u = upstream_of_pipeline(p);
    if (bug_if(UPSTREAM, lost > u->leases)) lost = u->leases;
    pipelining_lose(pipelining_of(u), why, lost, u->leases, loop_now_ms(u->home->pool->env->loop));
    upstream_has_room(u, false);
}

static const struct h1_pipeline_owner pipeline_owner = {
    .on_room = on_room,
    .on_answered = on_answered,
    .on_loss = on_loss,
};

static void on_timer(struct timer *t)
{
    struct h1_upstream *h = container_of(t, struct h1_upstream, http.timer);
    if (h->base.is_idle)
        upstream_check_idle(&h->base);
    else
        h1_pipeline_look(&h->pipeline);
}

static void set_up(struct h1_upstream *h)
{
    h->base.ops = &ops;
    h->base.transport = &h->http.transport;
    h->base.timer = &h->http.timer;
    h->base.is_ordered = true;
}

static void begun(struct h1_upstream *h)
{
    struct pool_worker *pw = h->base.home->pool;
    h->http.timer.on_timer = on_timer;
    h1_pipeline_init(&h->pipeline, &h->http, &pipeline_owner, &pw->pipelined, &h->http.timer);
}

struct upstream *upstream_h1_take_over(const struct upstream *from)
{
    struct pool_worker *pw = from->home->pool;
    struct h1_upstream *h = slab_get(&pw->upstreams);
    if (!h) return NULL;
    h->base = (struct upstream){ .home = from->home,
                                 .protocol = from->protocol,
                                 .max_leases = from->max_leases,
                                 .tls_print = from->tls_print };
    list_init(&h->base.link);
    set_up(h);
    if (h1_client_take_over(&h->http, &owner, from->transport, &pw->limits) < 0) {
        loop_bury(pw->env->loop, &h->http.grave, bury);
        return NULL;
    }
    begun(h);
    return &h->base;
}

int upstream_h1_begin(struct upstream *u, const struct pool_target *target)
{
    struct h1_upstream *h = container_of(u, struct h1_upstream, base);
    struct pool_worker *pw = u->home->pool;
    const struct address *own = &u->home->server->address;
    set_up(h);
    if (target) {
        h->target[0] = (struct upstream_target){ target->address, upstream_host_hash(pw, target) };
        u->target = h->target;
    }
    if (h1_client_connect(&h->http, &owner, pw->env->loop, target ? &target->address : own,
                          target ? own : NULL, &pw->limits) < 0) {
        loop_bury(pw->env->loop, &h->http.grave, bury);
        return -1;
    }
    begun(h);
    return 0;
}

size_t upstream_h1_size(bool has_target)
{
    return sizeof(struct h1_upstream) + (has_target ? sizeof(struct upstream_target) : 0);
}
