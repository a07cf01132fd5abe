#include "proxy/record.h"

#include "base/bug.h"
#include "proxy/compression.h"
#include "proxy/exchange_steps.h"
#include "proxy/exchange_trace.h"
#include "proxy/grpc.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"
#include "proxy/split.h"
#include "record/access_log.h"
#include "record/flight_ring.h"

/* By the class of its status; others than 1xx to 5xx as none. */
static unsigned class_of(const struct flight_record *r)
{
    unsigned status_class = r->status / 100;
    return status_class < 6 ? status_class : 0;
}

static void count(struct worker *w, const struct listener *l, const struct flight_record *r)
{
    struct metric_shard *m = w->metrics;
    uint32_t end = r->end;
    if (bug_if(FLIGHT, end - 1 >= END_REASON_COUNT - 1))
        end = END_INTERNAL; /* not ended, or in no known way */
    metric_add(m, l->meter_ends[end], 1);
    metric_add(m, l->meter_classes[class_of(r)], 1);
    if (r->grpc && r->grpc <= GRPC_STATUSES) metric_add(m, l->meter_grpc[r->grpc - 1], 1);
    if (flight_is_failure(r)) metric_add(m, l->meter_errors, 1);
    metric_add(m, l->meter_bytes_in, r->bytes_in);
    metric_add(m, l->meter_bytes_out, r->bytes_out);
    metric_observe(m, l->meter_seconds, r->total_us);
}

static void log_access(struct worker *w, struct access_entry *entry, const struct listener *l)
{
    entry->now_wall_ns = loop_wall_ns(&w->loop);
    entry->listener = slice_of(l->name);
    access_log_write(w->access_log, entry);
}

/* Names outlive what they name; addresses are asked of the roster, or were kept when that was let go of. */
static void add_places(const struct worker *w, struct access_entry *entry, const struct record_places *p)
{
    const struct flight_record *r = entry->record;
    entry->pool = slice_of(p->pool ? p->pool->name : NULL);
    for (uint32_t i = 0; i < flight_kept_attempts(r); i++) {
        const struct server *s = p->roster ? roster_server_by_id(p->roster, r->attempts[i].server) : NULL;
        entry->servers[i] = slice_of(s ? s->address_text : p->addresses[i]);
        entry->server = slice_of(names_of(&w->proxy->names, r->attempts[i].server));
    }
}

static void count_route(struct metric_shard *m, const struct route_meters *r,
                        const struct flight_record *record)
{
    metric_add(m, r->exchanges, 1);
    metric_add(m, r->classes[class_of(record)], 1);
    metric_observe(m, r->seconds, record->total_us);
    if (flight_is_failure(record)) metric_add(m, r->errors, 1);
}

void record_exchange(struct exchange *x)
{
    struct worker *w = x->worker;
    struct flight_record *r = &x->record;
    const struct listener *l = x->listener->listener;
    r->total_us = (w->loop.now_ns - x->start_ns) / 1000;
    r->bytes_in += x->body_in;
    r->bytes_out += x->body_out;
    flight_write(w->flights, r);
    if (x->trace) exchange_trace_end(x);
    count(w, l, r);
    if (x->route) count_route(w->metrics, &x->route->meters, r);
    if (x->variant) {
        struct split_outcome outcome = { x->is_override, flight_is_failure(r), x->split_bucket, r->total_us };
        split_count(x->variant, w->metrics, w->index, &outcome);
    }
    if (!w->access_log) return;
    struct access_entry entry = {
        .record = r,
        .request = x->head.method_text.len ? &x->head : NULL,
        .response = x->response,
        .tls = x->tls,
        .user = exchange_user_text(x),
        .trace_id = x->trace ? x->trace->span.context.trace_id : NULL,
        .route = slice_of(x->route ? x->route->name : NULL),
        .split = slice_of(x->variant ? x->variant->split->name : NULL),
        .variant = slice_of(x->variant ? x->variant->own_name : NULL),
        .body_bytes = x->body_out,
        .connection_id = x->connection_id,
        .connection_requests = x->connection_requests,
    };
    if (x->compression) {
        entry.compression = slice_of(coding_name((enum coding)x->compression->coding));
        entry.plain_bytes = x->compression->taken;
        entry.encoded_bytes = x->compression->made;
    }
    struct record_places places = { x->pool ? x->pool->pool : NULL, x->view ? x->view->set->roster : NULL,
                                    x->addresses };
    add_places(w, &entry, &places);
    log_access(w, &entry, l);
}

void record_tunnel(struct worker *w, struct listener_worker *lw, const struct record_places *places,
                   struct flight_record *r, uint64_t connection_id, const struct tls_facts *tls)
{
    flight_write(w->flights, r);
    count(w, lw->listener, r);
    if (!w->access_log) return;
    struct access_entry entry = {
        .record = r,
        .tls = tls,
        .route = slice_of(names_of(&w->proxy->names, r->route)),
        .body_bytes = r->bytes_out,
        .connection_id = connection_id,
        .connection_requests = 1,
    };
    add_places(w, &entry, places);
    log_access(w, &entry, lw->listener);
}
