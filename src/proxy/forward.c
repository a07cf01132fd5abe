#include "proxy/forward.h"

#include "base/bug.h"
#include "base/text.h"
#include "http/h1_value.h"
#include "http/websocket.h"
#include "proxy/exchange_steps.h"
#include "proxy/exchange_trace.h"
#include "proxy/forwarded.h"
#include "proxy/headers.h"
#include "proxy/split.h"
#include "proxy/upgrade.h"
#include "tls/facts.h"

#define VIA_NAME "weir"

struct ip forward_client(const struct route_set *l, const struct ip *peer, const struct http_head *head)
{
    struct forwarded f;
    if (!forwarded_is_trusted(l, peer)) return *peer;
    forwarded_read(l, peer, false, head, &f); /* who, not how */
    return f.client;
}

void forward_request_id(struct exchange *x)
{
    struct slice given = http_field_value(http_head_find(&x->head, HTTP_FIELD_X_REQUEST_ID));
    struct text t = text_over(x->request_id, sizeof(x->request_id));
    if (flight_is_request_id(given) && !http_head_has_several(&x->head, HTTP_FIELD_X_REQUEST_ID)) {
        text_add_slice(&t, given);
    } else if (x->trace &&
               !x->trace->span.has_parent) { /* of one that others began, many requests are part */
        trace_id_print(x->trace->span.context.trace_id, TRACE_ID_BYTES, x->request_id);
        t.len = TRACE_ID_TEXT;
    } else {
        text_add_hex(&t, rng_next(&x->worker->loop.rng), 16);
        text_add_hex(&t, rng_next(&x->worker->loop.rng), 16);
    }
    (void)bug_if(FORWARD, t.is_cut); /* it would be another's */
    text_cstr(&t);
    flight_set_request_id(&x->record, slice_of(x->request_id));
}

static struct http_field make_field(const char *name, enum http_field_id id, struct slice value)
{
    return (struct http_field){ .name = name,
                                .name_len = (uint16_t)strlen(name),
                                .value = value.data,
                                .value_len = (uint32_t)value.len,
                                .id = (uint8_t)id };
}

/* "a, b, <added>" of all fields with that id. */
static bool join(struct exchange *x, enum http_field_id id, struct slice added, struct slice *out)
{
    size_t size = added.len;
    for (uint32_t i = 0; i < x->head.field_count; i++)
        if (x->head.fields[i].id == id) size += x->head.fields[i].value_len + 2u;
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!memory) return false;
    struct text t = text_over(memory, size + 1);
    for (uint32_t i = 0; i < x->head.field_count; i++) {
        const struct http_field *f = &x->head.fields[i];
        if (f->id != id || f->is_dropped || !f->value_len) continue;
        text_add(&t, f->value, f->value_len);
        TEXT_LITERAL(&t, ", ");
    }
    text_add_slice(&t, added);
    *out = text_slice(&t);
    return !bug_if(FORWARD, t.is_cut); /* what is left out has not passed there */
}

#define OWN_FIELDS_MAX 13u

static bool is_max_forwards(const struct http_field *f)
{
    return f->id == HTTP_FIELD_OTHER && !f->is_dropped &&
           slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("max-forwards"));
}

uint64_t forward_max_forwards(const struct http_head *head)
{
    uint64_t least = FORWARD_UNLIMITED;
    if (head->method != HTTP_OPTIONS && head->method != HTTP_TRACE) return least;
    for (uint32_t i = 0; i < head->field_count; i++) {
        uint64_t n;
        if (is_max_forwards(&head->fields[i]) && h1_length_read(http_field_value(&head->fields[i]), &n) &&
            n < least)
            least = n;
    }
    return least;
}

static int add_max_forwards(struct exchange *x, struct http_field *extra, uint32_t *n)
{
    uint64_t left = forward_max_forwards(&x->head);
    if (left == FORWARD_UNLIMITED) return 0;
    char *memory = arena_alloc(&x->arena, 24);
    if (!memory) return -1;
    struct text t = text_over(memory, 24);
    text_add_u64(&t, left ? left - 1 : 0);
    for (uint32_t i = 0; i < x->head.field_count; i++)
        if (is_max_forwards(&x->head.fields[i])) x->head.fields[i].is_dropped = true;
    extra[(*n)++] = make_field("Max-Forwards", HTTP_FIELD_OTHER, text_slice(&t));
    return 0;
}

