#include "pool/pool_conf.h"

#include <string.h>

#include "balance/balance.h"
#include "conf/decode.h"
#include "conf/decoding.h"
#include "discovery/place.h"
#include "health/check_conf.h"
#include "pool/found_servers.h"
#include "pool/membership.h"
#include "pool/sticky_conf.h"
#include "route/rate_conf.h"
#include "tls/upstream_conf.h"

/* An address whose port may be missing: whether it may depends on the kind of the pool, which is known later.
 * */
static int parse_server_address(struct slice text, void *out, struct err *err)
{
    struct address *a = out;
    struct ip ip;
    if (!ip_parse(text, &ip)) {
        if (address_parse(text, text.len > 0 && text.data[0] != ':', a, err) == 0) return 0;
        return place_parse(text, a, err);
    }
    char with_port[ADDRESS_TEXT_MAX];
    struct text t = text_over(with_port, sizeof(with_port));
    text_printf(&t, memchr(text.data, ':', text.len) ? "[%.*s]:0" : "%.*s:0", SLICE_ARGS(text));
    return address_parse(text_slice(&t), true, a, err);
}

static void print_server_address(const void *value, struct text *out)
{
    const struct address *a = value;
    if (place_is_one(a)) {
        text_add_slice(out, place_of(a).text);
        return;
    }
    conf_address_type.print(value, out);
}

static const struct conf_type server_address_type = {
    .name = "address",
    .size = sizeof(struct address),
    .parse = parse_server_address,
    .print = print_server_address,
    .pattern_help = "10.0.0.1:80",
};

static const struct conf_field server_fields[] = {
    { "name", CONF_STRING(struct server_conf, name), .min = 1, .max = 128,
      .help = "What the server is called in records, metrics and the API; its address if absent." },
    { "address", CONF_CUSTOM(struct server_conf, address, &server_address_type), .flags = CONF_REQUIRED,
      .help =
          "Where it listens; in a pool of `kind: egress` a local address to leave by, without a port. A "
          "name, like app.internal:8080, stands for a server at each of its addresses, which are asked for "
          "again and again; so does srv:_http._tcp.app.internal for those of a service, and file:/path for "
          "those that are listed in a file. What else is said here holds for each of them." },
    { "weight", CONF_U32(struct server_conf, weight), .max = BALANCE_WEIGHT_MAX, .preset = "1",
      .flags = CONF_LIVE,
      .help = "Its share of the traffic in proportion to the others'; with 0 it gets nothing but what is "
              "meant for "
              "it by a sticky cookie or a pin." },
    { "max_connections", CONF_U32(struct server_conf, max_connections), .max = 1000000, .preset = "0",
      .help =
          "How many connections all workers together may have open to it, idle ones included; 0 is no cap. "
          "Requests over it wait in the pool's queue." },
    { "max_requests", CONF_U32(struct server_conf, max_requests), .max = 1000000, .preset = "0",
      .help = "How many requests all workers together may have at it at the same time, whatever number of "
              "connections they are on; 0 is no cap. With HTTP/1.1 each has a connection of its own, and "
              "`max_connections` is a cap of both." },
    { "tier", CONF_U32(struct server_conf, tier), .min = 1, .max = MEMBERSHIP_TIERS, .preset = "1",
      .help = "Servers of tier 1 get everything while enough of them are well, those of tier 2 what they "
              "cannot bear, "
              "and so on." },
    { "zone", CONF_STRING(struct server_conf, zone), .min = 1, .max = 64,
      .help = "Where it stands, for the pool's `zones`." },
    { "health_address", CONF_CUSTOM(struct server_conf, health_address, &conf_address_type),
      .help = "Who is asked whether it is well, by the pool's `health`; it itself without it." },
    { 0 },
};

const struct conf_type server_conf_type = {
    .name = "server",
    .size = sizeof(struct server_conf),
    .fields = server_fields,
    .short_form = "address",
    .name_from = "address",
};

#define MS_MAX (24 * 3600 * 1000)

