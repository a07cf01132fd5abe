#include "route/route_conf.h"

#include "conf/decode.h"
#include "http/h1_body.h"
#include "http/h1_scan.h"
#include "route/egress.h"
#include "route/split.h"

#define FIELDS_MAX 64

/* names */

static bool is_field_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!h1_is(*c, H1_TOKEN)) return false;
    return *name != 0;
}

/* Fields that framing and routing stand on, or that weir writes itself: a rule could only break them. */
static bool is_weirs_own(const char *name)
{
    switch (http_field_id_of(slice_of(name))) {
    case HTTP_FIELD_HOST:
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_KEEP_ALIVE:
    case HTTP_FIELD_PROXY_CONNECTION:
    case HTTP_FIELD_TE:
    case HTTP_FIELD_TRAILER:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_UPGRADE:
    case HTTP_FIELD_CONTENT_LENGTH:
    case HTTP_FIELD_EXPECT: return true;
    default: return false;
    }
}

/* the small ones */

static const struct conf_field pair_fields[] = {
    { "value", CONF_STRING(struct route_pair_conf, value), .min = 1, .max = 1024, .flags = CONF_REQUIRED,
      .help = "What it must be: `*` is any value, `!beta` any other or none, `!*` none." },
    { 0 },
};
static const struct conf_type pair_type = { .name = "route condition",
                                            .size = sizeof(struct route_pair_conf),
                                            .fields = pair_fields,
                                            .short_form = "value" };

static const struct conf_field header_fields[] = {
    { "value", CONF_CUSTOM(struct route_header_conf, value, &http_template_type), .flags = CONF_REQUIRED,
      .help = "Its value, with sources in braces." },
    { 0 },
};
static const struct conf_type header_type = { .name = "header rule",
                                              .size = sizeof(struct route_header_conf),
                                              .fields = header_fields,
                                              .short_form = "value" };

static void check_header(struct conf_decode *d, const struct conf_node *node, const char *name)
{
    if (!is_field_name(name))
        conf_decode_fault(d, node, name, "", "\"%s\" cannot be the name of a header", name);
    else if (is_weirs_own(name))
        conf_decode_fault(d, node, name, "leave it to weir",
                          "%s says where a message goes or where it ends, so that a rule could only break it",
                          name);
}

static void check_headers(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_headers_conf *h = object;
    const struct route_header_conf *set = h->set.data, *add = h->add.data;
    const char *const *remove = h->remove.data;
    for (uint32_t i = 0; i < h->set.count; i++) check_header(d, conf_node_get(node, "set"), set[i].name);
    for (uint32_t i = 0; i < h->add.count; i++) check_header(d, conf_node_get(node, "add"), add[i].name);
    for (uint32_t i = 0; i < h->remove.count; i++) check_header(d, conf_node_get(node, "remove"), remove[i]);
}

static const struct conf_field headers_fields[] = {
    { "set", CONF_MAP(struct route_headers_conf, set, &header_type), .max = FIELDS_MAX,
      .help = "Fields that are there once, with this value, whatever came." },
    { "add", CONF_MAP(struct route_headers_conf, add, &header_type), .max = FIELDS_MAX,
      .help = "Fields that are put beside those that came." },
    { "remove", CONF_STRINGS(struct route_headers_conf, remove), .max = FIELDS_MAX,
      .help = "Fields that are taken out." },
    { 0 },
};
static const struct conf_type headers_type = { .name = "header rules",
                                               .size = sizeof(struct route_headers_conf),
                                               .fields = headers_fields,
                                               .check = check_headers };

static void check_redirect(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_redirect_conf *r = object;
    uint32_t s = r->status;
    if (s != 301 && s != 302 && s != 303 && s != 307 && s != 308)
        conf_decode_fault(d, node, "status", "write 301, 302, 303, 307 or 308",
                          "%u is no status of a redirect", s);
}

