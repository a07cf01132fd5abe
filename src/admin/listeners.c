#include "admin/latency.h"
#include "admin/routes.h"
#include "proxy/listener.h"
#include "proxy/mirror.h"
#include "proxy/proxy.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"

struct listener_answer {
    const char *name, *bind, *protocol;
    uint64_t connections, accepted, bytes_in, bytes_out, exchanges, datagrams_in, datagrams_out;
    struct shape_list refused, ends, datagrams_dropped; /* struct shape_count */
    struct latency latency;
};

static const struct shape_field listener_fields[] = {
    SHAPE_ROW(listener_answer, name, STRING, "Its name in the configuration."),
    SHAPE_ROW(listener_answer, bind, STRING, "Where it accepts connections."),
    SHAPE_ROW(listener_answer, protocol, STRING, "http, tcp or udp."),
    SHAPE_ROW(listener_answer, connections, COUNT, "Client connections open now; of datagrams, sessions."),
    SHAPE_ROW(listener_answer, accepted, COUNT, "Client connections let in since the start."),
    SHAPE_ROW(listener_answer, refused, COUNTS, "Client connections closed at once, by reason."),
    SHAPE_ROW(listener_answer, bytes_in, COUNT, "Bytes taken from clients."),
    SHAPE_ROW(listener_answer, bytes_out, COUNT, "Bytes given to clients."),
    SHAPE_ROW(listener_answer, datagrams_in, COUNT, "Datagrams taken from clients, of a udp listener."),
    SHAPE_ROW(listener_answer, datagrams_out, COUNT, "Servers' datagrams for clients, likewise."),
    SHAPE_ROW(listener_answer, datagrams_dropped, COUNTS, "Those that went nowhere, by reason."),
    SHAPE_ROW(listener_answer, exchanges, COUNT, "Exchanges and tunnels that have ended."),
    SHAPE_ROW(listener_answer, ends, COUNTS,
              "The same by how they ended; reasons that never came are left out."),
    SHAPE_ROW(listener_answer, latency, OBJECT, NULL, .of = &latency_shape),
    { 0 },
};

struct route_answer {
    const char *listener, *name, *pool, *split, *mirror;
    uint64_t exchanges;
    const struct route_conf *match;
};

static const struct shape_field route_fields[] = {
    SHAPE_ROW(route_answer, listener, STRING, "The listener it belongs to."),
    SHAPE_ROW(route_answer, name, STRING, "Its name; default is a listener's own pool."),
    SHAPE_ROW(route_answer, pool, STRING, "The pool it leads to; null where a split or weir itself answers.",
              .may_be_null = true),
    SHAPE_ROW(route_answer, split, STRING, "The split that chooses the pool.", .may_be_null = true),
    SHAPE_ROW(route_answer, mirror, STRING, "The pool that copies go to.", .may_be_null = true),
    SHAPE_ROW(route_answer, exchanges, COUNT, "Exchanges that took it."),
    { "conf", SHAPE_CONF, offsetof(struct route_answer, match),
      .help = "The route as configured; null where the listener has a pool for everything.",
      .conf = &route_conf_type, .may_be_null = true },
    { 0 },
};

const struct shape listener_shape = { "Listener", sizeof(struct listener_answer), listener_fields };
const struct shape route_shape = { "Route", sizeof(struct route_answer), route_fields };

/* Those that are not zero. */
static struct shape_list count_reasons(const struct metric_registry *m,
                                       const uint32_t meters[END_REASON_COUNT],
                                       struct shape_count counts[END_REASON_COUNT])
{
    uint32_t count = 0;
    for (unsigned i = 1; i < END_REASON_COUNT; i++) {
        uint64_t sum = meters[i] ? metric_sum(m, meters[i]) : 0;
        if (sum) counts[count++] = (struct shape_count){ end_reason_info((enum end_reason)i)->name, sum };
    }
    return (struct shape_list){ counts, count };
}

static struct shape_list count_drops(const struct metric_registry *m, const struct listener *l,
                                     struct shape_count counts[UDP_DROP_COUNT])
{
    uint32_t count = 0;
    for (unsigned i = 0; i < UDP_DROP_COUNT; i++) {
        uint64_t sum = l->udp.dropped[i] ? metric_sum(m, l->udp.dropped[i]) : 0;
        if (sum) counts[count++] = (struct shape_count){ udp_drop_name((enum udp_drop)i), sum };
    }
    return (struct shape_list){ counts, count };
}

static void print_listener(const struct listener *l, const struct metric_registry *m, struct json *j)
{
    char bind[ADDRESS_TEXT_MAX];
    struct shape_count refused[END_REASON_COUNT];
    struct shape_count ends[END_REASON_COUNT];
    struct shape_count drops[UDP_DROP_COUNT];
    struct listener_answer a = {
        .name = l->name,
        .bind = address_print(&l->routes->conf->bind, bind),
        .protocol = listener_protocol_name(l->routes->conf->protocol),
        .connections = atomic_load_explicit(&l->connections, memory_order_relaxed),
        .accepted = metric_sum(m, l->meter_accepted),
        .bytes_in = metric_sum(m, l->meter_bytes_in),
        .bytes_out = metric_sum(m, l->meter_bytes_out),
        .datagrams_in = l->udp.received ? metric_sum(m, l->udp.received) : 0,
        .datagrams_out = l->udp.sent ? metric_sum(m, l->udp.sent) : 0,
        .datagrams_dropped = count_drops(m, l, drops),
        .refused = count_reasons(m, l->meter_refused, refused),
        .ends = count_reasons(m, l->meter_ends, ends),
        .latency = latency_of(m, l->meter_seconds),
    };
    for (uint32_t i = 0; i < a.ends.count; i++) a.exchanges += ends[i].count;
    shape_print(&listener_shape, &a, j);
}

void listeners_list(const struct admin_request *rq, struct answer *out)
{
    const struct proxy *p = rq->proxy;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "listeners");
    json_array(&j);
    for (uint32_t i = 0; i < p->listener_count; i++) print_listener(p->listeners[i], p->metrics, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

static void print_route(const struct listener *l, const struct route *r, const struct metric_registry *m,
                        struct json *j)
{
    struct route_answer a = { .listener = l->name,
                              .name = r->name,
                              .pool = r->pool ? r->pool->pool->name : NULL,
                              .split = r->split ? r->split->name : NULL,
                              .mirror = r->mirror ? r->mirror->pool->pool->name : NULL,
                              .exchanges = metric_sum(m, r->meters.exchanges),
                              .match = r->conf };
    shape_print(&route_shape, &a, j);
}

void routes_list(const struct admin_request *rq, struct answer *out)
{
    const struct proxy *p = rq->proxy;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "routes");
    json_array(&j);
    for (uint32_t i = 0; i < p->listener_count; i++)
        for (uint32_t k = 0; k < p->listeners[i]->routes->route_count; k++)
            print_route(p->listeners[i], &p->listeners[i]->routes->routes[k], p->metrics, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}
