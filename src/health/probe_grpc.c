#include "health/grpc_health.h"
#include "health/probe_kind.h"
#include "http/h2_client.h"

static void write_question(const struct probe *p, struct text *out)
{
    const struct check_grpc_conf *c = p->target.conf->grpc;
    const struct grpc_health_question q = { .authority = slice_of(p->target.host),
                                            .service = c->service ? c->service : "",
                                            .is_secure = p->target.tls.rules != NULL };
    grpc_health_write(p->grpc, &q, out);
}

static enum probe_step on_sent(struct probe *p)
{
    (void)p;
    return PROBE_GOES_ON;
}

static enum probe_step on_bytes(struct probe *p, struct slice bytes)
{
    if (!p->grpc && !(p->grpc = grpc_health_new(p->loop)))
        return probe_says(p, "weir has no memory to read the answer");
    enum grpc_health_step step = grpc_health_feed(p->grpc, bytes);
    p->status = grpc_health_status(p->grpc);
    if (step == GRPC_HEALTH_BAD) return probe_says(p, "%s", grpc_health_words(p->grpc));
    return step == GRPC_HEALTH_SERVING ? PROBE_IS_GOOD : PROBE_GOES_ON;
}

static enum probe_step on_close(struct probe *p)
{
    return probe_says(p, p->received ? "the server closed within its answer"
                                     : "the server closed without an answer");
}

static void say_awaited(const struct probe *p, struct text *out)
{
    (void)p;
    TEXT_LITERAL(out, "answer of grpc.health.v1.Health");
}

const struct probe_kind probe_grpc_kind = { .alpn = H2_CLIENT_ALPN,
                                            .is_http2 = true,
                                            .write = write_question,
                                            .sent = on_sent,
                                            .hears_first = true,
                                            .replies = true,
                                            .on_bytes = on_bytes,
                                            .on_close = on_close,
                                            .awaited = say_awaited };
