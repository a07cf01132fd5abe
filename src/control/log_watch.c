#include "control/log_watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "control/log_names.h"
#include "logs/rule_voice.h"
#include "proxy/denials.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"

#define SWEEP_MS 500u
#define SUM_MS 10000u

struct watched_rule {
    const char *name;
    struct rule_voice voice;
};

struct watched_source {
    const char *name;
    struct metric_scope series;
};

/* One for each rule and source of the configuration in force, in its order. */
struct watched {
    struct watched_rule *rules;
    struct watched_source *sources;
    uint32_t rule_count, source_count;
};

struct log_watch {
    struct log_watch_options options;
    struct watch *watch;
    struct timer sweep;
    struct log_names names;
    struct rule_log rule_log;
    struct timer sum; /* armed while some hits had no line of their own */
    struct watched watched;
    struct metric_scope series; /* those that are of no source; there while there are sources */
};

/* rules */

/* NULL: it is there no longer. */
static const struct rule_conf *rule_in_force(const struct log_watch *w, const char *name, uint32_t *place)
{
    const struct logs_conf *conf = watch_conf(w->watch);
    const struct rule_conf *rules = conf->rules.data;
    for (*place = 0; *place < conf->rules.count; ++*place)
        if (strcmp(rule_conf_name(&rules[*place]), name) == 0) return &rules[*place];
    return NULL;
}

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
    if (is_allowed(w, rule, &h->hit)) return RULE_ALLOWED;
    if (rule->is_dry) return RULE_DRY;
    struct denial d = { .ip = h->hit.ip,
                        .bits = h->hit.bits,
                        .until_ms = loop_now_ms(w->options.loop) + rule->act.for_ms,
                        .since_ns = e->wall_ns,
                        .until_ns = e->until_ns,
                        .count = h->hit.count,
                        .rule = e->rule,
                        .source = e->source };
    if (!denials_add(w->options.proxy->denials, &d)) return RULE_NO_ROOM;
    if (!timer_is_armed(&w->sweep)) loop_arm(w->options.loop, &w->sweep, SWEEP_MS);
    return RULE_DENIED;
}

static void say_rule(struct log_watch *w, const struct rule_event *e, const struct rule_conf *rule,
                     struct rule_voice *voice)
{
    if (!rule_voice_may_speak(voice, e->outcome, w->options.loop->now_ns)) {
        if (!timer_is_armed(&w->sum)) loop_arm(w->options.loop, &w->sum, SUM_MS);
        return;
    }
    char printed[INET6_ADDRSTRLEN], quoted[512];
    log_event(e->outcome == RULE_NO_ROOM ? LOG_WARN : LOG_INFO, "log_rule",
              "rule=%s source=%s client=%s bits=%u records=%llu outcome=%s for_ms=%llu",
              log_quote(e->rule, quoted, sizeof(quoted)), e->source, ip_print(&e->hit.ip, printed),
              ip_is_v4(&e->hit.ip) ? e->hit.bits - 96u : e->hit.bits, (unsigned long long)e->hit.count,
              rule_outcome_name(e->outcome), (unsigned long long)rule->act.for_ms);
}

/* By what the rule says now: it may have changed, or gone, while this was on its way. */
static void take_hit(struct log_watch *w, const struct watch_hit *hit)
{
    uint32_t place;
    const struct rule_conf *rule = rule_in_force(w, rule_conf_name(hit->rule), &place);
    const char *source = log_names_keep(&w->names, hit->source->name);
    if (!rule || !source) return;
    struct rule_event e = { .wall_ns = loop_wall_ns(w->options.loop),
                            .rule = w->watched.rules[place].name,
                            .source = source,
                            .hit = hit->hit };
    e.until_ns = e.wall_ns + rule->act.for_ms * NS_PER_MS;
    e.outcome = deny(w, hit, rule, &e);
    rule_log_add(&w->rule_log, &e);
    say_rule(w, &e, rule, &w->watched.rules[place].voice);
}

