#include "health/probe_kind.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "health/grpc_health.h"
#include "http/h2_client.h"
#include "net/datagram_transport.h"
#include "tls/conn.h"

static void bury(struct loop_grave *g)
{
    struct probe *p = container_of(g, struct probe, grave);
    free(p->head);
    grpc_health_free(p->grpc);
    free(p);
}

static void retire(struct probe *p, bool is_reset)
{
    p->has_ended = true;
    loop_disarm(p->loop, &p->timer);
    loop_cancel(&p->more);
    if (!transport_is_closed(&p->transport)) transport_close(&p->transport, is_reset);
    loop_bury(p->loop, &p->grave, bury);
}

static void end(struct probe *p, enum probe_result result)
{
    const struct probe_verdict v = {
        .result = result, .status = p->status, .took_ns = p->loop->now_ns - p->start_ns, .words = p->words
    };
    retire(p, p->kind->resets || result != PROBE_PASSED);
    p->target.on_end(p->target.owner, &v);
}

void probe_cancel(struct probe *p)
{
    if (!p->has_ended) retire(p, true);
}

enum probe_step probe_says(struct probe *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->words, sizeof(p->words), format, args);
    va_end(args);
    return PROBE_IS_BAD;
}

/* True if it goes on. */
static bool go(struct probe *p, enum probe_step step)
{
    if (step != PROBE_GOES_ON) end(p, step == PROBE_IS_GOOD ? PROBE_PASSED : PROBE_FAILED);
    return step == PROBE_GOES_ON;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
           error == EADDRNOTAVAIL || error == ENOSPC;
}

static void fail_to_open(struct probe *p)
{
    const struct transport *t = &p->transport;
    int error = t->fault ? 0 : t->saved_errno;
    if (t->fault_words)
        (void)probe_says(p, "%s", t->fault_words);
    else if (t->fault)
        (void)probe_says(p, "%s", end_reason_info((enum end_reason)t->fault)->means);
    else if (error == ECONNREFUSED && p->kind->is_of_datagrams)
        (void)probe_says(p, "nobody has the server's port: ICMP says so");
    else if (error == ECONNREFUSED)
        (void)probe_says(p, "the connection was refused");
    else
        (void)probe_says(p, "the server cannot be reached: %s", strerror(error));
    end(p, t->fault == END_NO_MEMORY || is_shortage(error) ? PROBE_UNTRIED : PROBE_FAILED);
}

static bool lost(struct probe *p, const char *when)
{
    int error = p->transport.saved_errno;
    if (p->kind->is_of_datagrams) {
        fail_to_open(p); /* ICMP, or this host: the question may not have left it */
        return false;
    }
    if (error == ECONNRESET || error == EPIPE)
        return go(p, probe_says(p, "the server reset the connection %s", when));
    if (p->transport.fault_words)
        return go(p, probe_says(p, "the connection broke %s: %s", when, p->transport.fault_words));
    return go(p, probe_says(p, "the connection broke %s: %s", when, strerror(error)));
}

/* What is sent is written anew for what is left of it: it fits what the kernel takes at once but for very little of it. */
static bool ask(struct probe *p)
{
    struct text out = text_over(p->loop->scratch, LOOP_SCRATCH_BYTES);
    p->kind->write(p, &out);
    while (p->sent < out.len) {
        struct iovec rest = { out.data + p->sent, out.len - p->sent };
        size_t sent = 0;
        enum io io = transport_send(&p->transport, &rest, 1, &sent);
        if (io == IO_AGAIN) return false;
        if (io != IO_OK) {
            (void)lost(p, "before it was asked");
            return false;
        }
        p->sent += sent;
    }
    p->is_asked = true;
    return go(p, p->kind->sent(p));
}

static enum probe_step heard(struct probe *p, struct slice bytes)
{
    p->received += bytes.len;
    if (!p->is_asked && !p->kind->hears_first) return probe_says(p, "the server spoke before it was asked");
    return p->kind->on_bytes(p, bytes);
}

/* False: it has ended, or nothing more is there. */
static bool hear_once(struct probe *p)
{
    size_t got = 0;
    switch (transport_recv(&p->transport, p->loop->scratch, PROBE_TURN_BYTES, &got)) {
    case IO_OK:
        if (!go(p, heard(p, (struct slice){ p->loop->scratch, got }))) return false;
        if (p->is_asked && p->kind->replies) (void)ask(p);
        return !p->has_ended;
    case IO_AGAIN: return false;
    case IO_EOF: (void)go(p, p->kind->on_close(p)); return false;
    default: (void)lost(p, p->received ? "within its answer" : "instead of answering"); return false;
    }
}

/* Once a turn and no more: a server that sends without end is one of thousands. */
static void hear(struct probe *p)
{
    if (hear_once(p) && p->transport.is_readable) loop_defer(p->loop, &p->more);
}

static void nothing(void *watcher, const struct transport *t)
{
    (void)watcher, (void)t;
}