static int add_forwarding(struct exchange *x, struct http_field *extra, uint32_t *n)
{
    struct forwarded f;
    forwarded_read(x->routes, &x->peer, exchange_is_secure(x), &x->head, &f);
    size_t room = forwarded_room(&f);
    char *memory = arena_alloc(&x->arena, 2 * room);
    if (!memory) return -1;
    struct text list = text_over(memory, room), forwarded = text_over(memory + room, room);
    forwarded_print(&f, &x->peer, &list, &forwarded);
    if (bug_if(FORWARD, list.is_cut || forwarded.is_cut)) return -1; /* it names another client */
    extra[(*n)++] = make_field("X-Forwarded-For", HTTP_FIELD_X_FORWARDED_FOR, text_slice(&list));
    extra[(*n)++] = make_field("X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO, f.proto);
    if (f.host.len) extra[(*n)++] = make_field("X-Forwarded-Host", HTTP_FIELD_X_FORWARDED_HOST, f.host);
    extra[(*n)++] = make_field("Forwarded", HTTP_FIELD_FORWARDED, text_slice(&forwarded));
    return 0;
}

/* Who the client is by its certificate, which was verified. What clients say of that never passes (fields.c). */
static void add_client_certificate(const struct exchange *x, struct http_field *extra, uint32_t *n)
{
    const struct tls_facts *tls = x->tls;
    if (!tls || !tls->fingerprint.len) return;
    extra[(*n)++] = make_field("X-Client-Cert-Subject", HTTP_FIELD_OTHER, tls->subject);
    extra[(*n)++] = make_field("X-Client-Cert-Fingerprint", HTTP_FIELD_OTHER, tls->fingerprint);
    if (tls->names.len) extra[(*n)++] = make_field("X-Client-Cert-Names", HTTP_FIELD_OTHER, tls->names);
}

/* What a client does not say over HTTP/2, and a server over HTTP/1 asks for (RFC 8441 5). */
static int add_websocket_key(struct exchange *x, struct http_field *extra, uint32_t *n)
{
    if (!upgrade_is_over_http2(x)) return 0;
    char *key = arena_alloc(&x->arena, WEBSOCKET_KEY_LEN + 1);
    if (!key) return -1;
    websocket_make_key(&x->worker->loop.rng, key);
    x->websocket_key = key;
    for (uint32_t i = 0; i < x->head.field_count; i++) {
        struct http_field *f = &x->head.fields[i];
        if (slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("sec-websocket-key")))
            f->is_dropped = true;
    }
    extra[(*n)++] = make_field("Sec-WebSocket-Key", HTTP_FIELD_OTHER, slice_of(key));
    return 0;
}

static int add_via(struct exchange *x, struct http_field *extra, uint32_t *n)
{
    static const struct slice vias[] = {
        [HTTP_VERSION_1_0] = { "1.0 " VIA_NAME, sizeof("1.0 " VIA_NAME) - 1 },
        [HTTP_VERSION_1_1] = { "1.1 " VIA_NAME, sizeof("1.1 " VIA_NAME) - 1 },
        [HTTP_VERSION_2] = { "2.0 " VIA_NAME, sizeof("2.0 " VIA_NAME) - 1 }
    };
    struct slice via = vias[x->head.version];
    if (http_head_find(&x->head, HTTP_FIELD_VIA) && !join(x, HTTP_FIELD_VIA, via, &via)) return -1;
    extra[(*n)++] = make_field("Via", HTTP_FIELD_VIA, via);
    return 0;
}

int forward_describe(struct exchange *x, struct http_field *extra, uint32_t *n)
{
    if (add_forwarding(x, extra, n) < 0 || add_via(x, extra, n) < 0) return -1;
    extra[(*n)++] = make_field("X-Request-Id", HTTP_FIELD_X_REQUEST_ID, slice_of(x->request_id));
    return bug_if(FORWARD, *n > FORWARD_DESCRIBED_MAX) ? -1 : 0;
}

