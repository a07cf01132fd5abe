/* What is out for maintenance, and switching it: a change of the configuration like any other, kept like any other. */
#include <stdlib.h>

#include "admin/config_ask.h"
#include "admin/routes.h"
#include "conf/decode.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"
#include "route/maintenance_conf.h"

struct maintenance_answer {
    const char *listener, *route;
    bool enabled;
    uint64_t status, allowed;
};

static const struct shape_field maintenance_fields[] = {
    SHAPE_ROW(maintenance_answer, listener, STRING, "The listener."),
    SHAPE_ROW(maintenance_answer, route, STRING, "The route; null for the listener as a whole.",
              .may_be_null = true),
    SHAPE_ROW(maintenance_answer, enabled, BOOL, "It is out for maintenance."),
    SHAPE_ROW(maintenance_answer, status, COUNT, "The status of the answer."),
    SHAPE_ROW(maintenance_answer, allowed, COUNT, "How many address blocks are served all the same."),
    { 0 },
};
const struct shape maintenance_shape = { "Maintenance", sizeof(struct maintenance_answer),
                                         maintenance_fields };

static void print(const char *listener, const char *route, const struct maintenance_conf *m, struct json *j)
{
    struct maintenance_answer a = { .listener = listener,
                                    .route = route,
                                    .enabled = m && m->enabled,
                                    .status = m ? m->status : 503,
                                    .allowed = m ? m->allow.count : 0 };
    shape_print(&maintenance_shape, &a, j);
}

/* Every listener that knows requests, and the routes that say something of it. */
static void print_listener(const struct listener *l, struct json *j)
{
    const struct listener_conf *conf = l->routes->conf;
    const struct route_conf *routes = conf->routes.data;
    if (conf->protocol != LISTENER_HTTP) return;
    print(l->name, NULL, conf->maintenance, j);
    for (uint32_t i = 0; i < conf->routes.count; i++)
        if (routes[i].maintenance) print(l->name, routes[i].name, routes[i].maintenance, j);
}

void maintenance_list(const struct admin_request *rq, struct answer *out)
{
    const struct proxy *p = rq->proxy;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "maintenance");
    json_array(&j);
    for (uint32_t i = 0; i < p->listener_count; i++) print_listener(p->listeners[i], &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

/* PATCH */

struct maintenance_patch {
    bool enabled;
    const char *listener, *route;
};

static const struct conf_field patch_fields[] = {
    { "enabled", CONF_BOOL(struct maintenance_patch, enabled), .flags = CONF_REQUIRED | CONF_LIVE,
      .help = "true: out for maintenance; false: served again." },
    { "listener", CONF_STRING(struct maintenance_patch, listener), .min = 1, .max = 128, .flags = CONF_LIVE,
      .help = "Which listener; every one that speaks HTTP if absent." },
    { "route", CONF_STRING(struct maintenance_patch, route), .min = 1, .max = 64, .flags = CONF_LIVE,
      .help = "One of its routes alone." },
    { 0 },
};

static void check_patch(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct maintenance_patch *p = object;
    if (p->route && !p->listener)
        conf_decode_fault(d, node, "route", "name its `listener` too", "a route is a listener's");
}

const struct conf_type maintenance_patch_type = { .name = "maintenance change",
                                                  .size = sizeof(struct maintenance_patch),
                                                  .fields = patch_fields,
                                                  .check = check_patch };

#define CHANGE_MAX 320

struct changes {
    char memory[CONF_CHANGES_MAX][CHANGE_MAX];
    const char *texts[CONF_CHANGES_MAX];
    uint32_t count;
};

/* A name stands in brackets there, and a number is a place of a list. */
static bool is_plain(const char *name)
{
    return !strpbrk(name, "[]=") && strspn(name, "0123456789") != strlen(name);
}

/* -1: `out` says why not. */
static int add(struct changes *c, const char *listener, const char *route, bool enabled, struct answer *out)
{
    if (!is_plain(listener) || (route && !is_plain(route))) {
        answer_problem(
            out, 409,
            "The name \"%.64s\" is a number or has brackets: write `maintenance` in the configuration.",
            is_plain(listener) ? route : listener);
        return -1;
    }
    if (c->count == CONF_CHANGES_MAX) {
        answer_problem(out, 409, "There are more than %u listeners; name one.", CONF_CHANGES_MAX);
        return -1;
    }
    struct text t = text_over(c->memory[c->count], CHANGE_MAX);
    text_printf(&t, "listeners[%s]", listener);
    if (route) text_printf(&t, ".routes[%s]", route);
    text_printf(&t, ".maintenance.enabled=%s", enabled ? "true" : "false");
    c->texts[c->count] = text_cstr(&t);
    c->count++;
    return 0;
}

static bool has_route(const struct listener_conf *conf, const char *name)
{
    const struct route_conf *routes = conf->routes.data;
    for (uint32_t i = 0; i < conf->routes.count; i++)
        if (strcmp(routes[i].name, name) == 0) return true;
    return false;
}

static int collect(const struct proxy *p, const struct maintenance_patch *patch, struct changes *c,
                   struct answer *out)
{
    bool is_found = false;
    for (uint32_t i = 0; i < p->listener_count; i++) {
        const struct listener *l = p->listeners[i];
        const struct listener_conf *conf = l->routes->conf;
        if (conf->protocol != LISTENER_HTTP || (patch->listener && strcmp(l->name, patch->listener) != 0))
            continue;
        is_found = true;
        if (patch->route && !has_route(conf, patch->route)) {
            answer_problem(out, 404, "Listener \"%s\" has no route \"%.64s\"; GET /api/v1/routes lists them.",
                           l->name, patch->route);
            return -1;
        }
        if (add(c, l->name, patch->route, patch->enabled, out) < 0) return -1;
    }
    if (is_found) return 0;
    answer_problem(out, 404, "There is no HTTP listener \"%.64s\"; GET /api/v1/listeners lists them.",
                   patch->listener ? patch->listener : "");
    return -1;
}

/* -1: `out` says what is wrong. The patch's texts live in the arena. */
static int read_patch(const struct admin_request *rq, struct maintenance_patch *patch,
                      struct conf_arena *arena, struct answer *out)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
        return -1;
    }
    int result = conf_read_json(&tree, "request body", rq->body, faults);
    if (result == 0) result = conf_decode(&tree, &maintenance_patch_type, patch, arena, faults);
    if (result < 0) answer_faults(out, faults, &tree);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

void maintenance_change(const struct admin_request *rq, struct answer *out)
{
    struct maintenance_patch patch = { 0 };
    struct conf_arena *arena = conf_arena_new();
    struct changes *c = calloc(1, sizeof(*c));
    if (!c) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
    } else if (read_patch(rq, &patch, arena, out) == 0 && collect(rq->proxy, &patch, c, out) == 0) {
        struct reload_ask what = { .changes = c->texts, .change_count = c->count };
        config_ask(rq, &what, NULL, out);
    }
    free(c);
    conf_arena_free(arena);
}
