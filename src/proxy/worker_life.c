#include "proxy/worker_life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "base/log.h"
#include "base/signal_stack.h"
#include "files/file_readers.h"
#include "net/socket_set.h"
#include "pool/pool_worker_life.h"
#include "proxy/accept.h"
#include "proxy/descriptors.h"
#include "proxy/exchange.h"
#include "proxy/introduction.h"
#include "proxy/listener.h"
#include "proxy/mirror.h"
#include "proxy/passwords.h"
#include "proxy/round.h"
#include "proxy/route_set.h"
#include "proxy/shed.h"
#include "proxy/site.h"
#include "proxy/tcp.h"
#include "proxy/tunnel.h"
#include "proxy/udp_listener.h"
#include "proxy/udp_worker.h"
#include "record/access_log.h"
#include "record/flight_ring.h"
#include "route/route.h"

#define MAILS 4096

static int open_pools(struct worker *w, struct err *err)
{
    struct proxy *p = w->proxy;
    w->pool_env = (struct pool_worker_env){
        .loop = &w->loop,
        .tls = &w->tls,
        .h2 = &w->h2,
        .metrics = w->metrics,
        .box = w->box,
        .control = p->control,
        .index = w->index,
        .worker_count = p->worker_count,
        .upstream_live = &w->live.server_connections,
        .upstream_idle = &w->live.idle_server_connections,
        .may_open = descriptors_are_left,
        .worker = w,
        .on_evidence = p->on_evidence,
    };
    for (uint32_t i = 0; i < p->pool_count; i++) {
        struct pool_worker *pw;
        if (pool_worker_new(&pw, p->pools[i], &w->pool_env, err) < 0) return -1;
        list_push_back(&w->pools, &pw->link);
    }
    return 0;
}

static void use_view(struct listener_worker *lw, struct site_view *view)
{
    struct site_view *before = lw->view;
    lw->view = site_view_get(view);
    if (before) site_view_put(before);
}

static void go_on_with(struct worker *w, struct listener_worker *lw, const struct route_set *routes)
{
    lw->worker = w;
    use_view(lw, w->site);
    lw->routes = routes;
    if (list_is_empty(&lw->link)) list_push_back(&w->listeners, &lw->link);
    accept_use(lw);
}

static int open_site(struct worker *w, struct err *err)
{
    w->scratch = route_scratch_new();
    w->site = site_view_new(site_get(w->proxy->site));
    atomic_store(&w->generation, w->proxy->site->generation);
    if (!w->scratch || !w->site) return err_set(err, "out of memory for the routes of worker %u", w->index);
    if (!w->site->site->has_egress) return 0;
    return resolver_new(&w->resolver, &w->loop, w->proxy->resolver_conf, err);
}

int worker_new(struct worker **out, struct proxy *p, uint32_t index, struct err *err)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory for worker %u", index);
    w->proxy = p;
    w->index = index;
    acceptor_spare_open(&w->spare);
    list_init(&w->mirrors);
    list_init(&w->questions);
    list_init(&w->file_asks);
    list_init(&w->pools);
    list_init(&w->listeners);
    if (loop_init(&w->loop, &p->budget, err) < 0) {
        acceptor_spare_close(&w->spare);
        free(w);
        return -1;
    }
    slab_init(&w->clients, &w->loop.blocks, sizeof(struct h1_server));
    slab_init(&w->tunnels, &w->loop.blocks, sizeof(struct tunnel));
    slab_init(&w->sessions, &w->loop.blocks, tcp_session_size());
    slab_init(&w->exchanges, &w->loop.blocks, sizeof(struct exchange));
    slab_init(&w->introductions, &w->loop.blocks, sizeof(struct introduction));
    udp_worker_init(&w->udp, w);
    h1_worker_init(&w->h1, &w->loop);
    shed_init(&w->shed);
    overload_init(&w->overload);
    round_init(&w->round);
    share_init(&w->share, p->worker_count);
    h2_worker_init(&w->h2, &w->loop);
    compression_worker_init(&w->compression, &w->loop, p->worker_count);
    w->metrics = metric_shard_of(p->metrics, index);
    if (p->access_log) w->access_log = access_log_writer_of(p->access_log, index);
    if (flight_ring_new(&w->flights, FLIGHT_RING_RECORDS, index, err) < 0 ||
        mailbox_new(&w->box, &w->loop, w, MAILS, err) < 0 || open_site(w, err) < 0 ||
        open_pools(w, err) < 0 || tls_worker_init(&w->tls, &w->loop, p->tickets, err) < 0) {
        worker_free(w);
        return -1;
    }
    w->tls.challenges = p->challenges;
    *out = w;
    return 0;
}

