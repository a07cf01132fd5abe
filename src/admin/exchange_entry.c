#include "admin/exchange_entry.h"

#include "base/end_reason.h"
#include "record/flight.h"

/* What logs have no seat for. */
enum { LISTENER = LOG_FURTHER, ROUTE, POOL, SERVER, END, ORIGIN, FURTHER_END };

static const char *const further_names[] = { "listener", "route", "pool", "server", "end", "origin" };

static const struct line_format said = {
    .step_count = 17,
    .steps = { { .field = LOG_CLIENT },
               { .field = LOG_MSEC },
               { .field = LOG_METHOD },
               { .field = LOG_TARGET },
               { .field = LOG_STATUS },
               { .field = LOG_BYTES },
               { .field = LOG_REQUEST_TIME },
               { .field = LOG_UPSTREAM },
               { .field = LOG_UPSTREAM_TIME },
               { .field = LOG_VARIANT },
               { .field = LOG_REQUEST_ID },
               { .field = LISTENER },
               { .field = ROUTE },
               { .field = POOL },
               { .field = SERVER },
               { .field = END },
               { .field = ORIGIN } },
};

static enum log_field field_of(const void *context, struct slice name)
{
    static const char *const names[] = {
#define X(id, name) [LOG_##id] = name,
        LOG_FIELDS(X)
#undef X
    };
    (void)context;
    for (int i = LISTENER; i < FURTHER_END; i++)
        if (slice_equal(name, slice_of(further_names[i - LISTENER]))) return (enum log_field)i;
    for (int i = 0; i < LOG_FURTHER; i++)
        if (slice_equal(name, slice_of(names[i]))) return (enum log_field)i;
    return LOG_FIELD_MAX;
}

struct slice exchange_entry_bind(struct filter *f)
{
    filter_bind(f, field_of, NULL);
    return filter_unsaid(f, &said);
}

static uint64_t upstream_us(const struct flight_record *r)
{
    uint64_t sum = 0;
    bool is_known = false;
    for (uint32_t i = 0; i < flight_kept_attempts(r); i++) {
        if (r->attempts[i].first_byte_us == FLIGHT_NEVER) continue;
        sum += r->attempts[i].first_byte_us;
        is_known = true;
    }
    return is_known ? sum : UINT64_MAX;
}

void exchange_entry_make(struct exchange_entry *out, const struct proxy *p, const struct flight_record *r)
{
    uint32_t kept = flight_kept_attempts(r);
    const struct end_reason_info *end = end_reason_info((enum end_reason)r->end);
    struct log_entry *e = &out->entry;
    *e = (struct log_entry){ .time_s = flight_end_wall_ns(r) / NS_PER_S,
                             .status = r->status,
                             .bytes = r->bytes_out,
                             .request_us = r->total_us,
                             .upstream_us = upstream_us(r),
                             .client = r->client };
    e->values[LOG_CLIENT] = slice_of(ip_print(&r->client, out->client));
    if (r->target_len && r->method <= HTTP_OTHER) {
        e->values[LOG_METHOD] = e->method = slice_of(http_method_name((enum http_method)r->method));
        e->values[LOG_TARGET] = (struct slice){ r->target, r->target_len };
        const char *query = memchr(r->target, '?', r->target_len);
        e->path = (struct slice){ r->target, query ? (size_t)(query - r->target) : r->target_len };
    }
    e->values[LISTENER] = slice_of(names_of(&p->names, r->listener));
    e->values[ROUTE] = slice_of(names_of(&p->names, r->route));
    e->values[POOL] = slice_of(names_of(&p->names, r->pool));
    e->values[LOG_VARIANT] = slice_of(names_of(&p->names, r->variant));
    if (kept) e->values[SERVER] = slice_of(names_of(&p->names, r->attempts[kept - 1].server));
    e->values[LOG_UPSTREAM] = e->values[SERVER];
    e->values[END] = slice_of(end->name);
    e->values[ORIGIN] = slice_of(end_origin_name(end->origin));
    if (r->request_id_len) e->values[LOG_REQUEST_ID] = (struct slice){ r->request_id, r->request_id_len };
}
