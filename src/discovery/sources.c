#include "discovery/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"

/* So that thousands are found at once. */
#define BUCKETS 1024u
/* Until it is looked again whether the jobs' thread has room; up to as much more by chance: those that wait come apart. */
#define ROOM_MS 20u
/* The longest time between two tries to tell what cannot be put in force. */
#define TOLD_AGAIN_MAX_MS 60000u

struct sources {
    struct sources_options options;
    struct resolver *resolver;       /* NULL until a name is asked for */
    struct list list;                /* of source */
    struct source *buckets[BUCKETS]; /* the same, by their names */
    struct timer gather;             /* then changes are told */
    uint64_t told_ms;                /* when that was last done; 0: never */
    uint64_t apart_ms;               /* how long it takes at least until that is done again */
    struct loop_task answered;       /* says that an answer came */
    struct metric_registry *metrics; /* NULL: there is none yet */
};

static const struct source_kind *const kinds[PLACE_KINDS] = {
    [PLACE_DNS] = &source_dns,
    [PLACE_SRV] = &source_srv,
    [PLACE_FILE] = &source_file,
    [PLACE_DOCKER] = &source_docker,
};

/* what is said */

const char *source_quote(const struct source *s, char out[SOURCE_QUOTED_MAX])
{
    char text[PLACE_TEXT_MAX + 1];
    snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(s->place.text));
    return log_quote(text, out, SOURCE_QUOTED_MAX);
}

static void say_no_good(const struct source *s, enum source_result result)
{
    char place[SOURCE_QUOTED_MAX], reason[SOURCE_REASON_MAX * 2];
    log_event(LOG_WARN, result == SOURCE_EMPTY ? "source_empty" : "source_stale",
              "source=%s kind=%s reason=%s kept=%u", source_quote(s, place), place_kind_name(s->place.kind),
              log_quote(s->reason, reason, sizeof(reason)), s->count);
}

static void say_good(const struct source *s, uint64_t stale_ms)
{
    char place[SOURCE_QUOTED_MAX];
    log_event(LOG_INFO, "source_back", "source=%s kind=%s found=%u after_ms=%llu", source_quote(s, place),
              place_kind_name(s->place.kind), s->count, (unsigned long long)stale_ms);
}

static void say_gone(const struct source *s, uint32_t count)
{
    char place[SOURCE_QUOTED_MAX];
    log_event(LOG_WARN, "source_gone", "source=%s kind=%s servers=%u", source_quote(s, place),
              place_kind_name(s->place.kind), count);
}

/* Once, until it fits again. */
static void say_cut(struct source *s, uint32_t count, uint32_t left_out)
{
    char place[SOURCE_QUOTED_MAX];
    bool is_cut = left_out || count > FOUND_MAX;
    if (is_cut && !s->is_cut)
        log_event(LOG_WARN, "source_cut", "source=%s kind=%s found=%u used=%u", source_quote(s, place),
                  place_kind_name(s->place.kind), count + left_out, count < FOUND_MAX ? count : FOUND_MAX);
    s->is_cut = is_cut;
}

/* what is known */

static int compare_place(const struct found *a, const struct found *b)
{
    struct ip one = address_ip(&a->address), other = address_ip(&b->address);
    int order = memcmp(&one, &other, sizeof(one));
    if (order) return order;
    if (address_port(&a->address) != address_port(&b->address))
        return address_port(&a->address) < address_port(&b->address) ? -1 : 1;
    if (address_equal(&a->address, &b->address)) return 0;
    if (a->address.len != b->address.len) return a->address.len < b->address.len ? -1 : 1;
    return memcmp(&a->address.sa, &b->address.sa, a->address.len);
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Of what is said twice of one address the first counts, in whatever order it came: the lowest tier, there the highest
 * weight, there the first name. */
static int compare_found(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    int order = compare_place(a, b);
    if (!order) order = compare_numbers(a->tier, b->tier);
    if (!order) order = compare_numbers(b->has_weight, a->has_weight);
    if (!order) order = compare_numbers(b->weight, a->weight);
    return order ? order : strcmp(a->name, b->name);
}

/* Who is left out if not all can be taken: the last tiers. */
static int compare_tiers(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    int order = compare_numbers(a->tier, b->tier);
    return order ? order : compare_found(a, b);
}

/* In order, so that an answer that comes in another one is the same; each address once. Returns how many are left. */
static uint32_t sort_out(struct found *found, uint32_t count)
{
    uint32_t kept = 0;
    qsort(found, count, sizeof(*found), compare_found);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || !address_equal(&found[kept - 1].address, &found[i].address)) found[kept++] = found[i];
    return kept;
}

