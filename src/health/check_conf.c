#include "health/check_conf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "conf/decode.h"
#include "health/dns_message.h"
#include "health/grpc_health.h"

/* statuses */

/* "2xx", "204", "200-399". */
static int parse_statuses(struct slice text, void *out, struct err *err)
{
    struct status_range *r = out;
    unsigned from = 0, to = 0;
    char written[16];
    int end = 0;
    struct text t = text_over(written, sizeof(written));
    text_add_slice(&t, text);
    const char *s = text_cstr(&t);
    if (strlen(s) == 3 && strcmp(s + 1, "xx") == 0 && isdigit((unsigned char)*s)) {
        from = (unsigned)(*s - '0') * 100;
        to = from + 99;
    } else if (s[strspn(s, "0123456789-")]) {
        from = 0;
    } else if (sscanf(s, "%3u-%3u%n", &from, &to, &end) != 2 || (size_t)end != text.len) {
        from = sscanf(s, "%3u%n", &from, &end) == 1 && (size_t)end == text.len ? from : 0;
        to = from;
    }
    if (from < 200 || to > 599 || from > to)
        return err_set(err, "\"%.40s\" is no status of an answer: write 204, 2xx or 200-399", s);
    *r = (struct status_range){ (uint16_t)from, (uint16_t)to };
    return 0;
}

static void print_statuses(const void *value, struct text *out)
{
    const struct status_range *r = value;
    text_printf(out, r->from == r->to ? "%u" : "%u-%u", r->from, r->to);
}

static const struct conf_type status_type = { .name = "statuses",
                                              .size = sizeof(struct status_range),
                                              .parse = parse_statuses,
                                              .print = print_statuses,
                                              .pattern_help = "200-399" };

bool check_expects(const struct check_http_conf *c, uint16_t status)
{
    const struct status_range *r = c->statuses.data;
    for (uint32_t i = 0; i < c->statuses.count; i++)
        if (status >= r[i].from && status <= r[i].to) return true;
    return false;
}

/* http */

/* In the order of the next. */
static const char *const method_names[] = { "GET", "HEAD", "OPTIONS", "POST", NULL };
static const enum http_method methods[] = { HTTP_GET, HTTP_HEAD, HTTP_OPTIONS, HTTP_POST };
static const struct conf_type method_type = { .name = "check method",
                                              .size = sizeof(uint32_t),
                                              .names = method_names };

enum http_method check_method(const struct check_http_conf *c)
{
    return methods[c->method];
}

/* RFC 9110 5.6.2. */
static bool is_token(const char *text)
{
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text)) return false;
    return true;
}

/* RFC 9110 5.5: nothing that ends a line. */
static bool is_value(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f) return false;
    return true;
}

static bool is_path(const char *text)
{
    if (*text != '/') return false;
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || *text == '#') return false;
    return true;
}

static bool is_weirs_own(const char *name)
{
    static const char *const own[] = { "host", "connection", "content-length", "transfer-encoding" };
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        if (slice_equal_fold(slice_of(name), slice_of(own[i]))) return true;
    return false;
}

static void check_headers(struct conf_decode *d, const struct conf_node *node,
                          const struct check_http_conf *c)
{
    const struct check_header *h = c->headers.data;
    const struct conf_node *headers = conf_node_get(node, "headers");
    for (uint32_t i = 0; i < c->headers.count; i++) {
        if (!is_token(h[i].name))
            conf_decode_fault(d, headers, h[i].name, "use letters, digits and -",
                              "\"%s\" cannot be the name of a header", h[i].name);
        else if (is_weirs_own(h[i].name))
            conf_decode_fault(d, headers, h[i].name, "leave it out; a Host is written as `host:`",
                              "weir itself sets %s of a check", h[i].name);
        if (!is_value(h[i].value))
            conf_decode_fault(d, headers, h[i].name, "write it on one line",
                              "the value of %s has a control character", h[i].name);
    }
}

static void check_http(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct check_http_conf *c = object;
    if (!is_path(c->path))
        conf_decode_fault(d, node, "path", "begin it with a slash and write it as it stands in a request",
                          "\"%.80s\" cannot be a request's path", c->path);
    if (c->host && (!is_value(c->host) || strpbrk(c->host, "/?# @\t")))
        conf_decode_fault(d, node, "host", "write what the server knows itself by, like app.example.com",
                          "\"%.80s\" is more than a Host can be", c->host);
    if (c->body && check_method(c) == HTTP_HEAD)
        conf_decode_fault(d, node, "body", "use method: GET", "an answer to HEAD has no body to look in");
    check_headers(d, node, c);
}

