#include "proxy/cors.h"

#include "http/h1_scan.h"
#include "proxy/route_set.h"
#include "route/cors_conf.h"

#define REFLECTED_MAX 1024u

const struct cors_conf *cors_of(const struct route_set *l, const struct route *r)
{
    return r && r->conf && r->conf->cors ? r->conf->cors : l->conf->cors;
}

struct slice cors_method_meant(const struct http_head *head)
{
    return http_field_value(http_head_find_name(head, SLICE("access-control-request-method")));
}

bool cors_is_preflight(const struct http_head *head)
{
    return head->method == HTTP_OPTIONS && http_head_find(head, HTTP_FIELD_ORIGIN) &&
           cors_method_meant(head).len;
}

static void put(struct http_field *out, uint32_t *count, const char *name, struct slice value)
{
    out[(*count)++] = (struct http_field){ .name = name,
                                           .name_len = (uint16_t)strlen(name),
                                           .value = value.data,
                                           .value_len = (uint32_t)value.len };
}

/* Empty: of none, of several, or of one that is not allowed. */
static struct slice allowed_origin(const struct exchange *x, const struct cors_conf *conf)
{
    struct slice origin = http_field_value(http_head_find(&x->head, HTTP_FIELD_ORIGIN));
    if (conf->is_any) return SLICE("*");
    if (http_head_has_several(&x->head, HTTP_FIELD_ORIGIN)) return SLICE_NONE;
    return cors_allows(conf, origin) ? origin : SLICE_NONE;
}

uint32_t cors_fields(const struct exchange *x, struct http_field out[CORS_FIELDS])
{
    const struct cors_conf *conf = x->routes ? cors_of(x->routes, x->route) : NULL;
    uint32_t count = 0;
    if (!conf) return 0;
    struct slice origin = allowed_origin(x, conf);
    if (origin.len) {
        put(out, &count, "Access-Control-Allow-Origin", origin);
        if (conf->credentials) put(out, &count, "Access-Control-Allow-Credentials", SLICE("true"));
        if (conf->expose_text.len) put(out, &count, "Access-Control-Expose-Headers", conf->expose_text);
    }
    /* Also where nothing is allowed: another origin is told another thing (RFC 9110 12.5.5). */
    if (!conf->is_any) put(out, &count, "Vary", SLICE("Origin"));
    return count;
}

/* What was asked for, said again: names of fields alone. */
static struct slice reflected(const struct http_head *head)
{
    const struct http_field *f = http_head_find_name(head, SLICE("access-control-request-headers"));
    struct slice value = http_field_value(f);
    if (value.len > REFLECTED_MAX) return SLICE_NONE;
    for (size_t i = 0; i < value.len; i++)
        if (!h1_is(value.data[i], H1_TOKEN) && value.data[i] != ',' && value.data[i] != ' ')
            return SLICE_NONE;
    return value;
}

uint32_t cors_preflight_fields(const struct exchange *x, struct http_field out[CORS_PREFLIGHT_FIELDS])
{
    const struct cors_conf *conf = cors_of(x->routes, x->route);
    uint32_t count = 0;
    if (!conf) return 0;
    if (!conf->headers.count) put(out, &count, "Vary", SLICE("Access-Control-Request-Headers"));
    if (!allowed_origin(x, conf).len) return count;
    struct slice headers = conf->headers.count ? conf->headers_text : reflected(&x->head);
    put(out, &count, "Access-Control-Allow-Methods", conf->methods_text);
    if (headers.len) put(out, &count, "Access-Control-Allow-Headers", headers);
    put(out, &count, "Access-Control-Max-Age", conf->max_age_text);
    return count;
}

static bool says_vary(struct slice list)
{
    struct slice element;
    while (slice_next_element(&list, &element))
        if (slice_equal(element, SLICE("*")) || slice_equal_fold(element, SLICE("origin"))) return true;
    return false;
}

bool cors_take_out(struct http_field *fields, uint32_t count)
{
    static const struct slice prefix = { "access-control-", sizeof("access-control-") - 1 };
    bool is_said = false;
    for (uint32_t i = 0; i < count; i++) {
        struct http_field *f = &fields[i];
        if (f->is_dropped) continue;
        if (f->name_len > prefix.len && slice_is_same_fold(f->name, prefix.data, prefix.len))
            f->is_dropped = true;
        else if (slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("vary")))
            is_said |= says_vary(http_field_value(f));
    }
    return is_said;
}
