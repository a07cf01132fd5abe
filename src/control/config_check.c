#include "control/config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/decoding.h"
#include "control/address_check.h"
#include "control/files_check.h"
#include "discovery/place.h"
#include "route/route_shadow.h"

/* A trusted block of less bits is not a network of somebody's own: 10.0.0.0/8 is the largest private one of IPv4, fc00::/7
 * that of IPv6. */
#define OWN_V4_BITS 8
#define OWN_V6_BITS 7

struct checking {
    struct conf_decode *d;
    const struct conf_node *root;
    const struct config *c;
};

static const char *name_or(const char *name)
{
    return name ? name : "";
}

/* kinds of pools */

static const struct pool_conf *pool_named(const struct config *c, const char *name)
{
    const struct pool_conf *pools = c->proxy.pools.data;
    for (uint32_t i = 0; name && i < c->proxy.pools.count; i++)
        if (pools[i].name && strcmp(pools[i].name, name) == 0) return &pools[i];
    return NULL;
}

/* Whether what leads to the pool fits its kind. */
static void check_kind(const struct checking *k, const struct conf_node *node, const char *name,
                       const char *from, bool is_egress)
{
    const struct pool_conf *p = pool_named(k->c, name);
    if (!node || !p || (p->kind == POOL_EGRESS) == is_egress) return;
    if (is_egress)
        conf_decode_fault(k->d, node, NULL, "give that pool `kind: egress` and local addresses for servers",
                          "%s leaves by pool \"%s\", which has servers to go to", from, name);
    else
        conf_decode_fault(k->d, node, NULL, "lead it to a pool of servers, or through a route with `egress:`",
                          "%s leads to pool \"%s\", which has addresses to leave by", from, name);
}

/* Over HTTP a connection to a server is many clients', one after another. */
static void check_introduction(const struct checking *k, const struct conf_node *node, const char *name,
                               const char *from)
{
    const struct pool_conf *p = pool_named(k->c, name);
    if (!node || !p || !p->proxy_protocol) return;
    conf_decode_fault(
        k->d, node, NULL,
        "take `proxy_protocol` out there: X-Forwarded-For tells it; or write `protocol: tcp` here",
        "%s speaks HTTP, and pool \"%s\" tells its servers by connection who the client is", from, name);
}

/* What a pool does with requests is not done with the bytes of a tcp listener. */
static void check_bytes_only(const struct checking *k, const struct conf_node *node, const char *name,
                             const char *from)
{
    const struct pool_conf *p = pool_named(k->c, name);
    if (!node || !p) return;
    if (p->rate)
        conf_decode_note(k->d, node, NULL, "bound the connections by `gate: {connections_per_client}`",
                         "%s passes bytes and knows no requests, which `rate` of pool \"%s\" counts: it "
                         "counts nothing here",
                         from, name);
    if (p->retry.how.hedge)
        conf_decode_note(
            k->d, node, NULL, "leave `hedge` out there if nothing else leads to the pool",
            "%s passes bytes and knows no answers, which `hedge` of pool \"%s\" waits for: nobody "
            "is asked beside another here",
            from, name);
    /* It would be taken for an answer that a connection opens, and what lasts for hours for a request. */
    if (p->concurrency.adaptive)
        conf_decode_fault(k->d, node, "pool",
                          "give the pool's servers `max_requests`, or lead it to a pool of its own",
                          "%s passes bytes and knows no answers, by which `concurrency: adaptive` of pool "
                          "\"%s\" finds out how many there may be",
                          from, name);
}

