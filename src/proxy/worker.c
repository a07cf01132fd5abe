#include "proxy/worker.h"

#include "base/count.h"

/* What they keep builds up slowly. */
#define ASK_FOR_MEMORY_MS 100

void listener_worker_init(struct listener_worker *lw, struct listener *l)
{
    lw->listener = l;
    list_init(&lw->link);
    list_init(&lw->connections);
    list_init(&lw->tunnels);
    list_init(&lw->introductions);
}

/* Control words must arrive. To wait is the last that is left: for memory, or for a worker that takes nothing at all. */
void worker_post(struct worker *w, const struct mail *m)
{
    while (!mailbox_keep(w->box, m)) sched_yield();
}

static void on_trim(void *reader, const struct mail *m)
{
    (void)m;
    struct worker *w = reader;
    block_pool_trim(&w->loop.blocks);
    encoder_pool_trim(&w->compression.encoders);
}

void worker_ask_for_memory(struct worker *w)
{
    struct proxy *p = w->proxy;
    uint64_t now = loop_now_ms(&w->loop);
    uint64_t last = atomic_load_explicit(&p->asked_ms, memory_order_relaxed);
    if (now < last + ASK_FOR_MEMORY_MS || !atomic_compare_exchange_strong(&p->asked_ms, &last, now)) return;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        struct mail m = { .deliver = on_trim };
        bool is_posted = i != w->index && mailbox_post(p->workers[i]->box, &m);
        (void)is_posted; /* a full box: it is asked again */
    }
}

/* What arrives is counted as open before it is under way no more: who looks the other way round could see neither. */
bool worker_is_idle(const struct worker *w)
{
    return !atomic_load(&w->share.arriving) && !count_get(&w->live.exchanges) &&
           !count_get(&w->live.tunnels) && !count_get(&w->live.client_connections);
}
