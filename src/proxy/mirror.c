#include "proxy/mirror.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/count.h"
#include "http/h1_client.h"
#include "pool/slot.h"
#include "proxy/exchange_steps.h"
#include "proxy/forward.h"
#include "proxy/proxy.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "route/route_conf.h"

struct mirror {
    struct worker *worker;
    struct mirror_route *route;
    struct site_view *site; /* that the route is of */
    struct arena arena;     /* holds this struct */
    struct list link;       /* of worker->mirrors */
    struct timer timer;
    struct loop_task end_task;
    struct loop_grave grave;
    struct attempt attempt; /* its stream is NULL before and after */
    struct pool_view *view;
    struct http_head head;
    struct http_field *extra;
    uint32_t extra_count;
    struct slice target, authority;
    const char *mention; /* how the log names the request that it is a copy of */
    struct block *body;
    uint32_t body_len, body_sent;
    uint64_t begun_ns;
    /* What is compared: 0 is no status. */
    uint16_t status, original_status;
    uint32_t first_byte_us, original_first_byte_us;
    uint8_t end;       /* enum end_reason; END_NONE while it goes on */
    bool is_over;      /* it has left its server, too */
    bool is_begun;     /* it has been sent, or has failed to be */
    bool has_original; /* the original has ended, or is not waited for */
    bool is_body_too_large;
};

/* the end */

static void bury(struct loop_grave *g)
{
    struct mirror *m = container_of(g, struct mirror, grave);
    /* Leaked rather than freed under somebody. */
    if (bug_if(MIRROR, !m->is_over || timer_is_armed(&m->timer) || !list_is_empty(&m->end_task.link))) return;
    struct arena arena = m->arena; /* holds m */
    arena_fini(&arena);
}

static void compare(struct mirror *m)
{
    struct metric_shard *shard = m->worker->metrics;
    const struct mirror_route *r = m->route;
    if (!m->status || !m->original_status) return;
    metric_add(shard, m->status == m->original_status ? r->meter_same : r->meter_differs, 1);
    metric_observe(shard, r->meter_copy_seconds, m->first_byte_us);
    metric_observe(shard, r->meter_original_seconds, m->original_first_byte_us);
}

/* Once neither the copy nor the original is waited for. */
static void retire_if_over(struct mirror *m)
{
    if (!m->is_over || !m->has_original) return;
    (void)bug_if(MIRROR, m->view || m->attempt.server || m->body); /* it has left its server */
    compare(m);
    list_remove(&m->link);
    site_view_put(m->site);
    loop_bury(&m->worker->loop, &m->grave, bury);
}

/* What is left waits for its original, and costs no more than the head. */
static void leave(struct mirror *m)
{
    if (m->is_over) return;
    m->is_over = true;
    block_put(&m->worker->loop.blocks, m->body);
    m->body = NULL;
    m->body_len = 0;
    count_less_shared(MIRROR, &m->route->in_flight);
}

/* Leaves its server; at the end of the turn, when nobody is in the middle of its stream. */
static void on_end_task(struct loop_task *t)
{
    struct mirror *m = container_of(t, struct mirror, end_task);
    if (bug_if(MIRROR, m->end == END_NONE)) m->end = END_INTERNAL;
    attempt_leave(&m->attempt);
    if (m->view) pool_view_put(m->view);
    m->view = NULL;
    leave(m);
    retire_if_over(m);
}

/* What it has learned stays for the comparison. */
static void end_copy(struct mirror *m, enum end_reason reason)
{
    if (m->end != END_NONE) return;
    m->end = (uint8_t)reason;
    attempt_end(&m->attempt, reason);
    loop_disarm(&m->worker->loop, &m->timer);
    metric_add(m->worker->metrics, m->route->meter_ends[reason], 1);
    loop_defer(&m->worker->loop, &m->end_task);
}

