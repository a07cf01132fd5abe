#include "proxy/proxy_conf.h"

#include "conf/decode.h"
#include "discovery/place.h"
#include "proxy/pace.h"
#include "route/sni_table.h"

#define MS_MAX (24 * 3600 * 1000)

static const char *const protocol_names[] = { "http", "tcp", "udp", NULL };
const char *listener_protocol_name(uint32_t protocol)
{
    return protocol_names[protocol];
}

static const struct conf_type protocol_type = { .name = "protocol", .names = protocol_names };

static const struct conf_field listener_timeout_fields[] = {
    { "header", CONF_MSEC(struct listener_timeouts, header_ms), .min = 1, .max = MS_MAX, .preset = "10s",
      .help = "How long a request's head may take to arrive, from its first byte." },
    { "body", CONF_MSEC(struct listener_timeouts, body_ms), .min = 1, .max = MS_MAX, .preset = "30s",
      .help = "How long a client may pause within a request's body." },
    { "write", CONF_MSEC(struct listener_timeouts, write_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long a client may leave a response untaken." },
    { "keep_alive", CONF_MSEC(struct listener_timeouts, keep_alive_ms), .min = 1, .max = MS_MAX,
      .preset = "75s", .help = "How long a client's idle connection is kept." },
    { 0 },
};

static const struct conf_type listener_timeouts_type = { .name = "listener timeouts",
                                                         .size = sizeof(struct listener_timeouts),
                                                         .fields = listener_timeout_fields };

static const struct conf_field listener_limit_fields[] = {
    { "head", CONF_BYTES(struct listener_limits, head_bytes), .min = 1024, .max = 64 << 10, .preset = "64KiB",
      .help = "How large a request's head may be." },
    { "headers", CONF_U32(struct listener_limits, headers), .min = 8, .max = 256, .preset = "128",
      .help = "How many fields a request's head may have." },
    { "body", CONF_BYTES(struct listener_limits, body_bytes), .max = INT64_MAX, .preset = "off",
      .flags = CONF_MAY_BE_OFF | CONF_OFF_IS_MAX,
      .help = "How large a request's body may be; 0 refuses every body." },
    { "least_rate", CONF_BYTES(struct listener_limits, least_rate), .min = 1, .max = PACE_RATE_MAX,
      .preset = "240", .flags = CONF_MAY_BE_OFF,
      .help =
          "How many bytes of a body a client has to move in a second, of a request or of a response, while "
          "it "
          "is waited for. It may be behind by as much as it may pause (`timeouts: {body, write}`). Bodies "
          "of gRPC, and those beside whose response has begun, need not." },
    { 0 },
};

static const struct conf_type listener_limits_type = { .name = "listener limits",
                                                       .size = sizeof(struct listener_limits),
                                                       .fields = listener_limit_fields };

static const char *const underscore_names[] = { "drop", "keep", "refuse", NULL };
static const struct conf_type underscore_type = { .name = "underscore", .names = underscore_names };

static const struct conf_field listener_field_fields[] = {
    { "underscore", CONF_ENUM(struct listener_fields, underscore, &underscore_type), .preset = "drop",
      .help = "What becomes of fields with `_` in their name, which servers behind CGI and WSGI cannot tell "
              "from those with `-`: `drop` leaves them out, `keep` passes them on, `refuse` answers 400." },
    { 0 },
};

static const struct conf_type listener_fields_type = { .name = "listener fields",
                                                       .size = sizeof(struct listener_fields),
                                                       .fields = listener_field_fields };

/* In the order of enum faults_detail. */
static const char *const detail_names[] = { "id", "full", NULL };
static const struct conf_type detail_type = { .name = "detail", .names = detail_names };

static const struct conf_field listener_fault_fields[] = {
    { "detail", CONF_ENUM(struct listener_faults, detail, &detail_type), .preset = "id",
      .help = "What clients are told when something fails: `id` says what kind of fault it was and the "
              "request's id, by "
              "which `weir why` tells the rest; `full` names the server, the pool, and what it did or did "
              "not do." },
    { 0 },
};

static const struct conf_type listener_faults_type = { .name = "listener faults",
                                                       .size = sizeof(struct listener_faults),
                                                       .fields = listener_fault_fields,
                                                       .short_form = "detail" };

#define FLOOD_MAX 1000000000

static const struct conf_field listener_http2_fields[] = {
    { "enabled", CONF_BOOL(struct listener_http2, enabled), .preset = "true",
      .help =
          "Whether HTTP/2 is spoken: over TLS to clients that ask for it (ALPN `h2`), without TLS to those "
          "that begin with it. Connections that are open go on as they are." },
    { "websockets", CONF_BOOL(struct listener_http2, websockets), .preset = "true",
      .help = "Whether WebSockets may be opened over HTTP/2 (RFC 8441), beside requests on one connection: "
              "where a route's `upgrade` lets them pass. Connections that are open go on as they are." },
    { "streams", CONF_U32(struct listener_http2, streams), .min = 1, .max = 10000, .preset = "100",
      .help = "How many requests there may be at the same time on a connection; more are refused, as not "
              "acted on." },
    { "window", CONF_BYTES(struct listener_http2, window_bytes), .min = 65535, .max = 16 << 20,
      .preset = "256KiB",
      .help = "How much of a request's body may come before the server takes it. It begins with 64KiB and "
              "grows to this while all is taken at once." },
    { "memory", CONF_BYTES(struct listener_http2, memory_bytes), .min = 128 << 10, .max = 1 << 30,
      .preset = "1MiB",
      .help =
          "How much one connection may hold of heads and of what its client does not take; then requests "
          "are refused, or it ends (`http2_memory`). And of bodies that servers do not take; then no more of "
          "them is received until they do." },
    { "continuations", CONF_U32(struct listener_http2, continuations), .max = 10000, .preset = "32",
      .help = "How many CONTINUATION frames one head may come in (`http2_continuations`)." },
    { "resets", CONF_U32(struct listener_http2, resets), .max = FLOOD_MAX, .preset = "200",
      .help =
          "How many requests a connection may take back before they are answered, or have refused, in ten "
          "seconds (`http2_resets`)." },
    { "settings", CONF_U32(struct listener_http2, settings), .min = 1, .max = FLOOD_MAX, .preset = "100",
      .help = "How many SETTINGS frames may come in ten seconds (`http2_settings`)." },
    { "pings", CONF_U32(struct listener_http2, pings), .max = FLOOD_MAX, .preset = "500",
      .help = "How many PING frames may come in ten seconds, beside what bodies make up for "
              "(`http2_pings`)." },
    { "empty_frames", CONF_U32(struct listener_http2, empty_frames), .max = FLOOD_MAX, .preset = "500",
      .help = "How many frames with nothing in them or without meaning may come in ten seconds, beside what "
              "requests and bodies make up for (`http2_empty_frames`)." },
    { "window_updates", CONF_U32(struct listener_http2, window_updates), .min = 10, .max = FLOOD_MAX,
      .preset = "2000",
      .help = "How many WINDOW_UPDATE frames may come in ten seconds, beside what bodies make up for "
              "(`http2_windows`)." },
    { 0 },
};

static const struct conf_type listener_http2_type = { .name = "listener HTTP/2",
                                                      .size = sizeof(struct listener_http2),
                                                      .fields = listener_http2_fields };

static void check_pin(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct pin_conf *pin = object;
    if (!pin->from.count && !pin->token)
        conf_decode_fault(d, node, NULL, "add `from:` with address blocks, or a `token:`",
                          "nobody may pin with neither addresses nor a token");
}

static const struct conf_field pin_fields[] = {
    { "from", CONF_LIST(struct pin_conf, from, &conf_cidr_type), .max = 1000,
      .help = "Peers that may name a server." },
    { "token", CONF_STRING(struct pin_conf, token), .min = 16, .max = 255, .flags = CONF_SECRET,
      .help = "Whoever sends it in Weir-Pin-Token may name a server." },
    { 0 },
};

static const struct conf_type pin_type = {
    .name = "pin", .size = sizeof(struct pin_conf), .fields = pin_fields, .check = check_pin
};

static const struct conf_type pool_ref_type = { .name = "pools" };

static void check_route_path(struct conf_decode *d, const struct conf_node *node, const char *key,
                             const struct http_path_rules *rules, const char *path)
{
    struct err err;
    bool is_prefix = strcmp(key, "path") != 0;
    if (!path || path[0] != '/' || http_path_check(rules, path, is_prefix, &err) == 0) return;
    conf_decode_fault(d, node, key, "", "%s", err.text);
}

/* Routes are compared with canonical paths: one that is written in another way would never be taken. */
static void check_route_paths(struct conf_decode *d, const struct conf_node *node,
                              const struct listener_conf *l)
{
    const struct route_conf *r = l->routes.data;
    const struct conf_node *routes = conf_node_get(node, "routes");
    const struct conf_node *at = routes ? routes->first_child : NULL;
    for (uint32_t i = 0; at && i < l->routes.count; i++, at = at->next) {
        check_route_path(d, at, "path", &l->paths, r[i].path);
        check_route_path(d, at, "path_prefix", &l->paths, r[i].path_prefix);
        if (r[i].not ) route_not_check_paths(d, conf_node_get(at, "not"), r[i].not, &l->paths);
        const struct conf_node *rewrite = r[i].rewrite ? conf_node_get(at, "rewrite") : NULL;
        if (!rewrite) continue;
        check_route_path(d, rewrite, "strip_prefix", &l->paths, r[i].rewrite->strip_prefix);
        check_route_path(d, rewrite, "add_prefix", &l->paths, r[i].rewrite->add_prefix);
    }
}

struct told_twice {
    struct conf_decode *d;
    const struct conf_node *routes;
};

static void tell_twice(void *context, uint32_t route, const char *name)
{
    const struct told_twice *told = context;
    const struct conf_node *at = told->routes ? told->routes->first_child : NULL;
    while (at && route--) at = at->next;
    conf_decode_fault(told->d, at, "sni", "leave it out of one", "\"%s\" is there twice", name);
}

/* What passes bytes knows of a client its address, and the name that it asks for by TLS. */
static void check_tcp_route(struct conf_decode *d, const struct conf_node *node, const struct route_conf *r)
{
    static const char *const http_keys[] = { "host",
                                             "path",
                                             "path_prefix",
                                             "path_regex",
                                             "scheme",
                                             "timeouts",
                                             "limits",
                                             "method",
                                             "headers",
                                             "query",
                                             "client",
                                             "split",
                                             "redirect",
                                             "respond",
                                             "files",
                                             "egress",
                                             "debug",
                                             "rewrite",
                                             "request_headers",
                                             "response_headers",
                                             "request_trailers",
                                             "mirror",
                                             "gate",
                                             "idempotent",
                                             "rate",
                                             "auth",
                                             "retry",
                                             "compress",
                                             "errors",
                                             "maintenance",
                                             "cors",
                                             "not" };
    const char *const *names = r->sni.data;
    struct err err;
    for (size_t i = 0; i < sizeof(http_keys) / sizeof(*http_keys); i++)
        if (conf_node_get(node, http_keys[i]))
            conf_decode_fault(d, node, http_keys[i], "a route of a tcp listener has `sni`, `pool` and a name",
                              "bytes that are passed on have no \"%s\"", http_keys[i]);
    for (uint32_t i = 0; i < r->sni.count; i++)
        if (sni_check_name(names[i], &err) < 0) conf_decode_fault(d, node, "sni", "", "%s", err.text);
}

static void check_names(struct conf_decode *d, const struct conf_node *node, const struct listener_conf *l)
{
    const struct route_conf *r = l->routes.data;
    const struct conf_node *routes = conf_node_get(node, "routes");
    const struct conf_node *at = routes ? routes->first_child : NULL;
    bool is_tcp = l->protocol == LISTENER_TCP, has_rest = false;
    for (uint32_t i = 0; at && i < l->routes.count; i++, at = at->next) {
        if (is_tcp)
            check_tcp_route(d, at, &r[i]);
        else if (r[i].sni.count)
            conf_decode_fault(
                d, at, "sni", "write `protocol: tcp`, or go by `host:`",
                "requests go by the host that they name, not by the name that TLS was opened with");
        if (is_tcp && !r[i].sni.count && has_rest)
            conf_decode_fault(d, at, NULL, "add `sni:`",
                              "an earlier route takes all that has no route of its own");
        has_rest |= !r[i].sni.count;
    }
    struct told_twice told = { d, routes };
    if (is_tcp) sni_table_each_twice(r, l->routes.count, tell_twice, &told);
}

/* What is done to requests would be done to nothing. */
static void check_tcp_listener(struct conf_decode *d, const struct conf_node *node)
{
    static const char *const http_keys[] = {
        "http2", "trust",    "fields", "paths",       "limits", "pin",
        "auth",  "compress", "errors", "maintenance", "cors",
    };
    for (size_t i = 0; i < sizeof(http_keys) / sizeof(*http_keys); i++)
        if (conf_node_get(node, http_keys[i]))
            conf_decode_fault(d, node, http_keys[i], "take it out, or write `protocol: http`",
                              "a tcp listener passes bytes and knows no requests that \"%s\" could be for",
                              http_keys[i]);
}

static void check_listener(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct listener_conf *l = object;
    udp_conf_check(d, node, l);
    if (l->protocol == LISTENER_UDP) return;
    check_names(d, node, l);
    if (l->protocol == LISTENER_TCP) check_tcp_listener(d, node);
    if (l->protocol == LISTENER_TCP && l->rate)
        conf_decode_fault(d, node, "rate", "bound connections by `gate: {connections_per_client}`",
                          "a tcp listener passes bytes and knows no requests that could be counted");
    const char *rest = l->redirect ? "redirect" : l->respond ? "respond" : "files";
    int rests = (l->redirect != NULL) + (l->respond != NULL) + (l->files != NULL);
    if (l->protocol == LISTENER_TCP && rests)
        conf_decode_fault(d, node, rest, "write `protocol: http`, or leave it out",
                          "a tcp listener does not %s", l->files ? "answer from files" : rest);
    else if (rests > 1)
        conf_decode_fault(d, node, l->files ? "files" : "respond", "keep one of them",
                          "what no route takes has one answer");
    else if (l->pool && rests)
        conf_decode_fault(d, node, rest, "leave one out; with `routes:` both go together",
                          "a listener has either a pool for everything or %ss everything itself",
                          l->redirect ? "redirect" : "answer");
    else if (l->pool && l->routes.count)
        conf_decode_fault(d, node, "pool",
                          "keep `routes:`, the last of which may match everything, or `pool:` alone",
                          "a listener has either a pool or routes");
    else if (!l->pool && !l->routes.count && !rests)
        conf_decode_fault(d, node, NULL, "add `pool:` with a pool's name",
                          "a listener needs a pool or routes");
    if (l->redirect) l->rest = (struct route_conf){ .name = "https", .https = l->redirect };
    if (l->respond) l->rest = (struct route_conf){ .name = "respond", .respond = l->respond };
    if (l->files) l->rest = (struct route_conf){ .name = "files", .files = l->files };
    check_route_paths(d, node, l);
}

static const char *const others_names[] = { "refuse", "serve", NULL };
static const struct conf_type others_type = { .name = "others", .names = others_names };

static const struct conf_field introduction_fields[] = {
    { "from", CONF_LIST(struct listener_introduction, from, &conf_cidr_type), .min = 1, .max = 1000,
      .flags = CONF_REQUIRED,
      .help = "Whose connections begin with a PROXY header, of version 1 or 2, and are believed." },
    { "others", CONF_ENUM(struct listener_introduction, others, &others_type), .preset = "refuse",
      .help = "Who else connects: `refuse` closes, `serve` takes each as the client that it is." },
    { 0 },
};

static const struct conf_type introduction_type = { .name = "PROXY protocol",
                                                    .size = sizeof(struct listener_introduction),
                                                    .fields = introduction_fields };

static const struct conf_field listener_fields[] = {
    { "name", CONF_STRING(struct listener_conf, name), .min = 1, .max = 64,
      .help = "What the listener is called; its address if absent." },
    { "bind", CONF_CUSTOM(struct listener_conf, bind, &conf_bind_address_type), .flags = CONF_REQUIRED,
      .help = "Where connections are accepted." },
    { "protocol", CONF_ENUM(struct listener_conf, protocol, &protocol_type), .preset = "http",
      .help = "`http` understands requests; `tcp` passes bytes, `udp` datagrams." },
    { "tls", CONF_OPTIONAL(struct listener_conf, tls, &tls_conf_type),
      .help = "Clients speak TLS; `certificates` is all that it needs." },
    { "pool", CONF_REF(struct listener_conf, pool, &pool_ref_type), .help = "One pool for everything." },
    { "routes", CONF_NAMED(struct listener_conf, routes, &route_conf_type), .max = 10000,
      .help = "Which request goes to which pool: the most specific wins, then the first." },
    { "redirect", CONF_OPTIONAL(struct listener_conf, redirect, &route_https_type),
      .help = "`https`: what no route takes is sent to the same host, path and query by https." },
    { "respond", CONF_OPTIONAL(struct listener_conf, respond, &route_respond_type),
      .help = "Or what no route takes is answered so by weir itself; text will do." },
    { "files", CONF_OPTIONAL(struct listener_conf, files, &files_conf_type),
      .help = "Likewise: the folder that is looked into." },
    { "timeouts", CONF_OBJECT(struct listener_conf, timeouts, &listener_timeouts_type),
      .help = "Time-outs towards clients." },
    { "limits", CONF_OBJECT(struct listener_conf, limits, &listener_limits_type),
      .help = "Bounds on what a client may send." },
    { "fields", CONF_OBJECT(struct listener_conf, fields, &listener_fields_type),
      .help = "Which of a request's fields pass." },
    { "faults", CONF_OBJECT(struct listener_conf, faults, &listener_faults_type),
      .help = "What clients see of what went wrong." },
    { "http2", CONF_OBJECT(struct listener_conf, http2, &listener_http2_type),
      .help = "HTTP/2 with clients, and what one of their connections may do." },
    { "udp", CONF_OBJECT(struct listener_conf, udp, &udp_conf_type),
      .help = "Of a listener for datagrams: what a session is, and how many there may be." },
    { "paths", CONF_OBJECT(struct listener_conf, paths, &http_path_rules_type),
      .help = "How a request's path is read. What could be read in more than one way is refused." },
    { "trust", CONF_LIST(struct listener_conf, trust, &conf_cidr_type), .max = 1000,
      .help = "Peers whose X-Forwarded-*, X-Real-IP and Forwarded fields are believed and passed on; from "
              "everybody else they are dropped." },
    { "proxy_protocol", CONF_OPTIONAL(struct listener_conf, proxy_protocol, &introduction_type),
      .help = "A proxy in front says in a PROXY header who the client is: that address is the gate's, the "
              "records' and the servers'." },
    { "gate", CONF_OPTIONAL(struct listener_conf, gate, &gate_conf_type), .help = "Who may pass." },
    { "rate", CONF_OPTIONAL(struct listener_conf, rate, &rate_conf_type),
      .help = "How many requests may come in a time, like `100/s`, whatever becomes of them." },
    { "auth", CONF_OPTIONAL(struct listener_conf, auth, &auth_conf_type),
      .help = "What who may pass has to show: a password or a token. Routes may say otherwise." },
    { "compress", CONF_OPTIONAL(struct listener_conf, compress, &compress_conf_type),
      .help =
          "Which responses are compressed for clients that take it; `true` or `[zstd, br, gzip]` will do. "
          "None if absent." },
    { "errors", CONF_MAP(struct listener_conf, errors, &error_page_type), .max = 64,
      .help =
          "What weir says in place of its own sentences when it answers a fault by itself, by status: `404`, "
          "`5xx`, `default`; text will do. A route's go before." },
    { "maintenance", CONF_OPTIONAL(struct listener_conf, maintenance, &maintenance_type),
      .help = "Out of service for everybody but a few; `true` will do." },
    { "cors", CONF_OPTIONAL(struct listener_conf, cors, &cors_type),
      .help =
          "Which other sites' pages may read the answers: `https://app.example.com`. What servers say of it "
          "is taken out." },
    { "pin", CONF_OPTIONAL(struct listener_conf, pin, &pin_type),
      .help = "Who may choose the server by hand, with the header `Weir-Pin: pool/server`; from everybody "
              "else it is "
              "taken out." },
    { 0 },
};

const struct conf_type listener_conf_type = {
    .name = "listener",
    .size = sizeof(struct listener_conf),
    .fields = listener_fields,
    .name_from = "bind",
    .check = check_listener,
};

/* What the workers' first pages take; less would refuse everybody. */
#define MEMORY_MIN (1u << 20)

static void check_limits(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct proxy_limits *l = object;
    if (l->memory_bytes && l->memory_bytes < MEMORY_MIN)
        conf_decode_fault(d, node, "memory", "write 1MiB or more, or leave it out for half of what there is",
                          "in %llu bytes of memory no connection could be served",
                          (unsigned long long)l->memory_bytes);
}

static const struct conf_field limit_fields[] = {
    { "memory", CONF_BYTES(struct proxy_limits, memory_bytes), .max = INT64_MAX, .preset = "0",
      .help =
          "What connections and bytes on the move may use in all; 0 is half of the cgroup's or the machine's "
          "memory, and less than 1MiB is too little. At nine tenths of it new connections are refused, and "
          "requests of routes of low `priority`." },
    { "connections", CONF_U32(struct proxy_limits, connections), .max = 100000000, .preset = "0",
      .help = "How many client connections there may be in all; 0 is as many as descriptors allow: "
              "seven eighths of them, as servers need some." },
    { 0 },
};

const struct conf_type proxy_limits_type = {
    .name = "limits", .size = sizeof(struct proxy_limits), .fields = limit_fields, .check = check_limits
};

static const struct conf_field timeout_fields[] = {
    { "drain", CONF_MSEC(struct proxy_timeouts, drain_ms), .min = 1, .max = MS_MAX, .preset = "30s",
      .help =
          "How long exchanges and tunnels may go on after SIGTERM, or after another process has taken over "
          "(weir upgrade)." },
    { "upgrade", CONF_MSEC(struct proxy_timeouts, upgrade_ms), .min = 1, .max = 600000, .preset = "30s",
      .help =
          "How long a new binary may take from its start until it can take over (weir upgrade); then it is "
          "ended, and this process goes on." },
    { 0 },
};

const struct conf_type proxy_timeouts_type = { .name = "timeouts",
                                               .size = sizeof(struct proxy_timeouts),
                                               .fields = timeout_fields };

uint32_t proxy_conf_count_places(const struct proxy_conf *conf)
{
    const struct pool_conf *pools = conf->pools.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < conf->pools.count; i++) {
        const struct server_conf *servers = pools[i].servers.data;
        for (uint32_t k = 0; k < pools[i].servers.count; k++) count += place_is_one(&servers[k].address);
    }
    return count;
}
