#include "proxy/explain_request.h"

#include <stdlib.h>

#include "conf/decode.h"
#include "http/h1_parse.h"
#include "proxy/fields.h"
#include "proxy/forward.h"
#include "proxy/site.h"

#define EXPLAIN_HEADERS_MAX 100u
/* So many listeners are looked at for the one that was meant. */
#define NAMED_MAX 64u

static const struct conf_field fields[] = {
    { "method", CONF_STRING(struct explain_conf, method), .min = 1, .max = 32, .preset = "GET",
      .flags = CONF_LIVE, .help = "The request's method." },
    { "url", CONF_STRING(struct explain_conf, url), .min = 1, .max = EXPLAIN_URL_MAX, .flags = CONF_LIVE,
      .help = "`http://host/path?query`, `https://…` where a listener speaks TLS, or the path alone." },
    { "headers", CONF_STRINGS(struct explain_conf, headers), .max = EXPLAIN_HEADERS_MAX, .flags = CONF_LIVE,
      .help = "Its header fields, each as `Name: value`." },
    { "client", CONF_STRING(struct explain_conf, client), .min = 2, .max = 45, .preset = "127.0.0.1",
      .flags = CONF_LIVE, .help = "The address that it comes from." },
    { "listener", CONF_STRING(struct explain_conf, listener), .min = 1, .max = 128, .flags = CONF_LIVE,
      .help = "The listener that it comes to; the first that speaks what the URL begins with if absent." },
    { 0 },
};

const struct conf_type explain_conf_type = { .name = "request to explain",
                                             .size = sizeof(struct explain_conf),
                                             .fields = fields };

/* What the URL says of the connection that it comes over. */
enum url_scheme { URL_PATH_ALONE, URL_HTTP, URL_HTTPS };

struct url {
    enum url_scheme scheme;
    struct slice authority, target;
};

static bool is_spoken_by(const struct listener_conf *l, enum url_scheme scheme)
{
    return scheme == URL_PATH_ALONE || (l->tls != NULL) == (scheme == URL_HTTPS);
}

static int no_listener(enum url_scheme scheme, struct err *err)
{
    switch (scheme) {
    case URL_HTTPS: return err_set(err, "no listener speaks HTTP over TLS; write the URL with http://");
    case URL_HTTP: return err_set(err, "no listener speaks plain HTTP; write the URL with https://");
    default: return err_set(err, "no listener speaks HTTP: there is no request to explain");
    }
}

static int refuse_listener(const struct site *s, const char *name, struct err *err)
{
    const char *names[NAMED_MAX];
    uint32_t count = 0;
    for (; count < s->listener_count && count < NAMED_MAX; count++)
        names[count] = s->listeners[count].listener->name;
    const char *nearest = conf_nearest(slice_of(name), names, count);
    return nearest ? err_set(err, "there is no listener \"%s\"; did you mean \"%s\"?", name, nearest)
                   : err_set(err, "there is no listener \"%s\"; GET /api/v1/listeners lists them", name);
}

static int find_named_listener(const struct proxy *p, const char *name, enum url_scheme scheme,
                               const struct route_set **out, struct err *err)
{
    for (uint32_t i = 0; i < p->site->listener_count; i++) {
        const struct route_set *l = &p->site->listeners[i];
        if (strcmp(l->listener->name, name) != 0) continue;
        *out = l;
        if (l->conf->protocol != LISTENER_HTTP)
            return err_set(err, "listener \"%s\" passes %s: there is no request to explain", name,
                           l->conf->protocol == LISTENER_UDP ? "datagrams" : "bytes");
        if (!is_spoken_by(l->conf, scheme))
            return err_set(err, "listener \"%s\" speaks %s; write the URL with %s://", name,
                           l->conf->tls ? "TLS" : "plain HTTP", l->conf->tls ? "https" : "http");
        return 0;
    }
    return refuse_listener(p->site, name, err);
}

static int find_listener(const struct proxy *p, const char *name, enum url_scheme scheme,
                         const struct route_set **out, struct err *err)
{
    if (name) return find_named_listener(p, name, scheme, out, err);
    for (uint32_t i = 0; i < p->site->listener_count; i++) {
        const struct route_set *l = &p->site->listeners[i];
        if (l->conf->protocol != LISTENER_HTTP || !is_spoken_by(l->conf, scheme)) continue;
        *out = l;
        return 0;
    }
    return no_listener(scheme, err);
}

