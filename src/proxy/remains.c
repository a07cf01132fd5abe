#include "proxy/remains.h"

#include "proxy/exchange.h"
#include "proxy/tcp.h"
#include "proxy/udp_session.h"
#include "record/flight_ring.h"

void remains_sizes(uint32_t out[REMAINS_SIZES])
{
    const size_t sizes[REMAINS_SIZES] = {
        sizeof(struct proxy),
        sizeof(struct worker),
        sizeof(struct listener_worker),
        sizeof(struct exchange),
        offsetof(struct exchange, record),
        tcp_session_size(),
        sizeof(struct slab),
        sizeof(struct flight_record),
        udp_session_size(),
    };
    for (uint32_t i = 0; i < REMAINS_SIZES; i++) out[i] = (uint32_t)sizes[i];
}

bool remains_find_proxy(const struct memory_view *m, uint64_t address, struct remains_proxy *out)
{
    *out = (struct remains_proxy){ .address = address };
    return memory_read_member(m, address, struct proxy, worker_count, &out->worker_count) &&
           memory_read_member(m, address, struct proxy, workers, &out->workers) &&
           memory_read_member(m, address, struct proxy, names.by_id, &out->names) &&
           memory_read_member(m, address, struct proxy, names.count, &out->name_count) &&
           out->worker_count <= FLIGHT_WORKERS_MAX && out->name_count <= NAMES_MAX;
}

bool remains_find_worker(const struct memory_view *m, const struct remains_proxy *p, uint32_t index,
                         struct remains_worker *out)
{
    uint64_t address;
    *out = (struct remains_worker){ 0 };
    if (index >= p->worker_count ||
        !memory_read(m, p->workers + index * sizeof(address), &address, sizeof(address)) || !address)
        return false;
    out->address = address;
    out->pages_max = REMAINS_PAGES_MAX / p->worker_count;
    return memory_read_member(m, address, struct worker, index, &out->index) && out->index == index &&
           memory_read_member(m, address, struct worker, thread, &out->thread) &&
           memory_read_member(m, address, struct worker, loop.now_ns, &out->now_ns) &&
           memory_read_member(m, address, struct worker, flights, &out->flights) &&
           memory_read_member(m, address, struct worker, live, &out->live);
}

const char *remains_name(const struct memory_view *m, const struct remains_proxy *p, uint32_t id,
                         char out[REMAINS_NAME_MAX])
{
    uint64_t address = 0;
    if (id == FLIGHT_NO_ID) return "-";
    if (id >= p->name_count || !memory_read(m, p->names + id * sizeof(address), &address, sizeof(address)) ||
        !memory_read_text(m, address, out, REMAINS_NAME_MAX))
        return "?";
    return out;
}

struct scan {
    const struct memory_view *memory;
    const struct remains_worker *worker;
    bool (*on_exchange)(void *context, const struct remains_exchange *x);
    void *context;
    bool is_stopped;
};

static bool report(struct scan *s, struct remains_exchange *x, uint64_t start_ns)
{
    flight_sanitize(&x->record);
    x->age_us = s->worker->now_ns > start_ns ? (s->worker->now_ns - start_ns) / 1000 : 0;
    s->is_stopped = !s->on_exchange(s->context, x);
    return !s->is_stopped;
}

/* An idle place begins with the next one's address, a live exchange with its worker's. */
static bool on_place(void *context, uint64_t address)
{
    struct scan *s = context;
    struct remains_exchange x = { .address = address };
    struct exchange read;
    if (!memory_read(s->memory, address, &read, sizeof(read)) || (uintptr_t)read.worker != s->worker->address)
        return true;
    x.record = read.record;
    x.state = read.state <= EXCHANGE_DONE ? exchange_state_name((enum exchange_state)read.state) : "?";
    return report(s, &x, read.start_ns);
}

static bool on_session(void *context, uint64_t address)
{
    struct scan *s = context;
    struct tcp_remains session;
    if (!tcp_salvage(s->memory, address, s->worker->address, &session)) return true;
    struct remains_exchange x = { .address = address, .state = session.state, .record = session.record };
    return report(s, &x, session.start_ns);
}