static const struct conf_field redirect_fields[] = {
    { "to", CONF_CUSTOM(struct route_redirect_conf, to, &http_template_type), .flags = CONF_REQUIRED,
      .help = "Where to, like `https://{host}{target}`." },
    { "status", CONF_U32(struct route_redirect_conf, status), .min = 301, .max = 308, .preset = "302",
      .help = "301 and 308 are for ever, 307 and 308 keep the method." },
    { 0 },
};
static const struct conf_type redirect_type = { .name = "redirect",
                                                .size = sizeof(struct route_redirect_conf),
                                                .fields = redirect_fields,
                                                .short_form = "to",
                                                .check = check_redirect };

static void check_respond(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_respond_conf *r = object;
    if (r->body && (r->status == 204 || r->status == 304))
        conf_decode_fault(d, node, "body", "leave it out", "a %u has no body", r->status);
    for (const char *c = r->content_type; c && *c; c++) {
        if (h1_is(*c, H1_VALUE)) continue;
        conf_decode_fault(d, node, "content_type", "", "a header's value cannot hold a control character");
        break;
    }
}

static const struct conf_field respond_fields[] = {
    { "status", CONF_U32(struct route_respond_conf, status), .min = 200, .max = 599, .preset = "200",
      .help = "The status." },
    { "body", CONF_STRING(struct route_respond_conf, body), .max = 65536, .help = "What it says." },
    { "content_type", CONF_STRING(struct route_respond_conf, content_type), .min = 1, .max = 255,
      .preset = "text/plain; charset=utf-8", .help = "What kind of body it is." },
    { 0 },
};
const struct conf_type route_respond_type = { .name = "response",
                                              .size = sizeof(struct route_respond_conf),
                                              .fields = respond_fields,
                                              .short_form = "body",
                                              .check = check_respond };

static const struct conf_type pools_type = { .name = "pools" }, splits_type = { .name = "splits" };

static void check_mirror(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_mirror_conf *m = object;
    if (!m->share)
        conf_decode_fault(d, node, "share", "leave the mirror out, or write 0.01 or more",
                          "nothing would be copied");
}

static const struct conf_field mirror_fields[] = {
    { "pool", CONF_REF(struct route_mirror_conf, pool, &pools_type), .flags = CONF_REQUIRED,
      .help = "Where copies go." },
    { "share", CONF_CUSTOM(struct route_mirror_conf, share, &conf_percent_type), .preset = "100",
      .help = "How many of the requests, in percent." },
    { "body", CONF_BYTES(struct route_mirror_conf, body_bytes), .max = 120 << 10, .preset = "64KiB",
      .help = "Requests with larger bodies are not copied." },
    { "in_flight", CONF_U32(struct route_mirror_conf, in_flight), .min = 1, .max = 100000, .preset = "256",
      .help = "How many copies may be going on at a time; beyond that none is begun." },
    { 0 },
};
static const struct conf_type mirror_type = { .name = "mirror",
                                              .size = sizeof(struct route_mirror_conf),
                                              .fields = mirror_fields,
                                              .short_form = "pool",
                                              .check = check_mirror };

static void check_egress(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_egress_conf *e = object;
    const char *const *allow = e->allow.data;
    struct err err;
    for (uint32_t i = 0; i < e->allow.count; i++)
        if (egress_check_entry(slice_of(allow[i]), &err) < 0)
            conf_decode_fault(d, node, "allow", "", "%s", err.text);
}

static const struct conf_field egress_fields[] = {
    { "pool", CONF_REF(struct route_egress_conf, pool, &pools_type), .flags = CONF_REQUIRED,
      .help = "A pool of `kind: egress`: the addresses to leave by." },
    { "allow", CONF_STRINGS(struct route_egress_conf, allow), .min = 1, .max = 1000, .flags = CONF_REQUIRED,
      .help = "Where requests may go: `api.example.com:443`, `*.example.com`, `10.1.0.0/16:8080`. Inner "
              "addresses need "
              "a block that names them." },
    { 0 },
};
static const struct conf_type egress_type = {
    .name = "egress", .size = sizeof(struct route_egress_conf), .fields = egress_fields, .check = check_egress
};

