#include "pool/pool_worker_life.h"

#include <stdlib.h>

#include "base/bug.h"
#include "pool/queue.h"
#include "pool/slot.h"
#include "pool/upstream.h"

static void use_limits(struct pool_worker *pw)
{
    const struct pool_limits_conf *limits = &pw->view->set->roster->conf->limits;
    pw->limits = (struct h1_limits){ .head_max = (uint32_t)limits->head_bytes, .field_max = limits->headers };
}

/* By and by: there may be thousands. */
static void close_unwanted_idle(struct pool_worker *pw, const struct roster *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct server_worker *sw = server_worker_of(pw, r->places[i].server);
        if (!list_is_empty(&sw->idle) && list_is_empty(&sw->unwanted_link))
            list_push_back(&pw->unwanted, &sw->unwanted_link);
    }
    if (!list_is_empty(&pw->unwanted)) loop_defer(pw->env->loop, &pw->unwanted_task);
}

static bool close_an_unwanted(struct server_worker *sw)
{
    return server_worker_keeps_idle(sw) ? upstream_close_outdated(sw) : upstream_close_oldest(sw);
}

static void on_unwanted(struct loop_task *t)
{
    struct pool_worker *pw = container_of(t, struct pool_worker, unwanted_task);
    for (uint32_t i = 0; i < POOL_CLOSES_A_TURN; i++) {
        while (!list_is_empty(&pw->unwanted)) {
            struct server_worker *sw = container_of(pw->unwanted.next, struct server_worker, unwanted_link);
            if (close_an_unwanted(sw)) break;
            server_worker_forget(sw);
        }
        if (list_is_empty(&pw->unwanted)) return;
    }
    loop_defer(pw->env->loop, t);
}

void pool_worker_publish(struct pool_worker *pw, struct peer_set *set)
{
    struct pool_view *view = bug_if(POOL_WORKER, set->roster->pool != pw->pool) ? NULL
                                                                                : pool_view_new(pw, set);
    if (!view) {
        peer_set_put(set); /* goes on with the old one: the next change tries again */
        return;
    }
    struct pool_view *old = pw->view;
    bool was_marked = pw->is_marked;
    if (old) queue_mark(pw, false);
    pw->view = view;
    use_limits(pw);
    if (!old) return;
    queue_mark(pw, was_marked);
    close_unwanted_idle(pw, old->set->roster);
    if (set->roster != old->set->roster) close_unwanted_idle(pw, set->roster);
    pool_view_retire(old);
    queue_look(pw);
}

int pool_worker_new(struct pool_worker **out, struct pool *p, const struct pool_worker_env *env,
                    struct err *err)
{
    struct pool_worker *pw = calloc(1, sizeof(*pw));
    if (!pw) return err_set(err, "out of memory for pool \"%s\"", p->name);
    pw->pool = p;
    pw->env = env;
    list_init(&pw->link);
    list_init(&pw->unwanted);
    loop_task_init(&pw->unwanted_task, on_unwanted);
    queue_init(pw);
    slot_init(pw);
    slab_init(&pw->upstreams, &env->loop->blocks, upstream_size(p->kind == POOL_EGRESS));
    slab_init(&pw->pipelined, &env->loop->blocks, h1_pipeline_stream_size());
    for (uint32_t i = 0; i < p->roster->count; i++) {
        struct server *s = p->roster->places[i].server;
        server_worker_init(server_worker_of(pw, s), s, pw);
    }
    pool_worker_publish(pw, peer_set_get(p->current));
    if (!pw->view) {
        slab_fini(&pw->upstreams);
        slab_fini(&pw->pipelined);
        free(pw);
        return err_set(err, "out of memory for pool \"%s\"", p->name);
    }
    p->workers[env->index] = pw;
    *out = pw;
    return 0;
}

static void close_all_idle(struct server_worker *sw)
{
    while (upstream_close_oldest(sw)) {}
}

void pool_worker_close_idle(struct pool_worker *pw)
{
    const struct roster *r = pw->view->set->roster;
    for (uint32_t i = 0; i < r->count; i++) close_all_idle(server_worker_of(pw, r->places[i].server));
}

void pool_worker_close_unwanted(struct pool_worker *pw)
{
    close_unwanted_idle(pw, pw->view->set->roster);
}

void pool_worker_forget(struct pool_worker *pw)
{
    list_remove(&pw->link);
    loop_cancel(&pw->unwanted_task);
}

void pool_worker_free(struct pool_worker *pw)
{
    if (!pw) return;
    loop_cancel(&pw->unwanted_task);
    queue_fini(pw);
    slot_fini(pw);
    if (pw->view && !bug_if(POOL_WORKER, pw->view->users)) pool_view_retire(pw->view);
    slab_fini(&pw->upstreams);
    slab_fini(&pw->pipelined);
    list_remove(&pw->link);
    pw->pool->workers[pw->env->index] = NULL;
    free(pw);
}
