#include "self/trace.h"

#include "admin/call.h"
#include "admin/routes.h"
#include "base/number.h"
#include "self/profiler.h"

#define SECONDS_PRESET 5.0
#define SECONDS_MAX 60.0
#define WAIT_MS 30000u

const struct admin_query trace_query[] = {
    { "seconds", "number", "How long it is watched, up to 60; 5 without it." },
    { 0 },
};

static bool read_seconds(struct slice text, double *out)
{
    *out = SECONDS_PRESET;
    if (!text.data) return true;
    return number_decimal(text, out) && *out > 0 && *out <= SECONDS_MAX;
}

static void tell_trace(const struct asker *to, struct finding *f)
{
    struct answer a = { 0 };
    if (f->bytes) {
        answer_body(&a, "application/json", f->bytes, f->len);
        f->bytes = NULL;
    } else if (*f->fault.text) {
        answer_error(&a, 500, &f->fault);
    } else {
        answer_problem(&a, 503, "weir is stopping.");
    }
    call_answer((struct call_ticket){ to->context, to->id }, &a);
}

void trace_show(const struct admin_request *rq, struct answer *out)
{
    double seconds = 0;
    bool is_busy;
    if (!rq->profiler || !rq->jobs) {
        answer_problem(out, 503, "This weir has no profiler.");
        return;
    }
    if (!read_seconds(rq->query[0], &seconds)) {
        answer_problem(out, 400, "seconds is \"%.32s\"; write a number over 0 and up to %.0f.",
                       rq->query[0].data, SECONDS_MAX);
        return;
    }
    struct call_ticket ticket = call_wait(rq, 0, NULL, NULL);
    const struct trace_options o = { .loop = rq->loop,
                                     .jobs = rq->jobs,
                                     .duration_ms = (uint64_t)(seconds * 1000),
                                     .asker = { tell_trace, ticket.env, ticket.id } };
    struct trace *t = profiler_trace(rq->profiler, &o, &is_busy);
    if (t)
        call_wait(rq, WAIT_MS + o.duration_ms, trace_give_up, t);
    else if (is_busy)
        answer_problem(out, 409, "Another trace is being taken; try again when it is over.");
    else
        answer_problem(out, 503, "There is no memory for a trace; try again.");
}
