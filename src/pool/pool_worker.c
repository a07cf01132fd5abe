#include "pool/pool_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/count.h"

bool server_worker_keeps_idle(const struct server_worker *sw)
{
    const struct server *s = sw->server;
    if (atomic_load_explicit(&s->is_retired, memory_order_relaxed)) return false;
    return server_is_enabled(s) ||
           (sw->pool->view->set->roster->sticky && atomic_load(&s->admin) == SERVER_DRAIN);
}

/* views */

/* Looked for from `first` on: sets keep the order of the configuration. */
static uint32_t index_in(const struct peer_set *set, const struct server *s, uint32_t first)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t at = (first + i) % set->count;
        if (set->servers[at] == s) return at;
    }
    return BALANCE_NONE;
}

/* Sets change every few seconds while servers warm up, on a quiet site oftener than a light server's turn comes: what
 * this worker remembers goes over. Without memory for that it begins anew. */
static void inherit(const struct pool_worker *pw, struct pool_view *view, const struct pool_view *old)
{
    const struct peer_set *set = view->set;
    const struct balance_method *m = set->method;
    if (!m->inherit || m != old->set->method || !set->count || !old->set->count) return;
    uint32_t *from = malloc(set->count * sizeof(*from)), next = 0;
    if (!from) return;
    for (uint32_t i = 0; i < set->count; i++) {
        from[i] = index_in(old->set, set->servers[i], next);
        if (from[i] != BALANCE_NONE) next = from[i] + 1;
    }
    m->inherit(view->balance.table, view->balance.state, old->balance.table, old->balance.state, from,
               &pw->env->loop->rng);
    free(from);
}

struct pool_view *pool_view_new(const struct pool_worker *pw, struct peer_set *set)
{
    const struct balance_method *m = set->method;
    size_t state = m->state_size + set->count * m->state_size_per_peer;
    struct pool_view *view = calloc(1, sizeof(*view) + state + 16);
    if (!view) return NULL;
    view->set = set;
    view->is_current = true;
    view->balance = (struct balance){ .method = m, .table = set->table, .state = state ? view + 1 : NULL };
    if (pw->view) inherit(pw, view, pw->view);
    return view;
}

static void view_free(struct pool_view *view)
{
    peer_set_put(view->set);
    free(view);
}

void pool_view_put(struct pool_view *view)
{
    if (bug_if(POOL_WORKER, !view->users)) return; /* leaked rather than freed under somebody */
    if (--view->users == 0 && !view->is_current) view_free(view);
}

void pool_view_retire(struct pool_view *view)
{
    view->is_current = false;
    if (!view->users) view_free(view);
}

void server_worker_forget(struct server_worker *sw)
{
    list_remove(&sw->unwanted_link);
}

void server_worker_init(struct server_worker *sw, struct server *s, struct pool_worker *pw)
{
    sw->server = s;
    sw->pool = pw;
    list_init(&sw->idle);
    list_init(&sw->open);
    list_init(&sw->handed_link);
    list_init(&sw->unwanted_link);
}

bool pool_worker_is_quiet(const struct pool_worker *pw)
{
    return !count_get(&pw->upstreams.live) && !count_get(&pw->pipelined.live) && !count_get(&pw->open) &&
           !count_get(&pw->queue_length);
}