static bool is_same(const struct found *a, const struct found *b)
{
    return address_equal(&a->address, &b->address) && a->has_weight == b->has_weight &&
           a->weight == b->weight && a->tier == b->tier && strcmp(a->name, b->name) == 0;
}

static bool is_known(const struct source *s, const struct found *found, uint32_t count)
{
    if (!s->found || s->count != count) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!is_same(&s->found[i], &found[i])) return false;
    return true;
}

static void gather(struct sources *all)
{
    uint64_t now_ms = loop_now_ms(all->options.loop), due_ms = now_ms + SOURCES_GATHER_MS;
    if (timer_is_armed(&all->gather)) return;
    if (all->told_ms && all->told_ms + all->apart_ms > due_ms) due_ms = all->told_ms + all->apart_ms;
    loop_arm(all->options.loop, &all->gather, due_ms - now_ms);
}

static void know(struct source *s, struct found *found, uint32_t count)
{
    free(s->found);
    s->found = found;
    s->count = count;
    s->has_changed = true;
    gather(s->all);
}

/* False: out of memory. */
static bool take(struct source *s, const struct source_answer *a)
{
    struct found *found = calloc(a->count, sizeof(*found));
    if (!found) return false;
    memcpy(found, a->found, a->count * sizeof(*found));
    uint32_t count = sort_out(found, a->count);
    say_cut(s, count, a->left_out);
    if (count > FOUND_MAX) {
        qsort(found, count, sizeof(*found), compare_tiers);
        count = FOUND_MAX;
        qsort(found, count, sizeof(*found), compare_found);
    }
    if (is_known(s, found, count))
        free(found);
    else
        know(s, found, count);
    return true;
}

void sources_told(struct sources *all, bool is_done)
{
    for (struct list *at = all->list.next; is_done && at != &all->list; at = at->next)
        container_of(at, struct source, link)->has_changed = false;
    if (is_done) {
        all->apart_ms = SOURCES_APART_MS;
        return;
    }
    gather(all);
    all->apart_ms = all->apart_ms * 2 < TOLD_AGAIN_MAX_MS ? all->apart_ms * 2 : TOLD_AGAIN_MAX_MS;
}

static void on_gathered(struct timer *t)
{
    struct sources *all = container_of(t, struct sources, gather);
    all->told_ms = loop_now_ms(all->options.loop);
    if (all->options.on_change) all->options.on_change(all->options.context);
}

bool sources_are_settled(const struct sources *all)
{
    for (struct list *at = all->list.next; at != &all->list; at = at->next)
        if (!container_of(at, struct source, link)->fresh.has_answered) return false;
    return true;
}

/* Not from within the answer: whoever hears of it may let go of who gave it. */
static void on_answered(struct loop_task *t)
{
    struct sources *all = container_of(t, struct sources, answered);
    if (all->options.on_answer) all->options.on_answer(all->options.context);
}

/* asking */

bool source_ask(struct source *s)
{
    if (s->is_asking) return false;
    s->is_asking = true;
    s->kind->ask(s);
    return true;
}

static void on_due(struct timer *t)
{
    (void)source_ask(container_of(t, struct source, timer));
}

/* work */