static const struct conf_field timeout_fields[] = {
    { "connect", CONF_MSEC(struct pool_timeouts, connect_ms), .min = 1, .max = 600000, .preset = "5s",
      .help = "How long a connection to a server may take to open." },
    { "queue", CONF_MSEC(struct pool_timeouts, queue_ms), .min = 1, .max = MS_MAX, .preset = "5s",
      .help = "How long a request may wait for a server that is not at its cap." },
    { "first_byte", CONF_MSEC(struct pool_timeouts, first_byte_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long a server may take from the end of the request to the first byte of its response." },
    { "response", CONF_MSEC(struct pool_timeouts, response_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long a server may pause within its response, or stop taking the request." },
    { "keep_alive", CONF_MSEC(struct pool_timeouts, keep_alive_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long an idle connection to a server is kept; less where the server is known to close "
              "sooner." },
    { "idle", CONF_MSEC(struct pool_timeouts, idle_ms), .min = 1, .max = MS_MAX, .preset = "10m",
      .help = "How long a tunnel (TCP or upgraded) may be silent in both directions." },
    { "half_closed", CONF_MSEC(struct pool_timeouts, half_closed_ms), .min = 1, .max = MS_MAX,
      .preset = "30s", .help = "How long a tunnel may be silent once one side has closed." },
    { "total", CONF_MSEC(struct pool_timeouts, total_ms), .min = 1, .max = MS_MAX, .preset = "off",
      .flags = CONF_MAY_BE_OFF, .help = "How long an exchange or a tunnel may last in all." },
    { 0 },
};

static const struct conf_type timeouts_type = { .name = "pool timeouts",
                                                .size = sizeof(struct pool_timeouts),
                                                .fields = timeout_fields };

static const char *const order_names[] = { "adaptive", "first_come", NULL };
static const struct conf_type order_type = { .name = "order",
                                             .size = sizeof(uint32_t),
                                             .names = order_names };

static const struct conf_field queue_fields[] = {
    { "length", CONF_U32(struct pool_queue_conf, length), .max = 1000000, .preset = "1024",
      .help = "How many requests of one worker may wait while every server is at its cap." },
    { "order", CONF_ENUM(struct pool_queue_conf, order, &order_type), .preset = "adaptive",
      .help = "Who is next. `first_come`: who waits longest. `adaptive`: likewise, but once the queue has "
              "refused "
              "somebody (full, or `timeouts: {queue: …}` over) and until it has not for that long, who came "
              "last, "
              "so that what is answered is answered soon. Routes' `priority` goes before either." },
    { 0 },
};

static const struct conf_type queue_type = {
    .name = "queue", .size = sizeof(struct pool_queue_conf), .fields = queue_fields, .short_form = "length"
};

static const struct conf_field pipeline_fields[] = {
    { "depth", CONF_U32(struct pool_pipeline_conf, depth), .min = 1, .max = 16, .preset = "1",
      .help = "How many requests may be on one connection to a server at a time, each waiting for the "
              "responses before it; 1 is no pipelining. Only requests without a body that may be repeated, "
              "and only with servers that keep connections open." },
    { "spread", CONF_U32(struct pool_pipeline_conf, spread), .min = 2, .max = 1000, .preset = "8",
      .help = "No pipelining with a server of whose responses the slowest of a hundred takes more than so "
              "many times the median (of less than 1 ms: more than so many ms): the others would wait "
              "behind it." },
    { "patience", CONF_MSEC(struct pool_pipeline_conf, patience_ms), .min = 1, .max = 600000,
      .preset = "100ms",
      .help = "How long one response may keep those behind it waiting: then they are asked for on other "
              "connections." },
    { 0 },
};

static const struct conf_type pipeline_type = { .name = "pipeline",
                                                .size = sizeof(struct pool_pipeline_conf),
                                                .fields = pipeline_fields,
                                                .short_form = "depth" };

/* In the order of enum pool_protocol. */
static const char *const protocol_names[] = { "http1", "h2", "h2c", "auto", NULL };
static const struct conf_type protocol_type = { .name = "pool protocol",
                                                .size = sizeof(uint32_t),
                                                .names = protocol_names };

static const struct conf_field http2_fields[] = {
    { "streams", CONF_U32(struct pool_http2_conf, streams), .min = 1, .max = 10000, .preset = "100",
      .help = "How many requests there may be at the same time on a connection, where the server allows as "
              "many; then another connection is opened." },
    { "window", CONF_BYTES(struct pool_http2_conf, window_bytes), .min = 65535, .max = 16 << 20,
      .preset = "256KiB",
      .help = "How much of a response's body may come before the client takes it. It begins with 64KiB and "
              "grows to this while all is taken at once; for eight of a connection's requests at a time." },
    { "memory", CONF_BYTES(struct pool_http2_conf, memory_bytes), .min = 128 << 10, .max = 1 << 30,
      .preset = "1MiB",
      .help = "How much one connection may hold of what its server does not take; then it ends "
              "(`server_http2_flood`)." },
    { 0 },
};

static const struct conf_type http2_type = { .name = "pool HTTP/2",
                                             .size = sizeof(struct pool_http2_conf),
                                             .fields = http2_fields };

static const struct conf_field limit_fields[] = {
    { "head", CONF_BYTES(struct pool_limits_conf, head_bytes), .min = 1024, .max = 64 << 10,
      .preset = "64KiB", .help = "How large a response's head may be." },
    { "headers", CONF_U32(struct pool_limits_conf, headers), .min = 8, .max = 256, .preset = "128",
      .help = "How many fields a response's head may have." },
    { 0 },
};

static const struct conf_type limits_type = { .name = "pool limits",
                                              .size = sizeof(struct pool_limits_conf),
                                              .fields = limit_fields };

static const struct conf_field tiers_fields[] = {
    { "overprovision", CONF_U32(struct pool_tiers_conf, overprovision), .min = 100, .max = 1000,
      .preset = "140",
      .help = "How much more than their share a tier's servers can bear, in percent: with 140 a tier hands "
              "nothing on "
              "while 72 % of its weight is usable." },
    { "panic", CONF_U32(struct pool_tiers_conf, panic), .max = 100, .preset = "0",
      .help = "A tier of whose weight less than this is usable, in percent, uses all of its enabled servers "
              "whatever "
              "their health; 0 is never." },
    { 0 },
};

static const struct conf_type tiers_type = { .name = "tiers",
                                             .size = sizeof(struct pool_tiers_conf),
                                             .fields = tiers_fields };

static const struct conf_field zones_fields[] = {
    { "local", CONF_STRING(struct pool_zones_conf, local), .min = 1, .max = 64, .flags = CONF_REQUIRED,
      .help = "The zone that this weir stands in: its servers are preferred within each tier." },
    { "spill", CONF_U32(struct pool_zones_conf, spill), .min = 1, .max = 100, .preset = "70",
      .help = "While this much of the local servers' weight is usable, in percent, they get everything; "
              "below it, "
              "the missing part goes to the other zones." },
    { 0 },
};

static const struct conf_type zones_type = {
    .name = "zones", .size = sizeof(struct pool_zones_conf), .fields = zones_fields, .short_form = "local"
};

#define INSTANCES_MAX 10000

static void check_subset(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct pool_subset_conf *s = object;
    if (s->instance >= s->instances)
        conf_decode_fault(d, node, "instance", "instances are counted from 0",
                          "instance %u is not one of %u instances", s->instance, s->instances);
}

static const struct conf_field subset_fields[] = {
    { "size", CONF_U32(struct pool_subset_conf, size), .min = 1, .max = 4096, .flags = CONF_REQUIRED,
      .help = "How many of the pool's servers this process uses." },
    { "instance", CONF_U32(struct pool_subset_conf, instance), .max = INSTANCES_MAX - 1,
      .flags = CONF_REQUIRED, .help = "Which of the processes that share the pool this one is, from 0." },
    { "instances", CONF_U32(struct pool_subset_conf, instances), .min = 1, .max = INSTANCES_MAX,
      .flags = CONF_REQUIRED, .help = "How many processes share the pool." },
    { 0 },
};

static const struct conf_type subset_type = {
    .name = "subset", .size = sizeof(struct pool_subset_conf), .fields = subset_fields, .check = check_subset
};

/* In the order of enum pool_kind. */
static const char *const kind_names[] = { "servers", "egress", NULL };
static const struct conf_type kind_type = { .name = "pool kind",
                                            .size = sizeof(uint32_t),
                                            .names = kind_names };

/* In the order of enum pool_when_all_down. */
static const char *const when_all_down_names[] = { "try_all", "fail", NULL };
static const struct conf_type when_all_down_type = { .name = "when all are down",
                                                     .size = sizeof(uint32_t),
                                                     .names = when_all_down_names };

/* The place of a server's address as it was written. */
static void fault_address(struct conf_decode *d, const struct conf_node *server, const char *remedy,
                          const char *sentence)
{
    conf_decode_fault(d, server, "address", remedy, "%s", sentence);
}

static void check_server_address(struct conf_decode *d, const struct conf_node *server,
                                 const struct address *a)
{
    if (a->sa.any.sa_family == AF_UNIX || place_is_one(a) || address_port(a)) return;
    const struct conf_node *written = conf_node_get(server, "address");
    struct slice text = written ? written->text : server->text;
    struct address ignored;
    struct err err;
    if (address_parse(text, false, &ignored, &err) < 0) fault_address(d, server, "", err.text);
}

static void check_local_address(struct conf_decode *d, const struct conf_node *server,
                                const struct address *a)
{
    if (a->sa.any.sa_family == AF_UNIX || place_is_one(a))
        fault_address(d, server, "write an address of this host, like 192.0.2.1",
                      place_is_one(a) ? "an egress pool leaves by IP addresses, not by names"
                                      : "an egress pool leaves by IP addresses, not by unix sockets");
    else if (address_port(a))
        fault_address(d, server, "leave the port out: each connection gets one of its own",
                      "the address of an egress pool's server has no port");
}

static void check_addresses(struct conf_decode *d, const struct conf_node *servers, const struct pool_conf *p)
{
    const struct server_conf *s = p->servers.data;
    const struct conf_node *node = servers->first_child;
    for (uint32_t i = 0; i < p->servers.count && node; i++, node = node->next) {
        if (p->kind == POOL_EGRESS)
            check_local_address(d, node, &s[i].address);
        else
            check_server_address(d, node, &s[i].address);
        bool is_mixed = s[i].address.sa.any.sa_family != s[0].address.sa.any.sa_family;
        if (p->kind == POOL_EGRESS && is_mixed)
            conf_decode_fault(d, node, NULL, "make a pool for IPv4 and one for IPv6",
                              "the addresses to leave by are of both families");
    }
}

static bool has_tiers_or_zones(const struct pool_conf *p)
{
    const struct server_conf *s = p->servers.data;
    for (uint32_t i = 0; i < p->servers.count; i++)
        if (s[i].tier > 1) return true;
    return p->zones != NULL;
}

static void check_pool_subset(struct conf_decode *d, const struct conf_node *node, const struct pool_conf *p)
{
    const struct pool_subset_conf *s = p->subset;
    uint64_t used = (uint64_t)s->size * s->instances;
    if (used < p->servers.count && !found_is_needed(p))
        conf_decode_fault(
            d, node, "subset", "raise size, or count the instances again",
            "%u instances of %u servers each use %u of the %u servers: the others would get nothing",
            s->instances, s->size, (uint32_t)used, p->servers.count);
    else if (has_tiers_or_zones(p))
        conf_decode_fault(
            d, node, "subset", "use either a subset, or tiers and zones",
            "a subset is dealt from all servers alike: how much of each tier or zone is in it would be "
            "left to chance");
}

/* What is asked over a plain connection would be answered by an alert. */
static void check_plain_checks(struct conf_decode *d, const struct conf_node *node, const struct pool_conf *p)
{
    const struct server_conf *s = p->servers.data;
    bool is_spoken = p->health && !p->health->over_tls &&
                     (p->health->http || p->health->grpc || (p->health->tcp && p->health->tcp->send));
    bool is_elsewhere = p->health && p->health->port;
    for (uint32_t i = 0; p->tls && is_spoken && !is_elsewhere && i < p->servers.count; i++) {
        if (s[i].health_address.len) continue;
        conf_decode_fault(d, node, "health",
                          "leave `tls: false` out, or give checks a plain `port` of their own",
                          "checks are to be spoken plain, and the servers of this pool speak TLS");
        return;
    }
}

/* Those over UDP: nobody else may think that they are asked otherwise. */
static void check_datagram_checks(struct conf_decode *d, const struct conf_node *node,
                                  const struct pool_conf *p)
{
    const struct server_conf *s = p->servers.data;
    const struct conf_node *servers = conf_node_get(node, "servers");
    if (!p->health || !check_is_of_datagrams(p->health)) return;
    if (p->tls && p->health->over_tls)
        conf_decode_fault(d, conf_node_get(node, "health"), NULL, "write `tls: false` beside it",
                          "a check over UDP is asked plain, and the servers of this pool speak TLS");
    const struct conf_node *server = servers ? servers->first_child : NULL;
    for (uint32_t i = 0; i < p->servers.count && server; i++, server = server->next) {
        const struct address *asked = s[i].health_address.len ? &s[i].health_address : &s[i].address;
        if (asked->len && asked->sa.any.sa_family == AF_UNIX)
            conf_decode_fault(d, server, NULL, "give it a `health_address`, an address and a port",
                              "a unix socket is not asked by a check over UDP");
    }
}

static void check_pool_health(struct conf_decode *d, const struct conf_node *node, const struct pool_conf *p)
{
    const struct conf_node *server = conf_node_get(node, "servers");
    const struct server_conf *s = p->servers.data;
    if (p->health && p->kind == POOL_EGRESS)
        conf_decode_fault(d, node, "health", "leave it out",
                          "the servers of an egress pool are this host's own addresses, and answer nothing");
    server = server ? server->first_child : NULL;
    for (uint32_t i = 0; i < p->servers.count && server; i++, server = server->next)
        if (s[i].health_address.len && !p->health)
            conf_decode_fault(d, server, "health_address", "write for example health: {tcp: {}} in the pool",
                              "nobody asks it: the pool has no health check");
}

/* Who a server has to be must be known before it is asked. */
static void check_names(struct conf_decode *d, const struct conf_node *servers, const struct pool_conf *p)
{
    const struct server_conf *s = p->servers.data;
    const struct conf_node *node = servers->first_child;
    if (p->kind == POOL_EGRESS || p->tls->name || p->tls->verify == TLS_VERIFY_OFF) return;
    for (uint32_t i = 0; i < p->servers.count && node; i++, node = node->next)
        if (s[i].address.sa.any.sa_family == AF_UNIX && !tls_name_can_be_verified(s[i].name))
            conf_decode_fault(d, node, "address",
                              "give it as the server's name, or as `tls: {name: …}` of the pool",
                              "a unix socket has no name that a certificate could be verified by");
}

static void check_tls(struct conf_decode *d, const struct conf_node *node, struct pool_conf *p)
{
    const struct conf_node *servers = conf_node_get(node, "servers"), *tls = conf_node_get(node, "tls");
    if (p->tls && servers) check_names(d, servers, p);
    if (p->kind != POOL_EGRESS) return;
    p->egress_tls = p->tls ? p->tls->upstream : tls_upstream_by_default(d->arena);
    if (!p->egress_tls && !p->tls) conf_decode_set_short(d);
    if (p->tls && p->tls->name)
        conf_decode_fault(d, tls, "name", "leave it out",
                          "in an egress pool the name that is verified is the one that a request asks for");
}

/* Where HTTP/2 cannot be spoken. */
static void check_protocol(struct conf_decode *d, const struct conf_node *node, const struct pool_conf *p)
{
    if (p->protocol == POOL_HTTP1) return;
    if (p->kind == POOL_EGRESS)
        conf_decode_fault(d, node, "protocol", "leave it out",
                          "an egress pool speaks HTTP/1.1 with its targets");
    else if (p->protocol == POOL_H2 && !p->tls)
        conf_decode_fault(d, node, "protocol", "write `tls: {}` in the pool, or h2c for HTTP/2 without TLS",
                          "h2 is HTTP/2 over TLS, and the servers of this pool are spoken to plain");
    else if (p->protocol == POOL_H2C && p->tls)
        conf_decode_fault(d, node, "protocol", "write h2",
                          "h2c is HTTP/2 without TLS, and this pool has `tls`");
    else if (p->protocol == POOL_AUTO && !p->tls)
        conf_decode_fault(
            d, node, "protocol", "write `tls: {}` in the pool, or say which: http1 or h2c",
            "auto goes by what TLS agrees on, and the servers of this pool are spoken to plain");
    if (p->protocol == POOL_AUTO) return;
    if (p->health && p->health->http && !p->health->port)
        conf_decode_fault(d, node, "health",
                          "give checks a `port` of their own, or write health: {grpc: {}} or {tcp: {}}",
                          "checks are asked in HTTP/1.1, and the servers of this pool speak HTTP/2");
}

static void check_pool(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct pool_conf *p = object;
    const struct conf_node *servers = conf_node_get(node, "servers");
    if (servers) check_addresses(d, servers, p);
    if (p->host && strpbrk(p->host, "/?# @{}\"<>\\^`|"))
        conf_decode_fault(d, node, "host",
                          "write what servers know themselves by, like app.example.com or app:8080",
                          "\"%.80s\" is more than a Host can be", p->host);
    if (p->concurrency.adaptive && p->kind == POOL_EGRESS)
        conf_decode_fault(d, node, "concurrency", "leave it out",
                          "how long a request takes says nothing of the address that it leaves by");
    if (p->retry.how.hedge && p->kind == POOL_EGRESS)
        conf_decode_fault(d, conf_node_get(node, "retry"), "hedge", "leave it out",
                          "where an egress pool's requests go there is one server, and no other to ask");
    check_tls(d, node, p);
    if (p->subset) check_pool_subset(d, node, p);
    if (p->sticky && p->kind == POOL_EGRESS)
        conf_decode_fault(d, node, "sticky", "balance by hash to keep a client with one address",
                          "an egress pool has no sticky cookies");
    check_pool_health(d, node, p);
    check_plain_checks(d, node, p);
    check_datagram_checks(d, node, p);
    check_protocol(d, node, p);
}

/* In the order of enum proxy_protocol. */
static const char *const proxy_protocol_names[] = { "off", "v1", "v2", NULL };
static const struct conf_type proxy_protocol_type = { .name = "PROXY version",
                                                      .names = proxy_protocol_names };

static const struct conf_field pool_fields[] = {
    { "name", CONF_STRING(struct pool_conf, name), .min = 1, .max = 64, .help = "What the pool is called." },
    { "kind", CONF_ENUM(struct pool_conf, kind, &kind_type), .preset = "servers",
      .help = "servers: requests go to them; egress: the `servers` are addresses of this host by which "
              "requests leave "
              "for where their route sends them." },
    { "balance", CONF_CHOICE(struct pool_conf, balance, &balance_conf_type), .preset = "least_request",
      .help = "How a server is chosen." },
    { "servers", CONF_NAMED(struct pool_conf, servers, &server_conf_type), .min = 1, .max = 4096,
      .flags = CONF_REQUIRED, .help = "The servers that can answer the same request." },
    { "host", CONF_STRING(struct pool_conf, host), .min = 1, .max = 255, .preset = "keep",
      .help = "The Host that servers are sent: `keep` passes the client's on, `server` sends the server's "
              "address, "
              "any other text is sent as it is." },
    { "timeouts", CONF_OBJECT(struct pool_conf, timeouts, &timeouts_type),
      .help = "Time-outs towards its servers." },
    { "queue", CONF_OBJECT(struct pool_conf, queue, &queue_type),
      .help = "Where requests wait while every server is at its cap." },
    { "concurrency", CONF_OBJECT(struct pool_conf, concurrency, &pool_concurrency_type),
      .help = "How many requests may be at a server at a time, beside the servers' own `max_requests`." },
    { "retry", CONF_OBJECT(struct pool_conf, retry, &pool_retry_conf_type),
      .help = "When a request may go to another server: never if it may have been acted on and cannot be "
              "repeated." },
    { "limits", CONF_OBJECT(struct pool_conf, limits, &limits_type),
      .help = "Bounds on what a server may answer." },
    { "idle_connections", CONF_U32(struct pool_conf, idle_connections), .max = 100000, .preset = "256",
      .help =
          "How many idle connections one worker keeps to each server. Up to four times as many, if so many "
          "were at work at the "
          "same time, stay open for a second, so that they need not be opened anew for the next requests." },
    { "max_requests", CONF_U32(struct pool_conf, max_requests), .max = 1000000000, .preset = "0",
      .help = "After how many requests a connection to a server is closed; 0 is never." },
    { "protocol", CONF_ENUM(struct pool_conf, protocol, &protocol_type), .preset = "http1",
      .help =
          "What is spoken with the servers. http1: HTTP/1.1; h2: HTTP/2 over TLS, agreed on by ALPN; h2c: "
          "HTTP/2 without TLS, by prior knowledge; auto: over TLS, whichever of the two a server chooses by "
          "ALPN, HTTP/2 preferred." },
    { "http2", CONF_OBJECT(struct pool_conf, http2, &http2_type),
      .help = "Bounds of connections that speak HTTP/2." },
    { "pipeline", CONF_OBJECT(struct pool_conf, pipeline, &pipeline_type),
      .help = "Several requests at a time on one connection to a server: fewer system calls and segments "
              "for small responses, at the price that one may wait for another." },
    { "tiers", CONF_OBJECT(struct pool_conf, tiers, &tiers_type),
      .help = "When servers of a later tier get something." },
    { "zones", CONF_OPTIONAL(struct pool_conf, zones, &zones_type),
      .help = "Servers of weir's own zone are preferred; all are alike without it." },
    { "warmup", CONF_MSEC(struct pool_conf, warmup_ms), .max = 3600000, .preset = "off",
      .flags = CONF_MAY_BE_OFF,
      .help =
          "A server that comes back begins with a tenth of its weight and has all of it after this time." },
    { "subset", CONF_OPTIONAL(struct pool_conf, subset, &subset_type),
      .help = "This process uses only some of very many servers; of all processes together each is used "
              "evenly." },
    { "sticky", CONF_OPTIONAL(struct pool_conf, sticky, &sticky_conf_type),
      .help = "A client stays with its server, by a cookie." },
    { "health", CONF_OPTIONAL(struct pool_conf, health, &check_conf_type),
      .help = "Each server is asked now and then whether it is well; who is not gets nothing." },
    { "ejection", CONF_OBJECT(struct pool_conf, ejection, &ejection_conf_type),
      .help = "When a server is taken out for a while by what is seen of it; `false` for never." },
    { "rate", CONF_OPTIONAL(struct pool_conf, rate, &rate_conf_type),
      .help = "How many requests may come to it in a time, like `100/s`, by whatever route." },
    { "when_all_down", CONF_ENUM(struct pool_conf, when_all_down, &when_all_down_type), .preset = "try_all",
      .help = "If no server is well. try_all: all that the operator has enabled are used; fail: requests are "
              "refused with 503 at once." },
    { "proxy_protocol", CONF_ENUM(struct pool_conf, proxy_protocol, &proxy_protocol_type), .preset = "off",
      .help = "With which version of the PROXY header each connection begins, for servers that are to know "
              "the client of a tcp listener. Health checks of the servers' own port begin with one, too." },
    { "tls", CONF_OPTIONAL(struct pool_conf, tls, &tls_upstream_conf_type),
      .help = "Servers are spoken to by TLS. In an egress pool it says how targets are that are asked for by "
              "https." },
    { 0 },
};

const struct conf_type pool_conf_type = {
    .name = "pool", .size = sizeof(struct pool_conf), .fields = pool_fields, .check = check_pool
};