static const struct conf_field debug_fields[] = {
    { "upstream", CONF_CUSTOM(struct route_debug_conf, upstream, &conf_address_type), .flags = CONF_REQUIRED,
      .help = "Where everything goes." },
    { 0 },
};
static const struct conf_type debug_type = { .name = "debug",
                                             .size = sizeof(struct route_debug_conf),
                                             .fields = debug_fields };

/* the route */

static void check_path(struct conf_decode *d, const struct conf_node *node, const char *key, const char *path)
{
    const char *query = path ? strpbrk(path, "?# ") : NULL;
    if (path && path[0] != '/' && strcmp(path, "*") != 0)
        conf_decode_fault(d, node, key, "begin it with a slash", "\"%s\" can never be a request's path",
                          path);
    else if (query)
        conf_decode_fault(d, node, key, "routes go by the path alone; leave out what follows it",
                          "\"%s\" has a \"%c\", which no path has", path, *query);
}

static void check_paths(struct conf_decode *d, const struct conf_node *node, const struct route_conf *r)
{
    struct err err;
    if (r->path && r->path_prefix)
        conf_decode_fault(d, node, "path_prefix", "keep one of them",
                          "a route has either a path or a path prefix");
    if (r->path_regex && (r->path || r->path_prefix))
        conf_decode_fault(d, node, "path_regex", "keep one of them",
                          "a route has either a path, a path prefix or a regular expression");
    check_path(d, node, "path", r->path);
    check_path(d, node, "path_prefix", r->path_prefix);
    if (r->path_regex && route_check_regex(r->path_regex, &err) < 0)
        conf_decode_fault(d, node, "path_regex", "", "%s", err.text);
}

/* Never passed on (RFC 9110 7.6.1), or said to weir alone. */
static bool ends_at_weir(const char *name)
{
    switch (http_field_id_of(slice_of(name))) {
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_KEEP_ALIVE:
    case HTTP_FIELD_PROXY_CONNECTION:
    case HTTP_FIELD_TE:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_WEIR_PIN:
    case HTTP_FIELD_WEIR_PIN_TOKEN:
    case HTTP_FIELD_WEIR_SPLIT: return true;
    default: return false;
    }
}

static void check_conditions(struct conf_decode *d, const struct conf_node *node, const struct route_conf *r)
{
    const struct route_pair_conf *headers = r->headers.data;
    for (uint32_t i = 0; i < r->headers.count; i++)
        if (!is_field_name(headers[i].name))
            conf_decode_fault(d, conf_node_get(node, "headers"), headers[i].name, "",
                              "\"%s\" cannot be the name of a header", headers[i].name);
        else if (ends_at_weir(headers[i].name))
            conf_decode_fault(d, conf_node_get(node, "headers"), headers[i].name, "leave it out",
                              "\"%s\" is between the client and weir: no server and no route sees it",
                              headers[i].name);
    route_check_methods(d, node, &r->methods);
}

static void check_trailers(struct conf_decode *d, const struct conf_node *node, const struct route_conf *r)
{
    const char *const *names = r->request_trailers.data;
    for (uint32_t i = 0; i < r->request_trailers.count; i++) {
        struct slice name = slice_of(names[i]);
        if (!is_field_name(names[i]))
            conf_decode_fault(d, node, "request_trailers", "", "\"%s\" cannot be the name of a field",
                              names[i]);
        else if (!h1_body_may_trail(name) || slice_equal_fold(name, SLICE("x-real-ip")) ||
                 (name.len > 9 && strncasecmp(name.data, "x-egress-", 9) == 0) ||
                 (name.len > 12 && strncasecmp(name.data, "x-forwarded-", 12) == 0))
            conf_decode_fault(d, node, "request_trailers", "leave it out",
                              "%s decides what becomes of a request, and cannot come behind it", names[i]);
    }
}

