#include "proxy/attempt.h"

#include "base/bug.h"
#include "base/log.h"
#include "pool/pool_evidence.h"
#include "pool/pool_lease.h"

struct flight_attempt *attempt_kept(const struct attempt *a)
{
    return a->record ? flight_attempt_of(a->record, a->number) : NULL;
}

static struct metric_shard *metrics_of(const struct attempt *a)
{
    return a->pool->env->metrics;
}

static uint64_t took_ns(const struct attempt *a)
{
    return a->pool->env->loop->now_ns - a->start_ns;
}

static uint32_t took_us(const struct attempt *a)
{
    return flight_us(a->start_ns, a->pool->env->loop->now_ns);
}

/* How a tunnel ends says nothing of the server: it was open. */
static bool is_tunnel_over(const struct attempt *a)
{
    return a->has_answered && (a->is_tunnel || a->status == 101);
}

/* Of a copy only what says whether the server can be reached. */
static void tell_pool(const struct attempt *a, enum pool_evidence_kind kind, enum end_reason reason)
{
    bool is_timed = a->record && !(kind == POOL_ENDED && a->has_answered);
    struct pool_evidence e = { .kind = kind,
                               .reason = reason,
                               .value = is_timed ? took_ns(a) : POOL_UNTIMED,
                               .status = a->status,
                               .is_copy = !a->record || (kind == POOL_ENDED && is_tunnel_over(a)),
                               .has_answered = a->has_answered,
                               .may_be_stale = a->is_reused && !a->has_answered };
    pool_attempt_ended(a->pool, a->view, a->server, &e);
}

static void begin(struct attempt *a, struct server *s, enum balance_reason reason, bool is_reused)
{
    a->server = s;
    a->start_ns = a->pool->env->loop->now_ns;
    a->end = END_NONE;
    a->has_answered = a->is_tunnel = false;
    a->is_reused = is_reused;
    a->status = 0;
    if (!a->record) return;
    unsigned told = a->record->told;
    struct flight_attempt *f = flight_begin_attempt(a->record, s->id, reason, is_reused);
    a->number = a->record->attempt_count;
    f->is_hedge = a->is_hedge;
    if (a->is_hedge) a->record->told = told & 3u; /* the one that it is made beside goes on */
    if (is_reused) f->connect_us = 0;
    metric_add(metrics_of(a), s->meter_attempts, 1);
}

/* One at a time: what the last one holds would never be given back. */
static void leave_forgotten(struct attempt *a)
{
    if (bug_if(ATTEMPT, a->server || a->stream)) attempt_leave(a);
}

enum lease attempt_lease(struct attempt *a, struct server *s, enum balance_reason reason,
                         enum lease_need need, const struct pool_target *target, enum end_reason *why)
{
    struct http_stream *stream = NULL;
    leave_forgotten(a);
    enum lease got = pool_lease(a->pool, s, need, target, &stream, why);
    if (got == LEASE_FULL) return got;
    begin(a, s, reason, got == LEASE_OPEN);
    a->stream = stream;
    if (got != LEASE_FAILED) return got;
    attempt_end(a, *why);
    a->server = NULL; /* the lease was not granted */
    return got;
}

bool attempt_enter(struct attempt *a, struct server *s, enum balance_reason reason)
{
    leave_forgotten(a);
    if (!pool_enter(a->pool, s)) return false;
    begin(a, s, reason, false);
    a->is_tunnel = true;
    metric_add(metrics_of(a), s->meter_connects, 1);
    return true;
}

void attempt_opened(struct attempt *a)
{
    if (bug_if(ATTEMPT, !a->server || a->end)) return;
    struct flight_attempt *f = attempt_kept(a);
    if (f) f->connect_us = took_us(a);
    tell_pool(a, POOL_CONNECTED, END_OK);
    if (!a->is_tunnel) return;
    /* For methods that go by latency: a tunnel has none but that of its connection. */
    tell_pool(a, POOL_ANSWERED, END_OK);
    a->has_answered = true;
}

void attempt_answered(struct attempt *a, uint16_t status)
{
    if (bug_if(ATTEMPT, !a->server || a->end)) return;
    struct flight_attempt *f = attempt_kept(a);
    if (f) {
        f->first_byte_us = took_us(a);
        f->status = status;
        metric_observe(metrics_of(a), a->server->meter_latency, took_ns(a) / 1000);
        metric_add(metrics_of(a), a->server->meter_classes[status < 600 ? status / 100 : 0], 1);
    }
    a->status = status;
    tell_pool(a, status >= 500 ? POOL_ANSWERED_ERROR : POOL_ANSWERED, END_OK);
    a->has_answered = true;
}

static struct log_limit *tls_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

void attempt_say_tls_failed(const struct attempt *a, enum end_reason reason, const char *words,
                            const char *mention)
{
    bool is_tls = reason == END_SERVER_TLS_FAILED || reason == END_SERVER_NOT_TLS ||
                  reason == END_SERVER_CERTIFICATE;
    uint32_t suppressed = 0;
    char quoted[768];
    if (!is_tls || !a->server || a->end) return;
    if (!log_limit_pass(tls_limit(), a->pool->env->loop->now_ns, 1, &suppressed)) return;
    if (!words) words = end_reason_info(reason)->means;
    log_event(LOG_WARN, "server_tls_failed", "pool=%s server=%s reason=%s detail=%s suppressed=%u%s",
              a->pool->pool->name, a->server->name, end_reason_info(reason)->name,
              log_quote(words, quoted, sizeof(quoted)), suppressed, mention);
}

void attempt_end(struct attempt *a, enum end_reason reason)
{
    if (a->end || bug_if(ATTEMPT, reason == END_NONE)) return;
    struct flight_attempt *f = attempt_kept(a);
    a->end = (uint8_t)reason;
    if (f) {
        f->end = (uint8_t)reason;
        if (f->first_byte_us == FLIGHT_NEVER) f->first_byte_us = took_us(a);
    }
    if (!a->server || end_reason_info(reason)->origin != ORIGIN_SERVER) return;
    if (f) metric_add(metrics_of(a), a->server->meter_failures, 1);
    tell_pool(a, POOL_ENDED, reason);
}

/* One that was made beside another, and later, says little by the time that it has had. Where the longer ones were not counted,
 * the time after which another server is asked would become shorter and shorter. */
void attempt_outrun(struct attempt *a)
{
    if (bug_if(ATTEMPT, !a->server || a->end)) return;
    if (!a->is_hedge && a->record) {
        metric_observe(metrics_of(a), a->server->meter_latency, took_ns(a) / 1000);
        tell_pool(a, POOL_OUTRUN, END_OUTRUN);
    }
    attempt_end(a, END_OUTRUN);
}

void attempt_leave(struct attempt *a)
{
    /* Nobody has put down how it went: neither its record nor the pool would know. */
    if (bug_if(ATTEMPT, a->server && a->end == END_NONE)) a->end = END_INTERNAL;
    if (a->stream && a->end == END_OK)
        http_stream_release(a->stream);
    else if (a->stream)
        http_stream_reset(a->stream, (enum end_reason)a->end);
    a->stream = NULL;
    if (a->server && a->is_tunnel)
        pool_leave(a->pool, a->server);
    else if (a->server)
        pool_unlease(a->pool, a->server);
    a->server = NULL;
}