void worker_free(struct worker *w)
{
    if (!w) return;
    while (!list_is_empty(&w->pools)) pool_worker_free(container_of(w->pools.next, struct pool_worker, link));
    worker_leave_site(w);
    route_scratch_free(w->scratch);
    resolver_free(w->resolver);
    password_questions_drop(w);
    file_asks_drop(&w->file_asks);
    mailbox_free(w->box);
    flight_ring_free(w->flights);
    compression_worker_fini(&w->compression);
    slab_fini(&w->clients);
    slab_fini(&w->tunnels);
    slab_fini(&w->sessions);
    slab_fini(&w->exchanges);
    slab_fini(&w->introductions);
    udp_worker_fini(&w->udp);
    h1_worker_fini(&w->h1);
    shed_fini(&w->shed);
    share_fini(&w->share);
    h2_worker_fini(&w->h2);
    tls_worker_fini(&w->tls);
    loop_fini(&w->loop);
    acceptor_spare_close(&w->spare);
    free(w);
}

static void *run(void *argument)
{
    struct worker *w = argument;
    signal_stack_open();
    signal_stack_touch();
    if (w->proxy->begin_worker) w->proxy->begin_worker();
    struct activity activity = { .worker = w->index + 1 }; /* on this stack: see base/activity.h */
    w->loop.activity = &activity;
    atomic_store(&w->activity, &activity);
    atomic_store(&w->thread_id, (uint32_t)gettid());
    loop_run(&w->loop);
    atomic_store(&w->activity, NULL);
    w->loop.activity = NULL;
    signal_stack_close();
    return NULL;
}

int worker_listen(struct worker *w, struct err *err)
{
    const struct site *s = w->site->site;
    for (uint32_t i = 0; i < s->listener_count; i++) {
        struct listener *l = s->listeners[i].listener;
        go_on_with(w, &l->workers[w->index], &s->listeners[i]);
        for (uint32_t k = w->index; k < l->sockets->count; k += w->proxy->worker_count) {
            int fd = socket_set_share(l->sockets, k, err);
            if (fd < 0 || accept_open(&l->workers[w->index], fd, err) < 0) return -1;
        }
    }
    return 0;
}

int worker_start(struct worker *w, struct err *err)
{
    if (worker_listen(w, err) < 0) return -1;
    sigset_t before;
    signal_block_all_but_faults(&before);
    int failed = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return err_set(err, "cannot start worker %u: %s", w->index, strerror(failed));
    w->has_thread = true;
    char name[16];
    snprintf(name, sizeof(name), "weir/%u", w->index);
    pthread_setname_np(w->thread, name);
    return 0;
}

/* mail: on the worker's thread */

static struct listener_worker *listener_at(struct list *at)
{
    return container_of(at, struct listener_worker, link);
}

/* No new connections; idle ones close by and by, the others end with their exchange. */
static void drain(struct listener_worker *lw, bool is_leaving, bool keeps_idle)
{
    if (!is_leaving) acceptor_close(&lw->acceptor);
    /* Of datagrams others take what comes to the same sockets: the next process, or the next listener at the address. */
    bool is_taken_elsewhere = lw->worker->is_draining ? keeps_idle : !is_leaving;
    if (lw->udp) udp_listener_leave(lw->udp, is_taken_elsewhere);
    lw->service.is_draining = true;
    lw->service.keeps_idle = keeps_idle;
    if (!keeps_idle) round_begin(lw, true);
}

static void on_drain(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    w->is_draining = true;
    for (struct list *at = w->listeners.next; at != &w->listeners; at = at->next)
        drain(listener_at(at), false, m->number);
    atomic_store(&w->has_left, true);
}

static void say(const struct worker *w, const char *event, const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    log_event(LOG_ERROR, event, "worker=%u error=%s", w->index, log_quote(err->text, quoted, sizeof(quoted)));
}

static void use_listeners(struct worker *w, const struct worker_change *change)
{
    const struct site *s = w->site->site;
    const struct worker_socket *next = change->sockets, *end = next + change->socket_count;
    struct err err;
    for (uint32_t i = 0; i < s->listener_count; i++) {
        struct listener_worker *lw = &s->listeners[i].listener->workers[w->index];
        go_on_with(w, lw, &s->listeners[i]);
        /* It may have been one that listens elsewhere: what waits there is taken first. */
        if (next < end && next->listener == i) acceptor_close(&lw->acceptor);
        for (; next < end && next->listener == i; next++)
            if (accept_open(lw, next->fd, &err) < 0) say(w, "listen_failed", &err);
    }
    (void)bug_if(WORKER, next != end); /* of no listener: nobody listens at them, or closes them */
    for (struct list *at = w->listeners.next; at != &w->listeners; at = at->next) {
        struct listener_worker *lw = listener_at(at);
        if (lw->view == w->site && !w->is_draining) continue;
        drain(lw, atomic_load(&lw->listener->is_leaving) && !w->is_draining, false);
    }
}