static void check_destination(struct conf_decode *d, const struct conf_node *node, const struct route_conf *r)
{
    int destinations = (r->pool != NULL) + (r->split != NULL) + (r->redirect != NULL) + (r->respond != NULL) +
                       (r->egress != NULL) + (r->files != NULL);
    if (destinations > 1)
        conf_decode_fault(d, node, NULL, "keep one of pool, split, redirect, respond, files and egress",
                          "the route leads to several places");
    else if (!destinations && !r->debug)
        conf_decode_fault(d, node, NULL, "add pool, split, redirect, respond, files or egress",
                          "the route leads nowhere");
    if (r->debug && (r->redirect || r->respond || r->files || r->egress))
        conf_decode_fault(d, node, "debug", "it stands beside pool or split only",
                          "the route has a debug upstream and does not go to a pool");
    bool has_server = r->pool || r->split || r->debug;
    if (r->mirror && !has_server)
        conf_decode_fault(d, node, "mirror", "it stands beside pool or split only",
                          "what does not go to a pool cannot be copied to one");
    if (r->compress && !has_server && !r->egress && !r->files)
        conf_decode_fault(
            d, node, "compress", "leave it out",
            "what weir answers by itself goes as it is: only servers' responses and files are compressed");
    if (r->retry && !has_server && !r->egress)
        conf_decode_fault(d, node, "retry", "leave it out", "there is no server that could be tried again");
    if (r->retry && r->retry->hedge && r->egress)
        conf_decode_fault(d, conf_node_get(node, "retry"), "hedge", "leave it out",
                          "where an egress route's request goes there is one server, and no other to ask");
    if (r->rewrite && !has_server && !r->egress && !r->files)
        conf_decode_fault(d, node, "rewrite", "leave it out",
                          "there is no server and no file that the rewritten target could be for");
}

static void check_route(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_conf *r = object;
    struct err err;
    const char *const *hosts = r->hosts.data;
    for (uint32_t i = 0; i < r->hosts.count; i++)
        if (route_check_host(slice_of(hosts[i]), &err) < 0)
            conf_decode_fault(d, node, "host", "", "%s", err.text);
    check_paths(d, node, r);
    check_conditions(d, node, r);
    check_trailers(d, node, r);
    check_destination(d, node, r);
}

/* In the order of enum route_scheme. */
static const char *const scheme_names[] = { "any", "http", "https", NULL };
static const char *const priority_names[] = { "high", "normal", "low", NULL };
static const struct conf_type priority_type = { .name = "priority",
                                                .size = sizeof(uint32_t),
                                                .names = priority_names };
static const struct conf_type scheme_type = { .name = "scheme",
                                              .size = sizeof(uint32_t),
                                              .names = scheme_names };

#define MS_MAX (24 * 3600 * 1000)
#define TIMEOUT(member) CONF_MSEC(struct route_timeouts, member), .min = 1, .max = MS_MAX

static const struct conf_field timeout_fields[] = {
    { "connect", TIMEOUT(connect_ms), .help = "As its pool's." },
    { "queue", TIMEOUT(queue_ms), .help = "As its pool's." },
    { "first_byte", TIMEOUT(first_byte_ms), .help = "As its pool's." },
    { "response", TIMEOUT(response_ms), .help = "As its pool's." },
    { "idle", TIMEOUT(idle_ms), .help = "As its pool's, of connections that were upgraded." },
    { "half_closed", TIMEOUT(half_closed_ms), .help = "Likewise." },
    { "total", TIMEOUT(total_ms), .flags = CONF_MAY_BE_OFF | CONF_OFF_IS_MAX, .help = "As its pool's." },
    { "body", TIMEOUT(body_ms), .help = "As its listener's." },
    { "write", TIMEOUT(write_ms), .help = "As its listener's." },
    { 0 },
};
static const struct conf_type timeouts_type = { .name = "route timeouts",
                                                .size = sizeof(struct route_timeouts),
                                                .fields = timeout_fields };

static const struct conf_field limit_fields[] = {
    { "body", CONF_BYTES(struct route_limits, body_bytes), .max = INT64_MAX,
      .flags = CONF_REQUIRED | CONF_MAY_BE_OFF | CONF_OFF_IS_MAX,
      .help = "How large a request's body may be, more or less than its listener's; 0 refuses every body." },
    { 0 },
};
static const struct conf_type limits_type = { .name = "route limits",
                                              .size = sizeof(struct route_limits),
                                              .fields = limit_fields };

