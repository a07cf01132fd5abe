#include "proxy/headers.h"

#include "base/bug.h"
#include "pool/sticky.h"
#include "proxy/cors.h"
#include "proxy/exchange_steps.h"
#include "proxy/fields.h"
#include "proxy/split.h"
#include "route/cors_conf.h"

/* A value made from the request is never longer than this; the rest is cut. */
#define VALUE_MAX 4096u

uint32_t headers_room(const struct route_headers_conf *conf)
{
    return conf ? conf->set.count + conf->add.count : 0;
}

/* A server may not tell alike names of a request apart; a response's are told apart by every client. */
static bool is_meant(struct slice name, const char *rule, bool is_request)
{
    return is_request ? fields_are_alike(name, slice_of(rule)) : slice_equal_fold(name, slice_of(rule));
}

static bool is_taken_out(const struct route_headers_conf *conf, struct slice name, bool is_request)
{
    const char *const *remove = conf->remove.data;
    const struct route_header_conf *set = conf->set.data;
    for (uint32_t i = 0; i < conf->remove.count; i++)
        if (is_meant(name, remove[i], is_request)) return true;
    for (uint32_t i = 0; i < conf->set.count; i++)
        if (is_meant(name, set[i].name, is_request)) return true;
    return false;
}

static void take_out(const struct route_headers_conf *conf, bool is_request, struct http_field *fields,
                     uint32_t count)
{
    for (uint32_t i = 0; conf && i < count; i++)
        if (is_taken_out(conf, (struct slice){ fields[i].name, fields[i].name_len }, is_request))
            fields[i].is_dropped = true;
}

/* A field whose sources the request does not have is left out: an empty value would be another statement. */
static int append(struct exchange *x, const struct route_header_conf *conf, struct http_field *extra,
                  uint32_t *extra_count)
{
    char value[VALUE_MAX];
    struct text t = text_over(value, sizeof(value));
    struct http_template_input in = { .head = &x->head,
                                      .client = &x->record.client,
                                      .request_id = slice_of(x->request_id),
                                      .user = exchange_user_text(x),
                                      .is_secure = exchange_is_secure(x) };
    if (!http_template_expand(&conf->value, &in, &t)) return 0;
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
    const struct route_header_conf *set = conf->set.data, *add = conf->add.data;
    bool is_request = x->route->conf && conf == x->route->conf->request_headers;
    uint32_t before = *extra_count;
    /* Values first: they may be made from what goes. */
    for (uint32_t i = 0; i < conf->set.count; i++)
        if (append(x, &set[i], extra, extra_count) < 0) return -1;
    for (uint32_t i = 0; i < conf->add.count; i++)
        if (append(x, &add[i], extra, extra_count) < 0) return -1;
    if (bug_if(FORWARD, *extra_count - before > headers_room(conf))) return -1;
    take_out(conf, is_request, fields, count);
    take_out(conf, is_request, extra, before);
    return 0;
}

/* Trailers are the client's last word, behind everything that was decided by the head: only what the route names
 * passes, and nothing that its rules decide. */
static bool may_trail(const struct exchange *x, const struct http_field *f)
{
    const struct route_conf *conf = x->route ? x->route->conf : NULL;
    struct slice name = { f->name, f->name_len };
    if (!conf || f->is_dropped || fields_are_identity(x->routes, name)) return false;
    if (conf->request_headers && is_taken_out(conf->request_headers, name, true)) return false;
    const char *const *named = conf->request_trailers.data;
    for (uint32_t i = 0; i < conf->request_trailers.count; i++)
        if (slice_equal_fold(name, slice_of(named[i]))) return true;
    return false;
}

uint32_t headers_of_request_trailers(const struct exchange *x, struct http_field *fields, uint32_t count)
{
    uint32_t passing = 0;
    for (uint32_t i = 0; i < count; i++)
        if (may_trail(x, &fields[i])) fields[passing++] = fields[i];
    return passing;
}

void headers_of_other_responses(const struct exchange *x, struct http_field *fields, uint32_t count)
{
    take_out(x->route->conf ? x->route->conf->response_headers : NULL, false, fields, count);
    if (!x->variant || !x->variant->split->conf->response_header) return;
    for (uint32_t i = 0; i < count; i++)
        if (fields[i].id == HTTP_FIELD_WEIR_SPLIT) fields[i].is_dropped = true;
}

