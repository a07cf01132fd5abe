#include "proxy/headers.h"

#include "pool/sticky.h"
#include "proxy/split.h"

/* A value made from the request is never longer than this; the rest is cut. */
#define VALUE_MAX 4096u

uint32_t headers_room(const struct route_headers_conf *conf)
{
    return conf ? conf->set.count + conf->add.count : 0;
}

static void drop(struct http_field *fields, uint32_t count, struct slice name)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_equal_fold((struct slice){ fields[i].name, fields[i].name_len }, name))
            fields[i].is_dropped = true;
}

static int append(struct exchange *x, const struct route_header_conf *conf, struct http_field *extra,
                  uint32_t *extra_count)
{
    char value[VALUE_MAX];
    struct text t = text_over(value, sizeof(value));
    struct http_template_input in = { .head = &x->head,
                                      .client = &x->record.client,
                                      .request_id = slice_of(x->request_id) };
    http_template_expand(&conf->value, &in, &t);
    struct slice copy = arena_copy(&x->arena, text_slice(&t));
    if (!copy.data) return -1;
    extra[(*extra_count)++] = (struct http_field){ .name = conf->name,
                                                   .name_len = (uint16_t)strlen(conf->name),
                                                   .value = copy.data,
                                                   .value_len = (uint32_t)copy.len };
    return 0;
}

int headers_apply(struct exchange *x, const struct route_headers_conf *conf, struct http_field *fields,
                  uint32_t count, struct http_field *extra, uint32_t *extra_count)
{
    const char *const *remove = conf->remove.data;
    const struct route_header_conf *set = conf->set.data, *add = conf->add.data;
    uint32_t before = *extra_count;
    /* Values first: they may be made from what goes. */
    for (uint32_t i = 0; i < conf->set.count; i++)
        if (append(x, &set[i], extra, extra_count) < 0) return -1;
    for (uint32_t i = 0; i < conf->add.count; i++)
        if (append(x, &add[i], extra, extra_count) < 0) return -1;
    for (uint32_t i = 0; i < conf->remove.count; i++) {
        drop(fields, count, slice_of(remove[i]));
        drop(extra, before, slice_of(remove[i]));
    }
    for (uint32_t i = 0; i < conf->set.count; i++) {
        drop(fields, count, slice_of(set[i].name));
        drop(extra, before, slice_of(set[i].name));
    }
    return 0;
}

static bool needs_cookie(const struct exchange *x)
{
    if (!x->pool->pool->sticky || !x->server) return false;
    /* A server pinned by hand is no client's home. */
    if (x->named_reason == BALANCE_PINNED) return false;
    return !(x->has_current_cookie && x->named == x->server);
}

static void put(struct http_field *extra, uint32_t *count, const char *name, struct slice value)
{
    extra[(*count)++] = (struct http_field){ .name = name,
                                             .name_len = (uint16_t)strlen(name),
                                             .value = value.data,
                                             .value_len = (uint32_t)value.len };
}

int headers_of_response(struct exchange *x, struct http_head *head, struct http_send *send)
{
    const struct route_headers_conf *conf = x->route->conf ? x->route->conf->response_headers : NULL;
    bool has_split = x->variant && x->variant->split->conf->response_header;
    bool has_cookie = needs_cookie(x);
    if (!conf && !has_split && !has_cookie) return 0;
    struct http_field *extra = arena_alloc(&x->arena, (headers_room(conf) + 2) * sizeof(*extra));
    uint32_t count = 0;
    if (!extra) return -1;
    if (has_split) {
        drop(head->fields, head->field_count, SLICE("weir-split"));
        put(extra, &count, "Weir-Split", slice_of(x->variant->name));
    }
    if (has_cookie) put(extra, &count, "Set-Cookie", sticky_set_cookie(x->pool->pool->sticky, x->server));
    if (conf && headers_apply(x, conf, head->fields, head->field_count, extra, &count) < 0) return -1;
    send->extra = extra;
    send->extra_count = count;
    return 0;
}