/* What a pool does with connections cannot be done with datagrams. */
static void check_datagram_pool(const struct checking *k, const struct conf_node *node,
                                const struct listener_conf *l)
{
    const struct pool_conf *p = pool_named(k->c, l->pool);
    const char *name = name_or(l->name);
    if (!node || !p) return;
    const struct server_conf *servers = p->servers.data;
    if (p->tls)
        conf_decode_fault(
            k->d, node, "pool", "take `tls` out there, or lead the listener to another pool",
            "listener \"%s\" passes datagrams, and pool \"%s\" speaks TLS, which needs a connection", name,
            p->name);
    if (p->proxy_protocol)
        conf_decode_fault(
            k->d, node, "pool", "take `proxy_protocol` out there, or lead the listener to another pool",
            "listener \"%s\" passes datagrams, and pool \"%s\" begins connections with a PROXY header", name,
            p->name);
    for (uint32_t i = 0; i < p->servers.count; i++) {
        if (servers[i].address.sa.any.sa_family != AF_UNIX || place_is_one(&servers[i].address)) continue;
        conf_decode_fault(k->d, node, "pool", "give it servers with an address and a port",
                          "listener \"%s\" passes datagrams over IP, and pool \"%s\" has a server at a path",
                          name, p->name);
        return;
    }
}

static void check_auth_pool(const struct checking *k, const struct conf_node *node,
                            const struct auth_conf *auth)
{
    if (!auth || !auth->forward) return;
    check_kind(k, conf_node_get(node, "auth"), auth->forward->pool, "`auth: forward`", false);
    check_introduction(k, conf_node_get(node, "auth"), auth->forward->pool, "`auth: forward`");
}

static void check_listener_kinds(const struct checking *k, const struct conf_node *node,
                                 const struct listener_conf *l)
{
    const struct route_conf *routes = l->routes.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(node, "routes"), 0);
    char from[160];
    for (uint32_t i = 0; at && i < l->routes.count; i++, at = at->next) {
        const struct route_conf *r = &routes[i];
        snprintf(from, sizeof(from), "route \"%s\"", name_or(r->name));
        check_kind(k, at, r->pool, from, false);
        if (r->mirror) check_kind(k, at, r->mirror->pool, from, false);
        if (r->egress) check_kind(k, at, r->egress->pool, from, true);
        if (r->egress) check_introduction(k, at, r->egress->pool, from);
        if (r->mirror) check_introduction(k, at, r->mirror->pool, from);
        if (l->protocol == LISTENER_HTTP)
            check_introduction(k, at, r->pool, from);
        else
            check_bytes_only(k, at, r->pool, from);
    }
    for (uint32_t i = 0; i < l->routes.count; i++)
        check_auth_pool(k, conf_node_nth(conf_node_get(node, "routes"), i), routes[i].auth);
    check_auth_pool(k, node, l->auth);
    snprintf(from, sizeof(from), "listener \"%s\"", name_or(l->name));
    check_kind(k, node, l->pool, from, false);
    if (l->protocol == LISTENER_UDP) check_datagram_pool(k, node, l);
    if (l->protocol == LISTENER_HTTP)
        check_introduction(k, node, l->pool, from);
    else
        check_bytes_only(k, node, l->pool, from);
}

static void check_kinds(const struct checking *k)
{
    const struct listener_conf *listeners = k->c->proxy.listeners.data;
    const struct split_conf *splits = k->c->proxy.splits.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(k->root, "listeners"), 0);
    for (uint32_t i = 0; at && i < k->c->proxy.listeners.count; i++, at = at->next)
        check_listener_kinds(k, at, &listeners[i]);
    for (uint32_t i = 0; i < k->c->proxy.splits.count; i++) {
        const struct split_variant_conf *variants = splits[i].variants.data;
        for (uint32_t j = 0; j < splits[i].variants.count; j++) {
            check_kind(k, conf_node_get(k->root, "splits"), variants[j].pool, "a split's variant", false);
            check_introduction(k, conf_node_get(k->root, "splits"), variants[j].pool, "a split's variant");
        }
    }
}

/* what nothing leads to */

struct use {
    const char *name;
    bool is_used;
    const struct conf_node *node;
};

struct uses {
    struct use *items;
    uint32_t count;
};

static int compare_uses(const void *left, const void *right)
{
    return strcmp(((const struct use *)left)->name, ((const struct use *)right)->name);
}