static const struct conf_field fields[] = {
    { "name", CONF_STRING(struct route_conf, name), .min = 1, .max = 64,
      .help = "What the route is called; its pool's or split's name if absent." },
    { "host", CONF_STRINGS(struct route_conf, hosts), .max = 64, .flags = CONF_OR_ONE,
      .help = "The host asked for, or several: `api.example.com`, or `*.example.com` for every name below "
              "it. Any if "
              "absent." },
    { "scheme", CONF_ENUM(struct route_conf, scheme, &scheme_type), .preset = "any",
      .help = "`https`: it came over TLS; `http`: it did not." },
    { "sni", CONF_STRINGS(struct route_conf, sni), .max = 10000,
      .help = "Of a `tcp` listener: the names that TLS clients ask for, `db.example.com`, or `*.example.com` "
              "for every "
              "name below it. A route without takes all that no other takes." },
    { "path", CONF_STRING(struct route_conf, path), .min = 1, .max = 4096,
      .help = "The whole path, without the query." },
    { "path_prefix", CONF_STRING(struct route_conf, path_prefix), .min = 1, .max = 4096,
      .help = "What the path begins with, byte by byte: `/v1/` takes neither `/v1` nor `/v10`, `/v1` "
              "takes both." },
    { "path_regex", CONF_STRING(struct route_conf, path_regex), .min = 1, .max = 4096,
      .help = "A Perl-compatible expression that is found in the path: anchor it with `^`." },
    { "method", CONF_STRINGS(struct route_conf, methods), .max = 32, .help = "Its methods; any if absent." },
    { "headers", CONF_MAP(struct route_conf, headers, &pair_type), .max = FIELDS_MAX,
      .help = "Header fields that it must have, each with its value: one of several is enough, whether in "
              "fields of "
              "their own or in a list. Only what is passed on counts." },
    { "query", CONF_MAP(struct route_conf, query, &pair_type), .max = FIELDS_MAX,
      .help =
          "Query arguments that it must have, each with its value, both decoded; one of several is enough." },
    { "client", CONF_LIST(struct route_conf, clients, &conf_cidr_type), .max = 10000,
      .help = "Address blocks that it must come from." },
    { "not", CONF_OPTIONAL(struct route_conf, not, &route_not_type),
      .help = "What it leaves to other routes though all else holds: each of these is enough." },
    { "pool", CONF_REF(struct route_conf, pool, &pools_type), .help = "Where it leads." },
    { "split", CONF_REF(struct route_conf, split, &splits_type),
      .help = "Or the split that chooses the pool." },
    { "redirect", CONF_OPTIONAL(struct route_conf, redirect, &redirect_type),
      .help = "Or where the client is sent." },
    { "respond", CONF_OPTIONAL(struct route_conf, respond, &route_respond_type),
      .help = "Or what weir itself answers." },
    { "files", CONF_OPTIONAL(struct route_conf, files, &files_conf_type),
      .help = "Or the folder that it answers from." },
    { "egress", CONF_OPTIONAL(struct route_conf, egress, &egress_type),
      .help = "Or out, to where the request's X-Egress-Host says." },
    { "debug", CONF_OPTIONAL(struct route_conf, debug, &debug_type),
      .help = "One server for everything, whatever the pool; for looking into something." },
    { "rewrite", CONF_OPTIONAL(struct route_conf, rewrite, &rewrite_conf_type),
      .help = "Another target for the server, or for the file." },
    { "request_headers", CONF_OPTIONAL(struct route_conf, request_headers, &headers_type),
      .help = "What is changed of the request's fields." },
    { "response_headers", CONF_OPTIONAL(struct route_conf, response_headers, &headers_type),
      .help = "What is changed of the response's fields." },
    { "request_trailers", CONF_STRINGS(struct route_conf, request_trailers), .max = FIELDS_MAX,
      .help =
          "Fields that pass behind a request's body; all others are dropped there, since nothing that was "
          "decided by the head may be said again." },
    { "mirror", CONF_OPTIONAL(struct route_conf, mirror, &mirror_type),
      .help = "Copies that go to another pool as well." },
    { "gate", CONF_OPTIONAL(struct route_conf, gate, &route_gate_conf_type), .help = "Who may take it." },
    { "rate", CONF_OPTIONAL(struct route_conf, rate, &rate_conf_type),
      .help = "How many requests may take it in a time, like `100/s`." },
    { "auth", CONF_OPTIONAL(struct route_conf, auth, &auth_conf_type),
      .help = "What who may take it has to show, in place of what its listener says; `none` asks nobody." },
    { "upgrade", CONF_STRINGS(struct route_conf, upgrade), .max = 16, .preset = "[websocket]",
      .help =
          "The protocols that a connection may be upgraded to. Others are dropped and the request goes on." },
    { "priority", CONF_ENUM(struct route_conf, priority, &priority_type), .preset = "normal",
      .help = "Where every server is at its cap, requests of a higher class are served before all of a lower "
              "one, "
              "and where the pool's queue is full, lower ones make way. So it is where weir itself has too "
              "much to do "
              "(`overload`)." },
    { "timeouts", CONF_OPTIONAL(struct route_conf, timeouts, &timeouts_type),
      .help = "Time-outs in place of its pool's and its listener's; what is not written here is theirs." },
    { "limits", CONF_OPTIONAL(struct route_conf, limits, &limits_type),
      .help = "Bounds in place of its listener's." },
    { "retry", CONF_OPTIONAL(struct route_conf, retry, &retry_conf_type),
      .help = "When its requests are sent once more, in place of what its pool says; the pool's budget holds "
              "for all." },
    { "compress", CONF_OPTIONAL(struct route_conf, compress, &compress_conf_type),
      .help = "Which responses are compressed, in place of what its listener says; `true`, `false` or "
              "`[zstd, br, gzip]` will do." },
    { "errors", CONF_MAP(struct route_conf, errors, &error_page_type), .max = 64,
      .help = "What weir says when it answers a fault of its requests by itself, by status: `404`, `5xx`, "
              "`default`; before what its listener says." },
    { "maintenance", CONF_OPTIONAL(struct route_conf, maintenance, &maintenance_type),
      .help = "Out of service for everybody but a few, like its listener if that is." },
    { "cors", CONF_OPTIONAL(struct route_conf, cors, &cors_type),
      .help = "Which other sites' pages may read its answers, in place of what its listener says." },
    { "idempotent", CONF_BOOL(struct route_conf, idempotent), .preset = "false",
      .help =
          "Says that its requests may be sent a second time whatever their method, because doing so changes "
          "nothing." },
    { 0 },
};

