#include "control/gate_watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "conf/arena.h"
#include "metric/metric.h"
#include "net/file_watch.h"
#include "proxy/worker.h"
#include "route/gate.h"

/* Not all file systems say what happens in them. */
#define POLL_MS 60000u
/* What was read right after a change is looked at again; what was replaced may be free by then. */
#define SETTLE_MS 100u

/* Of one gate with files. */
struct seat {
    const struct gate_conf *conf;
    uint64_t stamp;           /* of what was read last; 0: it is to be read again */
    uint64_t refused_stamp;   /* of what had a mistake, which was said */
    struct gate_rules *rules; /* of a look: what was read; NULL: nothing, or it has a mistake */
    bool is_refused;
    struct err err;
};

/* One look at all files, on the jobs' thread. */
struct look {
    struct job job; /* first */
    struct gate_watch *owner;
    const struct config *config; /* what was in force; its arena is held */
    struct conf_arena *arena;
    struct seat *seats;
    uint32_t count;
    const struct file_watch *files;
    struct file_watch_set *watched;
};

/* Rules that nobody finds any more: free once every worker has been elsewhere. */
struct replaced {
    struct list link;
    struct gate_rules *rules;
    _Atomic uint32_t passed; /* workers */
};

struct gate_watch {
    struct loop *loop;
    struct jobs *jobs;
    struct proxy *proxy;
    const struct config *config;
    struct seat *seats; /* of the configuration in force */
    uint32_t count;
    struct file_watch files;
    struct timer poll;
    struct list replaced;
    bool is_looking, is_due, is_stopped, has_said_missed;
    uint64_t applied, refused;
};

/* all gates of a configuration */

static void add_seat(struct seat *seats, uint32_t *count, const struct gate_conf *conf)
{
    if (!conf || !conf->slot || !(conf->allow_files.count + conf->deny_files.count)) return;
    if (seats) seats[*count] = (struct seat){ .conf = conf, .stamp = conf->slot->stamp };
    (*count)++;
}

/* `seats` NULL: only counts them. */
static uint32_t find_seats(const struct config *config, struct seat *seats)
{
    const struct listener_conf *listeners = config->proxy.listeners.data;
    uint32_t count = 0;
    add_seat(seats, &count, config->proxy.gate);
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++) {
        const struct route_conf *routes = listeners[i].routes.data;
        add_seat(seats, &count, listeners[i].gate);
        for (uint32_t k = 0; k < listeners[i].routes.count; k++) add_seat(seats, &count, routes[k].gate);
    }
    return count;
}

/* what was replaced */

static void on_passed(void *reader, const struct mail *m)
{
    (void)reader;
    struct replaced *r = m->object;
    atomic_fetch_add_explicit(&r->passed, 1, memory_order_release);
}

static void replaced_free(struct replaced *r)
{
    list_remove(&r->link);
    gate_rules_free(r->rules);
    free(r);
}

static void sweep(struct gate_watch *w)
{
    for (struct list *at = w->replaced.next, *next; at != &w->replaced; at = next) {
        struct replaced *r = container_of(at, struct replaced, link);
        next = at->next;
        if (atomic_load_explicit(&r->passed, memory_order_acquire) == w->proxy->worker_count)
            replaced_free(r);
    }
}

/* A worker asks within one call from its loop: when it reads its mail it holds nothing of what was there before. */
static void replace(struct gate_watch *w, const struct gate_conf *conf, struct gate_rules *rules)
{
    struct replaced *r = calloc(1, sizeof(*r));
    if (!r) abort();
    r->rules = gate_slot_set(conf->slot, rules);
    list_push_back(&w->replaced, &r->link);
    struct mail m = { .deliver = on_passed, .object = r };
    for (uint32_t i = 0; i < w->proxy->worker_count; i++) worker_post(w->proxy->workers[i], &m);
}

/* looking */

static void read_seat(struct seat *s)
{
    uint64_t now = gate_conf_stamp(s->conf); /* before it is read: what comes meanwhile is read once more */
    const char *key;
    s->is_refused = false;
    if (now && (now == s->stamp || now == s->refused_stamp)) return;
    s->rules = gate_rules_new(s->conf, &key, &s->err);
    s->is_refused = !s->rules;
    if (s->rules)
        s->stamp = now;
    else
        s->refused_stamp = now;
}

static void add_file(void *set, const char *path)
{
    file_watch_set_add(set, path);
}

/* Watched first: what changes while it is read is looked at again. */
static void run(struct job *job)
{
    struct look *l = (struct look *)job;
    l->watched = file_watch_set_new(l->files);
    for (uint32_t i = 0; i < l->count; i++) gate_conf_each_file(l->seats[i].conf, add_file, l->watched);
    for (uint32_t i = 0; i < l->count; i++) read_seat(&l->seats[i]);
}

static void look_free(struct look *l)
{
    for (uint32_t i = 0; i < l->count; i++) gate_rules_free(l->seats[i].rules);
    file_watch_set_free(l->watched);
    conf_arena_free(l->arena);
    free(l->seats);
    free(l);
}

static void serve(struct gate_watch *w, struct seat *found, struct seat *seat)
{
    if (found->rules) {
        uint32_t blocks = gate_rules_file_blocks(found->rules);
        replace(w, seat->conf, found->rules);
        found->rules = NULL;
        w->applied++;
        log_event(LOG_INFO, "addresses_changed", "blocks=%u", blocks);
    }
    if (found->is_refused) {
        char quoted[ERR_TEXT_MAX + 64];
        w->refused++;
        log_event(LOG_WARN, "addresses_refused", "error=%s",
                  log_quote(found->err.text, quoted, sizeof(quoted)));
    }
    seat->stamp = found->stamp;
    seat->refused_stamp = found->refused_stamp;
}