static const struct conf_field header_fields[] = {
    { "name", CONF_STRING(struct check_header, name), .min = 1, .max = 64, .help = "The header's name." },
    { "value", CONF_STRING(struct check_header, value), .max = 1024, .flags = CONF_REQUIRED,
      .help = "Its value." },
    { 0 },
};

static const struct conf_type header_type = { .name = "check header",
                                              .size = sizeof(struct check_header),
                                              .fields = header_fields,
                                              .short_form = "value" };

static const struct conf_field http_fields[] = {
    { "path", CONF_STRING(struct check_http_conf, path), .min = 1, .max = 1024, .preset = "/",
      .help = "What is asked for." },
    { "method", CONF_ENUM(struct check_http_conf, method, &method_type), .preset = "GET",
      .help = "How it is asked for." },
    { "host", CONF_STRING(struct check_http_conf, host), .min = 1, .max = 255,
      .help = "The Host that is sent; the server's address without it." },
    { "headers", CONF_MAP(struct check_http_conf, headers, &header_type), .max = 16,
      .help = "Further headers of the request." },
    { "status", CONF_LIST(struct check_http_conf, statuses, &status_type), .min = 1,
      .max = CHECK_STATUSES_MAX, .preset = "[200-399]", .help = "With which statuses a server is well." },
    { "body", CONF_STRING(struct check_http_conf, body), .min = 1, .max = CHECK_TEXT_MAX,
      .help = "A text that the answer's body must have; without it the body is not looked at." },
    { "body_limit", CONF_BYTES(struct check_http_conf, body_bytes), .min = 1, .max = 16 << 20,
      .preset = "64KiB", .help = "How far into the body that text is looked for." },
    { 0 },
};

static const struct conf_type http_type = { .name = "http check",
                                            .size = sizeof(struct check_http_conf),
                                            .fields = http_fields,
                                            .short_form = "path",
                                            .check = check_http };

/* tcp */

static const struct conf_field tcp_fields[] = {
    { "send", CONF_STRING(struct check_tcp_conf, send), .min = 1, .max = 1024,
      .help = "What is sent once the connection is open; nothing without it." },
    { "answer", CONF_STRING(struct check_tcp_conf, answer), .min = 1, .max = CHECK_TEXT_MAX,
      .help =
          "A text that must come within the first 64 KiB; without it a connection that opens is enough." },
    { 0 },
};

static const struct conf_type tcp_type = { .name = "tcp check",
                                           .size = sizeof(struct check_tcp_conf),
                                           .fields = tcp_fields };

/* grpc */

static void check_grpc(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct check_grpc_conf *c = object;
    if (c->service && !is_value(c->service))
        conf_decode_fault(d, node, "service", "write it like orders.v1.Orders",
                          "the name of a service has a control character");
}

static const struct conf_field grpc_fields[] = {
    { "service", CONF_STRING(struct check_grpc_conf, service), .min = 1, .max = GRPC_HEALTH_SERVICE_MAX,
      .help = "The service that is asked for; the server as a whole without it." },
    { 0 },
};

static const struct conf_type grpc_type = { .name = "grpc check",
                                            .size = sizeof(struct check_grpc_conf),
                                            .fields = grpc_fields,
                                            .short_form = "service",
                                            .check = check_grpc };

/* dns */

static const struct conf_type dns_type_type = { .name = "dns type",
                                                .size = sizeof(uint32_t),
                                                .names = dns_type_names };
static const struct conf_type rcode_type = { .name = "rcode",
                                             .size = sizeof(uint32_t),
                                             .names = dns_rcode_names };

bool check_expects_rcode(const struct check_dns_conf *c, uint32_t rcode)
{
    const uint32_t *r = c->rcodes.data;
    for (uint32_t i = 0; i < c->rcodes.count; i++)
        if (r[i] == rcode) return true;
    return false;
}

static void check_dns(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct check_dns_conf *c = object;
    const char *fault = dns_name_fault(c->name);
    if (fault)
        conf_decode_fault(d, node, "name",
                          "write it like example.org; in ASCII (xn--…) if it has other letters",
                          "\"%.80s\" cannot be asked for: %s", c->name, fault);
}

static const struct conf_field dns_fields[] = {
    { "name", CONF_STRING(struct check_dns_conf, name), .min = 1, .max = 255, .flags = CONF_REQUIRED,
      .help = "The name that is asked for: one that the server answers by itself, or has at hand." },
    { "type", CONF_ENUM(struct check_dns_conf, type, &dns_type_type), .preset = "A",
      .help = "The type of its records." },
    { "rcodes", CONF_LIST(struct check_dns_conf, rcodes, &rcode_type), .min = 1, .max = 16,
      .preset = "[NOERROR, NXDOMAIN]",
      .help = "With which answers a server is well; whether there are records is not looked at." },
    { 0 },
};