const struct conf_type route_conf_type = { .name = "route",
                                           .size = sizeof(struct route_conf),
                                           .fields = fields,
                                           .name_from = "pool",
                                           .or_name_from = "split",
                                           .check = check_route };

static const struct route_condition *conditions_of(const struct conf_items *pairs,
                                                   struct route_condition *out)
{
    const struct route_pair_conf *p = pairs->data;
    for (uint32_t i = 0; i < pairs->count; i++) out[i] = (struct route_condition){ p[i].name, p[i].value };
    return out;
}

uint32_t route_conf_row_count(const struct route_conf *conf)
{
    return conf->hosts.count ? conf->hosts.count : 1;
}

struct route_row route_conf_row(const struct route_conf *conf, uint32_t n, uint32_t index,
                                struct route_condition *conditions)
{
    const char *const *hosts = conf->hosts.data;
    return (struct route_row){ .name = conf->name,
                               .host = conf->hosts.count ? hosts[n] : NULL,
                               .path = conf->path,
                               .path_prefix = conf->path_prefix,
                               .path_regex = conf->path_regex,
                               .methods = conf->methods.data,
                               .method_count = conf->methods.count,
                               .headers = conditions_of(&conf->headers, conditions),
                               .header_count = conf->headers.count,
                               .query = conditions_of(&conf->query, conditions + conf->headers.count),
                               .query_count = conf->query.count,
                               .clients = conf->clients.data,
                               .client_count = conf->clients.count,
                               .scheme = conf->scheme,
                               .not = conf->not,
                               .index = index };
}
