#include "pool/found_servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "discovery/source.h"
#include "pool/membership.h"

_Static_assert(FOUND_TIERS == MEMBERSHIP_TIERS, "tiers of services are tiers of pools");

/* As many as a configuration may have. */
#define SERVERS_MAX 4096u
#define BUCKETS (4 * SERVERS_MAX)

struct copy {
    struct conf_arena *arena;
    struct server_conf *servers;
    uint32_t count, left_out;
    uint16_t *by_address, *by_name; /* open hashes of places in `servers`, from 1 */
};

bool found_is_needed(const struct pool_conf *written)
{
    const struct server_conf *s = written->servers.data;
    for (uint32_t i = 0; i < written->servers.count; i++)
        if (place_is_one(&s[i].address)) return true;
    return false;
}

/* FNV-1a. Whoever chooses addresses so that they collide has chosen the pool's servers already; at most 4096 of them. */
static uint32_t hash_of(const void *data, size_t len)
{
    uint32_t hash = 0x811c9dc5u;
    for (const unsigned char *at = data, *end = at + len; at < end; at++) hash = (hash ^ *at) * 0x01000193u;
    return hash;
}

/* Where it stands, or the free place where it would. */
static uint16_t *find_address(const struct copy *c, const struct address *a)
{
    struct ip ip = address_ip(a);
    bool is_unix = a->sa.any.sa_family == AF_UNIX;
    uint32_t i = (is_unix ? hash_of(&a->sa, a->len) : hash_of(&ip, sizeof(ip)) + address_port(a)) % BUCKETS;
    while (c->by_address[i] && !address_equal(&c->servers[c->by_address[i] - 1].address, a))
        i = (i + 1) % BUCKETS;
    return &c->by_address[i];
}

static uint16_t *find_name(const struct copy *c, const char *name)
{
    uint32_t i = hash_of(name, strlen(name)) % BUCKETS;
    while (c->by_name[i] && strcmp(c->servers[c->by_name[i] - 1].name, name) != 0) i = (i + 1) % BUCKETS;
    return &c->by_name[i];
}

static void add(struct copy *c, const struct server_conf *server)
{
    uint16_t *address = find_address(c, &server->address), *name = find_name(c, server->name);
    c->servers[c->count++] = *server;
    if (!*address) *address = (uint16_t)c->count;
    if (!*name) *name = (uint16_t)c->count;
}

/* "app.internal:8080@10.0.0.3": what it was found by comes first, so that what belongs together stands together, and no slash
 * is in it, which would be one of a path in the API. */
static const char *name_of(const struct copy *c, const struct server_conf *entry, const struct found *f,
                           const struct address *address)
{
    char text[2 * ADDRESS_TEXT_MAX + FOUND_NAME_MAX + 160], ip_text[INET6_ADDRSTRLEN];
    char address_text[ADDRESS_TEXT_MAX];
    struct ip ip = address_ip(address);
    address_print(address, address_text);
    if (f->name[0])
        snprintf(text, sizeof(text), "%s", f->name);
    else if (place_of(&entry->address).kind == PLACE_SRV)
        snprintf(text, sizeof(text), "%s@%s", entry->name, address_text);
    else if (place_of(&entry->address).port)
        snprintf(text, sizeof(text), "%s@%s", entry->name, ip_print(&ip, ip_text));
    else
        snprintf(text, sizeof(text), "%s", address_text);
    /* Another has that name: what it is at cannot be another's. */
    if (*find_name(c, text)) snprintf(text, sizeof(text), "%s@%s", entry->name, address_text);
    return *find_name(c, text) ? NULL : conf_arena_copy(c->arena, slice_of(text));
}

static struct address address_of(const struct found *f, uint16_t port)
{
    if (!port || f->address.sa.any.sa_family == AF_UNIX || address_port(&f->address)) return f->address;
    struct ip ip = address_ip(&f->address);
    return address_from_ip(&ip, port);
}

static const char *copy_host(const struct copy *c, struct slice name)
{
    if (name.len && name.data[name.len - 1] == '.') name.len--;
    return conf_arena_copy(c->arena, name);
}

/* Who has a name of its own, which is not the entry's. */
static bool is_own(enum place_kind kind)
{
    return kind == PLACE_FILE || kind == PLACE_DOCKER;
}