/* The names of a map of elements of `size` bytes, which begin with their names. */
static struct uses uses_of(const struct checking *k, const struct conf_items *items, size_t size,
                           const struct conf_node *map)
{
    struct uses u = { .items = calloc(items->count + 1, sizeof(*u.items)) };
    const struct conf_node *at = conf_node_nth(map, 0);
    if (!u.items) {
        conf_decode_set_short(k->d);
        return u;
    }
    for (uint32_t i = 0; at && i < items->count; i++, at = at->next) {
        const char *name = *(const char *const *)((const char *)items->data + i * size);
        if (name) u.items[u.count++] = (struct use){ .name = name, .node = at };
    }
    qsort(u.items, u.count, sizeof(*u.items), compare_uses);
    return u;
}

static void mark(struct uses *u, const char *name)
{
    const struct use key = { .name = name };
    struct use *found = name && u->count ? bsearch(&key, u->items, u->count, sizeof(key), compare_uses)
                                         : NULL;
    if (found) found->is_used = true;
}

static void mark_listener(const struct listener_conf *l, struct uses *pools, struct uses *splits)
{
    const struct route_conf *routes = l->routes.data;
    mark(pools, l->pool);
    if (l->auth && l->auth->forward) mark(pools, l->auth->forward->pool);
    for (uint32_t i = 0; i < l->routes.count; i++) {
        mark(pools, routes[i].pool);
        mark(splits, routes[i].split);
        if (routes[i].auth && routes[i].auth->forward) mark(pools, routes[i].auth->forward->pool);
        if (routes[i].mirror) mark(pools, routes[i].mirror->pool);
        if (routes[i].egress) mark(pools, routes[i].egress->pool);
    }
}

static void note_unused(const struct checking *k, const struct uses *u, const char *what)
{
    for (uint32_t i = 0; i < u->count; i++)
        if (!u->items[i].is_used)
            conf_decode_note(k->d, u->items[i].node, NULL, "lead something to it, or take it out",
                             "nothing leads to %s \"%s\"", what, u->items[i].name);
}

static void check_uses(const struct checking *k)
{
    const struct proxy_conf *p = &k->c->proxy;
    const struct listener_conf *listeners = p->listeners.data;
    const struct split_conf *all = p->splits.data;
    struct uses pools = uses_of(k, &p->pools, sizeof(struct pool_conf), conf_node_get(k->root, "pools"));
    struct uses splits = uses_of(k, &p->splits, sizeof(struct split_conf), conf_node_get(k->root, "splits"));
    for (uint32_t i = 0; i < p->listeners.count; i++) mark_listener(&listeners[i], &pools, &splits);
    for (uint32_t i = 0; i < p->splits.count; i++) {
        const struct split_variant_conf *variants = all[i].variants.data;
        for (uint32_t j = 0; j < all[i].variants.count; j++) mark(&pools, variants[j].pool);
    }
    note_unused(k, &pools, "pool");
    note_unused(k, &splits, "split");
    free(pools.items);
    free(splits.items);
}

/* routes */

/* People write globs; here a star is a star. */
static void note_star(const struct checking *k, const struct conf_node *node, const char *key,
                      const char *path)
{
    char remedy[200];
    size_t len = path ? strcspn(path, "*") : 0;
    if (!path || !path[len] || strcmp(path, "*") == 0) return;
    if (path[len + strspn(path + len, "*")])
        snprintf(remedy, sizeof(remedy), "what changes within a path is for a path_regex");
    else
        snprintf(remedy, sizeof(remedy), "path_prefix: %.*s is all that begins so", len < 80 ? (int)len : 80,
                 path);
    conf_decode_note(k->d, node, key, remedy,
                     "the * of \"%.*s\" is taken literally, and hardly a path has one",
                     len < 80 ? (int)len + 1 : 80, path);
}