/* It never began. */
static void skip(struct mirror *m, uint32_t meter)
{
    metric_add(m->worker->metrics, meter, 1);
    m->end = END_OK;
    leave(m);
}

static void on_timer(struct timer *t)
{
    end_copy(container_of(t, struct mirror, timer), END_FIRST_BYTE_TIMEOUT);
}

/* sending */

static void send_rest(struct mirror *m)
{
    size_t none = 0;
    if (bug_if(MIRROR, !m->attempt.stream || m->body_sent > m->body_len || (m->body_len && !m->body))) {
        end_copy(m, END_INTERNAL);
        return;
    }
    while (m->body_sent < m->body_len) {
        size_t taken = 0;
        enum io io = http_send_body(m->attempt.stream, m->body->data + m->body_sent,
                                    m->body_len - m->body_sent, HTTP_END, &taken);
        m->body_sent += (uint32_t)taken;
        if (io == IO_FAIL) {
            end_copy(m, END_SEND_FAILED);
            return;
        }
        if (io == IO_AGAIN) return;
    }
    if (m->head.body == HTTP_BODY_UNKNOWN && !m->body_len &&
        http_send_body(m->attempt.stream, NULL, 0, HTTP_END, &none) == IO_FAIL)
        end_copy(m, END_SEND_FAILED);
}

static void send_request(struct mirror *m)
{
    if (bug_if(MIRROR, !m->view || !m->attempt.server || !m->attempt.stream)) {
        end_copy(m, END_INTERNAL);
        return;
    }
    struct http_send send = { .head = &m->head,
                              .authority = forward_host(m->view->set->roster->conf, m->attempt.server,
                                                        m->authority),
                              .target = m->target,
                              .extra = m->extra,
                              .extra_count = m->extra_count,
                              .body = m->body_len ? HTTP_BODY_LENGTH : m->head.body,
                              .content_length = m->body_len };
    bool has_body = m->body_len || m->head.body == HTTP_BODY_UNKNOWN;
    m->begun_ns = m->worker->loop.now_ns;
    if (http_send_head(m->attempt.stream, &send, has_body ? HTTP_MORE : 0) != IO_OK)
        end_copy(m, END_SEND_FAILED);
    else if (has_body)
        send_rest(m);
}

static void on_open(struct http_stream *s)
{
    struct mirror *m = s->owner;
    if (m->end != END_NONE) return;
    attempt_opened(&m->attempt);
    send_request(m);
}

static void on_moved(struct http_stream *s, struct http_stream *to)
{
    struct mirror *m = s->owner;
    m->attempt.stream = to;
    to->events = s->events;
    to->owner = m;
}

static void on_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    (void)flags;
    struct mirror *m = s->owner;
    if (m->end != END_NONE || (head->status < 200 && head->status != 101)) return;
    if (bug_if(MIRROR, m->status)) { /* one answer to one copy */
        end_copy(m, END_INTERNAL);
        return;
    }
    m->status = head->status;
    m->first_byte_us = flight_us(m->begun_ns, m->worker->loop.now_ns);
    if (head->status == 101)
        end_copy(m, END_BAD_RESPONSE);
    else if (head->body == HTTP_BODY_NONE)
        end_copy(m, END_OK);
}

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    (void)data;
    struct mirror *m = s->owner;
    if (flags & HTTP_END) end_copy(m, END_OK);
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)fields;
    (void)count;
    end_copy(s->owner, END_OK);
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct mirror *m = s->owner;
    if (m->end != END_NONE) return;
    attempt_say_tls_failed(&m->attempt, fault->reason, fault->detail, m->mention);
    end_copy(m, fault->reason);
}

static void on_writable(struct http_stream *s)
{
    struct mirror *m = s->owner;
    if (m->end == END_NONE && m->body_sent < m->body_len) send_rest(m);
}

static const struct http_stream_events events = {
    .on_open = on_open,
    .on_moved = on_moved,
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_error = on_error,
    .on_writable = on_writable,
};

