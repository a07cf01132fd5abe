#include <stdlib.h>

#include "base/clock.h"
#include "net/socket_set.h"
#include "proxy/accept.h"
#include "proxy/change.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "proxy/worker.h"

/* finding them */

static unsigned defer_seconds(const struct listener_conf *conf)
{
    return (unsigned)((conf->timeouts.header_ms + 999) / 1000);
}

static bool is_udp(const struct listener_conf *conf)
{
    return conf->protocol == LISTENER_UDP;
}

static struct socket_set *sockets_in(const struct list *sets, const struct listener_conf *conf)
{
    for (struct list *at = sets->next; at != sets; at = at->next) {
        struct socket_set *s = container_of(at, struct socket_set, link);
        if (s->count && s->is_udp == is_udp(conf) && address_equal(&s->address, &conf->bind)) return s;
    }
    return NULL;
}

/* Those that are on their way out come back. */
static struct socket_set *open_sockets(const struct proxy *p, const struct listener_conf *conf)
{
    struct socket_set *s = sockets_in(&p->sockets, conf);
    return s ? s : sockets_in(&p->old_sockets, conf);
}

static bool overlaps_any(const struct list *sets, const struct listener_conf *conf)
{
    for (const struct list *at = sets->next; at != sets; at = at->next)
        if (socket_set_overlaps(container_of(at, struct socket_set, link), &conf->bind, is_udp(conf)))
            return true;
    return false;
}

/* The address may be open already, also for another listener. */
int change_find_sockets(struct proxy_change *c, uint32_t n, const struct listener_conf *conf, struct err *err)
{
    struct proxy *p = c->proxy;
    if (p->is_detached) return 0;
    c->sockets[n] = open_sockets(p, conf);
    if (c->sockets[n]) return 0;
    const struct socket_use use = { .is_http = conf->protocol == LISTENER_HTTP,
                                    .defer_s = defer_seconds(conf),
                                    .count = p->worker_count,
                                    .is_udp = is_udp(conf),
                                    .is_beside = overlaps_any(&p->sockets, conf) ||
                                                 overlaps_any(&p->old_sockets, conf),
                                    .given = p->given };
    return socket_set_open(&c->sockets[n], &conf->bind, &use, err);
}

/* what goes */

/* Long enough for handshakes that were under way, also where one of their segments was lost. */
#define LEAVE_NS (1500 * NS_PER_MS)

/* A set of sockets goes: its listener goes on taking for a while what is on its way, then all is closed. It may come back
 * meanwhile, for another listener, and go again: that is a departure of its own. */
struct departure {
    struct socket_set *set;
    struct listener *leaver; /* NULL: nobody takes any more */
    bool is_back;            /* the set was wanted again */
    uint64_t until_ns;
};

static bool is_departure_quiet(void *object)
{
    const struct departure *d = object;
    return d->is_back || !d->set->count || clock_now_ns() >= d->until_ns;
}

static void forget_departure(struct worker *w, void *object)
{
    const struct departure *d = object;
    if (d->leaver) accept_close(&d->leaver->workers[w->index], d->is_back);
}

static bool end_departure(struct proxy *p, void *object)
{
    (void)p;
    struct departure *d = object;
    struct socket_set *s = d->set;
    if (d->leaver) {
        atomic_store(&d->leaver->is_leaving, false);
        d->leaver->has_departure = false;
    }
    if (s->departure == d) {
        s->departure = NULL;
        socket_set_shut(s); /* nobody takes what comes to them: they are not found again */
    }
    s->departures--;
    if (!s->is_wanted && !s->departures) socket_set_close(s);
    free(d);
    return true;
}

static const struct retire_kind departure_kind = { is_departure_quiet, forget_departure, end_departure };

/* It is remembered until workers are through with it. NULL: no memory for that, and it is remembered for ever. */
static struct departure *depart(struct proxy *p, struct socket_set *s)
{
    struct departure *d = calloc(1, sizeof(*d));
    list_remove(&s->link);
    list_push_back(&p->old_sockets, &s->link);
    s->departures++;
    if (!d) return NULL;
    d->set = s;
    s->departure = d;
    retire_add(p, &departure_kind, d);
    return d;
}

/* Unix paths, and those that are another weir's too, are closed here at once, so that what workers have is the last and takes what
 * still waits: what is done to the latter would be done to the other. The address can be listened on again meanwhile. */
static void retire_sockets(struct proxy *p, struct socket_set *s)
{
    struct departure *d = depart(p, s);
    struct listener *leaver = s->last;
    s->last = NULL;
    if (!d || !leaver || s->address.sa.any.sa_family == AF_UNIX || socket_set_is_shared(s)) {
        socket_set_shut(s);
        return;
    }
    socket_set_leave(s);
    d->leaver = leaver;
    d->until_ns = clock_now_ns() + LEAVE_NS;
    leaver->has_departure = true;
    atomic_store(&leaver->is_leaving, true);
}

/* They come back while their last listener still takes from them: no more, from the next change on. */
static void take_back_sockets(struct proxy *p, struct socket_set *s)
{
    struct departure *d = s->departure;
    s->departure = NULL;
    d->is_back = true;
    if (d->leaver) atomic_store(&d->leaver->is_leaving, false);
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
        if (s->departure) take_back_sockets(p, s);
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
        struct departure *d = depart(p, s);
        (void)d; /* nobody takes for it: it is closed below */
        s->is_wanted = false;
    }
    for (struct list *at = p->old_sockets.next; at != &p->old_sockets; at = at->next)
        socket_set_shut(container_of(at, struct socket_set, link));
}
