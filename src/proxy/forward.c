#include "proxy/forward.h"

#include "base/text.h"
#include "proxy/exchange_steps.h"
#include "proxy/headers.h"
#include "proxy/split.h"

#define VIA_NAME "weir"

bool forward_is_trusted(const struct listener *l, const struct ip *peer)
{
    const struct cidr *blocks = l->conf->trust.data;
    for (uint32_t i = 0; i < l->conf->trust.count; i++)
        if (cidr_contains(&blocks[i], peer)) return true;
    return false;
}

/* The last element of a list, which it loses. */
static bool take_last(struct slice *list, struct slice *last)
{
    while (list->len) {
        size_t at = list->len;
        while (at && list->data[at - 1] != ',') at--;
        *last = slice_trim((struct slice){ list->data + at, list->len - at });
        list->len = at ? at - 1 : 0;
        if (last->len) return true;
    }
    return false;
}

struct ip forward_client(const struct listener *l, const struct ip *peer, const struct http_head *head)
{
    struct ip client = *peer;
    if (!l->conf->trust.count) return client;
    for (uint32_t i = head->field_count; i-- > 0;) {
        if (head->fields[i].id != HTTP_FIELD_X_FORWARDED_FOR) continue;
        struct slice list = http_field_value(&head->fields[i]);
        struct slice last;
        while (forward_is_trusted(l, &client) && take_last(&list, &last)) {
            struct ip named;
            if (!ip_parse(last, &named)) return client;
            client = named;
        }
    }
    return client;
}

static bool is_safe_id(struct slice id)
{
    if (!id.len || id.len > FLIGHT_REQUEST_ID_MAX) return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];
        bool is_safe = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' ||
                       c == '_' || c == '.';
        if (!is_safe) return false;
    }
    return true;
}

void forward_request_id(struct exchange *x)
{
    struct slice given = http_field_value(http_head_find(&x->head, HTTP_FIELD_X_REQUEST_ID));
    struct text t = text_over(x->request_id, sizeof(x->request_id));
    if (is_safe_id(given)) {
        text_add_slice(&t, given);
    } else {
        text_add_hex(&t, rng_next(&x->worker->loop.rng), 16);
        text_add_hex(&t, rng_next(&x->worker->loop.rng), 16);
    }
    text_cstr(&t);
    flight_set_request_id(&x->record, slice_of(x->request_id));
}

static void drop_fields(struct http_head *head, enum http_field_id id)
{
    for (uint32_t i = 0; i < head->field_count; i++)
        if (head->fields[i].id == id) head->fields[i].is_dropped = true;
}

static struct http_field make_field(const char *name, enum http_field_id id, struct slice value)
{
    return (struct http_field){ .name = name,
                                .name_len = (uint16_t)strlen(name),
                                .value = value.data,
                                .value_len = (uint32_t)value.len,
                                .id = (uint8_t)id };
}

/* "a, b, <added>" of all fields with that id if they are kept, else just `added`. The fields are dropped. */
static bool join(struct exchange *x, enum http_field_id id, bool keeps, struct slice added, struct slice *out)
{
    size_t size = added.len;
    for (uint32_t i = 0; keeps && i < x->head.field_count; i++)
        if (x->head.fields[i].id == id) size += x->head.fields[i].value_len + 2u;
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!memory) return false;
    struct text t = text_over(memory, size + 1);
    for (uint32_t i = 0; i < x->head.field_count; i++) {
        struct http_field *f = &x->head.fields[i];
        if (f->id != id || f->is_dropped) continue;
        f->is_dropped = true;
        if (!keeps || !f->value_len) continue;
        text_add(&t, f->value, f->value_len);
        TEXT_LITERAL(&t, ", ");
    }
    text_add_slice(&t, added);
    *out = text_slice(&t);
    return true;
}

static bool is_plain_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++)
        if (host.data[i] == '"' || host.data[i] == '\\' || host.data[i] == ';') return false;
    return true;
}

/* RFC 7239: for=192.0.2.7;host=example.com;proto=http, an IPv6 address in quotes and brackets. */
static struct slice forwarded_element(struct exchange *x, const char *peer, bool is_v6, char *out,
                                      size_t size)
{
    struct text t = text_over(out, size);
    TEXT_LITERAL(&t, "for=");
    if (is_v6)
        text_printf(&t, "\"[%s]\"", peer);
    else
        text_add_slice(&t, slice_of(peer));
    if (x->head.authority.len && is_plain_host(x->head.authority)) {
        TEXT_LITERAL(&t, ";host=\"");
        text_add_slice(&t, x->head.authority);
        TEXT_LITERAL(&t, "\"");
    }
    TEXT_LITERAL(&t, ";proto=http");
    return text_slice(&t);
}

