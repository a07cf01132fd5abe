#include "control/config_difference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "balance/balance.h"
#include "conf/compare.h"
#include "conf/decode.h"
#include "pool/found_servers.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"
#include "proxy/proxy_life.h"

#define KEYS_ASKED 8192u
/* Tables of so many pools are asked; each is built for it. */
#define POOLS_ASKED 64u

/* Read once, at the start. */
static const char *const frozen[] = { "admin",   "access_log", "core",    "profile",   "limits",   "resolver",
                                      "tracing", "user",       "workers", "hardening", "messages", "state" };
/* Said by name, not as a whole. */
static const char *const by_name[] = { "listeners", "pools", "splits" };

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

#define IS_ONE_OF(name, names) is_one_of((name), (names), sizeof(names) / sizeof(*(names)))

/* lists */

static void add_key(struct config_difference *d, struct shape_list *list, const char *name)
{
    const char **keys = conf_arena_alloc(d->arena, (list->count + 1) * sizeof(*keys));
    if (!keys) return;
    if (list->count) memcpy(keys, list->data, list->count * sizeof(*keys));
    keys[list->count++] = name;
    list->data = keys;
}

static void add_item(struct config_difference *d, struct reload_section *section, struct shape_list *list,
                     struct reload_item item)
{
    if (list->count == RELOAD_ITEMS_MAX) {
        section->left_off++;
        return;
    }
    if (!list->data) list->data = conf_arena_alloc(d->arena, RELOAD_ITEMS_MAX * sizeof(struct reload_item));
    if (!list->data) return;
    ((struct reload_item *)(uintptr_t)list->data)[list->count++] = item;
}

/* Names of a type's rows, but for those in `skip`. */
static struct shape_list name_rows(struct config_difference *d, const struct conf_type *type, uint64_t rows,
                                   const char *skip)
{
    struct shape_list keys = { 0 };
    for (uint32_t i = 0; type->fields[i].name; i++)
        if (rows >> i & 1 && strcmp(type->fields[i].name, skip) != 0) add_key(d, &keys, type->fields[i].name);
    return keys;
}

/* elements with names, the name first in each */

struct elements {
    const struct conf_items *items; /* NULL: there are none */
    const struct conf_type *type;
};

struct named {
    const char *name;
    const void *element;
    uint32_t place;
};

struct index {
    struct named *at; /* sorted by name */
    uint32_t count;
};