static struct server *pick(struct mirror *m, enum balance_reason *reason)
{
    const struct peer_set *set = m->view->set;
    struct balance_choice choice = { .peer = BALANCE_NONE, .reason = BALANCE_ALL_TRIED };
    struct balance_query q = { .peers = set->peers,
                               .peer_count = set->count,
                               .hash = rng_next(&m->worker->loop.rng),
                               .now_ns = m->worker->loop.now_ns,
                               .rng = &m->worker->loop.rng };
    if (set->count) balance_pick(&m->view->balance, &q, &choice);
    *reason = choice.reason;
    return choice.peer == BALANCE_NONE ? NULL : set->servers[choice.peer];
}

static void start(struct mirror *m)
{
    /* It would hold two of each, and give back one. */
    if (bug_if(MIRROR, m->view || m->attempt.server || m->is_over)) {
        end_copy(m, END_INTERNAL);
        return;
    }
    m->attempt.pool = m->route->pool->pool->workers[m->worker->index];
    m->view = m->attempt.view = pool_view_get(m->attempt.pool);
    enum balance_reason reason;
    struct server *s = pick(m, &reason);
    if (!s) {
        end_copy(m, END_NO_SERVER);
        return;
    }
    enum end_reason why = END_INTERNAL;
    enum lease got = attempt_lease(&m->attempt, s, reason, LEASE_YOUNG, NULL, &why);
    if (got == LEASE_FULL || got == LEASE_FAILED) {
        end_copy(m, got == LEASE_FULL ? END_QUEUE_FULL : why);
        return;
    }
    m->attempt.stream->events = &events;
    m->attempt.stream->owner = m;
    m->begun_ns = m->worker->loop.now_ns;
    const struct pool_timeouts *conf = &m->view->set->roster->conf->timeouts;
    loop_arm(&m->worker->loop, &m->timer, conf->connect_ms + conf->first_byte_ms);
    if (got == LEASE_OPEN) send_request(m);
}

/* copying */

static int copy_head(struct mirror *m, const struct exchange *x)
{
    struct slice target = x->target.len ? x->target : x->head.target;
    m->head = x->head;
    m->head.method_text = arena_copy(&m->arena, x->head.method_text);
    m->target = arena_copy(&m->arena, target);
    m->authority = arena_copy(&m->arena, x->head.authority);
    m->head.target = m->target;
    m->head.upgrade = SLICE_NONE;
    m->head.expects_continue = false;
    m->extra = arena_alloc(&m->arena, (x->extra_count + x->head.field_count + 1) * sizeof(*m->extra));
    char mention[MENTION_MAX];
    exchange_mention(x, mention);
    m->mention = arena_copy(&m->arena, (struct slice){ mention, strlen(mention) + 1 }).data;
    if (!m->extra || !m->target.data || !m->head.method_text.data || !m->mention) return -1;
    const struct http_field *lists[] = { x->head.fields, x->extra };
    const uint32_t counts[] = { x->head.field_count, x->extra_count };
    for (unsigned list = 0; list < 2; list++) {
        for (uint32_t i = 0; i < counts[list]; i++) {
            const struct http_field *f = &lists[list][i];
            if (f->is_dropped || f->id == HTTP_FIELD_EXPECT) continue;
            struct slice name = arena_copy(&m->arena, (struct slice){ f->name, f->name_len });
            struct slice value = arena_copy(&m->arena, (struct slice){ f->value, f->value_len });
            if (!name.data || (f->value_len && !value.data)) return -1;
            struct http_field *to = &m->extra[m->extra_count++];
            *to = *f;
            to->name = name.data;
            to->value = value.data;
        }
    }
    m->head.fields = m->extra;
    m->head.field_count = m->extra_count;
    m->extra_count = 0;
    return 0;
}