#define OWN_FIELDS_MAX 7u

/* What weir says of the request on its way. */
static int add_own_fields(struct exchange *x)
{
    struct http_field *extra = x->extra;
    const struct listener *l = x->listener->listener;
    bool keeps = forward_is_trusted(l, &x->peer);
    char *text = arena_alloc(&x->arena, INET6_ADDRSTRLEN);
    if (!text) return -1;
    ip_print(&x->peer, text);
    struct slice value;
    uint32_t n = 0;
    if (!join(x, HTTP_FIELD_X_FORWARDED_FOR, keeps, slice_of(text), &value)) return -1;
    extra[n++] = make_field("X-Forwarded-For", HTTP_FIELD_X_FORWARDED_FOR, value);
    if (!keeps || !http_head_find(&x->head, HTTP_FIELD_X_FORWARDED_PROTO)) {
        drop_fields(&x->head, HTTP_FIELD_X_FORWARDED_PROTO);
        extra[n++] = make_field("X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO, SLICE("http"));
    }
    if (x->head.authority.len && (!keeps || !http_head_find(&x->head, HTTP_FIELD_X_FORWARDED_HOST))) {
        drop_fields(&x->head, HTTP_FIELD_X_FORWARDED_HOST);
        extra[n++] = make_field("X-Forwarded-Host", HTTP_FIELD_X_FORWARDED_HOST, x->head.authority);
    } else if (!keeps) {
        drop_fields(&x->head, HTTP_FIELD_X_FORWARDED_HOST);
    }
    char element[512];
    struct slice mine = forwarded_element(x, text, !ip_is_v4(&x->peer), element, sizeof(element));
    if (!join(x, HTTP_FIELD_FORWARDED, keeps, mine, &value)) return -1;
    extra[n++] = make_field("Forwarded", HTTP_FIELD_FORWARDED, value);
    drop_fields(&x->head, HTTP_FIELD_X_REQUEST_ID);
    extra[n++] = make_field("X-Request-Id", HTTP_FIELD_X_REQUEST_ID, slice_of(x->request_id));
    struct slice via = x->head.version == HTTP_VERSION_1_0 ? SLICE("1.0 " VIA_NAME) : SLICE("1.1 " VIA_NAME);
    if (http_head_find(&x->head, HTTP_FIELD_VIA) && !join(x, HTTP_FIELD_VIA, true, via, &via)) return -1;
    extra[n++] = make_field("Via", HTTP_FIELD_VIA, via);
    if (x->variant) extra[n++] = make_field("Weir-Split", HTTP_FIELD_WEIR_SPLIT, slice_of(x->variant->name));
    x->extra_count = n;
    return 0;
}

/* Words to weir go no further, whoever said them: a server could take a client's Weir-Split for weir's. */
static void drop_words_to_weir(struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_field *f = &head->fields[i];
        if (f->id == HTTP_FIELD_WEIR_PIN || f->id == HTTP_FIELD_WEIR_PIN_TOKEN ||
            f->id == HTTP_FIELD_WEIR_SPLIT)
            f->is_dropped = true;
    }
}

int forward_fields(struct exchange *x)
{
    const struct route_headers_conf *conf = x->route->conf ? x->route->conf->request_headers : NULL;
    x->extra = arena_alloc(&x->arena, (OWN_FIELDS_MAX + headers_room(conf)) * sizeof(*x->extra));
    if (!x->extra) return -1;
    drop_words_to_weir(&x->head);
    if (add_own_fields(x) < 0) return -1;
    if (!conf) return 0;
    return headers_apply(x, conf, x->head.fields, x->head.field_count, x->extra, &x->extra_count);
}

struct slice forward_authority(const struct exchange *x)
{
    const char *host = x->pool->pool->conf->host;
    if (x->egress) return egress_authority(x);
    if (strcmp(host, "keep") == 0 && x->head.authority.len) return x->head.authority;
    if (strcmp(host, "keep") == 0 || strcmp(host, "server") == 0) {
        bool is_unix = x->server->address.sa.any.sa_family == AF_UNIX;
        return is_unix ? SLICE("localhost") : slice_of(x->server->address_text);
    }
    return slice_of(host);
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