static void on_swap(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct worker_change *change = m->object;
    struct site_view *old = w->site, *view = change->view;
    struct err err;
    (void)bug_if(WORKER, view->site->generation < old->site->generation); /* mails come in their order */
    w->site = view;
    if (view->site->has_egress && !w->resolver &&
        resolver_new(&w->resolver, &w->loop, w->proxy->resolver_conf, &err) < 0)
        say(w, "resolver_failed", &err);
    use_listeners(w, change);
    atomic_store(&w->generation, view->site->generation);
    bool is_told = !change->done.deliver || mailbox_post(w->proxy->control, &change->done);
    (void)is_told; /* a full box: the control thread looks now and then */
    free(change);
    site_view_retire(old);
    for (struct list *at = w->listeners.next; at != &w->listeners; at = at->next)
        round_begin(listener_at(at), false);
}

static void on_close_idle(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct pool *pool = m->object;
    pool_worker_close_unwanted(pool->workers[w->index]);
}

void worker_kill(struct worker *w)
{
    atomic_store(&w->has_left, true); /* nobody hands it a connection any more */
    overload_stop(w);
    round_stop(&w->round);
    for (struct list *at = w->listeners.next; at != &w->listeners; at = at->next) {
        struct listener_worker *lw = listener_at(at);
        acceptor_close(&lw->acceptor);
        if (lw->udp) udp_listener_kill(lw->udp, END_DRAINED);
        lw->service.is_draining = true;
        introduction_kill_all(lw, END_DRAINED);
        http_conn_kill_all(&lw->connections, END_DRAINED);
        while (!list_is_empty(&lw->tunnels))
            tunnel_kill(container_of(lw->tunnels.next, struct tunnel, link), END_DRAINED);
    }
    /* What ended is recorded and buried at the end of the turn. */
    loop_turn(&w->loop, 0);
    mirror_kill_all(w);
    loop_turn(&w->loop, 0);
    for (struct list *at = w->pools.next; at != &w->pools; at = at->next)
        pool_worker_close_idle(container_of(at, struct pool_worker, link));
    loop_turn(&w->loop, 0);
    (void)bug_if(WORKER, !worker_is_idle(w)); /* somebody is in no list, and will never end */
}

static void on_stop(void *reader, const struct mail *m)
{
    (void)m;
    struct worker *w = reader;
    loop_stop(&w->loop);
}

static void on_publish(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct peer_set *set = m->object;
    struct pool_worker *pw = set->roster->pool->workers[w->index];
    if (bug_if(WORKER, !pw)) {
        peer_set_put(set);
        return;
    }
    if (list_is_empty(&pw->link)) list_push_back(&w->pools, &pw->link);
    pool_worker_publish(pw, set);
}

static void post(struct worker *w, void (*deliver)(void *, const struct mail *), void *object)
{
    struct mail m = { .deliver = deliver, .object = object };
    worker_post(w, &m);
}

static void on_copied(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    w->loop.is_copied = m->number;
    _Atomic uint32_t *told = m->object;
    if (told) atomic_fetch_add(told, 1);
}

void worker_tell_copied(struct worker *w, bool is_copied, _Atomic uint32_t *told)
{
    struct mail m = { .deliver = on_copied, .object = told, .number = is_copied };
    worker_post(w, &m);
}

struct worker_change *worker_change_new(struct site *site, uint32_t socket_room)
{
    struct worker_change *c = calloc(1, sizeof(*c) + socket_room * sizeof(c->sockets[0]));
    if (!c) return NULL;
    if ((c->view = site_view_new(site_get(site)))) return c;
    free(c);
    return NULL;
}

void worker_change_free(struct worker_change *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->socket_count; i++) close(c->sockets[i].fd);
    site_view_retire(c->view);
    free(c);
}

void worker_swap(struct worker *w, struct worker_change *change)
{
    post(w, on_swap, change);
}

void worker_close_idle(struct worker *w, struct pool *pool)
{
    post(w, on_close_idle, pool);
}

void worker_leave_site(struct worker *w)
{
    while (!list_is_empty(&w->listeners)) {
        struct listener_worker *lw = listener_at(w->listeners.next);
        list_remove(&lw->link);
        site_view_put(lw->view);
        lw->view = NULL;
    }
    if (w->site) site_view_retire(w->site);
    w->site = NULL;
}

void worker_drain(struct worker *w, bool keeps_idle)
{
    struct mail m = { .deliver = on_drain, .number = keeps_idle };
    worker_post(w, &m);
}

void worker_stop(struct worker *w)
{
    post(w, on_stop, NULL);
}

void worker_publish(struct worker *w, struct peer_set *set)
{
    post(w, on_publish, set);
}

void worker_join(struct worker *w)
{
    if (!w->has_thread) return;
    pthread_join(w->thread, NULL);
    w->has_thread = false;
    worker_kill(w);
}
