#include "route/route_shadow.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* With how many of those before it a route is compared: very many with one path are told apart by their conditions, and
 * to compare them all would take time that grows with the square of their number. */
#define WINDOW 256u

/* A route under one of its hosts. */
struct place {
    const struct route_conf *route;
    const char *host; /* NULL: any */
    uint32_t index;
};

static int compare_text(const char *a, const char *b, int (*compare)(const char *, const char *))
{
    if (!a || !b) return (a != NULL) - (b != NULL);
    return compare(a, b);
}

/* 0: the same host and path. */
static int compare_reach(const struct place *one, const struct place *other)
{
    const struct route_conf *a = one->route, *b = other->route;
    int order = compare_text(one->host, other->host, strcasecmp);
    if (!order) order = compare_text(a->path, b->path, strcmp);
    if (!order) order = compare_text(a->path_prefix, b->path_prefix, strcmp);
    return order ? order : compare_text(a->path_regex, b->path_regex, strcmp);
}

static uint32_t conditions_of(const struct route_conf *r)
{
    return r->headers.count + r->query.count + (r->clients.count > 0) + (r->scheme != ROUTE_SCHEME_ANY) +
           (r->not != NULL);
}

/* Within one host and path in the order in which they are asked (route.h). */
static int compare_places(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    uint32_t a_more = conditions_of(a->route), b_more = conditions_of(b->route);
    int order = compare_reach(a, b);
    if (!order) order = (b->route->methods.count > 0) - (a->route->methods.count > 0);
    if (!order) order = (a_more < b_more) - (a_more > b_more);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

static bool covers_methods(const struct conf_items *a, const struct conf_items *b)
{
    const char *const *wide = a->data, *const *narrow = b->data;
    if (!a->count) return true;
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t j = 0;
        while (j < a->count && strcmp(wide[j], narrow[i]) != 0) j++;
        if (j == a->count) return false;
    }
    return b->count > 0;
}

/* Each condition of `a` is one of `b` too. */
static bool covers_pairs(const struct conf_items *a, const struct conf_items *b,
                         int (*compare_name)(const char *, const char *))
{
    const struct route_pair_conf *few = a->data, *many = b->data;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t j = 0;
        while (j < b->count &&
               (compare_name(few[i].name, many[j].name) != 0 || strcmp(few[i].value, many[j].value) != 0))
            j++;
        if (j == b->count) return false;
    }
    return true;
}

static bool holds(const struct cidr *outer, const struct cidr *inner)
{
    return outer->bits <= inner->bits && cidr_contains(outer, &inner->ip);
}

static bool covers_clients(const struct conf_items *a, const struct conf_items *b)
{
    const struct cidr *wide = a->data, *narrow = b->data;
    if (!a->count) return true;
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t j = 0;
        while (j < a->count && !holds(&wide[j], &narrow[i])) j++;
        if (j == a->count) return false;
    }
    return b->count > 0;
}

/* Each text of `a` is one of `b` too. */
static bool has_texts(const struct conf_items *a, const struct conf_items *b,
                      int (*compare)(const char *, const char *))
{
    const char *const *few = a->data, *const *many = b->data;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t j = 0;
        while (j < b->count && compare(few[i], many[j]) != 0) j++;
        if (j == b->count) return false;
    }
    return true;
}

/* Whether `b` leaves out whatever `a` does. */
static bool covers_exclusions(const struct route_not_conf *a, const struct route_not_conf *b)
{
    if (!a) return true;
    return b && has_texts(&a->hosts, &b->hosts, strcasecmp) && has_texts(&a->paths, &b->paths, strcmp) &&
           has_texts(&a->path_prefixes, &b->path_prefixes, strcmp) &&
           has_texts(&a->methods, &b->methods, strcmp) &&
           (!a->clients.count || (b->clients.count && covers_clients(&b->clients, &a->clients)));
}