static int parse_url(const char *text, struct url *url, struct err *err)
{
    static const struct {
        const char *begin;
        enum url_scheme scheme;
    } schemes[] = { { "http://", URL_HTTP }, { "https://", URL_HTTPS } };
    struct slice rest = slice_of(text);
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] <= ' ' || rest.data[i] >= 127 || rest.data[i] == '#')
            return err_set(err, "\"%s\" has a character that no request target can have; write it as %%XX",
                           text);
    *url = (struct url){ .scheme = URL_PATH_ALONE, .authority = SLICE("localhost") };
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        struct slice begin = slice_of(schemes[i].begin);
        if (!slice_starts_with(rest, begin)) continue;
        size_t len = 0;
        rest = (struct slice){ rest.data + begin.len, rest.len - begin.len };
        while (len < rest.len && rest.data[len] != '/' && rest.data[len] != '?') len++;
        if (!len) return err_set(err, "\"%s\" names no host", text);
        url->scheme = schemes[i].scheme;
        url->authority = (struct slice){ rest.data, len };
        rest = (struct slice){ rest.data + len, rest.len - len };
        if (!rest.len) rest = SLICE("/");
        break;
    }
    /* RFC 9110 4.2.3: behind a host, a query may follow at once. */
    if (rest.data[0] != '/' && (url->scheme == URL_PATH_ALONE || rest.data[0] != '?'))
        return err_set(err, "\"%s\" is neither http://host/path nor a path that begins with a slash", text);
    url->target = rest;
    return 0;
}

static int check_field(const char *text, struct err *err)
{
    const char *colon = strchr(text, ':');
    if (!colon || colon == text)
        return err_set(err, "\"%s\" is no header field; write it as Name: value", text);
    if (strpbrk(text, "\r\n"))
        return err_set(err, "a header field has a line's end in it; write one field at a time");
    return 0;
}

static bool is_host(const char *field)
{
    const char *colon = strchr(field, ':');
    return http_field_id_of((struct slice){ field, (size_t)(colon - field) }) == HTTP_FIELD_HOST;
}

/* As a client would send it. CONNECT names a host and its port in place of a path. */
static void write_request(const struct explain_conf *conf, struct slice authority, struct slice target,
                          struct text *t)
{
    const char *const *headers = conf->headers.data;
    bool is_connect = strcmp(conf->method, "CONNECT") == 0, has_host = false;
    text_printf(t, "%s ", conf->method);
    if (!is_connect && target.data[0] == '?') text_add_char(t, '/');
    text_add_slice(t, is_connect ? authority : target);
    if (is_connect && !memchr(authority.data, ':', authority.len)) TEXT_LITERAL(t, ":80");
    TEXT_LITERAL(t, " HTTP/1.1\r\n");
    for (uint32_t i = 0; i < conf->headers.count; i++) {
        has_host = has_host || is_host(headers[i]);
        text_add_slice(t, slice_of(headers[i]));
        TEXT_LITERAL(t, "\r\n");
    }
    if (!has_host) {
        TEXT_LITERAL(t, "Host: ");
        text_add_slice(t, authority);
        TEXT_LITERAL(t, "\r\n");
    }
    TEXT_LITERAL(t, "\r\n");
}

/* Reads it as traffic is read, so that what traffic would be refused for is told. */
static void parse_request(struct explain_request *rq)
{
    const struct listener_limits *conf = &rq->listener->conf->limits;
    struct h1_limits limits = { .head_max = (uint32_t)conf->head_bytes, .field_max = conf->headers };
    struct h1_progress progress = { 0 };
    struct h1_framing framing;
    struct h1_fault fault = { .reason = END_HEAD_TOO_LARGE };
    struct http_head head;
    uint32_t head_len;
    if (h1_parse_request(&progress, text_slice(&rq->written), &limits, rq->fields, &head, &framing, &head_len,
                         &fault) != H1_DONE) {
        rq->refusal = fault.reason;
        rq->detail = fault.detail;
        return;
    }
    rq->head = head;
    rq->detail = fields_admit(rq->listener, &rq->peer, rq->fields, rq->head.field_count);
    if (rq->detail) rq->refusal = END_BAD_REQUEST;
    rq->client = forward_client(rq->listener, &rq->peer, &rq->head);
    struct text t = text_over(rq->canonical, sizeof(rq->canonical));
    rq->path_fault = http_path_put(&rq->listener->conf->paths, rq->head.target, &t, &rq->head.target);
    rq->target = rq->head.target;
}

int explain_request_read(const struct proxy *p, const struct explain_conf *conf, struct explain_request *rq,
                         struct err *err)
{
    const char *const *headers = conf->headers.data;
    struct url url;
    size_t size = 256 + strlen(conf->method);
    if (!conf->url) return err_set(err, "there is no `url`: what is asked for?");
    if (parse_url(conf->url, &url, err) < 0 ||
        find_listener(p, conf->listener, url.scheme, &rq->listener, err) < 0)
        return -1;
    if (!ip_parse(slice_of(conf->client), &rq->peer))
        return err_set(err, "\"%s\" is no address of a client; write one like 192.0.2.7", conf->client);
    size += url.authority.len * 2 + url.target.len;
    for (uint32_t i = 0; i < conf->headers.count; i++) {
        if (check_field(headers[i], err) < 0) return -1;
        size += strlen(headers[i]) + 2;
    }
    rq->written = text_over(malloc(size), size);
    if (!rq->written.data) return err_set(err, "out of memory");
    write_request(conf, url.authority, url.target, &rq->written);
    /* What is shown of one that cannot be read. */
    rq->head = (struct http_head){ .method_text = slice_of(conf->method), .authority = url.authority };
    rq->head.target = rq->target = url.target;
    rq->client = rq->peer;
    parse_request(rq);
    return 0;
}