static void wait_for_room(struct source *s, struct job *j)
{
    struct loop *loop = s->all->options.loop;
    s->job = j;
    loop_arm(loop, &s->room, ROOM_MS + rng_below(&loop->rng, ROOM_MS));
}

static void on_room(struct timer *t)
{
    struct source *s = container_of(t, struct source, room);
    struct job *j = s->job;
    s->job = NULL;
    if (jobs_post(s->all->options.jobs, j)) return;
    if (++s->room_looks < SOURCE_ROOM_LOOKS)
        wait_for_room(s, j);
    else
        j->done(j);
}

void source_work(struct source *s, struct job *j)
{
    s->room_looks = 0;
    if (!jobs_post(s->all->options.jobs, j)) wait_for_room(s, j);
}

/* answers */

static void judge(struct source *s, const struct source_answer *a, enum source_result result)
{
    struct loop *loop = s->all->options.loop;
    uint64_t next_ms, now_ms = loop_now_ms(loop), stale_since_ms = s->fresh.stale_since_ms;
    uint64_t empty_since_ms = s->fresh.empty_since_ms;
    uint32_t count = s->count;
    enum freshness_verdict verdict = freshness_judge(
        &s->fresh, result, a->holds_ms, s->all->options.resolver->empty_after_ms, now_ms, &next_ms);
    if (verdict == FRESHNESS_TAKE) {
        *s->reason = 0;
        if (stale_since_ms) say_good(s, now_ms - stale_since_ms);
    } else if (!stale_since_ms || (result == SOURCE_EMPTY && !empty_since_ms)) {
        say_no_good(s, result);
    }
    if (verdict == FRESHNESS_DROP && count) {
        say_gone(s, count);
        know(s, NULL, 0);
    }
    if (next_ms)
        loop_arm(loop, &s->timer, next_ms);
    else
        loop_disarm(loop, &s->timer);
}

void source_answered(struct source *s, const struct source_answer *a)
{
    enum source_result result = a->result;
    const char *reason = a->reason;
    s->is_asking = false;
    if (result == SOURCE_FOUND && !take(s, a)) {
        result = SOURCE_FAILED;
        reason = "there is no memory for the answer";
    }
    if (result != SOURCE_FOUND) snprintf(s->reason, sizeof(s->reason), "%s", reason);
    s->answers[result]++;
    judge(s, a, result);
    loop_defer(s->all->options.loop, &s->all->answered);
}

/* metrics */

static double read_servers(void *source)
{
    return ((const struct source *)source)->count;
}

static double read_stale(void *source)
{
    const struct source *s = source;
    uint64_t now_ms = loop_now_ms(s->all->options.loop), since_ms = s->fresh.doubtful_since_ms;
    return since_ms ? (double)(now_ms - since_ms) / 1000 : 0;
}

static double read_number(void *number)
{
    return (double)*(const uint64_t *)number;
}

static void show(struct source *s)
{
    static const char *const results[SOURCE_RESULTS] = { "found", "empty", "failed" };
    struct metric_registry *m = s->all->metrics;
    char text[PLACE_TEXT_MAX + 1];
    snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(s->place.text));
    struct metric_label labels[] = { { "source", text },
                                     { "kind", place_kind_name(s->place.kind) },
                                     { "result", NULL } };
    metric_scope_open(m, &s->meters);
    (void)metric_gauge_fn(m, "weir_source_servers", "Servers that a name or a file in a pool leads to now.",
                          labels, 2, read_servers, s);
    (void)metric_gauge_fn(m, "weir_source_stale_seconds",
                          "Since when what it leads to cannot be asked, so that what was known before is "
                          "used; 0: the latest answer was a good one, or that there is nobody, which is "
                          "believed.",
                          labels, 2, read_stale, s);
    for (int i = 0; i < SOURCE_RESULTS; i++) {
        labels[2].value = results[i];
        (void)metric_counter_fn(m, "weir_source_answers_total",
                                "Answers to where servers are: found, empty (there is nobody) or failed.",
                                labels, 3, read_number, &s->answers[i]);
    }
    metric_scope_close(m, &s->meters);
}

