/* How many requests may come in a time. */
#include "base/bug.h"
#include "base/log.h"
#include "proxy/exchange_steps.h"
#include "proxy/rate.h"
#include "proxy/rate_table.h"
#include "route/rate_conf.h"

static struct log_limit *refused_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

/* The key itself is not said: it may be a secret. */
static void say(const struct exchange *x, const struct rate_limit *l, enum rate_outcome outcome)
{
    char client[INET6_ADDRSTRLEN], mention[MENTION_MAX];
    uint32_t suppressed = 0;
    if (!log_limit_pass(refused_limit(), x->worker->loop.now_ns, 1, &suppressed)) return;
    log_event(LOG_WARN, "rate_limited", "place=%s limit=%s client=%s outcome=%s suppressed=%u%s", l->kind,
              l->name, ip_print(&x->record.client, client), rate_outcome_name(outcome), suppressed,
              exchange_mention(x, mention));
}

/* Of the limits that a request has met, the one that has least left for its client is the one to tell of. */
static void keep_tightest(struct exchange *x, const struct rate_limit *l, const struct rate_verdict *v)
{
    if (x->rate && x->rate_verdict.remaining <= v->remaining) return;
    x->rate = l;
    x->rate_verdict = *v;
}

static void hold_back(struct exchange *x, uint64_t wait_ns)
{
    uint64_t until_ms = (x->worker->loop.now_ns + wait_ns) / NS_PER_MS + 1;
    if (x->resume_ms < until_ms) x->resume_ms = until_ms;
    x->record.flags |= FLIGHT_DELAYED;
}

bool exchange_is_over_rate(struct exchange *x, const struct rate_limit *l)
{
    if (!l) return false;
    struct http_template_input in = { .head = &x->head,
                                      .client = &x->record.client,
                                      .request_id = slice_of(x->request_id),
                                      .user = exchange_user_text(x),
                                      .is_secure = exchange_is_secure(x) };
    struct rate_verdict v;
    enum rate_outcome outcome = rate_limit_take(l, &in, x->worker->loop.now_ns, x->worker->metrics, &v);
    if (outcome == RATE_REFUSED || outcome == RATE_WOULD_REFUSE) say(x, l, outcome);
    if (outcome == RATE_WOULD_DELAY || outcome == RATE_WOULD_REFUSE) x->record.flags |= FLIGHT_OVER_RATE;
    if (outcome == RATE_DELAYED) hold_back(x, v.wait_ns);
    if (outcome == RATE_REFUSED) x->rate = NULL; /* whatever else it has met: this is what it is told */
    if (!l->conf->is_dry) keep_tightest(x, l, &v);
    return outcome == RATE_REFUSED;
}

enum step exchange_refuse_by_rate(struct exchange *x)
{
    if (bug_if(EXCHANGE, !x->rate)) return exchange_end_of_bug(x);
    return exchange_fail_with(x, END_RATE_LIMITED, x->rate->detail);
}

static struct http_field make_field(struct exchange *x, const char *name, const struct text *value)
{
    struct slice copy = arena_copy(&x->arena, text_slice(value));
    return (struct http_field){
        .name = name, .name_len = (uint16_t)strlen(name), .value = copy.data, .value_len = (uint32_t)copy.len
    };
}

uint32_t exchange_rate_fields(struct exchange *x, struct http_field out[EXCHANGE_RATE_FIELDS])
{
    char memory[160];
    uint32_t count = 0;
    bool is_refused = x->end == END_RATE_LIMITED;
    if (!x->rate || !x->site) return 0;
    if (is_refused) { /* RFC 9110 10.2.3; RFC 6585 4 */
        struct text after = text_over(memory, sizeof(memory));
        text_add_u64(&after, rate_seconds(x->rate_verdict.wait_ns));
        out[count++] = make_field(x, "Retry-After", &after);
    }
    uint32_t tells = x->rate->conf->tells;
    if (tells == RATE_TELLS_NOBODY || (tells == RATE_TELLS_REFUSED && !is_refused)) return count;
    struct text left = text_over(memory, sizeof(memory));
    rate_limit_print(x->rate, &x->rate_verdict, &left);
    out[count++] = make_field(x, "RateLimit", &left);
    struct text policy = text_over(memory, sizeof(memory));
    text_add_slice(&policy, slice_of(x->rate->policy));
    out[count++] = make_field(x, "RateLimit-Policy", &policy);
    for (uint32_t i = 0; i < count; i++)
        if (!out[i].value) return 0; /* without memory nothing is said */
    return count;
}