/* RFC 6125 6.2.1: whom a service belongs to, by what is configured and not by what the answer says. */
static struct slice domain_of(const struct place *p)
{
    struct slice name = p->name;
    while (p->kind == PLACE_SRV && name.len && name.data[0] == '_') {
        const char *dot = memchr(name.data, '.', name.len);
        if (!dot) break;
        name = (struct slice){ dot + 1, name.len - (size_t)(dot + 1 - name.data) };
    }
    return name;
}

static void add_found(struct copy *c, const struct server_conf *entry, const struct found *found,
                      uint32_t count)
{
    struct place p = place_of(&entry->address);
    const char *tls_name = is_own(p.kind) ? NULL : copy_host(c, domain_of(&p));
    const char *host = p.kind == PLACE_DNS ? conf_arena_copy(c->arena, p.text) : tls_name;
    for (uint32_t i = 0; i < count; i++) {
        struct server_conf server = *entry;
        server.address = address_of(&found[i], p.port);
        if (*find_address(c, &server.address)) continue;
        server.name = c->count < SERVERS_MAX ? name_of(c, entry, &found[i], &server.address) : NULL;
        if (!server.name) {
            c->left_out++;
            continue;
        }
        if (found[i].has_weight) server.weight = found[i].weight;
        if (found[i].tier) server.tier = found[i].tier;
        server.tls_name = tls_name;
        server.host = host;
        add(c, &server);
    }
}

static void drop_arena(void *arena)
{
    conf_arena_free(arena);
}

static void fill(struct copy *c, const struct pool_conf *written, const struct servers_finder *finder)
{
    const struct server_conf *entries = written->servers.data;
    /* Those with an address of their own first: what a name leads to as well stays what it is written as. */
    for (uint32_t i = 0; i < written->servers.count; i++)
        if (!place_is_one(&entries[i].address)) add(c, &entries[i]);
    for (uint32_t i = 0; finder && i < written->servers.count; i++) {
        uint32_t count = 0;
        if (!place_is_one(&entries[i].address)) continue;
        const struct found *found = finder->find(finder->context, &entries[i].address, &count);
        add_found(c, &entries[i], found, count);
    }
}

/* NULL: there is no memory. */
static const struct pool_conf *fill_copy(struct copy *c, const struct pool_conf *written,
                                         const struct servers_finder *finder)
{
    c->by_name = c->by_address + BUCKETS;
    fill(c, written, finder);
    struct pool_conf *copy = conf_arena_alloc(c->arena, sizeof(*copy));
    void *servers = conf_arena_alloc(c->arena, c->count * sizeof(*c->servers) + 1);
    if (conf_arena_is_short(c->arena)) return NULL;
    *copy = *written;
    copy->servers = (struct conf_items){ servers, c->count };
    if (c->count) memcpy(servers, c->servers, c->count * sizeof(*c->servers));
    return copy;
}

const struct pool_conf *found_pool_conf(const struct pool_conf *written, struct conf_arena *arena,
                                        const struct servers_finder *finder, struct conf_arena **out_arena,
                                        uint32_t *left_out)
{
    struct copy c = { .arena = conf_arena_new() };
    c.servers = calloc(SERVERS_MAX, sizeof(*c.servers));
    c.by_address = calloc(2 * BUCKETS, sizeof(*c.by_address));
    bool has_room = c.arena && c.servers && c.by_address;
    if (has_room && arena) has_room = conf_arena_own(c.arena, conf_arena_get(arena), drop_arena);
    const struct pool_conf *copy = has_room ? fill_copy(&c, written, finder) : NULL;
    free(c.servers);
    free(c.by_address);
    if (!copy) conf_arena_free(c.arena);
    *out_arena = copy ? c.arena : NULL;
    *left_out = c.left_out;
    return copy;
}

bool found_is_same(const struct pool_conf *a, const struct pool_conf *b)
{
    const struct server_conf *one = a->servers.data, *other = b->servers.data;
    if (a->servers.count != b->servers.count) return false;
    for (uint32_t i = 0; i < a->servers.count; i++)
        if (!address_equal(&one[i].address, &other[i].address) || strcmp(one[i].name, other[i].name) != 0 ||
            one[i].weight != other[i].weight || one[i].tier != other[i].tier)
            return false;
    return true;
}