void sources_show(struct sources *all, struct metric_registry *metrics)
{
    all->metrics = metrics;
    for (struct source *s = sources_next(all, NULL); s; s = sources_next(all, s)) show(s);
}

/* all of them */

struct source *sources_next(const struct sources *all, const struct source *s)
{
    const struct list *at = s ? s->link.next : all->list.next;
    return at == &all->list ? NULL : container_of(at, struct source, link);
}

/* A name leads to the same addresses, whatever the port. */
static bool is_for(const struct source *s, const struct place *p)
{
    return s->place.kind == p->kind &&
           (p->kind == PLACE_DNS || p->kind == PLACE_SRV ? slice_equal_fold : slice_equal)(s->place.name,
                                                                                           p->name);
}

/* FNV-1a, of the name in lower case. Names are the operator's. */
static uint32_t bucket_of(const struct place *p)
{
    uint32_t hash = 0x811c9dc5u;
    for (size_t i = 0; i < p->name.len; i++)
        hash = (hash ^ (unsigned char)(p->name.data[i] | 32)) * 0x01000193u;
    return (hash ^ hash >> 16) % BUCKETS;
}

struct source *sources_find(const struct sources *all, const struct address *at)
{
    struct place p = place_of(at);
    for (struct source *s = all->buckets[bucket_of(&p)]; s; s = s->next)
        if (is_for(s, &p)) return s;
    return NULL;
}

static void leave_bucket(struct source *s)
{
    struct source **at = &s->all->buckets[bucket_of(&s->place)];
    while (*at != s) at = &(*at)->next;
    *at = s->next;
}

struct source *sources_get(struct sources *all, const struct address *at)
{
    struct source *s = sources_find(all, at);
    struct place p = place_of(at);
    if (s) {
        s->users++;
        return s;
    }
    const struct source_kind *kind = (all->options.kinds ? all->options.kinds : kinds)[p.kind];
    if (!(s = kind->open())) return NULL;
    s->kind = kind;
    s->all = all;
    s->users = 1;
    s->at = *at;
    s->place = place_of(&s->at);
    timer_init(&s->timer, on_due);
    timer_init(&s->room, on_room);
    list_push_back(&all->list, &s->link);
    s->next = all->buckets[bucket_of(&s->place)];
    all->buckets[bucket_of(&s->place)] = s;
    if (all->metrics) show(s);
    (void)source_ask(s);
    return s;
}

void source_put(struct source *s)
{
    if (--s->users) return;
    struct sources *all = s->all;
    loop_disarm(all->options.loop, &s->timer);
    loop_disarm(all->options.loop, &s->room);
    list_remove(&s->link);
    leave_bucket(s);
    if (all->metrics) metric_scope_retire(all->metrics, &s->meters);
    free(s->found);
    struct job *left = s->job;
    s->kind->close(s);
    if (left) left->done(left);
}

const struct sources_options *sources_options_of(const struct sources *all)
{
    return &all->options;
}

struct resolver *sources_resolver(struct sources *all)
{
    struct err err;
    if (!all->resolver && resolver_new(&all->resolver, all->options.loop, all->options.resolver, &err) < 0)
        return NULL;
    return all->resolver;
}

int sources_new(struct sources **out, const struct sources_options *o, struct err *err)
{
    struct sources *all = calloc(1, sizeof(*all));
    if (!all) return err_set(err, "out of memory for finding servers");
    all->options = *o;
    all->apart_ms = SOURCES_APART_MS;
    list_init(&all->list);
    timer_init(&all->gather, on_gathered);
    loop_task_init(&all->answered, on_answered);
    *out = all;
    return 0;
}

void sources_free(struct sources *all)
{
    if (!all) return;
    loop_disarm(all->options.loop, &all->gather);
    loop_cancel(&all->answered);
    resolver_free(all->resolver);
    free(all);
}