static const struct conf_type dns_check_type = { .name = "dns check",
                                                 .size = sizeof(struct check_dns_conf),
                                                 .fields = dns_fields,
                                                 .short_form = "name",
                                                 .check = check_dns };

/* udp */

static const struct conf_field udp_fields[] = {
    { "send", CONF_STRING(struct check_udp_conf, send), .min = 1, .max = 1024, .flags = CONF_REQUIRED,
      .help = "What is sent, as one datagram." },
    { "answer", CONF_STRING(struct check_udp_conf, answer), .min = 1, .max = CHECK_TEXT_MAX,
      .flags = CONF_REQUIRED, .help = "A text that the datagram which is answered must have." },
    { 0 },
};

static const struct conf_type udp_type = { .name = "udp check",
                                           .size = sizeof(struct check_udp_conf),
                                           .fields = udp_fields };

/* health */

static void check_kinds(struct conf_decode *d, const struct conf_node *node, const struct check_conf *c)
{
    const struct {
        const char *name;
        bool is_there;
    } kinds[] = {
        { "http", c->http }, { "tcp", c->tcp }, { "grpc", c->grpc }, { "dns", c->dns }, { "udp", c->udp }
    };
    const char *last = NULL;
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        count += kinds[i].is_there;
        if (kinds[i].is_there) last = kinds[i].name;
    }
    if (count != 1)
        conf_decode_fault(d, node, last, "write for example health: {http: {path: /healthz}}",
                          count ? "a check is one of http, tcp, grpc, dns and udp"
                                : "a check needs http, tcp, grpc, dns or udp: what is to be asked");
}

static void check_health(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct check_conf *c = object;
    if (!conf_node_get(node, "timeout") && c->timeout_ms > c->interval_ms) c->timeout_ms = c->interval_ms;
    check_kinds(d, node, c);
    if (c->timeout_ms > c->interval_ms)
        conf_decode_fault(d, node, "timeout", "let timeout be at most the interval",
                          "a check of %llu ms time-out cannot come every %llu ms",
                          (unsigned long long)c->timeout_ms, (unsigned long long)c->interval_ms);
}

#define MS_MAX (24 * 3600 * 1000)

static const struct conf_field health_fields[] = {
    { "http", CONF_OPTIONAL(struct check_conf, http, &http_type),
      .help = "Each server is sent a request; its answer says whether it is well." },
    { "tcp", CONF_OPTIONAL(struct check_conf, tcp, &tcp_type),
      .help = "Each server is connected to; `{}` is enough." },
    { "grpc", CONF_OPTIONAL(struct check_conf, grpc, &grpc_type),
      .help = "Each server is asked by gRPC's health checking protocol; `{}` is enough." },
    { "dns", CONF_OPTIONAL(struct check_conf, dns, &dns_check_type),
      .help = "Each server is asked a question of DNS over UDP: for name servers." },
    { "udp", CONF_OPTIONAL(struct check_conf, udp, &udp_type),
      .help = "Each server is sent a datagram; what it answers says whether it is well." },
    { "interval", CONF_MSEC(struct check_conf, interval_ms), .min = 100, .max = MS_MAX, .preset = "5s",
      .help =
          "From one check of a server to the next; up to a tenth less, so that they do not come together." },
    { "changing_interval", CONF_MSEC(struct check_conf, changing_ms), .min = 100, .max = MS_MAX,
      .preset = "1s",
      .help =
          "Likewise while it is being decided whether a server is well, if that is less than `interval`." },
    { "timeout", CONF_MSEC(struct check_conf, timeout_ms), .min = 10, .max = 600000, .preset = "2s",
      .help = "How long a check may take in all; if it is not written, no longer than `interval`." },
    { "rise", CONF_U32(struct check_conf, rise), .min = 1, .max = 100, .preset = "2",
      .help = "How many checks on end must pass until a server that was down is used again." },
    { "fall", CONF_U32(struct check_conf, fall), .min = 1, .max = 100, .preset = "3",
      .help = "How many on end must fail until a server is down; of one of which nothing is known yet, the "
              "first." },
    { "port", CONF_U32(struct check_conf, port), .max = 65535, .preset = "0",
      .help = "Another port of each server to be asked; 0 is its own." },
    { "tls", CONF_BOOL(struct check_conf, over_tls), .preset = "true",
      .help = "Whether checks speak TLS where the pool does; `false` is for a plain port beside it." },
    { 0 },
};

const struct conf_type check_conf_type = {
    .name = "health check", .size = sizeof(struct check_conf), .fields = health_fields, .check = check_health
};
