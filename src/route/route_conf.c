#include "route/route_conf.h"

#include "conf/decode.h"

static void check_path(struct conf_decode *d, const struct conf_node *node, const char *key, const char *path)
{
    const char *query = path ? strpbrk(path, "?# ") : NULL;
    if (path && path[0] != '/' && strcmp(path, "*") != 0)
        conf_decode_fault(d, node, key, "begin it with a slash", "\"%s\" can never be a request's path",
                          path);
    else if (query)
        conf_decode_fault(d, node, key, "routes go by the path alone; leave out what follows it",
                          "\"%s\" has a \"%c\", which no path has", path, *query);
}

static void check_route(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_conf *r = object;
    struct err err;
    if (r->host && route_check_host(slice_of(r->host), &err) < 0)
        conf_decode_fault(d, node, "host", "", "%s", err.text);
    if (r->path && r->path_prefix)
        conf_decode_fault(d, node, "path_prefix", "keep one of them",
                          "a route has either a path or a path prefix");
    check_path(d, node, "path", r->path);
    check_path(d, node, "path_prefix", r->path_prefix);
}

static const struct conf_type pools_type = { .name = "pools" };

static const struct conf_field fields[] = {
    { "name", CONF_STRING(struct route_conf, name), .min = 1, .max = 64,
      .help = "What the route is called; its pool's name if absent." },
    { "host", CONF_STRING(struct route_conf, host), .min = 1, .max = ROUTE_HOST_MAX,
      .help = "The host asked for: `api.example.com`, or `*.example.com` for every name below it. Any if "
              "absent." },
    { "path", CONF_STRING(struct route_conf, path), .min = 1, .max = 4096,
      .help = "The whole path, without the query." },
    { "path_prefix", CONF_STRING(struct route_conf, path_prefix), .min = 1, .max = 4096,
      .help =
          "What the path begins with, byte by byte as it came: `/v1/` takes neither `/v1` nor `/v10`, `/v1` "
          "takes both." },
    { "pool", CONF_REF(struct route_conf, pool, &pools_type), .flags = CONF_REQUIRED,
      .help = "Where it leads." },
    { "gate", CONF_OPTIONAL(struct route_conf, gate, &route_gate_conf_type), .help = "Who may take it." },
    { "upgrade", CONF_STRINGS(struct route_conf, upgrade), .max = 16, .preset = "[websocket]",
      .help =
          "The protocols that a connection may be upgraded to. Others are dropped and the request goes on." },
    { "idempotent", CONF_BOOL(struct route_conf, idempotent), .preset = "false",
      .help =
          "Says that its requests may be sent a second time whatever their method, because doing so changes "
          "nothing." },
    { 0 },
};

const struct conf_type route_conf_type = { .name = "route",
                                           .size = sizeof(struct route_conf),
                                           .fields = fields,
                                           .name_from = "pool",
                                           .check = check_route };

struct route_row route_conf_row(const struct route_conf *conf, uint32_t index)
{
    return (struct route_row){ .name = conf->name,
                               .host = conf->host,
                               .path = conf->path,
                               .path_prefix = conf->path_prefix,
                               .index = index };
}