/* Nothing has been begun of it but its memory. NULL: there was none. */
static struct mirror *mirror_new(struct exchange *x, struct mirror_route *r)
{
    struct arena arena;
    arena_init(&arena, &x->worker->loop.blocks);
    struct mirror *m = arena_alloc(&arena, sizeof(*m));
    if (!m) return NULL;
    memset(m, 0, sizeof(*m));
    m->arena = arena;
    m->worker = x->worker;
    m->route = r;
    timer_init(&m->timer, on_timer);
    loop_task_init(&m->end_task, on_end_task);
    if (copy_head(m, x) == 0) return m;
    arena = m->arena;
    arena_fini(&arena);
    return NULL;
}

static bool is_drawn(struct exchange *x, const struct mirror_route *r)
{
    return rng_below(&x->worker->loop.rng, 10000) < r->conf->share;
}

void mirror_begin(struct exchange *x)
{
    struct mirror_route *r = x->route->mirror;
    struct metric_shard *shard = x->worker->metrics;
    if (!is_drawn(x, r) || x->upgrade.len || bug_if(MIRROR, x->mirror)) return;
    if (x->head.body == HTTP_BODY_LENGTH && x->head.content_length > r->conf->body_bytes) {
        metric_add(shard, r->meter_skipped_body, 1);
        return;
    }
    if (!slot_take(&r->in_flight, r->conf->in_flight)) {
        metric_add(shard, r->meter_skipped_busy, 1);
        return;
    }
    struct mirror *m = mirror_new(x, r);
    if (!m) {
        count_less_shared(MIRROR, &r->in_flight);
        metric_add(shard, r->meter_ends[END_NO_MEMORY], 1);
        return;
    }
    m->site = site_view_get(x->site);
    list_push_back(&x->worker->mirrors, &m->link);
    x->mirror = m;
}

void mirror_body(struct mirror *m, const char *data, size_t len)
{
    if (m->is_body_too_large || !len || m->is_begun) return;
    if (m->body_len + len > m->route->conf->body_bytes ||
        !block_grow(&m->worker->loop.blocks, &m->body, 0, m->body_len, len)) {
        m->is_body_too_large = true;
        return;
    }
    memcpy(m->body->data + m->body_len, data, len);
    m->body_len += (uint32_t)len;
}

void mirror_request_ended(struct mirror *m)
{
    if (m->is_begun) return;
    m->is_begun = true;
    if (!m->is_body_too_large) {
        start(m);
        return;
    }
    skip(m, m->route->meter_skipped_body);
}

void mirror_original_ended(struct exchange *x)
{
    struct mirror *m = x->mirror;
    if (bug_if(MIRROR, m->has_original)) return; /* it may be buried */
    x->mirror = NULL;
    const struct flight_attempt *last = attempt_kept(&x->attempt);
    if (x->record.end == END_OK && last) {
        m->original_status = last->status;
        m->original_first_byte_us = last->first_byte_us;
    }
    m->has_original = true;
    if (!m->is_begun) skip(m, m->route->meter_skipped_unfinished);
    retire_if_over(m);
}

void mirror_kill_all(struct worker *w)
{
    while (!list_is_empty(&w->mirrors)) {
        struct mirror *m = container_of(w->mirrors.next, struct mirror, link);
        m->has_original = true;
        m->is_begun = true;
        end_copy(m, END_DRAINED);
        loop_cancel(&m->end_task);
        on_end_task(&m->end_task);
    }
}

void mirror_reach(const struct worker *w, void (*on_mirror)(void *context, const struct mirror_reach *m),
                  void *context)
{
    for (const struct list *at = w->mirrors.next; at != &w->mirrors; at = at->next) {
        const struct mirror *m = container_of(at, struct mirror, link);
        const struct mirror_reach reach = {
            m->arena.blocks, m->body, &m->timer, &m->attempt, m->view, m->site
        };
        on_mirror(context, &reach);
    }
}
