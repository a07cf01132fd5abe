#include "proxy/split.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "proxy/proxy.h"
#include "proxy/site.h"

static void add_meters(struct split_variant *v, struct metric_registry *m)
{
    const struct metric_label labels[] = { { "split", v->split->name }, { "variant", v->conf->name } };
    v->meter_exchanges = metric_counter(m, "weir_split_exchanges_total", "Exchanges, by variant.", labels, 2);
    v->meter_errors = metric_counter(m, "weir_split_errors_total",
                                     "Exchanges that ended with a 5xx, or without a whole response that the "
                                     "client still wanted, by variant.",
                                     labels, 2);
    v->meter_overrides = metric_counter(
        m, "weir_split_overrides_total",
        "Exchanges that asked for their variant, and might; in no other figure of "
        "the split.",
        labels, 2);
    v->meter_seconds = metric_histogram(m, "weir_split_duration_seconds",
                                        "From a request's first byte to its response's last, by variant.",
                                        labels, 2);
}

static const char *keep_name(struct proxy *p, const char *name)
{
    return names_of(&p->names, names_intern(&p->names, name));
}

/* What is in force: the book's guard is of this dealing, or has not begun. */
static void weigh(struct split *s, uint32_t *weights)
{
    const struct split_guard *g = &s->book->guard;
    const struct split_variant_conf *confs = s->conf->variants.data;
    for (uint32_t i = 0; i < s->variant_count; i++) weights[i] = confs[i].weight;
    bool is_guarded = s->conf->guard && g->is_begun && g->variant == s->conf->guard->index;
    if (is_guarded && !bug_if(SPLIT, !g->variant || g->variant >= s->variant_count ||
                                         g->weight > weights[0] + weights[g->variant])) {
        weights[0] = weights[0] + weights[g->variant] - g->weight;
        weights[g->variant] = g->weight;
    }
    for (uint32_t i = 0; i < s->variant_count; i++) s->variants[i].weight = weights[i];
}

void split_deal(struct split *s)
{
    uint32_t weights[SPLIT_VARIANTS_MAX];
    weigh(s, weights);
    split_table_deal(&s->table, weights, s->variant_count);
}

int split_open(struct split *s, struct site *site, const struct split_conf *conf, struct err *err)
{
    struct proxy *p = site->proxy;
    uint32_t weights[SPLIT_VARIANTS_MAX];
    const struct split_variant_conf *variants = conf->variants.data;
    s->conf = conf;
    s->name = keep_name(p, conf->name);
    s->variants = calloc(conf->variants.count, sizeof(*s->variants));
    if (!s->variants || !s->name) return err_set(err, "out of memory for split \"%s\"", conf->name);
    struct split *before = p->site ? site_split_by_name(p->site, s->name) : NULL;
    if (split_book_open(&s->book, before ? before->book : NULL, conf, p->worker_count, err) < 0) return -1;
    for (uint32_t i = 0; i < conf->variants.count; i++) {
        struct split_variant *v = &s->variants[s->variant_count++];
        v->conf = &variants[i];
        v->split = s;
        v->index = i;
        v->book = s->book;
        v->own_name = keep_name(p, v->conf->name);
        v->pool = site_pool_by_name(site, slice_of(variants[i].pool));
        if (!v->pool) return err_set(err, "split \"%s\": there is no pool \"%s\"", s->name, variants[i].pool);
        snprintf(v->name, sizeof(v->name), "%s=%s", s->name, v->conf->name);
        v->id = names_intern(&p->names, v->name);
        if (!v->id || !v->own_name) return err_set(err, "out of memory for split \"%s\"", s->name);
        add_meters(v, p->metrics);
    }
    weigh(s, weights);
    split_table_fill(&s->table, slice_of(conf->salt), weights, s->variant_count);
    return 0;
}

void split_close(struct split *s)
{
    free(s->variants);
}

void split_count(const struct split_variant *v, struct metric_shard *shard, uint32_t worker,
                 const struct split_outcome *o)
{
    if (o->is_override) {
        metric_add(shard, v->meter_overrides, 1);
        return;
    }
    metric_add(shard, v->meter_exchanges, 1);
    if (o->is_error) metric_add(shard, v->meter_errors, 1);
    metric_observe(shard, v->meter_seconds, o->total_us);
    split_book_count(v->book, worker, v->index, o->bucket, o->is_error, o->total_us);
}
