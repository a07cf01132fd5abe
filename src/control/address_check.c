#include "control/address_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_conf.h"
#include "conf/decoding.h"
#include "discovery/place.h"
#include "logs/source_conf.h"

struct checking {
    struct conf_decode *d;
    const struct conf_node *root;
    const struct proxy_conf *proxy;
    const struct logs_conf *logs;   /* NULL: none */
    const struct admin_conf *admin; /* NULL: none */
};

static const char *name_or(const char *name)
{
    return name ? name : "";
}

/* Something of weir's that listens. */
struct bound {
    const struct address *address;
    const struct conf_node *node; /* whose `bind` it is, or */
    const char *key;              /* what else it is called there; NULL: `bind` */
    bool is_udp;                  /* where it listens for TCP is no matter */
    char name[96];
};

static uint32_t source_count(const struct checking *k)
{
    return k->logs ? k->logs->sources.count : 0;
}

/* Logs that come as datagrams. */
static uint32_t collect_syslogs(const struct checking *k, struct bound *bounds)
{
    const struct source_conf *sources = k->logs ? k->logs->sources.data : NULL;
    const struct conf_node *at = conf_node_nth(conf_node_get(conf_node_get(k->root, "logs"), "sources"), 0);
    uint32_t count = 0;
    for (uint32_t i = 0; at && i < source_count(k); i++, at = at->next) {
        if (!sources[i].syslog.len) continue;
        bounds[count] =
            (struct bound){ .address = &sources[i].syslog, .node = at, .key = "syslog", .is_udp = true };
        snprintf(bounds[count++].name, sizeof(bounds->name), "log source \"%s\"", name_or(sources[i].name));
    }
    return count;
}

static uint32_t collect_bounds(const struct checking *k, struct bound *bounds)
{
    const struct listener_conf *listeners = k->proxy->listeners.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(k->root, "listeners"), 0);
    uint32_t count = 0;
    for (uint32_t i = 0; at && i < k->proxy->listeners.count; i++, at = at->next) {
        if (!listeners[i].bind.len) continue;
        bounds[count] = (struct bound){ .address = &listeners[i].bind,
                                        .node = at,
                                        .is_udp = listeners[i].protocol == LISTENER_UDP };
        snprintf(bounds[count++].name, sizeof(bounds->name), "listener \"%s\"", name_or(listeners[i].name));
    }
    if (k->admin && k->admin->bind.len && conf_node_get(k->root, "admin")) {
        bounds[count] = (struct bound){ .address = &k->admin->bind, .node = conf_node_get(k->root, "admin") };
        snprintf(bounds[count++].name, sizeof(bounds->name), "the admin API");
    }
    return count + collect_syslogs(k, bounds + count);
}

static bool is_any(const struct address *a)
{
    if (a->sa.any.sa_family == AF_INET6) return IN6_IS_ADDR_UNSPECIFIED(&a->sa.in6.sin6_addr);
    return a->sa.any.sa_family == AF_INET && a->sa.in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Whether a socket bound to `wide` also takes what is meant for `a`; [::] is opened for IPv4 too. */
static bool takes(const struct address *wide, const struct address *a)
{
    bool is_v6 = wide->sa.any.sa_family == AF_INET6;
    struct ip ip = address_ip(a);
    return is_any(wide) && (is_v6 || ip_is_v4(&ip));
}

/* Both cannot be listened on at once. Port 0 is another one each time. */
static bool collide(const struct address *a, const struct address *b)
{
    bool is_unix = a->sa.any.sa_family == AF_UNIX;
    if (is_unix || b->sa.any.sa_family == AF_UNIX) return address_equal(a, b);
    struct ip one = address_ip(a), other = address_ip(b);
    if (!address_port(a) || address_port(a) != address_port(b)) return false;
    return memcmp(&one, &other, sizeof(one)) == 0 || takes(a, b) || takes(b, a);
}

static void tell_collision(const struct checking *k, const struct bound *one, const struct bound *other)
{
    char text[ADDRESS_TEXT_MAX], other_text[ADDRESS_TEXT_MAX], line[CONF_PLACE_TEXT_MAX];
    const char *key = one->key ? one->key : "bind";
    const struct conf_place place = conf_decode_place(other->node);
    address_print(one->address, text);
    address_print(other->address, other_text);
    conf_place_print(k->d->tree, place, conf_decode_place(one->node), line);
    if (strcmp(text, other_text) == 0)
        conf_decode_fault(k->d, one->node, key, "give each its own address",
                          "%s listens on %s, where %s does already (%s)", one->name, text, other->name, line);
    else
        conf_decode_fault(k->d, one->node, key, "give each its own port, or every one its host",
                          "%s listens on %s, and %s on %s (%s): one takes what is meant for the other",
                          one->name, text, other->name, other_text, line);
}

static void check_bounds(const struct checking *k, const struct bound *bounds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            bool is_path = bounds[i].address->sa.any.sa_family == AF_UNIX; /* one file, whatever is spoken */
            if (!is_path && bounds[i].is_udp != bounds[j].is_udp) continue;
            if (!collide(bounds[i].address, bounds[j].address)) continue;
            tell_collision(k, &bounds[i], &bounds[j]);
            break;
        }
    }
}

/* What is sent to `server` comes to `bound`. That it may come to an interface of this host cannot be known where the file
 * is checked elsewhere. */
static bool leads_to(const struct address *server, const struct address *bound)
{
    if (!server->len || !collide(server, bound)) return false;
    if (server->sa.any.sa_family == AF_UNIX || !is_any(bound)) return true;
    return address_is_loopback(server) || is_any(server);
}

static void check_server(const struct checking *k, const struct bound *bounds, uint32_t count,
                         const struct address *server, const struct conf_node *node)
{
    char text[ADDRESS_TEXT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        /* Of datagrams the pool may be another's: a DNS server at the same port of this host is no rarity. */
        if (bounds[i].is_udp || !leads_to(server, bounds[i].address)) continue;
        conf_decode_note(k->d, node, "address", "write the address of the server that is meant",
                         "the server at %s is %s of this weir itself", address_print(server, text),
                         bounds[i].name);
        return;
    }
}

static void check_servers(const struct checking *k, const struct bound *bounds, uint32_t count)
{
    const struct pool_conf *pools = k->proxy->pools.data;
    const struct conf_node *pool = conf_node_nth(conf_node_get(k->root, "pools"), 0);
    for (uint32_t i = 0; pool && i < k->proxy->pools.count; i++, pool = pool->next) {
        const struct server_conf *servers = pools[i].servers.data;
        const struct conf_node *at = conf_node_nth(conf_node_get(pool, "servers"), 0);
        if (pools[i].kind == POOL_EGRESS) continue; /* addresses to leave by */
        for (uint32_t j = 0; at && j < pools[i].servers.count; j++, at = at->next)
            if (!place_is_one(&servers[j].address)) check_server(k, bounds, count, &servers[j].address, at);
    }
}

void address_check(struct conf_decode *d, const struct conf_node *root, const struct proxy_conf *proxy,
                   const struct logs_conf *logs, const struct admin_conf *admin)
{
    const struct checking k = { d, root, proxy, logs, admin };
    struct bound *bounds = calloc(proxy->listeners.count + source_count(&k) + 1, sizeof(*bounds));
    if (!bounds) {
        conf_decode_set_short(d);
        return;
    }
    uint32_t count = collect_bounds(&k, bounds);
    check_bounds(&k, bounds, count);
    check_servers(&k, bounds, count);
    free(bounds);
}
