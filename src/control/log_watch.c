#include "control/log_watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "logs/rule_voice.h"

#define SWEEP_MS 500u
#define SUM_MS 10000u

struct log_watch {
    struct log_watch_options options;
    struct watch *watch;
    struct timer sweep;
    struct rule_log rule_log;
    struct timer sum;           /* armed while some hits had no line of their own */
    struct rule_voice voices[]; /* one a rule */
};

/* rules */

/* Whom a rule never touches: its own list, and proxies that listeners trust, behind which everybody is. */
static bool is_allowed(const struct log_watch *w, const struct rule_conf *rule, const struct rule_hit *hit)
{
    const struct cidr *blocks = rule->allow.data;
    const struct cidr hit_block = { .ip = hit->ip, .bits = hit->bits };
    for (uint32_t i = 0; i < rule->allow.count; i++)
        if (cidr_contains(&blocks[i], &hit->ip) || cidr_contains(&hit_block, &blocks[i].ip)) return true;
    for (uint32_t i = 0; i < w->options.proxy->listener_count; i++) {
        const struct conf_items *trust = &w->options.proxy->listeners[i]->routes->conf->trust;
        const struct cidr *trusted = trust->data;
        for (uint32_t j = 0; j < trust->count; j++)
            if (cidr_contains(&trusted[j], &hit->ip) || cidr_contains(&hit_block, &trusted[j].ip))
                return true;
    }
    return false;
}

static enum rule_outcome deny(struct log_watch *w, const struct watch_hit *h, const struct rule_conf *rule,
                              struct rule_event *e)
{
    const struct source_conf *sources = w->options.conf->sources.data;
    if (is_allowed(w, rule, &h->hit)) return RULE_ALLOWED;
    if (rule->is_dry) return RULE_DRY;
    struct denial d = { .ip = h->hit.ip,
                        .bits = h->hit.bits,
                        .until_ms = loop_now_ms(w->options.loop) + rule->act.for_ms,
                        .since_ns = e->wall_ns,
                        .until_ns = e->until_ns,
                        .count = h->hit.count,
                        .rule = rule->name ? rule->name : rule->when,
                        .source = sources[h->source].name };
    if (!denials_add(w->options.proxy->denials, &d)) return RULE_NO_ROOM;
    if (!timer_is_armed(&w->sweep)) loop_arm(w->options.loop, &w->sweep, SWEEP_MS);
    return RULE_DENIED;
}

static void say_rule(struct log_watch *w, const struct rule_event *e)
{
    if (!rule_voice_may_speak(&w->voices[e->rule], e->outcome, w->options.loop->now_ns)) {
        if (!timer_is_armed(&w->sum)) loop_arm(w->options.loop, &w->sum, SUM_MS);
        return;
    }
    char printed[INET6_ADDRSTRLEN], quoted[512];
    const struct rule_conf *rule = (const struct rule_conf *)w->options.conf->rules.data + e->rule;
    const struct source_conf *source = (const struct source_conf *)w->options.conf->sources.data + e->source;
    log_event(e->outcome == RULE_NO_ROOM ? LOG_WARN : LOG_INFO, "log_rule",
              "rule=%s source=%s client=%s bits=%u records=%llu outcome=%s for_ms=%llu",
              log_quote(rule->name ? rule->name : rule->when, quoted, sizeof(quoted)), source->name,
              ip_print(&e->hit.ip, printed), ip_is_v4(&e->hit.ip) ? e->hit.bits - 96u : e->hit.bits,
              (unsigned long long)e->hit.count, rule_outcome_name(e->outcome),
              (unsigned long long)rule->act.for_ms);
}

void log_watch_hit(struct log_watch *w, struct watch_hit *hit)
{
    const struct rule_conf *rule = (const struct rule_conf *)w->options.conf->rules.data + hit->rule;
    struct rule_event e = {
        .wall_ns = loop_wall_ns(w->options.loop), .rule = hit->rule, .source = hit->source, .hit = hit->hit
    };
    e.until_ns = e.wall_ns + rule->act.for_ms * NS_PER_MS;
    e.outcome = deny(w, hit, rule, &e);
    rule_log_add(&w->rule_log, &e);
    say_rule(w, &e);
    free(hit);
}

/* Of the hits that had no line: how many, and what became of them. */
static void say_sums(struct log_watch *w)
{
    char quoted[512], memory[256];
    for (uint32_t i = 0; i < w->options.conf->rules.count; i++) {
        const struct rule_conf *rule = (const struct rule_conf *)w->options.conf->rules.data + i;
        struct text sums = text_over(memory, sizeof(memory));
        if (!rule_voice_sum(&w->voices[i], &sums)) continue;
        log_event(LOG_INFO, "log_rule_sum", "rule=%s %s",
                  log_quote(rule->name ? rule->name : rule->when, quoted, sizeof(quoted)), text_cstr(&sums));
    }
}

static void on_sum(struct timer *t)
{
    say_sums(container_of(t, struct log_watch, sum));
}

static void on_sweep(struct timer *t)
{
    struct log_watch *w = container_of(t, struct log_watch, sweep);
    struct denials *d = w->options.proxy->denials;
    uint32_t ended = denials_sweep(d, loop_now_ms(w->options.loop));
    if (ended) log_event(LOG_INFO, "denials_ended", "count=%u left=%u", ended, atomic_load(&d->count));
    if (atomic_load(&d->count)) loop_arm(w->options.loop, t, SWEEP_MS);
}

