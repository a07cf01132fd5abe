/* route/route_not.h: what a route leaves to others though all its conditions hold: `not: {path_prefix: /admin/, client:
 * [10.0.0.0/8]}`. Each that holds is enough. Part of a snapshot; pure. */
#pragma once

#include "conf/field.h"
#include "route/route.h"

struct route_not_conf {
    struct conf_items hosts, paths, path_prefixes, methods; /* const char * */
    struct conf_items clients;                              /* struct cidr */
};

extern const struct conf_type route_not_type;

/* The key of the first that holds, "path_prefix"; NULL: the route may take it. */
const char *route_not_holds(const struct route_not_conf *n, const struct route_request *rq);
/* Whether a host, as routes have it, is all within another: "api.example.com" in "*.example.com". */
bool route_host_is_within(const char *host, const char *outer);
/* Methods that no client uses are mistakes, of a route's own `method` too. */
void route_check_methods(struct conf_decode *d, const struct conf_node *node,
                         const struct conf_items *methods);
/* For checks of one that has paths of its own. */
struct http_path_rules;
void route_not_check_paths(struct conf_decode *d, const struct conf_node *node,
                           const struct route_not_conf *n, const struct http_path_rules *rules);