static bool on_udp_session(void *context, uint64_t address)
{
    struct scan *s = context;
    struct udp_remains session;
    if (!udp_salvage(s->memory, address, s->worker->address, &session)) return true;
    struct remains_exchange x = { .address = address, .state = "datagrams", .record = session.record };
    return report(s, &x, session.start_ns);
}

void remains_exchanges(const struct memory_view *m, const struct remains_worker *w,
                       bool (*on_exchange)(void *context, const struct remains_exchange *x), void *context)
{
    struct scan s = { m, w, on_exchange, context, false };
    slab_scan(m, w->address + offsetof(struct worker, exchanges), sizeof(struct exchange), w->pages_max,
              on_place, &s);
    if (s.is_stopped) return;
    slab_scan(m, w->address + offsetof(struct worker, sessions), tcp_session_size(), w->pages_max, on_session,
              &s);
    if (s.is_stopped) return;
    slab_scan(m, w->address + offsetof(struct worker, udp.sessions), udp_session_size(), w->pages_max,
              on_udp_session, &s);
}

/* lines */

static void add(struct text *out, const char *text)
{
    text_add_slice(out, slice_of(text));
}

/* "1234.567" */
static void add_ms(struct text *out, uint64_t us)
{
    text_add_u64(out, us / 1000);
    text_add_char(out, '.');
    for (uint64_t unit = 100; unit; unit /= 10) text_add_char(out, (char)('0' + us / unit % 10));
}

static void add_target(const struct flight_record *r, struct text *out)
{
    static const char *const methods[] = {
#define X(id, text, is_safe, is_idempotent) [HTTP_##id] = text,
        HTTP_METHODS(X)
#undef X
            [HTTP_OTHER] = "other"
    };
    if (!r->target_len) return;
    add(out, " request=\"");
    add(out, methods[r->method]);
    text_add_char(out, ' ');
    for (uint32_t i = 0; i < r->target_len; i++) {
        char c = r->target[i];
        text_add_char(out, c > ' ' && c <= '~' && c != '"' ? c : '?');
    }
    add(out, r->flags & FLIGHT_TARGET_CUT ? "...\"" : "\"");
}

static void add_places(const struct memory_view *m, const struct remains_proxy *p,
                       const struct flight_record *r, struct text *out)
{
    char name[REMAINS_NAME_MAX];
    uint32_t kept = flight_kept_attempts(r);
    add(out, " listener=");
    add(out, remains_name(m, p, r->listener, name));
    add(out, " pool=");
    add(out, remains_name(m, p, r->pool, name));
    add(out, " server=");
    add(out, remains_name(m, p, kept ? r->attempts[kept - 1].server : FLIGHT_NO_ID, name));
    add(out, " attempts=");
    text_add_u64(out, r->attempt_count);
}

static void add_id(const struct flight_record *r, struct text *out)
{
    char id[FLIGHT_ID_TEXT_MAX];
    add(out, "id=");
    text_add(out, flight_id_print(r->id, id), FLIGHT_ID_TEXT_MAX - 1);
}

void remains_print_exchange(const struct memory_view *m, const struct remains_proxy *p,
                            const struct remains_exchange *x, struct text *out)
{
    add_id(&x->record, out);
    add(out, " state=");
    add(out, x->state);
    add(out, " age_ms=");
    add_ms(out, x->age_us);
    add_places(m, p, &x->record, out);
    add_target(&x->record, out);
}

void remains_print_record(const struct memory_view *m, const struct remains_proxy *p,
                          const struct flight_record *r, struct text *out)
{
    add_id(r, out);
    add(out, " status=");
    text_add_u64(out, r->status);
    add(out, " end=");
    add(out, end_reason_info((enum end_reason)r->end)->name);
    add(out, " total_ms=");
    add_ms(out, r->total_us);
    add_places(m, p, r, out);
    add_target(r, out);
}