static void check_listener_routes(const struct checking *k, const struct conf_node *node,
                                  const struct listener_conf *l)
{
    const struct route_conf *routes = l->routes.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(node, "routes"), 0);
    uint32_t *by = calloc(l->routes.count + 1, sizeof(*by));
    if (!by || !route_shadow_find(routes, l->routes.count, by)) {
        free(by);
        conf_decode_set_short(k->d);
        return;
    }
    for (uint32_t i = 0; at && i < l->routes.count; i++, at = at->next) {
        note_star(k, at, "path", routes[i].path);
        note_star(k, at, "path_prefix", routes[i].path_prefix);
        const char *left_out = route_shadow_left_out(&routes[i]);
        if (left_out)
            conf_decode_note(k->d, at, "not", "take the route out, or let it leave out less",
                             "route \"%s\" can never be taken: its `not` leaves out all of its %s",
                             name_or(routes[i].name), left_out);
        if (by[i] == ROUTE_NONE) continue;
        conf_decode_note(
            k->d, at, NULL, "take one of them out, or let this one ask for something else",
            "route \"%s\" can never be taken: \"%s\" is asked before it and takes all that it could",
            name_or(routes[i].name), name_or(routes[by[i]].name));
    }
    free(by);
}

/* whom to believe */

static void note_wide(const struct checking *k, const struct conf_node *list, const struct conf_items *blocks,
                      const char *sentence)
{
    const struct cidr *b = blocks->data;
    const struct conf_node *at = conf_node_nth(list, 0);
    char text[INET6_ADDRSTRLEN];
    for (uint32_t i = 0; at && i < blocks->count; i++, at = at->next) {
        bool is_v4 = ip_is_v4(&b[i].ip) && b[i].bits >= 96;
        uint32_t bits = is_v4 ? b[i].bits - 96u : b[i].bits;
        if (bits >= (is_v4 ? OWN_V4_BITS : OWN_V6_BITS)) continue;
        conf_decode_note(k->d, at, NULL, "write the networks of those that are meant", "%s/%u: %s",
                         ip_print(&b[i].ip, text), bits, sentence);
    }
}

/* Behind a proxy that speaks TLS, or from this host alone, nobody listens on the way. */
static bool is_shown_in_the_clear(const struct listener_conf *l)
{
    bool is_inside = l->bind.sa.any.sa_family == AF_UNIX || address_is_loopback(&l->bind);
    return !l->tls && !l->trust.count && !l->proxy_protocol && !is_inside;
}

static void check_auth(const struct checking *k, const struct conf_node *node, const struct listener_conf *l)
{
    const struct route_conf *routes = l->routes.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(node, "routes"), 0);
    const char *sentence =
        "passwords and tokens come over the wire in the clear, where whoever is on the way reads them";
    const char *remedy = "give the listener `tls:`, or name the proxy in front that has it in `trust:`";
    if (!is_shown_in_the_clear(l)) return;
    if (auth_that_asks(l->auth)) conf_decode_note(k->d, node, "auth", remedy, "%s", sentence);
    for (uint32_t i = 0; at && i < l->routes.count; i++, at = at->next)
        if (auth_that_asks(routes[i].auth)) conf_decode_note(k->d, at, "auth", remedy, "%s", sentence);
}

static void check_listeners(const struct checking *k)
{
    const struct listener_conf *listeners = k->c->proxy.listeners.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(k->root, "listeners"), 0);
    for (uint32_t i = 0; at && i < k->c->proxy.listeners.count; i++, at = at->next) {
        const struct listener_conf *l = &listeners[i];
        check_listener_routes(k, at, l);
        check_auth(k, at, l);
        note_wide(
            k, conf_node_get(at, "trust"), &l->trust,
            "almost everybody may say who the client is, past every gate, limit and log that goes by it");
        if (l->pin)
            note_wide(k, conf_node_get(conf_node_get(at, "pin"), "from"), &l->pin->from,
                      "almost everybody may choose the server");
    }
}

/* directories */

static void check_folder(const struct checking *k, const struct conf_node *node, const char *key,
                         const char *path, bool is_file, const char *remedy)
{
    char directory[4096];
    struct stat st;
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!node || !path || strlen(path) >= sizeof(directory)) return;
    snprintf(directory, sizeof(directory), "%s", path);
    if (is_file && !slash) return; /* beside where weir is started */
    if (is_file) directory[slash == path ? 1 : slash - path] = 0;
    bool is_there = stat(directory, &st) == 0;
    if (is_there && S_ISDIR(st.st_mode)) return;
    if (is_there)
        conf_decode_note(k->d, node, key, "name a folder", "%.300s is a file, not a folder", directory);
    else
        conf_decode_note(k->d, node, key, remedy, "there is no directory %.300s", directory);
}

