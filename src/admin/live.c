#include "self/live.h"
#include "admin/pprof.h"
#include "admin/routes.h"
#include "base/number.h"

#define WAIT_MS 30000u
#define SECONDS_MAX 600.0
#define DEBUG_MAX 2u

const struct admin_query live_query[] = {
    { "debug", "integer", "0: pprof's format; 1: text; 2 of goroutine: each thread." },
    { "seconds", "number", "Of heap and allocs: only what came in that time." },
    { "gc", "integer", "What Go's tools send; there is no collector." },
    { 0 },
};

static bool read_query(const struct admin_request *rq, struct live_request *what, struct answer *out)
{
    double seconds = 0;
    uint64_t debug = 0;
    if (rq->query[1].data && (!number_decimal(rq->query[1], &seconds) || seconds > SECONDS_MAX)) {
        pprof_fault(out, 400, "seconds=%.32s is no number up to %.0f\n", rq->query[1].data, SECONDS_MAX);
        return false;
    }
    if (rq->query[0].data && (!number_u64(rq->query[0], &debug) || debug > DEBUG_MAX)) {
        pprof_fault(out, 400, "debug=%.32s is no number up to %u\n", rq->query[0].data, DEBUG_MAX);
        return false;
    }
    what->debug = (unsigned)debug;
    what->wait_ms = (uint64_t)(seconds * 1000);
    return true;
}

static void live_show(const struct admin_request *rq, enum live_kind kind, struct answer *out)
{
    struct err err;
    struct live_request what = { .kind = kind, .proxy = rq->proxy, .loop = rq->loop, .jobs = rq->jobs };
    if (!read_query(rq, &what, out)) return;
    if (!rq->jobs) {
        pprof_fault(out, 503, "this weir has no profiler\n");
        return;
    }
    what.asker = pprof_asker(rq, what.debug ? PPROF_TEXT : PPROF_PACKED);
    struct live_question *q = live_ask(&what, &err);
    call_wait(rq, q ? WAIT_MS + what.wait_ms : 0, live_give_up, q);
    if (!q) pprof_fault(out, 503, "%s\n", err.text);
}

void pprof_goroutine(const struct admin_request *rq, struct answer *out)
{
    live_show(rq, LIVE_GOROUTINE, out);
}

void pprof_threadcreate(const struct admin_request *rq, struct answer *out)
{
    live_show(rq, LIVE_THREADS, out);
}

void pprof_heap(const struct admin_request *rq, struct answer *out)
{
    live_show(rq, LIVE_HEAP, out);
}

void pprof_allocs(const struct admin_request *rq, struct answer *out)
{
    live_show(rq, LIVE_ALLOCS, out);
}
