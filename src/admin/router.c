#include "admin/router.h"

#include <stdio.h>

#include "base/text.h"
#include "conf/decode.h"

/* More rows than the table will ever have. */
#define ROUTES_MAX 128u

bool router_next_segment(const char **rest, struct slice *segment, bool *is_param)
{
    const char *from = *rest;
    if (*from != '/' || !from[1]) return false;
    size_t len = 0;
    for (from++; from[len] && from[len] != '/'; len++) {}
    *rest = from + len;
    *is_param = *from == '{';
    *segment = *is_param ? (struct slice){ from + 1, len - 2 } : (struct slice){ from, len };
    return true;
}

static bool is_path(const char *pattern, const struct target *t, struct slice params[ROUTER_PARAMS_MAX])
{
    uint32_t at = 0;
    uint32_t found = 0;
    struct slice segment;
    bool is_param;
    while (router_next_segment(&pattern, &segment, &is_param)) {
        if (at == t->segment_count) return false;
        struct slice given = t->segments[at++];
        if (!is_param && !slice_equal(segment, given)) return false;
        if (is_param && (!given.len || found == ROUTER_PARAMS_MAX)) return false;
        if (is_param) params[found++] = given;
    }
    /* A pattern that ends with a slash takes only that. */
    bool ends_with_slash = *pattern == '/' && at;
    return at + ends_with_slash == t->segment_count && (!ends_with_slash || !t->segments[at].len);
}

void router_match(const struct admin_route *routes, const struct target *target, enum http_method method,
                  struct router_match *out)
{
    struct text allow = text_over(out->allow, sizeof(out->allow));
    struct slice params[ROUTER_PARAMS_MAX];
    out->route = NULL;
    out->has_path = false;
    for (const struct admin_route *r = routes; r->path; r++) {
        if (!is_path(r->path, target, params)) continue;
        out->has_path = true;
        text_printf(&allow, "%s%s, ", http_method_name(r->method), r->method == HTTP_GET ? ", HEAD" : "");
        bool is_method = r->method == method || (r->method == HTTP_GET && method == HTTP_HEAD);
        if (!is_method || out->route) continue;
        out->route = r;
        memcpy(out->params, params, sizeof(params));
    }
    if (out->has_path) TEXT_LITERAL(&allow, "OPTIONS");
    text_cstr(&allow);
}

static int row_of(const struct admin_query *rows, struct slice name)
{
    for (int i = 0; rows && rows[i].name; i++)
        if (slice_equal(name, slice_of(rows[i].name))) return i;
    return -1;
}

static int unknown_parameter(const struct admin_query *rows, struct slice name, struct err *err)
{
    const char *names[ROUTER_QUERY_MAX];
    uint32_t count = 0;
    char known[256];
    struct text t = text_over(known, sizeof(known));
    for (; rows && rows[count].name; count++) {
        names[count] = rows[count].name;
        text_printf(&t, "%s%s", count ? ", " : "", names[count]);
    }
    int shown = name.len < 64 ? (int)name.len : 64;
    if (!count)
        return err_set(err, "unknown query parameter \"%.*s\"; this path takes none", shown, name.data);
    const char *nearest = conf_nearest(name, names, count);
    if (nearest)
        return err_set(err, "unknown query parameter \"%.*s\"; did you mean \"%s\"?", shown, name.data,
                       nearest);
    return err_set(err, "unknown query parameter \"%.*s\"; there are %s", shown, name.data, text_cstr(&t));
}

int router_query(const struct admin_route *route, const struct target *target,
                 struct slice values[ROUTER_QUERY_MAX], struct err *err)
{
    for (uint32_t i = 0; i < ROUTER_QUERY_MAX; i++) values[i] = SLICE_NONE;
    for (uint32_t i = 0; i < target->pair_count; i++) {
        const struct target_pair *pair = &target->pairs[i];
        int row = row_of(route->query, pair->name);
        if (row < 0) return unknown_parameter(route->query, pair->name, err);
        if (values[row].data)
            return err_set(err, "the query parameter \"%s\" is given twice", route->query[row].name);
        values[row] = pair->value;
    }
    return 0;
}

const char *router_nearest(const struct admin_route *routes, struct slice path)
{
    const char *paths[ROUTES_MAX];
    size_t count = 0;
    for (const struct admin_route *r = routes; r->path && count < ROUTES_MAX; r++)
        if (!strchr(r->path, '{')) paths[count++] = r->path;
    return conf_nearest(path, paths, count);
}
