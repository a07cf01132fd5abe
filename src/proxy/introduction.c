#include "proxy/introduction.h"

#include <errno.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "net/proxy_protocol.h"
#include "proxy/accept.h"
#include "proxy/route_set.h"

static void bury(struct loop_grave *g)
{
    struct introduction *i = container_of(g, struct introduction, grave);
    /* Leaked rather than freed under somebody. */
    if (bug_if(WORKER, timer_is_armed(&i->timer) || !list_is_empty(&i->link))) return;
    slab_put(&i->listener->worker->introductions, i);
}

/* It is nobody's any more: whoever goes on with it counts it anew. */
static void retire(struct introduction *i)
{
    struct listener_worker *lw = i->listener;
    loop_disarm(&lw->worker->loop, &i->timer);
    list_remove(&i->link);
    worker_client_closed(lw, NULL, false);
    loop_bury(&lw->worker->loop, &i->grave, bury);
}

static void fail(struct introduction *i, enum end_reason reason, const char *detail)
{
    struct listener_worker *lw = i->listener;
    transport_close(&i->transport, true);
    retire(i);
    accept_failed(lw, &i->peer, reason, detail);
}

static void hand_over(struct introduction *i, const struct proxy_header *h)
{
    struct listener_worker *lw = i->listener;
    const struct address *client = h->has_client ? &h->client : &i->peer;
    bool is_local = i->peer.sa.any.sa_family == AF_UNIX;
    int fd = transport_take_descriptor(&i->transport);
    retire(i);
    accept_introduced(lw, fd, client, is_local);
}

/* Takes the header, which was looked at, and not a byte more. */
static bool take(struct introduction *i, uint32_t len)
{
    char *scratch = i->transport.loop->scratch;
    ssize_t n = recv(i->transport.io.fd, scratch, len, 0);
    return !bug_if(WORKER, n != (ssize_t)len);
}

static void look(struct introduction *i)
{
    struct transport *t = &i->transport;
    struct proxy_header header;
    const char *detail = NULL;
    if (bug_if(WORKER, t->loop->is_scratch_busy)) return; /* what lies there is being worked off */
    /* Again and again from its first byte: it is short, and comes whole but from who takes pains. */
    ssize_t n = recv(t->io.fd, t->loop->scratch, PROXY_HEADER_MAX, MSG_PEEK);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fail(i, END_CLIENT_RESET, NULL);
        return;
    }
    struct slice bytes = { t->loop->scratch, n > 0 ? (size_t)n : 0 };
    switch (proxy_header_parse(bytes, &header, &detail)) {
    case PROXY_HEADER_BAD: fail(i, END_PROXY_HEADER, detail); return;
    case PROXY_HEADER_OK:
        if (take(i, header.len))
            hand_over(i, &header);
        else
            fail(i, END_INTERNAL, NULL);
        return;
    case PROXY_HEADER_MORE: break;
    }
    if (!n || t->has_hangup)
        fail(i, END_CLIENT_ABORT, NULL);
    else if (transport_wait(t) < 0)
        fail(i, END_NO_DESCRIPTORS, NULL);
}

static void on_ready(struct transport *t)
{
    look(container_of(t, struct introduction, transport));
}

static void on_timer(struct timer *t)
{
    fail(container_of(t, struct introduction, timer), END_HEADER_TIMEOUT,
         "the PROXY header did not come in time");
}

void introduction_start(struct listener_worker *lw, int fd, const struct address *peer)
{
    struct worker *w = lw->worker;
    struct introduction *i = slab_get(&w->introductions);
    if (!i) {
        worker_client_closed(lw, NULL, false);
        close(fd);
        accept_failed(lw, peer, END_NO_MEMORY, NULL);
        return;
    }
    i->listener = lw;
    i->peer = *peer;
    transport_init_accepted(&i->transport, &w->loop, fd, peer->sa.any.sa_family == AF_UNIX, on_ready);
    timer_init(&i->timer, on_timer);
    list_init(&i->link);
    list_push_back(&lw->introductions, &i->link);
    loop_arm(&w->loop, &i->timer, lw->routes->conf->timeouts.header_ms);
    look(i);
}

void introduction_kill_all(struct listener_worker *lw, enum end_reason reason)
{
    while (!list_is_empty(&lw->introductions))
        fail(container_of(lw->introductions.next, struct introduction, link), reason, NULL);
}
