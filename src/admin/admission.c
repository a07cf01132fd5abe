#include "admin/admission.h"

#include <string.h>

#include "base/text.h"

/* Of the server as a whole (RFC 9110 9.3.7). */
#define ALL_METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

static void set_allow(struct answer *a, const char *methods)
{
    struct text t = text_over(a->allow, sizeof(a->allow));
    text_add_slice(&t, slice_of(methods));
    text_cstr(&t);
}

static void refuse_method(struct answer *a, const struct http_head *head, const char *allow)
{
    int shown = head->method_text.len < 32 ? (int)head->method_text.len : 32;
    answer_problem(a, 405, "The method %.*s is not served here; use %s.", shown, head->method_text.data,
                   allow);
    set_allow(a, allow);
}

static void not_found(const struct admin_route *routes, const struct http_head *head, struct answer *a)
{
    struct slice path = head->target;
    const char *query = memchr(path.data, '?', path.len);
    if (query) path.len = (size_t)(query - path.data);
    const char *nearest = router_nearest(routes, path);
    int shown = path.len < 100 ? (int)path.len : 100;
    if (nearest)
        answer_problem(a, 404, "There is nothing at %.*s; did you mean %s?", shown, path.data, nearest);
    else
        answer_problem(a, 404, "There is nothing at %.*s; GET / lists what there is.", shown, path.data);
}

static bool is_json(const struct http_head *head)
{
    struct slice type = http_field_value(http_head_find(head, HTTP_FIELD_CONTENT_TYPE));
    const char *end = type.len ? memchr(type.data, ';', type.len) : NULL;
    if (end) type.len = (size_t)(end - type.data);
    return slice_equal_fold(slice_trim(type), SLICE("application/json"));
}

/* False: `a` says why not. */
static bool may_route(const struct admission *by, const struct http_head *head,
                      const struct router_match *match, struct guard_who *who, struct answer *a)
{
    struct err err;
    bool is_open = match->route && match->route->is_open;
    if (by->is_reserved && !is_open) {
        answer_problem(
            a, 503,
            "All connections that the API has for you are in use; only health checks are answered now.");
        return false;
    }
    /* Which paths there are is told to who may look. */
    const struct guard_ask ask = { .head = head,
                                   .needs = match->route ? match->route->role : ROLE_VIEW,
                                   .has_effect = match->route && match->route->has_effect,
                                   .now_ms = by->now_ms };
    uint16_t refused = is_open ? 0 : guard_check(by->guard, &ask, who, &err);
    if (refused) {
        answer_error(a, refused, &err);
        a->wants_credentials = refused == 401;
        a->is_for_script = guard_is_script(head);
        return false;
    }
    if (!match->has_path) {
        not_found(by->routes, head, a);
        return false;
    }
    if (head->method == HTTP_OPTIONS) {
        a->status = 204;
        set_allow(a, match->allow);
        return false;
    }
    if (match->route) return true;
    refuse_method(a, head, match->allow);
    return false;
}

bool admission_read(const struct admission *by, const struct http_head *head, struct admin_request *rq,
                    struct answer *a)
{
    struct err err;
    struct target target;
    struct router_match match;
    /* Neither of these has a path. */
    if (head->method == HTTP_CONNECT) {
        refuse_method(a, head, ALL_METHODS);
        return false;
    }
    if (head->method == HTTP_OPTIONS && slice_equal(head->target, SLICE("*"))) {
        a->status = 204;
        set_allow(a, ALL_METHODS);
        return false;
    }
    if (target_read(&target, head->target, by->memory, &err) < 0) {
        answer_error(a, 400, &err);
        return false;
    }
    router_match(by->routes, &target, head->method, &match);
    if (!may_route(by, head, &match, &rq->who, a)) return false;
    rq->route = match.route;
    memcpy(rq->params, match.params, sizeof(rq->params));
    if (router_query(rq->route, &target, rq->query, &err) < 0) {
        answer_error(a, 400, &err);
        return false;
    }
    if (rq->route->body && by->has_body && !is_json(head)) {
        answer_problem(a, 415, "The body must be JSON; send it with \"Content-Type: application/json\".");
        return false;
    }
    return true;
}