static void watch_on(struct gate_watch *w, struct look *l, bool is_settled)
{
    uint32_t missed = file_watch_set_missed(l->watched);
    file_watch_use(&w->files, l->watched);
    l->watched = NULL;
    loop_arm(w->loop, &w->poll, is_settled && list_is_empty(&w->replaced) ? POLL_MS : SETTLE_MS);
    if (missed && !w->has_said_missed)
        log_event(LOG_WARN, "addresses_not_watched",
                  "reason=\"inotify has no room; they are looked at once a minute\" remedy=\"raise "
                  "fs.inotify.max_user_watches and max_user_instances\"");
    w->has_said_missed = missed;
}

static void look(struct gate_watch *w);

static void done(struct job *job)
{
    struct look *l = (struct look *)job;
    struct gate_watch *w = l->owner;
    bool is_settled = true;
    w->is_looking = false;
    if (l->config != w->config) {
        w->is_due = true;
    } else if (!w->is_stopped && job_has_run(job)) {
        for (uint32_t i = 0; i < l->count; i++) {
            serve(w, &l->seats[i], &w->seats[i]);
            is_settled &= w->seats[i].stamp || w->seats[i].refused_stamp;
        }
        watch_on(w, l, is_settled);
    }
    look_free(l);
    if (w->is_due) look(w);
}

static struct look *look_new(struct gate_watch *w)
{
    struct look *l = calloc(1, sizeof(*l));
    if (!l) return NULL;
    l->seats = calloc(w->count + 1, sizeof(*l->seats));
    if (!l->seats) {
        free(l);
        return NULL;
    }
    for (uint32_t i = 0; i < w->count; i++) l->seats[i] = w->seats[i];
    l->count = w->count;
    l->job = (struct job){ .run = run, .done = done };
    l->owner = w;
    l->config = w->config;
    l->files = &w->files;
    l->arena = conf_arena_get(w->config->arena);
    return l;
}

static void look(struct gate_watch *w)
{
    w->is_due = w->is_looking;
    if (w->is_looking || w->is_stopped) return;
    struct look *l = look_new(w);
    if (l && jobs_post(w->jobs, &l->job)) {
        w->is_looking = true;
        return;
    }
    if (l) look_free(l);
    loop_arm(w->loop, &w->poll, SETTLE_MS);
}

static void on_change(void *context)
{
    look(context);
}

static void on_poll(struct timer *t)
{
    struct gate_watch *w = container_of(t, struct gate_watch, poll);
    sweep(w);
    if (w->count)
        look(w);
    else if (!list_is_empty(&w->replaced))
        loop_arm(w->loop, &w->poll, SETTLE_MS);
}

static double read_applied(void *context)
{
    return (double)((const struct gate_watch *)context)->applied;
}

static double read_refused(void *context)
{
    return (double)((const struct gate_watch *)context)->refused;
}

static double read_blocks(void *context)
{
    const struct gate_watch *w = context;
    double sum = 0;
    for (uint32_t i = 0; i < w->count; i++)
        sum += gate_rules_file_blocks(atomic_load(&w->seats[i].conf->slot->rules));
    return sum;
}

int gate_watch_new(struct gate_watch **out, struct loop *loop, struct jobs *jobs, struct proxy *proxy,
                   struct err *err)
{
    const char *help = "Changed files of address blocks that were taken while weir runs, or refused.";
    struct metric_label label = { "result", "applied" };
    struct gate_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory at start");
    w->loop = loop;
    w->jobs = jobs;
    w->proxy = proxy;
    list_init(&w->replaced);
    timer_init(&w->poll, on_poll);
    file_watch_init(&w->files, loop, on_change, w);
    metric_counter_fn(proxy->metrics, "weir_gate_file_changes_total", help, &label, 1, read_applied, w);
    label.value = "refused";
    metric_counter_fn(proxy->metrics, "weir_gate_file_changes_total", help, &label, 1, read_refused, w);
    metric_gauge_fn(proxy->metrics, "weir_gate_file_blocks", "Address blocks of the gates' files.", NULL, 0,
                    read_blocks, w);
    *out = w;
    return 0;
}

void gate_watch_use(struct gate_watch *w, const struct config *config)
{
    free(w->seats);
    w->config = config;
    w->count = find_seats(config, NULL);
    w->seats = calloc(w->count + 1, sizeof(*w->seats));
    if (!w->seats) abort();
    find_seats(config, w->seats);
    loop_disarm(w->loop, &w->poll);
    if (w->count) file_watch_open(&w->files);
    if (w->count || w->files.set) look(w);
}

void gate_watch_stop(struct gate_watch *w)
{
    if (!w || w->is_stopped) return;
    w->is_stopped = true;
    loop_disarm(w->loop, &w->poll);
    file_watch_stop(&w->files);
}

void gate_watch_free(struct gate_watch *w)
{
    if (!w) return;
    struct list *at;
    while ((at = list_pop_front(&w->replaced))) replaced_free(container_of(at, struct replaced, link));
    file_watch_fini(&w->files);
    free(w->seats);
    free(w);
}
