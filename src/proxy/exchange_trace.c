#include "proxy/exchange_trace.h"

#include "base/bug.h"
#include "metric/exemplars.h"
#include "proxy/forwarded.h"
#include "record/span_export.h"

static void make_id(struct rng *rng, uint8_t *id, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += 8) {
        uint64_t random = rng_next(rng) | 1; /* of zeros alone there is none (3.2.2.3, 3.2.2.4) */
        memcpy(id + i, &random, 8);
    }
}

static bool is_named(const struct http_field *f, struct slice name)
{
    return f->id == HTTP_FIELD_OTHER && slice_equal_fold((struct slice){ f->name, f->name_len }, name);
}

/* The one traceparent; with several there is none (3.2). */
static struct slice find_parent(const struct http_head *head)
{
    struct slice found = SLICE_NONE;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (!is_named(&head->fields[i], SLICE("traceparent"))) continue;
        if (found.data) return SLICE_NONE;
        found = http_field_value(&head->fields[i]);
    }
    return found;
}

static uint8_t choose(const struct exchange *x, struct rng *rng)
{
    double sample = span_export_conf(x->worker->proxy->spans)->sample;
    return (double)(rng_next(rng) >> 11) * 0x1p-53 < sample ? TRACE_SAMPLED : 0;
}

bool exchange_trace_begin(struct exchange *x)
{
    struct rng *rng = &x->worker->loop.rng;
    struct exchange_trace *t = arena_alloc(&x->arena, sizeof(*t));
    if (!t) return false;
    memset(t, 0, sizeof(*t));
    struct trace_context *own = &t->span.context;
    t->span.has_parent = t->keeps_state = trace_context_parse(find_parent(&x->head), own);
    if (t->span.has_parent)
        memcpy(t->span.parent, own->span_id, SPAN_ID_BYTES);
    else
        make_id(rng, own->trace_id, TRACE_ID_BYTES);
    /* How much is sent is not for strangers to say (W3C Trace Context 3.2.2.5.1, 7.2). */
    if (!t->span.has_parent || !forwarded_is_trusted(x->routes, &x->peer)) own->flags = choose(x, rng);
    make_id(rng, own->span_id, SPAN_ID_BYTES);
    t->sent = *own;
    trace_context_print(&t->sent, t->field);
    x->trace = t;
    return true;
}

void exchange_trace_attempt(struct exchange *x, uint32_t start_us)
{
    struct exchange_trace *t = x->trace;
    uint32_t kept = flight_kept_attempts(&x->record);
    if (!kept) return;
    struct span_attempt *a = &t->span.attempts[kept - 1];
    make_id(&x->worker->loop.rng, a->id, SPAN_ID_BYTES);
    a->start_us = start_us;
    memcpy(t->sent.span_id, a->id, SPAN_ID_BYTES);
    trace_context_print(&t->sent, t->field);
}

void exchange_trace_use(struct exchange *x, uint32_t number)
{
    struct exchange_trace *t = x->trace;
    if (!number || bug_if(EXCHANGE, number > x->record.attempt_count)) return;
    uint32_t place = number < FLIGHT_ATTEMPTS ? number - 1 : FLIGHT_ATTEMPTS - 1;
    memcpy(t->sent.span_id, t->span.attempts[place].id, SPAN_ID_BYTES);
    trace_context_print(&t->sent, t->field);
}

void exchange_trace_drop(struct exchange *x)
{
    for (uint32_t i = 0; i < x->head.field_count; i++) {
        struct http_field *f = &x->head.fields[i];
        if (is_named(f, SLICE("traceparent")) || (!x->trace->keeps_state && is_named(f, SLICE("tracestate"))))
            f->is_dropped = true;
    }
}

/* In the bucket of each histogram that has counted it, or one of its attempts. */
static void keep_exemplars(const struct exchange *x)
{
    const struct worker *w = x->worker;
    const struct flight_record *r = &x->record;
    struct exemplars *kept = metric_exemplars(w->proxy->metrics);
    struct exemplar e = { .us = r->total_us, .wall_ms = flight_end_wall_ns(r) / NS_PER_MS };
    memcpy(e.trace_id, x->trace->span.context.trace_id, EXEMPLAR_TRACE_BYTES);
    exemplars_put(kept, w->index, x->listener->listener->meter_seconds, &e);
    if (x->route) exemplars_put(kept, w->index, x->route->meters.seconds, &e);
    if (x->variant && !x->is_override) exemplars_put(kept, w->index, x->variant->meter_seconds, &e);
    for (uint32_t i = 0; x->view && i < flight_kept_attempts(r); i++) {
        const struct flight_attempt *a = &r->attempts[i];
        const struct server *s = a->status ? roster_server_by_id(x->view->set->roster, a->server) : NULL;
        e.us = a->first_byte_us;
        if (s) exemplars_put(kept, w->index, s->meter_latency, &e);
    }
}

void exchange_trace_end(struct exchange *x)
{
    struct exchange_trace *t = x->trace;
    const struct worker *w = x->worker;
    /* A tunnel lasts as long as its ends like. */
    bool is_slow = !(x->record.flags & FLIGHT_TUNNEL) &&
                   x->record.total_us >= span_export_conf(w->proxy->spans)->slow_ms * 1000;
    if (!(t->span.context.flags & TRACE_SAMPLED) && !is_slow && !flight_is_failure(&x->record)) return;
    keep_exemplars(x);
    t->span.flight = x->record;
    span_ring_put(span_export_ring(w->proxy->spans, w->index), &t->span);
}
