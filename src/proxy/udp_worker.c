#include "proxy/udp_worker.h"

#include "base/bug.h"
#include "proxy/listener.h"
#include "proxy/udp_listener.h"
#include "proxy/udp_session.h"
#include "proxy/worker.h"

static void on_flush(struct loop_task *t)
{
    udp_worker_flush(container_of(t, struct udp_worker, flush));
}

void udp_worker_init(struct udp_worker *u, struct worker *w)
{
    u->worker = w;
    slab_init(&u->sessions, &w->loop.blocks, udp_session_size());
    loop_task_init(&u->flush, on_flush);
}

void udp_worker_fini(struct udp_worker *u)
{
    slab_fini(&u->sessions);
    udp_batch_free(u->in);
    udp_batch_free(u->out);
}

int udp_worker_prepare(struct udp_worker *u, struct err *err)
{
    if (!u->in) u->in = udp_batch_new();
    if (!u->out) u->out = udp_batch_new();
    return u->in && u->out ? 0 : err_set(err, "out of memory for datagrams");
}

uint32_t udp_worker_room(struct udp_worker *u, struct udp_socket *at)
{
    if (u->out_count && (u->out_at != at || u->out_count == UDP_BATCH)) udp_worker_flush(u);
    u->out_at = at;
    return UDP_BATCH - u->out_count;
}

void udp_worker_filled(struct udp_worker *u, uint32_t count)
{
    if (!count || bug_if(UDP, u->out_count + count > UDP_BATCH)) return;
    u->out_count += count;
    loop_defer(&u->worker->loop, &u->flush);
}

/* Who cannot be sent to (no route, no room, a filter) keeps the others from nothing. */
void udp_worker_flush(struct udp_worker *u)
{
    uint32_t next = 0, count = u->out_count;
    if (!count || bug_if(UDP, !u->out_at || u->out_at->fd < 0)) {
        u->out_count = 0;
        return;
    }
    const struct listener *l = u->out_at->udp->lw->listener;
    while ((next += udp_batch_send(u->out, u->out_at->fd, next, count - next, false)) < count) {
        metric_add(u->worker->metrics, l->udp.dropped[UDP_DROP_CLIENT],
                   udp_slot_datagrams(&u->out->slots[next]));
        next++;
    }
    u->out_count = 0;
}
