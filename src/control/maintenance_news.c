#include "control/maintenance_news.h"

#include <string.h>

#include "base/log.h"

static bool is_out(const struct maintenance_conf *m)
{
    return m && m->enabled;
}

static const struct listener_conf *find_listener(const struct config *c, const char *name)
{
    const struct listener_conf *l = c ? c->proxy.listeners.data : NULL;
    for (uint32_t i = 0; l && i < c->proxy.listeners.count; i++)
        if (strcmp(l[i].name, name) == 0) return &l[i];
    return NULL;
}

/* `hint`: where it is in most cases. */
static const struct route_conf *find_route(const struct listener_conf *l, const char *name, uint32_t hint)
{
    const struct route_conf *r = l ? l->routes.data : NULL;
    if (l && hint < l->routes.count && strcmp(r[hint].name, name) == 0) return &r[hint];
    for (uint32_t i = 0; l && i < l->routes.count; i++)
        if (strcmp(r[i].name, name) == 0) return &r[i];
    return NULL;
}

static void tell(const char *listener, const char *route, bool was, bool is)
{
    char quoted[2][160];
    if (was == is) return;
    log_event(LOG_WARN, "maintenance", "listener=%s%s%s state=%s",
              log_quote(listener, quoted[0], sizeof(quoted[0])), route ? " route=" : "",
              route ? log_quote(route, quoted[1], sizeof(quoted[1])) : "", is ? "begun" : "ended");
}

static void tell_routes(const struct listener_conf *before, const struct listener_conf *after)
{
    const struct route_conf *r = after->routes.data;
    for (uint32_t i = 0; i < after->routes.count; i++) {
        const struct route_conf *was = find_route(before, r[i].name, i);
        tell(after->name, r[i].name, was && is_out(was->maintenance), is_out(r[i].maintenance));
    }
}

void maintenance_news_tell(const struct config *before, const struct config *after)
{
    const struct listener_conf *l = after->proxy.listeners.data;
    for (uint32_t i = 0; i < after->proxy.listeners.count; i++) {
        const struct listener_conf *was = find_listener(before, l[i].name);
        tell(l[i].name, NULL, was && is_out(was->maintenance), is_out(l[i].maintenance));
        tell_routes(was, &l[i]);
    }
}
