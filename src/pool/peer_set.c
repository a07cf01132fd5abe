#include "pool/peer_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/refs.h"
#include "conf/compare.h"
#include "pool/membership.h"
#include "pool/pool.h"

#define OVERFLOW_LOOKS 64

/* A method's table, for all sets of the same servers and weights. */
struct peer_table {
    _Atomic uint32_t refs;
    const struct balance_method *method;
    void *table;
};

static struct peer_table *table_get(struct peer_table *t)
{
    refs_get(PEER_SET, &t->refs);
    return t;
}

static void table_put(struct peer_table *t)
{
    if (!t || !refs_put(PEER_SET, &t->refs)) return;
    if (t->method->drop) t->method->drop(t->table);
    free(t);
}

struct peer_set *peer_set_get(struct peer_set *set)
{
    refs_get(PEER_SET, &set->refs);
    return set;
}

void peer_set_put(struct peer_set *set)
{
    if (!set || !refs_put(PEER_SET, &set->refs)) return;
    table_put(set->shared);
    roster_put(set->roster);
    free(set);
}

static struct peer_set *allocate(struct roster *r)
{
    size_t n = r->count;
    size_t size = sizeof(struct peer_set) + n * (3 * sizeof(void *) + sizeof(uint64_t) + sizeof(uint32_t));
    struct peer_set *set = calloc(1, size);
    if (!set) return NULL;
    set->servers = (struct server **)(set + 1);
    set->standby = (const struct roster_place **)(set->servers + n);
    set->peers = (const struct balance_peer **)(set->standby + n);
    set->name_hashes = (uint64_t *)(set->peers + n);
    set->weights = (uint32_t *)(set->name_hashes + n);
    atomic_init(&set->refs, 1);
    set->roster = roster_get(r);
    set->method = r->conf->balance.option->object;
    return set;
}

static void fill(struct peer_set *set, const struct membership *members)
{
    for (uint32_t i = 0; i < set->roster->count; i++) {
        struct server *s = set->roster->places[i].server;
        if (!members[i].weight) continue;
        set->servers[set->count] = s;
        set->peers[set->count] = &s->peer;
        set->name_hashes[set->count] = s->name_hash;
        set->weights[set->count] = members[i].weight;
        set->count++;
    }
}

/* The order of standby servers: the nearest tier first, and in it the local zone. From 2. */
static uint32_t group_of(const struct roster_place *place)
{
    return 2 * place->tier + !place->is_local;
}

static void fill_standby(struct peer_set *set, const struct membership *members)
{
    const struct roster *r = set->roster;
    uint32_t total = 0;
    for (uint32_t i = 0; i < r->count; i++) /* one that is in no group would be looked for for ever */
        total += members[i].is_standby && !bug_if(PEER_SET, group_of(&r->places[i]) < 2);
    for (uint32_t group = 2; set->standby_count < total; group++)
        for (uint32_t i = 0; i < r->count; i++)
            if (members[i].is_standby && group_of(&r->places[i]) == group)
                set->standby[set->standby_count++] = &r->places[i];
}

/* Another configuration may say the same: then its rosters need no tables of their own. */
static bool is_same_balance(const struct conf_choice *a, const struct conf_choice *b)
{
    if (a->option->object != b->option->object || !a->conf != !b->conf) return false;
    return a->conf == b->conf || !a->option->type || !conf_differing(a->option->type, a->conf, b->conf);
}

static bool has_same_table(const struct peer_set *a, const struct peer_set *b)
{
    return is_same_balance(&a->roster->conf->balance, &b->roster->conf->balance) && a->count == b->count &&
           memcmp(a->servers, b->servers, a->count * sizeof(*a->servers)) == 0 &&
           memcmp(a->weights, b->weights, a->count * sizeof(*a->weights)) == 0;
}

static int build_table(struct peer_set *set, struct err *err)
{
    const struct pool *p = set->roster->pool;
    if (!set->count || !set->method->build) return 0;
    if (p->current && p->current->shared && has_same_table(set, p->current)) {
        set->shared = table_get(p->current->shared);
        set->table = set->shared->table;
        return 0;
    }
    struct peer_table *t = calloc(1, sizeof(*t));
    if (!t) return err_set(err, "out of memory for the table of pool \"%s\"", p->name);
    struct balance_set shape = {
        .peers = set->peers, .weights = set->weights, .name_hashes = set->name_hashes, .count = set->count
    };
    t->method = set->method;
    atomic_init(&t->refs, 1);
    if (set->method->build(&shape, set->roster->conf->balance.conf, &t->table, err) < 0) {
        free(t);
        return err_prefix(err, "pool \"%s\"", p->name);
    }
    set->shared = t;
    set->table = t->table;
    return 0;
}

int peer_set_new(struct peer_set **out, struct roster *r, const struct membership *members, struct err *err)
{
    struct peer_set *set = allocate(r);
    if (!set) return err_set(err, "out of memory for the servers of pool \"%s\"", r->pool->name);
    fill(set, members);
    fill_standby(set, members);
    if (build_table(set, err) < 0) {
        peer_set_put(set);
        return -1;
    }
    *out = set;
    return 0;
}

/* Load for its weight, as least_request compares it. */
static bool is_less_loaded(const struct server *a, const struct server *b)
{
    uint64_t load_a = atomic_load_explicit(&a->peer.in_flight, memory_order_relaxed) + UINT64_C(1);
    uint64_t load_b = atomic_load_explicit(&b->peer.in_flight, memory_order_relaxed) + UINT64_C(1);
    return load_a * atomic_load_explicit(&b->weight, memory_order_relaxed) <
           load_b * atomic_load_explicit(&a->weight, memory_order_relaxed);
}

struct server *peer_set_overflow(const struct peer_set *set)
{
    const struct roster_place *best = NULL;
    uint32_t count = set->standby_count < OVERFLOW_LOOKS ? set->standby_count : OVERFLOW_LOOKS;
    for (uint32_t i = 0; i < count; i++) {
        const struct roster_place *place = set->standby[i];
        const struct balance_peer *peer = &place->server->peer;
        if (best && place->tier > best->tier) break;
        if (atomic_load_explicit(&peer->is_out, memory_order_relaxed) || balance_peer_is_full(peer)) continue;
        if (!best || is_less_loaded(place->server, best->server)) best = place;
    }
    return best ? best->server : NULL;
}
