#include "admin/routes.h"
#include "proxy/worker.h"

void health_live(const struct admin_request *rq, struct answer *out)
{
    (void)rq;
    answer_text(out, 200, "ok\n");
}

static bool is_started(const struct proxy *p)
{
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (!p->workers[i] || !p->workers[i]->has_thread) return false;
    return true;
}

void health_ready(const struct admin_request *rq, struct answer *out)
{
    if (atomic_load(&rq->proxy->is_draining))
        answer_text(out, 503, "draining: no new connections are taken\n");
    else if (!is_started(rq->proxy))
        answer_text(out, 503, "starting: the workers do not run yet\n");
    else
        answer_text(out, 200, "ok\n");
}