#define HSTS_NAME "Strict-Transport-Security"

struct slice headers_hsts(const struct exchange *x)
{
    const struct tls_conf *tls = x->routes ? x->routes->conf->tls : NULL;
    /* RFC 6797 7.2: never where it came plain. */
    if (!tls || !tls->hsts || !x->client->client->is_secure) return SLICE_NONE;
    return slice_of(tls->hsts->value);
}

/* The listener's word goes before the servers'. */
static void take_hsts_out(struct http_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_equal_fold((struct slice){ fields[i].name, fields[i].name_len }, SLICE(HSTS_NAME)))
            fields[i].is_dropped = true;
}

/* Empty: none is to be set. A server that is in an older roster alone has none: nobody would know it by that. */
static struct slice cookie_of(const struct exchange *x)
{
    const struct sticky *sticky = x->view ? x->view->set->roster->sticky : NULL;
    if (!sticky || !x->attempt.server) return SLICE_NONE;
    /* A server pinned by hand is no client's home. */
    if (x->named_reason == BALANCE_PINNED) return SLICE_NONE;
    if (x->has_current_cookie && x->named == x->attempt.server) return SLICE_NONE;
    return sticky_set_cookie(sticky, x->attempt.server);
}

static void put(struct http_field *extra, uint32_t *count, const char *name, struct slice value)
{
    extra[(*count)++] = (struct http_field){ .name = name,
                                             .name_len = (uint16_t)strlen(name),
                                             .value = value.data,
                                             .value_len = (uint32_t)value.len };
}

/* In place of what the server says of that. */
static uint32_t cors_of_response(const struct exchange *x, struct http_head *head,
                                 struct http_field out[CORS_FIELDS])
{
    const struct cors_conf *conf = cors_of(x->routes, x->route);
    if (!conf) return 0;
    bool is_vary_said = cors_take_out(head->fields, head->field_count);
    return cors_fields(x, out) - (is_vary_said && !conf->is_any);
}

int headers_of_response(struct exchange *x, struct http_head *head, struct http_send *send)
{
    const struct route_headers_conf *conf = x->route->conf ? x->route->conf->response_headers : NULL;
    struct worker *w = x->worker;
    bool has_split = x->variant && x->variant->split->conf->response_header;
    struct slice cookie = cookie_of(x);
    /* RFC 9110 6.6.1: of a server without a clock. */
    bool lacks_date = head->status >= 200 && !http_head_find(head, HTTP_FIELD_DATE);
    struct slice hsts = headers_hsts(x);
    struct http_field rate[EXCHANGE_RATE_FIELDS];
    uint32_t rate_count = x->rate ? exchange_rate_fields(x, rate) : 0;
    struct http_field cors[CORS_FIELDS];
    uint32_t cors_count = cors_of_response(x, head, cors);
    if (!conf && !has_split && !cookie.len && !lacks_date && !hsts.len && !rate_count && !cors_count)
        return 0;
    uint32_t room = headers_room(conf) + 4 + rate_count + cors_count, count = rate_count;
    struct http_field *extra = arena_alloc(&x->arena, room * sizeof(*extra));
    if (!extra) return -1;
    memcpy(extra, rate, rate_count * sizeof(*rate));
    memcpy(extra + count, cors, cors_count * sizeof(*cors));
    count += cors_count;
    if (lacks_date) put(extra, &count, "Date", http_date_at(&w->date, loop_wall_ns(&w->loop)));
    if (has_split) put(extra, &count, "Weir-Split", slice_of(x->variant->name));
    if (hsts.len) {
        take_hsts_out(head->fields, head->field_count);
        put(extra, &count, HSTS_NAME, hsts);
    }
    headers_of_other_responses(x, head->fields, head->field_count);
    if (cookie.len) put(extra, &count, "Set-Cookie", cookie);
    if (bug_if(FORWARD, count > room - headers_room(conf))) return -1;
    if (conf && headers_apply(x, conf, head->fields, head->field_count, extra, &count) < 0) return -1;
    send->extra = extra;
    send->extra_count = count;
    return 0;
}