void log_watch_hit(struct log_watch *w, struct watch_hit *hit)
{
    take_hit(w, hit);
    free(hit);
}

static void say_sum(struct watched_rule *rule)
{
    char quoted[512], memory[256];
    struct text sums = text_over(memory, sizeof(memory));
    if (!rule_voice_sum(&rule->voice, &sums)) return;
    log_event(LOG_INFO, "log_rule_sum", "rule=%s %s", log_quote(rule->name, quoted, sizeof(quoted)),
              text_cstr(&sums));
}

/* Of the hits that had no line: how many, and what became of them. */
static void say_sums(struct log_watch *w)
{
    for (uint32_t i = 0; i < w->watched.rule_count; i++) say_sum(&w->watched.rules[i]);
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
    const struct source_conf *source = v->source;
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

static void add_series_of(struct log_watch *w, struct watched_source *source, uint32_t place)
{
    struct metric_registry *m = w->options.proxy->metrics;
    struct source_figures *figures = watch_source_figures(w->watch, place);
    struct metric_label label = { "source", source->name };
    metric_scope_open(m, &source->series);
    for (unsigned j = 0; j < sizeof(series) / sizeof(*series); j++) {
        if (series[j].is_gauge)
            metric_gauge_fn(m, series[j].name, series[j].help, &label, 1, series[j].read, figures);
        else
            metric_counter_fn(m, series[j].name, series[j].help, &label, 1, series[j].read, figures);
    }
    metric_scope_close(m, &source->series);
}

static void add_series(struct log_watch *w)
{
    struct metric_registry *m = w->options.proxy->metrics;
    metric_scope_open(m, &w->series);
    metric_counter_fn(
        m, "weir_log_lost_total",
        "Hits of rules and verdicts on servers that were lost: more came than could be worked off.", NULL, 0,
        lost, w->watch);
    metric_gauge_fn(m, "weir_denials", "Clients and networks that are denied for a while.", NULL, 0, denials,
                    w->options.proxy->denials);
    metric_scope_close(m, &w->series);
}

/* what is in force */

static void free_watched(struct watched *a)
{
    free(a->rules);
    free(a->sources);
}

/* Without series. -1: there is no memory. */
static int make_watched(struct log_watch *w, const struct logs_conf *conf, struct watched *out,
                        struct err *err)
{
    const struct rule_conf *rules = conf->rules.data;
    const struct source_conf *sources = conf->sources.data;
    *out = (struct watched){ calloc(conf->rules.count + 1, sizeof(*out->rules)),
                             calloc(conf->sources.count + 1, sizeof(*out->sources)), conf->rules.count,
                             conf->sources.count };
    bool has_all = out->rules && out->sources;
    for (uint32_t i = 0; has_all && i < conf->rules.count; i++)
        has_all = (out->rules[i].name = log_names_keep(&w->names, rule_conf_name(&rules[i]))) != NULL;
    for (uint32_t i = 0; has_all && i < conf->sources.count; i++)
        has_all = (out->sources[i].name = log_names_keep(&w->names, sources[i].name)) != NULL;
    if (has_all) return 0;
    free_watched(out);
    return err_set(err, "out of memory for watching logs");
}

static struct watched_rule *find_rule(const struct watched *a, const char *name)
{
    for (uint32_t i = 0; i < a->rule_count; i++)
        if (a->rules[i].name == name) return &a->rules[i];
    return NULL;
}

static struct watched_source *find_source(const struct watched *a, const char *name)
{
    for (uint32_t i = 0; i < a->source_count; i++)
        if (a->sources[i].name == name) return &a->sources[i];
    return NULL;
}

/* Who is denied by it may pass. */
static void end_rule(struct log_watch *w, struct watched_rule *rule)
{
    uint32_t ended = denials_end_rule(w->options.proxy->denials, rule->name);
    char quoted[512];
    say_sum(rule);
    if (ended)
        log_event(LOG_INFO, "denials_ended", "count=%u left=%u rule=%s", ended,
                  atomic_load(&w->options.proxy->denials->count),
                  log_quote(rule->name, quoted, sizeof(quoted)));
}

static void end_what_went(struct log_watch *w, const struct watched *before)
{
    struct metric_registry *m = w->options.proxy->metrics;
    for (uint32_t i = 0; i < before->rule_count; i++)
        if (!find_rule(&w->watched, before->rules[i].name)) end_rule(w, &before->rules[i]);
    for (uint32_t i = 0; i < before->source_count; i++)
        if (!find_source(&w->watched, before->sources[i].name))
            metric_scope_retire(m, &before->sources[i].series);
    if (before->source_count && !w->watched.source_count) metric_scope_retire(m, &w->series);
}

/* w->watched is in force: it takes over what those of `before` have that it still has. */
static void take_over(struct log_watch *w, const struct watched *before)
{
    struct watched *now = &w->watched;
    for (uint32_t i = 0; i < now->rule_count; i++) {
        const struct watched_rule *was = find_rule(before, now->rules[i].name);
        if (was) now->rules[i].voice = was->voice;
    }
    if (now->source_count && !before->source_count) add_series(w);
    for (uint32_t i = 0; i < now->source_count; i++) {
        const struct watched_source *was = find_source(before, now->sources[i].name);
        if (was)
            now->sources[i].series = was->series;
        else
            add_series_of(w, &now->sources[i], i);
    }
}

static void sweep_names(struct log_watch *w)
{
    for (uint32_t i = 0; i < w->watched.rule_count; i++) log_names_mark(w->watched.rules[i].name);
    for (uint32_t i = 0; i < w->watched.source_count; i++) log_names_mark(w->watched.sources[i].name);
    log_names_sweep(&w->names, w->options.proxy->denials, &w->rule_log);
}

static const struct logs_conf *or_nothing(const struct logs_conf *conf)
{
    return conf ? conf : &logs_conf_nothing;
}

int log_watch_prepare(struct log_watch *w, const struct logs_conf *before, const struct logs_conf *after,
                      struct watch_change **out, struct err *err)
{
    return watch_change_new(out, w->watch, or_nothing(before), or_nothing(after), err);
}

int log_watch_commit(struct log_watch *w, struct watch_change *change, struct conf_arena *arena,
                     struct err *err)
{
    struct watched before = w->watched, now;
    if (make_watched(w, watch_change_conf(change), &now, err) < 0) return -1;
    if (watch_change_commit(change, arena, err) < 0) {
        free_watched(&now);
        return -1;
    }
    w->watched = now;
    take_over(w, &before);
    end_what_went(w, &before);
    free_watched(&before);
    sweep_names(w);
    return 0;
}

/* beginning and end */

int log_watch_new(struct log_watch **out, const struct log_watch_options *o, struct err *err)
{
    struct log_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory for watching logs");
    const struct logs_conf *conf = or_nothing(o->conf);
    struct watch_options watch = { .conf = conf,
                                   .arena = o->arena,
                                   .control = o->control,
                                   .on_hit = o->on_hit,
                                   .on_verdict = o->on_verdict };
    w->options = *o;
    log_names_init(&w->names);
    timer_init(&w->sweep, on_sweep);
    timer_init(&w->sum, on_sum);
    if (watch_new(&w->watch, &watch, err) < 0 || make_watched(w, conf, &w->watched, err) < 0) {
        log_watch_free(w);
        return -1;
    }
    take_over(w, &(struct watched){ 0 });
    *out = w;
    return 0;
}

int log_watch_start(struct log_watch *w, struct err *err)
{
    return w->watched.source_count ? watch_start(w->watch, err) : 0;
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
    for (uint32_t i = 0; i < w->watched.source_count; i++) free(w->watched.sources[i].series.ids);
    free(w->series.ids);
    free_watched(&w->watched);
    log_names_fini(&w->names);
    free(w);
}

struct watch *log_watch_of(struct log_watch *w)
{
    return w->watch;
}

struct rule_log *log_watch_rules(struct log_watch *w)
{
    return &w->rule_log;
}