static int compare_named(const void *left, const void *right)
{
    return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

static struct index index_of(struct config_difference *d, const struct elements *e)
{
    struct index index = { NULL, e->items ? e->items->count : 0 };
    index.at = calloc(index.count + 1, sizeof(*index.at));
    if (!index.at) {
        conf_arena_set_short(d->arena);
        return (struct index){ 0 };
    }
    for (uint32_t i = 0; i < index.count; i++) {
        const char *element = (const char *)e->items->data + i * e->type->size;
        index.at[i] = (struct named){ *(const char *const *)(const void *)element, element, i };
    }
    qsort(index.at, index.count, sizeof(*index.at), compare_named);
    return index;
}

static const struct named *find_named(const struct index *index, const char *name)
{
    struct named key = { .name = name };
    return !index->count ? NULL : bsearch(&key, index->at, index->count, sizeof(key), compare_named);
}

/* One kind of thing, before and after. */
struct pairing {
    struct config_difference *d;
    struct reload_section *section;
    const char *in;
    const char *skip; /* a row that is told elsewhere; "" for none */
    /* Of what is on either side, or on both; may be NULL. True: its parts are in another order, which `skip` names. */
    bool (*within)(const struct pairing *p, const char *name, const void *before, const void *after);
};

static void pair_one(const struct pairing *p, const struct conf_type *type, const struct named *before,
                     const struct named *after)
{
    struct config_difference *d = p->d;
    struct reload_item item = { .name = before ? before->name : after->name, .in = p->in };
    const void *old = before ? before->element : NULL, *new = after ? after->element : NULL;
    bool is_reordered = p->within && p->within(p, item.name, old, new);
    if (!before) {
        add_item(d, p->section, &p->section->added, item);
    } else if (!after) {
        add_item(d, p->section, &p->section->removed, item);
    } else {
        item.keys = name_rows(d, type, conf_differing(type, old, new), p->skip);
        if (is_reordered) add_key(d, &item.keys, p->skip);
        if (item.keys.count) add_item(d, p->section, &p->section->changed, item);
    }
}

/* True: those that both have are in another order. */
static bool pair(const struct pairing *p, const struct conf_type *type, const struct conf_items *before,
                 const struct conf_items *after)
{
    struct elements old = { before, type }, new = { after, type };
    struct index olds = index_of(p->d, &old), news = index_of(p->d, &new);
    bool is_reordered = false;
    uint32_t last = 0;
    for (uint32_t i = 0; after && i < after->count; i++) {
        const char *element = (const char *)after->data + i * type->size;
        struct named here = { *(const char *const *)(const void *)element, element, i };
        const struct named *was = find_named(&olds, here.name);
        if (was && was->place < last) is_reordered = true;
        if (was) last = was->place;
        pair_one(p, type, was, &here);
    }
    for (uint32_t i = 0; i < olds.count; i++)
        if (!find_named(&news, olds.at[i].name)) pair_one(p, type, &olds.at[i], NULL);
    free(olds.at);
    free(news.at);
    return is_reordered;
}

/* Routes are asked in the order of the file. */
static bool pair_routes(const struct pairing *p, const char *name, const void *before, const void *after)
{
    const struct listener_conf *old = before, *new = after;
    const struct pairing routes = { p->d, &p->d->outcome.routes, name, "", NULL };
    return pair(&routes, &route_conf_type, old ? &old->routes : NULL, new ? &new->routes : NULL);
}

/* keys that move */

static bool has_key(const struct pool_conf *p)
{
    const struct balance_method *method = p->balance.option ? p->balance.option->object : NULL;
    return method && method->has_key && p->kind == POOL_SERVERS;
}

static bool is_same_key(const struct pool_conf *a, const struct pool_conf *b)
{
    char texts[2][4096];
    struct text one = text_over(texts[0], sizeof(texts[0])), other = text_over(texts[1], sizeof(texts[1]));
    http_template_print(balance_method_key(a->balance.option->object, a->balance.conf), &one);
    http_template_print(balance_method_key(b->balance.option->object, b->balance.conf), &other);
    return slice_equal(text_slice(&one), text_slice(&other));
}

/* A proxy that serves nobody, of this pool alone. */
static const struct peer_set *open_pool(const struct pool_conf *conf, struct proxy_conf *of, struct proxy **p)
{
    struct err err;
    of->pools = (struct conf_items){ (void *)(uintptr_t)conf, 1 };
    return proxy_new_detached(p, of, &err) < 0 ? NULL : (*p)->pools[0]->current;
}

static const char *home_of(const struct peer_set *set, uint64_t hash, struct rng *rng)
{
    struct balance_choice choice = { .peer = BALANCE_NONE };
    struct balance b = { set->method, set->table, NULL };
    struct balance_query q = { .peers = set->peers, .peer_count = set->count, .hash = hash, .rng = rng };
    balance_pick(&b, &q, &choice);
    return choice.peer == BALANCE_NONE ? "" : set->servers[choice.peer]->name;
}

double config_difference_moved(const struct pool_conf *before, const struct pool_conf *after)
{
    if (!has_key(before) || !has_key(after) || !is_same_key(before, after)) return NAN;
    struct proxy_conf confs[2] = { 0 };
    struct proxy *proxies[2] = { NULL };
    const struct peer_set *one = open_pool(before, &confs[0], &proxies[0]),
                          *other = open_pool(after, &confs[1], &proxies[1]);
    struct rng rng;
    uint32_t moved = 0;
    rng_seed(&rng, 1);
    for (uint32_t i = 0; one && other && i < KEYS_ASKED; i++) {
        uint64_t hash = rng_next(&rng);
        moved += strcmp(home_of(one, hash, &rng), home_of(other, hash, &rng)) != 0;
    }
    for (int i = 0; i < 2; i++)
        if (proxies[i]) proxy_free(proxies[i]);
    return one && other ? (double)moved / KEYS_ASKED : NAN;
}

static void add_moved(struct config_difference *d, const char *pool, double share)
{
    struct shape_list *list = &d->outcome.moved;
    struct reload_moved *all = conf_arena_alloc(d->arena, (list->count + 1) * sizeof(*all));
    if (!all) return;
    if (list->count) memcpy(all, list->data, list->count * sizeof(*all));
    all[list->count++] = (struct reload_moved){ pool, share };
    list->data = all;
}

/* Whether the servers, or what goes into the table, are others. */
static bool is_other_table(const struct pool_conf *before, const struct pool_conf *after)
{
    static const char *const rows[] = { "servers", "balance", "tiers", "zones", "subset" };
    uint64_t differing = conf_differing(&pool_conf_type, before, after);
    for (uint32_t i = 0; pool_conf_type.fields[i].name; i++)
        if (differing >> i & 1 && IS_ONE_OF(pool_conf_type.fields[i].name, rows)) return true;
    return false;
}

static bool pair_servers(const struct pairing *p, const char *name, const void *before, const void *after)
{
    const struct pool_conf *old = before, *new = after;
    const struct pairing servers = { p->d, &p->d->outcome.servers, name, "", NULL };
    bool is_reordered = pair(&servers, &server_conf_type, old ? &old->servers : NULL,
                             new ? &new->servers : NULL);
    (void)is_reordered; /* it means nothing */
    bool is_known = old && new && !found_is_needed(old) && !found_is_needed(new);
    if (is_known && (has_key(old) || has_key(new)) && is_other_table(old, new) &&
        p->d->outcome.moved.count < POOLS_ASKED)
        add_moved(p->d, name, config_difference_moved(old, new));
    return false;
}

/* the whole */

/* Who may use the API is another at once; where it is, and what it keeps, is not. */
static bool is_admin_frozen(const struct config *started, const struct config *after)
{
    static const char *const live[] = { "token", "tokens", "anonymous" };
    if (!started->admin || !after->admin) return started->admin != after->admin;
    uint64_t differing = conf_differing(&admin_conf_type, started->admin, after->admin);
    for (uint32_t i = 0; admin_conf_type.fields[i].name; i++)
        if (differing >> i & 1 && !IS_ONE_OF(admin_conf_type.fields[i].name, live)) return true;
    return false;
}

static const struct logs_conf *logs_of(const struct config *c)
{
    return c->logs ? c->logs : &logs_conf_nothing;
}

/* Sources are said by name; the rest as a whole. */
static bool is_other_for_logs(const struct config *before, const struct config *after)
{
    uint64_t differing = conf_differing(&logs_conf_type, logs_of(before), logs_of(after));
    for (uint32_t i = 0; logs_conf_type.fields[i].name; i++)
        if (differing >> i & 1 && strcmp(logs_conf_type.fields[i].name, "sources") != 0) return true;
    return false;
}

static void find_settings(struct config_difference *d, const struct config *before,
                          const struct config *after, const struct config *started)
{
    uint64_t differing = conf_differing(&config_type, before, after);
    uint64_t from_start = conf_differing(&config_type, started, after);
    for (uint32_t i = 0; config_type.fields[i].name; i++) {
        const char *name = config_type.fields[i].name;
        bool is_frozen = IS_ONE_OF(name, frozen) &&
                         (strcmp(name, "admin") != 0 || is_admin_frozen(started, after));
        if (from_start >> i & 1 && is_frozen) add_key(d, &d->outcome.needs_restart, name);
        bool is_said = IS_ONE_OF(name, by_name) ||
                       (strcmp(name, "logs") == 0 && !is_other_for_logs(before, after));
        if (differing >> i & 1 && !is_said) add_key(d, &d->outcome.settings, name);
    }
}

static bool is_empty(const struct reload_section *s)
{
    return !s->added.count && !s->removed.count && !s->changed.count;
}

int config_difference_find(struct config_difference *d, const struct config *before,
                           const struct config *after, const struct config *started, struct err *err)
{
    *d = (struct config_difference){ .arena = conf_arena_new() };
    struct reload_outcome *o = &d->outcome;
    const struct pairing listeners = { d, &o->listeners, NULL, "routes", pair_routes },
                         pools = { d, &o->pools, NULL, "servers", pair_servers },
                         splits = { d, &o->splits, NULL, "", NULL },
                         sources = { d, &o->sources, NULL, "", NULL };
    bool is_reordered = pair(&listeners, &listener_conf_type, &before->proxy.listeners,
                             &after->proxy.listeners);
    is_reordered |= pair(&pools, &pool_conf_type, &before->proxy.pools, &after->proxy.pools);
    is_reordered |= pair(&splits, &split_conf_type, &before->proxy.splits, &after->proxy.splits);
    is_reordered |= pair(&sources, &source_conf_type, &logs_of(before)->sources, &logs_of(after)->sources);
    (void)is_reordered; /* it means nothing: each is found by its name */
    find_settings(d, before, after, started);
    o->is_same = is_empty(&o->listeners) && is_empty(&o->routes) && is_empty(&o->pools) &&
                 is_empty(&o->servers) && is_empty(&o->splits) && is_empty(&o->sources) && !o->settings.count;
    if (!conf_arena_is_short(d->arena)) return 0;
    config_difference_fini(d);
    return err_set(err, "there is no memory to compare the configuration with the one in force; try again");
}

void config_difference_fini(struct config_difference *d)
{
    conf_arena_free(d->arena);
    d->arena = NULL;
}

/* what is open */

static int compare_items(const void *left, const void *right)
{
    const struct reload_item *a = left, *b = right;
    int order = strcmp(a->in, b->in);
    return order || !a->name || !b->name ? order : strcmp(a->name, b->name);
}

static bool is_among(const struct reload_item *items, uint32_t count, const char *in, const char *name)
{
    const struct reload_item key = { .in = in, .name = name };
    return bsearch(&key, items, count, sizeof(key), compare_items) != NULL;
}

/* With very many pools each is looked up by a bisection, so that the control thread is not held up. */
static uint64_t count_idle(const struct proxy *p, const struct shape_list *removed)
{
    uint64_t idle = 0;
    struct reload_item *items = removed->count ? calloc(removed->count, sizeof(*items)) : NULL;
    if (!items) return 0;
    memcpy(items, removed->data, removed->count * sizeof(*items));
    qsort(items, removed->count, sizeof(*items), compare_items);
    for (uint32_t i = 0; i < p->pool_count; i++) {
        const struct pool *pool = p->pools[i];
        if (!is_among(items, removed->count, pool->name, NULL)) continue;
        for (uint32_t k = 0; k < pool->roster->count; k++) {
            const struct server *s = pool->roster->places[k].server;
            uint32_t open = atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed),
                     busy = atomic_load_explicit(&s->peer.in_flight, memory_order_relaxed);
            bool is_gone = is_among(items, removed->count, pool->name, s->name);
            if (is_gone && open > busy) idle += open - busy;
        }
    }
    free(items);
    return idle;
}

void config_difference_count(struct config_difference *d, const struct proxy *p)
{
    struct reload_outcome *o = &d->outcome;
    const struct reload_item *listeners = o->listeners.removed.data;
    o->idle_closed = count_idle(p, &o->servers.removed);
    for (uint32_t i = 0; i < o->listeners.removed.count; i++)
        for (uint32_t k = 0; k < p->listener_count; k++)
            if (strcmp(p->listeners[k]->name, listeners[i].name) == 0)
                o->of_removed_listeners += atomic_load(&p->listeners[k]->connections);
}
