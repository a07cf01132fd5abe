#include "pool/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/refs.h"
#include "conf/arena.h"
#include "pool/pool.h"
#include "pool/sticky.h"
#include "pool/subset.h"

struct roster *roster_get(struct roster *r)
{
    refs_get(ROSTER, &r->refs);
    return r;
}

void roster_put(struct roster *r)
{
    if (!r || !refs_put(ROSTER, &r->refs)) return;
    for (uint32_t i = 0; i < r->count; i++) (void)refs_put(ROSTER, &r->places[i].server->refs);
    sticky_free(r->sticky);
    conf_arena_free(r->arena);
    free(r);
}

struct server *roster_server(const struct roster *r, struct slice name)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (slice_equal(slice_of(r->places[i].server->name), name)) return r->places[i].server;
    return NULL;
}

const struct roster_place *roster_place_of(const struct roster *r, const struct server *s)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->places[i].server == s) return &r->places[i];
    return NULL;
}

struct server *roster_server_by_id(const struct roster *r, uint32_t id)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->places[i].server->id == id) return r->places[i].server;
    return NULL;
}

static bool is_local(const struct pool_conf *pool, const struct server_conf *s)
{
    return !pool->zones || (s->zone && strcmp(s->zone, pool->zones->local) == 0);
}

static int choose_subset(struct roster *r, struct err *err)
{
    if (!r->conf->subset) return 0;
    uint64_t *hashes = calloc(r->count, sizeof(*hashes));
    bool *chosen = calloc(r->count, sizeof(*chosen));
    int result = -1;
    if (!hashes || !chosen) {
        err_set(err, "out of memory for the subset of pool \"%s\"", r->pool->name);
    } else {
        for (uint32_t i = 0; i < r->count; i++) hashes[i] = r->places[i].server->name_hash;
        result = subset_choose(r->conf->subset, hashes, r->count, chosen, err);
        for (uint32_t i = 0; i < r->count; i++) r->places[i].is_in_subset = chosen[i];
    }
    free(hashes);
    free(chosen);
    return result;
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The same name at another address, or for another host, is another server. */
static struct server *kept_server(const struct pool *p, const struct server_conf *conf)
{
    struct server *s = p->roster ? roster_server(p->roster, slice_of(conf->name)) : NULL;
    bool is_same = s && address_equal(&s->address, &conf->address) && is_same_text(s->host, conf->host);
    return is_same ? s : NULL;
}

void roster_discard(struct roster *r, const struct pool_env *env)
{
    for (uint32_t i = 0; r && i < r->count; i++) {
        struct server *s = r->places[i].server;
        if (refs_put(ROSTER, &s->refs)) server_free(s, env->metrics);
    }
    if (r) r->count = 0;
    roster_put(r);
}

static int fill(struct roster *r, const struct pool_env *env, struct err *err)
{
    const struct server_conf *confs = r->conf->servers.data;
    for (uint32_t i = 0; i < r->conf->servers.count; i++) {
        struct server *s = kept_server(r->pool, &confs[i]);
        if (!s && server_new(&s, r->pool, env, &confs[i], err) < 0) return -1;
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
        r->places[r->count++] = (struct roster_place){ .server = s,
                                                       .conf = &confs[i],
                                                       .tier = confs[i].tier ? confs[i].tier : 1,
                                                       .is_local = is_local(r->conf, &confs[i]),
                                                       .is_in_subset = true };
    }
    if (r->count && choose_subset(r, err) < 0) return -1;
    return r->conf->sticky ? sticky_new(&r->sticky, r->conf->sticky, r, err) : 0;
}

static int allocate(struct roster **out, struct pool *p, const struct pool_conf *conf,
                    struct conf_arena *arena, uint32_t room, struct err *err)
{
    struct roster *r = calloc(1, sizeof(*r) + room * sizeof(r->places[0]));
    if (!r) return err_set(err, "out of memory for the servers of pool \"%s\"", p->name);
    atomic_init(&r->refs, 1);
    r->pool = p;
    r->conf = conf;
    r->arena = conf_arena_get(arena);
    *out = r;
    return 0;
}

int roster_new_open(struct roster **out, struct pool *p, const struct pool_conf *conf,
                    struct conf_arena *arena, struct err *err)
{
    if (allocate(out, p, conf, arena, 0, err) < 0) return -1;
    (*out)->is_open = true;
    return 0;
}

int roster_new(struct roster **out, struct pool *p, const struct pool_env *env, const struct pool_conf *conf,
               struct conf_arena *arena, struct err *err)
{
    struct roster *r;
    if (allocate(&r, p, conf, arena, conf->servers.count, err) < 0) return -1;
    if (fill(r, env, err) < 0) {
        roster_discard(r, env);
        return -1;
    }
    *out = r;
    return 0;
}
