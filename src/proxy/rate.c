#include "proxy/rate.h"

#include <stdlib.h>
#include <string.h>

#include "metric/metric.h"

/* A key is never longer than this; what is behind it does not set keys apart. */
#define KEY_MAX 2048u
#define NAME_MAX_BYTES 1024u

static const char *const outcome_names[] = { "passed", "delayed", "refused", "would_delay", "would_refuse" };

const char *rate_outcome_name(enum rate_outcome outcome)
{
    return outcome_names[outcome];
}

/* accounts */

static void book_put(struct rate_book *b)
{
    if (!b || --b->users) return;
    list_remove(&b->link);
    rate_table_free(b->table);
    free(b->name);
    free(b);
}

/* Other keys are other accounts; another rate for the same keys is not. */
static struct rate_book *book_get(struct list *books, const char *name, uint32_t keys)
{
    for (struct list *at = books->next; at != books; at = at->next) {
        struct rate_book *b = container_of(at, struct rate_book, link);
        if (b->keys != keys || strcmp(b->name, name) != 0) continue;
        b->users++;
        return b;
    }
    struct rate_book *b = calloc(1, sizeof(*b));
    if (!b) return NULL;
    list_init(&b->link);
    b->users = 1;
    b->keys = keys;
    b->name = strdup(name);
    b->table = rate_table_new(keys);
    if (!b->name || !b->table) {
        book_put(b);
        return NULL;
    }
    list_push_back(books, &b->link);
    return b;
}

/* limits */

static void add_meters(struct rate_limit *l, struct metric_registry *metrics)
{
    struct metric_label labels[] = { { "place", l->kind }, { "limit", l->name }, { "outcome", NULL } };
    for (uint32_t i = 0; i < RATE_OUTCOMES; i++) {
        labels[2].value = outcome_names[i];
        l->meters[i] = metric_counter(metrics, "weir_rate_requests_total",
                                      "Requests that a rate limit was asked about, by what it said.", labels,
                                      3);
    }
    l->meter_forgotten = metric_counter(metrics, "weir_rate_forgotten_total",
                                        "Accounts of a rate limit that gave way to new keys while in use.",
                                        labels, 2);
}

static char *print_detail(const struct rate_limit *l)
{
    char memory[128];
    struct text t = text_over(memory, sizeof(memory));
    text_printf(&t, "this %s allows ", l->kind);
    rate_amount_print(&l->conf->requests, &t);
    return strdup(text_cstr(&t));
}

static char *print_policy(const struct rate_limit *l)
{
    char memory[128];
    struct text t = text_over(memory, sizeof(memory));
    text_printf(&t, "\"%s\";q=%u;w=%u", l->kind, l->conf->requests.count, l->conf->requests.period_s);
    return strdup(text_cstr(&t));
}

static int fill(struct rate_limit *l, struct list *books, const char *name, const char *route)
{
    char memory[NAME_MAX_BYTES + HTTP_TEMPLATE_TEXT_MAX];
    struct text t = text_over(memory, NAME_MAX_BYTES);
    text_printf(&t, "%s%s%s", name, route ? "/" : "", route ? route : "");
    l->name = strdup(text_cstr(&t));
    l->detail = print_detail(l);
    l->policy = print_policy(l);
    if (!l->name || !l->detail || !l->policy) return -1;
    t = text_over(memory, sizeof(memory));
    text_printf(&t, "%s %s ", l->kind, l->name);
    http_template_print(&l->conf->key, &t);
    l->book = book_get(books, text_cstr(&t), l->conf->keys);
    return l->book ? 0 : -1;
}

int rate_limit_new(struct rate_limit **out, struct list *books, struct metric_registry *metrics,
                   const char *kind, const char *name, const char *route, const struct rate_conf *conf,
                   struct err *err)
{
    struct rate_limit *l = calloc(1, sizeof(*l));
    if (!l) return err_set(err, "out of memory for a rate limit");
    uint64_t interval_ns = rate_interval_ns(conf);
    l->conf = conf;
    l->kind = kind;
    l->asks_user = http_template_asks(&conf->key, HTTP_SOURCE_USER);
    l->rule = (struct rate_rule){ .interval_ns = interval_ns,
                                  .burst_ns = interval_ns * (conf->burst - 1),
                                  .delay_ns = conf->delay_ms * 1000000u };
    if (fill(l, books, name, route) < 0) {
        rate_limit_free(l);
        return err_set(err, "out of memory for a rate limit of %u keys", conf->keys);
    }
    add_meters(l, metrics);
    *out = l;
    return 0;
}

void rate_limit_free(struct rate_limit *l)
{
    if (!l) return;
    book_put(l->book);
    free(l->name);
    free(l->detail);
    free(l->policy);
    free(l);
}

/* asking */

enum { SALT_CLIENT, SALT_TEXT };

static bool is_client(const struct http_template *key)
{
    return key->count == 1 && key->parts[0].source == HTTP_SOURCE_CLIENT;
}

static uint64_t key_of(const struct rate_limit *l, const struct http_template_input *in)
{
    const struct http_template *key = &l->conf->key;
    struct ip client = ip_client(in->client);
    struct slice address = { (const char *)client.bytes, sizeof(client.bytes) };
    if (is_client(key)) return rate_table_key(l->book->table, address, SALT_CLIENT);
    char memory[KEY_MAX];
    struct text t = text_over(memory, sizeof(memory));
    struct http_template_input whole = *in;
    whole.client = &client;
    bool has_key = http_template_expand(key, &whole, &t);
    if (!has_key || (key->count && !t.len)) return rate_table_key(l->book->table, address, SALT_CLIENT);
    return rate_table_key(l->book->table, text_slice(&t), SALT_TEXT);
}

static enum rate_outcome outcome_of(const struct rate_limit *l, const struct rate_verdict *v)
{
    bool is_dry = l->conf->is_dry;
    if (!v->passes) return is_dry ? RATE_WOULD_REFUSE : RATE_REFUSED;
    if (v->wait_ns) return is_dry ? RATE_WOULD_DELAY : RATE_DELAYED;
    return RATE_PASSED;
}

enum rate_outcome rate_limit_take(const struct rate_limit *l, const struct http_template_input *in,
                                  uint64_t now_ns, struct metric_shard *metrics, struct rate_verdict *v)
{
    rate_table_take(l->book->table, key_of(l, in), &l->rule, now_ns, v);
    enum rate_outcome outcome = outcome_of(l, v);
    metric_add(metrics, l->meters[outcome], 1);
    if (v->has_forgotten) metric_add(metrics, l->meter_forgotten, 1);
    return outcome;
}

enum rate_outcome rate_limit_look(const struct rate_limit *l, const struct http_template_input *in,
                                  uint64_t now_ns, struct rate_verdict *v)
{
    rate_table_look(l->book->table, key_of(l, in), &l->rule, now_ns, v);
    return outcome_of(l, v);
}

void rate_limit_print(const struct rate_limit *l, const struct rate_verdict *v, struct text *out)
{
    text_printf(out, "\"%s\";r=%llu;t=%llu", l->kind, (unsigned long long)v->remaining,
                (unsigned long long)rate_seconds(v->reset_ns));
}