/* A start would fail here; whether it does where weir is to run is not known. */
static void check_directory(const struct checking *k, const struct conf_node *node, const char *key,
                            const char *path, bool is_file)
{
    check_folder(k, node, key, path, is_file,
                 "make it before weir starts, writable for the user that weir runs as");
}

static void check_socket(const struct checking *k, const struct conf_node *node, const char *key,
                         const char *path)
{
    struct stat st;
    if (!node || !path || (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))) return;
    conf_decode_note(k->d, node, key,
                     "lines wait in buffers until it is there, and are dropped and counted then",
                     "there is no socket %.107s", path);
}

/* Of a socket that is not there yet weir only says so, and tries again. */
static void check_access_log(const struct checking *k)
{
    const struct access_log_conf *log = k->c->proxy.access_log;
    const struct conf_node *node = conf_node_get(k->root, "access_log");
    if (!log) return;
    check_directory(k, node, "path", log->path, true);
    if (log->syslog && log->syslog->server.len && log->syslog->server.sa.any.sa_family == AF_UNIX)
        check_socket(k, conf_node_get(node, "syslog"), "server", log->syslog->server.sa.un.sun_path);
    if (log->journald) check_socket(k, conf_node_get(node, "journald"), "socket", log->journald->socket);
}

/* A start waits for the folder of a log; a reload that brings such a source is refused (logs/source_change.h). */
static void check_logs(const struct checking *k)
{
    const struct conf_node *logs = conf_node_get(k->root, "logs");
    if (!k->c->logs) return;
    check_directory(k, logs, "state", k->c->logs->state, false);
    const struct source_conf *sources = k->c->logs->sources.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(logs, "sources"), 0);
    for (uint32_t i = 0; at && i < k->c->logs->sources.count; i++, at = at->next)
        if (sources[i].path && *sources[i].path == '/')
            check_folder(
                k, at, "path", sources[i].path, true,
                "make it, or correct the path: weir starts without it, and a reload with it is refused");
}

static void check_directories(const struct checking *k)
{
    const struct listener_conf *listeners = k->c->proxy.listeners.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(k->root, "listeners"), 0);
    for (uint32_t i = 0; at && i < k->c->proxy.listeners.count; i++, at = at->next)
        if (listeners[i].bind.len && listeners[i].bind.sa.any.sa_family == AF_UNIX)
            check_directory(k, at, "bind", listeners[i].bind.sa.un.sun_path, true);
    if (k->c->admin && k->c->admin->bind.len && k->c->admin->bind.sa.any.sa_family == AF_UNIX)
        check_directory(k, conf_node_get(k->root, "admin"), "bind", k->c->admin->bind.sa.un.sun_path, true);
    check_access_log(k);
    check_logs(k);
    check_directory(k, k->root, "state", k->c->state, true);
    if (k->c->state && access(k->c->state, F_OK) == 0)
        check_directory(k, k->root, "state", k->c->state, false); /* else it is made */
    if (k->c->core && k->c->core->enabled)
        check_directory(k, conf_node_get(k->root, "core"), "dir", k->c->core->dir, false);
}

void config_check(struct conf_decode *d, const struct conf_node *root, const struct config *c)
{
    const struct checking k = { d, root, c };
    bool is_whole = !conf_decode_fault_count(d);
    address_check(d, root, &c->proxy, c->logs, c->admin);
    if (!is_whole) return; /* what is missing would be missed a second time */
    check_kinds(&k);
    check_listeners(&k);
    check_uses(&k);
    if (c->state && c->state[0] != '/')
        conf_decode_fault(d, root, "state", "begin it with /", "the folder \"%.64s\" is not absolute",
                          c->state);
    check_directories(&k);
    files_check(d, root, c);
}