/* What weir says of the request on its way. */
static int add_own_fields(struct exchange *x)
{
    struct http_field *extra = x->extra;
    uint32_t n = 0;
    if (forward_describe(x, extra, &n) < 0) return -1;
    if (x->trace) extra[n++] = make_field("traceparent", HTTP_FIELD_OTHER, slice_of(x->trace->field));
    if (add_max_forwards(x, extra, &n) < 0 || add_websocket_key(x, extra, &n) < 0) return -1;
    add_client_certificate(x, extra, &n);
    if (x->variant) extra[n++] = make_field("Weir-Split", HTTP_FIELD_WEIR_SPLIT, slice_of(x->variant->name));
    if (bug_if(FORWARD, n > OWN_FIELDS_MAX)) return -1;
    const struct http_field *known;
    uint32_t known_count = exchange_auth_fields(x, &known);
    if (known_count) memcpy(&extra[n], known, known_count * sizeof(*known));
    x->extra_count = n + known_count;
    return 0;
}

/* What weir has made anew, words to weir, which go no further whoever said them, and the announcement of trailers that
 * will not come. */
static void drop_replaced(struct http_head *head, bool has_trailers)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        switch ((enum http_field_id)head->fields[i].id) {
        case HTTP_FIELD_X_FORWARDED_FOR:
        case HTTP_FIELD_X_FORWARDED_PROTO:
        case HTTP_FIELD_X_FORWARDED_HOST:
        case HTTP_FIELD_FORWARDED:
        case HTTP_FIELD_X_REQUEST_ID:
        case HTTP_FIELD_VIA:
        case HTTP_FIELD_WEIR_PIN:
        case HTTP_FIELD_WEIR_PIN_TOKEN:
        case HTTP_FIELD_WEIR_SPLIT: head->fields[i].is_dropped = true; break;
        case HTTP_FIELD_TRAILER:
            if (!has_trailers) head->fields[i].is_dropped = true;
            break;
        default: break;
        }
    }
}

int forward_fields(struct exchange *x)
{
    const struct route_headers_conf *conf = x->route->conf ? x->route->conf->request_headers : NULL;
    const struct http_field *known;
    uint32_t room = OWN_FIELDS_MAX + exchange_auth_fields(x, &known) + headers_room(conf);
    x->extra = arena_alloc(&x->arena, room * sizeof(*x->extra));
    if (!x->extra) return -1;
    if (add_own_fields(x) < 0) return -1;
    /* Rules may be made from what is replaced. */
    if (conf && headers_apply(x, conf, x->head.fields, x->head.field_count, x->extra, &x->extra_count) < 0)
        return -1;
    if (bug_if(FORWARD, x->extra_count > room)) return -1;
    if (x->trace) exchange_trace_drop(x);
    drop_replaced(&x->head, x->route->conf && x->route->conf->request_trailers.count);
    exchange_auth_hide(x);
    return 0;
}

struct slice forward_host(const struct pool_conf *conf, const struct server *s, struct slice asked)
{
    const char *host = conf->host;
    bool keeps = strcmp(host, "keep") == 0;
    if (keeps && asked.len) return asked;
    if (!keeps && strcmp(host, "server") != 0) return slice_of(host);
    /* A path is no host (RFC 9110 7.2). */
    if (s->host) return slice_of(s->host);
    return s->address.sa.any.sa_family == AF_UNIX ? SLICE("localhost") : slice_of(s->address_text);
}

struct slice forward_authority(const struct exchange *x, const struct server *s)
{
    if (x->egress) return egress_authority(x);
    return forward_host(x->pool_conf, s, x->head.authority);
}

uint32_t forward_hops(const struct http_head *head)
{
    uint32_t hops = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != HTTP_FIELD_VIA) continue;
        struct slice rest = http_field_value(&head->fields[i]);
        struct slice element;
        while (slice_next_element(&rest, &element)) {
            struct slice name = SLICE(" " VIA_NAME);
            if (element.len >= name.len &&
                slice_equal((struct slice){ element.data + element.len - name.len, name.len }, name))
                hops++;
        }
    }
    return hops;
}