static bool covers(const struct route_conf *a, const struct route_conf *b)
{
    if (!covers_exclusions(a->not, b->not )) return false;
    if (a->scheme != ROUTE_SCHEME_ANY && a->scheme != b->scheme) return false;
    return covers_methods(&a->methods, &b->methods) && covers_pairs(&a->headers, &b->headers, strcasecmp) &&
           covers_pairs(&a->query, &b->query, strcmp) && covers_clients(&a->clients, &b->clients);
}

/* Of all routes, each under each of its hosts. NULL: there is no memory. */
static struct place *list_places(const struct route_conf *routes, uint32_t count, uint32_t *place_count)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) total += route_conf_row_count(&routes[i]);
    struct place *places = calloc(total + 1, sizeof(*places));
    if (!places) return NULL;
    *place_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *const *hosts = routes[i].hosts.data;
        for (uint32_t n = 0; n < route_conf_row_count(&routes[i]); n++)
            places[(*place_count)++] = (struct place){ &routes[i], hosts ? hosts[n] : NULL, i };
    }
    qsort(places, *place_count, sizeof(*places), compare_places);
    return places;
}

/* The place that takes all that this one could; ROUTE_NONE. */
static uint32_t find_cover(const struct place *places, uint32_t i)
{
    const struct place *at = &places[i];
    uint32_t least = i > WINDOW ? i - WINDOW : 0;
    for (uint32_t j = i; j-- > least && compare_reach(&places[j], at) == 0;)
        if (places[j].index != at->index && covers(places[j].route, at->route)) return places[j].index;
    return ROUTE_NONE;
}

bool route_shadow_find(const struct route_conf *routes, uint32_t count, uint32_t *shadowed_by)
{
    uint32_t place_count;
    struct place *places = list_places(routes, count, &place_count);
    uint32_t *open = calloc(count + 1, sizeof(*open)); /* under how many of its hosts a route can be taken */
    if (!places || !open) {
        free(open);
        free(places);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        shadowed_by[i] = ROUTE_NONE;
        open[i] = route_conf_row_count(&routes[i]);
    }
    for (uint32_t i = 1; i < place_count; i++) {
        uint32_t cover = find_cover(places, i), index = places[i].index;
        if (cover != ROUTE_NONE && --open[index] == 0) shadowed_by[index] = cover;
    }
    free(open);
    free(places);
    return true;
}

static bool is_path_left_out(const struct route_conf *r)
{
    const char *const *paths = r->not ->paths.data, *const *prefixes = r->not ->path_prefixes.data;
    const char *own = r->path ? r->path : r->path_prefix;
    for (uint32_t i = 0; r->path && i < r->not ->paths.count; i++)
        if (strcmp(paths[i], r->path) == 0) return true;
    for (uint32_t i = 0; own && i < r->not ->path_prefixes.count; i++)
        if (slice_starts_with(slice_of(own), slice_of(prefixes[i]))) return true;
    return false;
}

static bool are_hosts_left_out(const struct route_conf *r)
{
    const char *const *hosts = r->hosts.data, *const *out = r->not ->hosts.data;
    for (uint32_t i = 0; i < r->hosts.count; i++) {
        uint32_t j = 0;
        while (j < r->not ->hosts.count && !route_host_is_within(hosts[i], out[j])) j++;
        if (j == r->not ->hosts.count) return false;
    }
    return r->hosts.count > 0;
}

const char *route_shadow_left_out(const struct route_conf *r)
{
    if (!r->not ) return NULL;
    if (is_path_left_out(r)) return r->path ? "path" : "path_prefix";
    if (are_hosts_left_out(r)) return "host";
    if (r->methods.count && has_texts(&r->methods, &r->not ->methods, strcmp)) return "method";
    bool are_clients = r->clients.count && r->not ->clients.count &&
                       covers_clients(&r->not ->clients, &r->clients);
    return are_clients ? "client" : NULL;
}