/* servers that the log says have failed */

void log_watch_verdict(struct log_watch *w, struct watch_verdict *v)
{
    const struct source_conf *source = (const struct source_conf *)w->options.conf->sources.data + v->source;
    struct pool *p = v->verdict.is_bad ? proxy_pool_by_name(w->options.proxy, source->health->pool) : NULL;
    for (uint32_t i = 0; p && i < p->roster->count; i++) {
        struct server *s = p->roster->places[i].server;
        if (strcmp(s->address_text, v->verdict.address) != 0) continue;
        log_event(LOG_WARN, "upstream_fails",
                  "source=%s pool=%s server=%s attempts=%llu errors=%llu mean_ms=%llu", source->name, p->name,
                  s->name, (unsigned long long)v->verdict.attempts, (unsigned long long)v->verdict.errors,
                  (unsigned long long)v->verdict.mean_us / 1000);
        if (server_report(s, SERVER_SEEN_FAILING, loop_now_ms(w->options.loop)))
            w->options.on_server(w->options.context, s);
    }
    free(v);
}

/* metrics */

static double records(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->records);
}

static double bytes(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->bytes);
}

static double errors(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->errors);
}

static double malformed(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->malformed);
}

static double lag_bytes(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->lag_bytes);
}

static double lag_seconds(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->lag_ms) / 1000;
}

static double rotations(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->rotated);
}

static double truncations(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->truncated);
}

static double dropped(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->dropped);
}

static double undecided(void *figures)
{
    return (double)atomic_load(&((struct source_figures *)figures)->undecided);
}

static double denials(void *context)
{
    const struct denials *d = context;
    return (double)atomic_load(&d->count);
}

static double lost(void *context)
{
    return (double)watch_lost(context);
}

static const struct {
    const char *name, *help;
    double (*read)(void *figures);
    bool is_gauge;
} series[] = {
    { "weir_log_records_total", "Records read of a log.", records, false },
    { "weir_log_bytes_total", "Bytes read of a log.", bytes, false },
    { "weir_log_errors_total", "Records with a 5xx.", errors, false },
    { "weir_log_malformed_total", "Lines that are no records.", malformed, false },
    { "weir_log_rotations_total", "Log files whose name another one took.", rotations, false },
    { "weir_log_truncations_total", "Log files that began anew.", truncations, false },
    { "weir_log_dropped_total", "Syslog datagrams that the kernel dropped.", dropped, false },
    { "weir_log_undecided_total",
      "Values of which a rule's regular expression could not tell within its limits.", undecided, false },
    { "weir_log_lag_bytes", "Bytes of a log that are there and not read.", lag_bytes, true },
    { "weir_log_lag_seconds", "For how long a log has had bytes that are not read.", lag_seconds, true },
};

static void add_metrics(struct log_watch *w)
{
    struct metric_registry *m = w->options.proxy->metrics;
    for (uint32_t i = 0; i < watch_source_count(w->watch); i++) {
        struct source *s = watch_source(w->watch, i);
        struct metric_label label = { "source", source_conf(s)->name };
        for (unsigned j = 0; j < sizeof(series) / sizeof(*series); j++) {
            if (series[j].is_gauge)
                metric_gauge_fn(m, series[j].name, series[j].help, &label, 1, series[j].read,
                                source_figures(s));
            else
                metric_counter_fn(m, series[j].name, series[j].help, &label, 1, series[j].read,
                                  source_figures(s));
        }
    }
    metric_counter_fn(
        m, "weir_log_lost_total",
        "Hits of rules and verdicts on servers that were lost: more came than could be worked off.", NULL, 0,
        lost, w->watch);
    metric_gauge_fn(m, "weir_denials", "Clients and networks that are denied for a while.", NULL, 0, denials,
                    w->options.proxy->denials);
}

/* beginning and end */

int log_watch_new(struct log_watch **out, const struct log_watch_options *o, struct err *err)
{
    struct log_watch *w = calloc(1, sizeof(*w) + o->conf->rules.count * sizeof(*w->voices));
    if (!w) return err_set(err, "out of memory for watching logs");
    struct watch_options watch = {
        .conf = o->conf, .control = o->control, .on_hit = o->on_hit, .on_verdict = o->on_verdict
    };
    w->options = *o;
    timer_init(&w->sweep, on_sweep);
    timer_init(&w->sum, on_sum);
    if (watch_new(&w->watch, &watch, err) < 0) {
        free(w);
        return -1;
    }
    add_metrics(w);
    *out = w;
    return 0;
}

int log_watch_start(struct log_watch *w, struct err *err)
{
    return watch_start(w->watch, err);
}

void log_watch_stop(struct log_watch *w)
{
    if (w) watch_stop(w->watch);
}

void log_watch_free(struct log_watch *w)
{
    if (!w) return;
    loop_disarm(w->options.loop, &w->sweep);
    loop_disarm(w->options.loop, &w->sum);
    say_sums(w);
    watch_free(w->watch);
    free(w);
}

struct watch *log_watch_of(struct log_watch *w)
{
    return w ? w->watch : NULL;
}

struct rule_log *log_watch_rules(struct log_watch *w)
{
    return w ? &w->rule_log : NULL;
}
