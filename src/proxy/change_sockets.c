#include "base/clock.h"
#include "net/socket_set.h"
#include "proxy/change.h"
#include "proxy/worker.h"

/* finding them */

static unsigned defer_seconds(const struct listener_conf *conf)
{
    return (unsigned)((conf->timeouts.header_ms + 999) / 1000);
}

static struct socket_set *sockets_in(const struct list *sets, const struct address *address)
{
    for (struct list *at = sets->next; at != sets; at = at->next) {
        struct socket_set *s = container_of(at, struct socket_set, link);
        if (s->count && address_equal(&s->address, address)) return s;
    }
    return NULL;
}

/* Those that are on their way out come back. */
static struct socket_set *open_sockets(const struct proxy *p, const struct address *address)
{
    struct socket_set *s = sockets_in(&p->sockets, address);
    return s ? s : sockets_in(&p->old_sockets, address);
}

static bool overlaps_any(const struct list *sets, const struct address *address)
{
    for (const struct list *at = sets->next; at != sets; at = at->next)
        if (socket_set_overlaps(container_of(at, struct socket_set, link), address)) return true;
    return false;
}

/* The address may be open already, also for another listener. */
int change_find_sockets(struct proxy_change *c, uint32_t n, const struct listener_conf *conf, struct err *err)
{
    struct proxy *p = c->proxy;
    if (p->is_detached) return 0;
    c->sockets[n] = open_sockets(p, &conf->bind);
    if (c->sockets[n]) return 0;
    const struct socket_use use = { .is_http = conf->protocol == LISTENER_HTTP,
                                    .defer_s = defer_seconds(conf),
                                    .count = p->worker_count,
                                    .is_beside = overlaps_any(&p->sockets, &conf->bind) ||
                                                 overlaps_any(&p->old_sockets, &conf->bind),
                                    .given = p->given };
    return socket_set_open(&c->sockets[n], &conf->bind, &use, err);
}

/* what goes */

/* Long enough for handshakes that were under way, also where one of their segments was lost. */
#define LEAVE_NS (1500 * NS_PER_MS)

static bool are_sockets_quiet(void *object)
{
    const struct socket_set *s = object;
    return s->is_wanted || !s->is_left || !s->count || clock_now_ns() >= s->leave_until_ns;
}

static void forget_sockets(struct worker *w, void *object)
{
    struct listener *l = ((struct socket_set *)object)->leaver;
    if (l) acceptor_close(&l->workers[w->index].acceptor);
}

/* Whoever took what was on its way to them takes no more. */
static void end_leaving(struct socket_set *s)
{
    struct listener *l = s->leaver;
    s->leaver = NULL;
    if (!l) return;
    atomic_store(&l->is_leaving, false);
    l->has_leaver = false;
}

static bool end_sockets(struct proxy *p, void *object)
{
    (void)p;
    struct socket_set *s = object;
    end_leaving(s);
    s->is_retiring = false;
    if (!s->is_wanted) socket_set_close(s);
    return true;
}

static const struct retire_kind sockets_kind = { are_sockets_quiet, forget_sockets, end_sockets };

/* Its listener goes on taking for a while what is on its way, then all is closed. Where that cannot be, such as for one that
 * had come back just now or are another weir's too, they are closed here at once, so that what workers have is the last and takes what still waits.
 * In any case they are remembered until workers are through with them: the address can be listened on again meanwhile. */
static void retire_sockets(struct proxy *p, struct socket_set *s)
{
    struct listener *leaver = s->last;
    s->last = NULL;
    list_remove(&s->link);
    list_push_back(&p->old_sockets, &s->link);
    if (leaver && !s->is_retiring && s->address.sa.any.sa_family != AF_UNIX && !socket_set_is_shared(s)) {
        socket_set_leave(s);
        s->leaver = leaver;
        s->is_left = true;
        s->leave_until_ns = clock_now_ns() + LEAVE_NS;
        leaver->has_leaver = true;
        atomic_store(&leaver->is_leaving, true);
    } else {
        socket_set_shut(s);
    }
    if (!s->is_retiring) retire_add(p, &sockets_kind, s);
    s->is_retiring = true;
}

/* They come back while their last listener still takes from them: no more, from the next change on. */
static void take_back_sockets(struct proxy *p, struct socket_set *s)
{
    s->is_left = false;
    atomic_store(&((struct listener *)s->leaver)->is_leaving, false);
    socket_set_return(s);
    list_remove(&s->link);
    list_push_back(&p->sockets, &s->link);
}

void change_commit_sockets(struct proxy_change *c)
{
    struct proxy *p = c->proxy;
    for (struct list *at = p->sockets.next; at != &p->sockets; at = at->next)
        container_of(at, struct socket_set, link)->is_wanted = false;
    for (uint32_t i = 0; i < c->listener_count; i++) {
        struct socket_set *s = c->sockets[i];
        const struct listener_conf *conf = c->site->listeners[i].conf;
        c->listeners[i]->sockets = s;
        if (!s) continue;
        s->is_wanted = true;
        s->last = NULL;
        if (s->is_left) take_back_sockets(p, s);
        if (list_is_empty(&s->link))
            list_push_back(&p->sockets, &s->link);
        else
            socket_set_defer(s, conf->protocol == LISTENER_HTTP, defer_seconds(conf));
    }
    struct list *next;
    for (struct list *at = p->sockets.next; at != &p->sockets; at = next) {
        struct socket_set *s = container_of(at, struct socket_set, link);
        next = at->next;
        if (!s->is_wanted) retire_sockets(p, s);
    }
}

void proxy_close_sockets(struct proxy *p)
{
    while (!list_is_empty(&p->sockets)) {
        struct socket_set *s = container_of(p->sockets.next, struct socket_set, link);
        s->is_wanted = false;
        list_remove(&s->link);
        list_push_back(&p->old_sockets, &s->link);
        if (!s->is_retiring) retire_add(p, &sockets_kind, s);
        s->is_retiring = true;
    }
    for (struct list *at = p->old_sockets.next; at != &p->old_sockets; at = at->next)
        socket_set_shut(container_of(at, struct socket_set, link));
}