static const struct tls_watch no_watch = { .on_opened = nothing, .on_failed = nothing };

static bool wants_http2(const struct probe *p)
{
    return p->target.tls.wants_http2 || p->kind->is_http2;
}

/* 0, or -1: out of memory. */
static int secure(struct probe *p)
{
    const struct probe_tls *tls = &p->target.tls;
    const struct tls_target to = { .upstream = tls->rules,
                                   .name = tls->name,
                                   .address = p->target.to,
                                   .alpn = wants_http2(p) ? H2_CLIENT_ALPN : p->kind->alpn,
                                   .watch = &no_watch };
    return tls->rules ? tls_conn_connect(&p->transport, tls->worker, &to) : 0;
}

/* The connection is there: what comes before the question. A fresh one takes so little at once. */
static enum io introduce(struct probe *p)
{
    char header[PROXY_HEADER_WRITTEN_MAX];
    struct iovec whole = { header, 0 };
    size_t sent = 0;
    if (p->is_introduced) return IO_OK;
    p->is_introduced = true;
    if (p->target.proxy_protocol)
        whole.iov_len = proxy_header_write(header, p->target.proxy_protocol, NULL, NULL);
    if (whole.iov_len && transport_send(&p->transport, &whole, 1, &sent) != IO_OK) return IO_FAIL;
    if (secure(p) < 0) {
        p->transport.fault = END_NO_MEMORY;
        return IO_FAIL;
    }
    return transport_open(&p->transport);
}

static bool speaks_as_wanted(const struct probe *p)
{
    return !p->target.tls.rules || !wants_http2(p) || slice_equal(tls_conn_alpn(&p->transport), SLICE("h2"));
}

static enum io open_all(struct probe *p)
{
    enum io io = transport_open(&p->transport);
    return io == IO_OK ? introduce(p) : io;
}

static void on_ready(struct transport *t)
{
    struct probe *p = container_of(t, struct probe, transport);
    if (p->has_ended) return;
    switch (open_all(p)) {
    case IO_AGAIN: return;
    case IO_OK: break;
    default: fail_to_open(p); return;
    }
    if (!speaks_as_wanted(p)) {
        (void)probe_says(p, "the server does not agree on HTTP/2 by ALPN");
        end(p, PROBE_FAILED);
        return;
    }
    /* What has come by now came unasked. */
    if (!p->is_asked && t->is_readable && !p->kind->hears_first && !hear_once(p) && p->has_ended) return;
    if (!p->is_asked && !ask(p)) return;
    hear(p);
}

static void on_more(struct loop_task *t)
{
    hear(container_of(t, struct probe, more));
}

static void on_timeout(struct timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);
    unsigned long long ms = p->target.conf->timeout_ms;
    char memory[PROBE_WORDS_MAX / 2];
    struct text awaited = text_over(memory, sizeof(memory));
    p->kind->awaited(p, &awaited);
    const char *what = text_cstr(&awaited);
    if (p->transport.overdue)
        (void)probe_says(p, "the TLS handshake was not over within %llu ms", ms);
    else if (!p->transport.is_open)
        (void)probe_says(p, "the connection did not open within %llu ms", ms);
    else if (p->stray)
        (void)probe_says(p, "no %s within %llu ms: %llu datagrams came that are none, the last because %s",
                         what, ms, (unsigned long long)p->stray_count, p->stray);
    else if (!p->received)
        (void)probe_says(p, "no %s within %llu ms", what, ms);
    else
        (void)probe_says(p, "the %s was not whole within %llu ms: %llu bytes of it came", what, ms,
                         (unsigned long long)p->received);
    end(p, PROBE_FAILED);
}

static const struct probe_verdict no_memory = { .result = PROBE_UNTRIED, .words = "out of memory" };

static const struct probe_kind *kind_of(const struct check_conf *c)
{
    if (c->http) return &probe_http_kind;
    if (c->grpc) return &probe_grpc_kind;
    if (c->dns) return &probe_dns_kind;
    return c->udp ? &probe_udp_kind : &probe_tcp_kind;
}

static int connect_to(struct probe *p)
{
    const struct address *to = p->target.to;
    return p->kind->is_of_datagrams ? datagram_transport_connect(&p->transport, p->loop, to, on_ready)
                                    : transport_connect(&p->transport, p->loop, to, NULL, on_ready);
}

struct probe *probe_start(struct loop *l, const struct probe_target *target)
{
    struct probe *p = calloc(1, sizeof(*p));
    if (!p) {
        target->on_end(target->owner, &no_memory);
        return NULL;
    }
    p->loop = l;
    p->target = *target;
    p->kind = kind_of(target->conf);
    p->start_ns = l->now_ns;
    timer_init(&p->timer, on_timeout);
    loop_task_init(&p->more, on_more);
    if (p->kind->begin) p->kind->begin(p);
    if (connect_to(p) < 0) {
        fail_to_open(p);
        return NULL;
    }
    loop_arm(l, &p->timer, target->conf->timeout_ms);
    return p;
}
