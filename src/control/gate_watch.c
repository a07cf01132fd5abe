#include "control/gate_watch.h"

#include <stdlib.h>

#include "auth/auth_conf.h"
#include "auth/key_fetcher.h"
#include "base/log.h"
#include "conf/arena.h"
#include "metric/metric.h"
#include "net/file_watch.h"
#include "net/mailbox.h"
#include "proxy/worker.h"
#include "route/gate.h"

/* Not all file systems say what happens in them. */
#define POLL_MS 60000u
/* What was read right after a change is looked at again; what was replaced may be free by then. */
#define SETTLE_MS 100u

/* What is made of files: `of` is what they stand in. */
struct kind {
    uint64_t (*stamp)(const void *of);
    void *(*read)(const void *of, struct err *err); /* NULL with the sentence */
    void *(*set)(const void *of, void *made);       /* what was there before */
    void (*free)(const void *of, void *made);
    void (*each_file)(const void *of, void (*each)(void *context, const char *path), void *context);
    uint32_t (*count)(const void *of, const void *made);
    const char *changed, *refused; /* events */
    const char *counted;           /* what count() counts */
};

/* Of one gate with files, or one file of users or keys. */
struct seat {
    const struct kind *kind;
    const void *of;
    uint64_t stamp;         /* of what was read last; 0: it is to be read again */
    uint64_t refused_stamp; /* of what had a mistake, which was said */
    void *made;             /* of a look: what was read; NULL: nothing, or it has a mistake */
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

/* What nobody finds any more: free once every worker has been elsewhere. */
struct replaced {
    struct list link;
    const struct kind *kind;
    const void *of;
    struct conf_arena *arena; /* of `of`: one reference */
    void *made;
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
    struct key_fetcher *fetcher;
    struct mailbox *box; /* of its thread */
    bool is_looking, is_due, is_stopped, has_said_missed;
    bool needs_seats, needs_keys; /* there was no memory for them: it is tried again */
    struct changes {
        uint64_t applied, refused;
    } gates, auths;
};

/* gates */

static uint64_t gate_stamp(const void *of)
{
    return gate_conf_stamp(of);
}

static void *gate_read(const void *of, struct err *err)
{
    const char *key;
    return gate_rules_new(of, &key, err);
}

static void *gate_set(const void *of, void *made)
{
    return gate_slot_set(((const struct gate_conf *)of)->slot, made);
}

static void gate_free(const void *of, void *made)
{
    (void)of;
    gate_rules_free(made);
}

static void gate_each_file(const void *of, void (*each)(void *, const char *), void *context)
{
    gate_conf_each_file(of, each, context);
}

static uint32_t gate_count(const void *of, const void *made)
{
    (void)of;
    return gate_rules_file_blocks(made);
}

static const struct kind gate_kind = { gate_stamp,          gate_read,           gate_set,
                                       gate_free,           gate_each_file,      gate_count,
                                       "addresses_changed", "addresses_refused", "blocks" };

/* users and keys */

static uint64_t auth_stamp(const void *of)
{
    return auth_file_stamp(of);
}

static void *auth_read(const void *of, struct err *err)
{
    return auth_file_read(of, err);
}

static void *auth_set(const void *of, void *made)
{
    return auth_file_set((struct auth_file *)(uintptr_t)of, made);
}

static void auth_free(const void *of, void *made)
{
    if (made) ((const struct auth_file *)of)->kind->free(made);
}

static void auth_each_file(const void *of, void (*each)(void *, const char *), void *context)
{
    const struct auth_file *f = of;
    if (!f->source) each(context, f->path);
}

static uint32_t auth_count(const void *of, const void *made)
{
    return ((const struct auth_file *)of)->kind->count(made);
}

static const struct kind users_kind = { auth_stamp,      auth_read,       auth_set,
                                        auth_free,       auth_each_file,  auth_count,
                                        "users_changed", "users_refused", "users" };
static const struct kind keys_kind = { auth_stamp, auth_read,      auth_set,       auth_free, auth_each_file,
                                       auth_count, "keys_changed", "keys_refused", "keys" };

static struct changes *changes_of(struct gate_watch *w, const struct kind *kind)
{
    return kind == &gate_kind ? &w->gates : &w->auths;
}

/* all of a configuration */

static void add_gate(struct seat *seats, uint32_t *count, const struct gate_conf *conf)
{
    if (!conf || !conf->slot || !(conf->allow_files.count + conf->deny_files.count)) return;
    if (seats) seats[*count] = (struct seat){ .kind = &gate_kind, .of = conf, .stamp = conf->slot->stamp };
    (*count)++;
}

static void add_auth(struct seat *seats, uint32_t *count, const struct auth_conf *conf)
{
    const struct auth_file *users = conf && conf->basic ? conf->basic->file : NULL;
    const struct auth_file *keys = conf && conf->jwt ? conf->jwt->file : NULL;
    if (users && seats)
        seats[*count] = (struct seat){ .kind = &users_kind, .of = users, .stamp = users->stamp };
    *count += users != NULL;
    if (keys && seats) seats[*count] = (struct seat){ .kind = &keys_kind, .of = keys, .stamp = keys->stamp };
    *count += keys != NULL;
}

/* `seats` NULL: only counts them. */
static uint32_t find_seats(const struct config *config, struct seat *seats)
{
    const struct listener_conf *listeners = config->proxy.listeners.data;
    uint32_t count = 0;
    add_gate(seats, &count, config->proxy.gate);
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++) {
        const struct route_conf *routes = listeners[i].routes.data;
        add_gate(seats, &count, listeners[i].gate);
        add_auth(seats, &count, listeners[i].auth);
        for (uint32_t k = 0; k < listeners[i].routes.count; k++) {
            add_gate(seats, &count, routes[k].gate);
            add_auth(seats, &count, routes[k].auth);
        }
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
    r->kind->free(r->of, r->made);
    conf_arena_free(r->arena);
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

/* A worker asks within one call from its loop: when it reads its mail it holds nothing of what was there before. False: there
 * is no memory, and what was there before stays. */
static bool replace(struct gate_watch *w, const struct seat *seat, void *made)
{
    struct replaced *r = calloc(1, sizeof(*r));
    if (!r) return false;
    r->kind = seat->kind;
    r->of = seat->of;
    r->arena = conf_arena_get(w->config->arena);
    r->made = seat->kind->set(seat->of, made);
    list_push_back(&w->replaced, &r->link);
    struct mail m = { .deliver = on_passed, .object = r };
    for (uint32_t i = 0; i < w->proxy->worker_count; i++) worker_post(w->proxy->workers[i], &m);
    return true;
}

/* looking */

static void read_seat(struct seat *s)
{
    uint64_t now = s->kind->stamp(s->of); /* before it is read: what comes meanwhile is read once more */
    s->is_refused = false;
    if (now && (now == s->stamp || now == s->refused_stamp)) return;
    s->made = s->kind->read(s->of, &s->err);
    s->is_refused = !s->made;
    if (s->made)
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
    for (uint32_t i = 0; i < l->count; i++) l->seats[i].kind->each_file(l->seats[i].of, add_file, l->watched);
    for (uint32_t i = 0; i < l->count; i++) read_seat(&l->seats[i]);
}

static void look_free(struct look *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->seats[i].made) l->seats[i].kind->free(l->seats[i].of, l->seats[i].made);
    file_watch_set_free(l->watched);
    conf_arena_free(l->arena);
    free(l->seats);
    free(l);
}

static void serve(struct gate_watch *w, struct seat *found, struct seat *seat)
{
    const struct kind *kind = seat->kind;
    if (found->made) {
        uint32_t count = kind->count(seat->of, found->made);
        if (!replace(w, seat, found->made)) {
            seat->stamp = seat->refused_stamp = 0; /* it is read again */
            return;
        }
        found->made = NULL;
        changes_of(w, kind)->applied++;
        log_event(LOG_INFO, kind->changed, "%s=%u", kind->counted, count);
    }
    if (found->is_refused) {
        char quoted[ERR_TEXT_MAX + 64];
        changes_of(w, kind)->refused++;
        log_event(LOG_WARN, kind->refused, "error=%s", log_quote(found->err.text, quoted, sizeof(quoted)));
    }
    seat->stamp = found->stamp;
    seat->refused_stamp = found->refused_stamp;
}

static void watch_on(struct gate_watch *w, struct look *l, bool is_settled)
{
    if (!file_watch_set_is_whole(l->watched)) { /* there was no memory */
        loop_arm(w->loop, &w->poll, SETTLE_MS);
        return;
    }
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

/* keys that are fetched */

static void on_mail(void *reader, const struct mail *m)
{
    (void)m;
    look(reader);
}

/* On the fetcher's thread. Without room there is a look to come already. */
static void on_keys(void *context)
{
    struct gate_watch *w = context;
    struct mail m = { .deliver = on_mail };
    if (!mailbox_post(w->box, &m)) return;
}

static void fetch_keys(struct gate_watch *w)
{
    struct key_source **sources = calloc(w->count + 1, sizeof(struct key_source *));
    uint32_t count = 0;
    w->needs_keys = !sources;
    if (!sources) return;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct auth_file *f = w->seats[i].kind == &keys_kind ? w->seats[i].of : NULL;
        if (f && f->source) sources[count++] = f->source;
    }
    key_fetcher_use(w->fetcher, sources, count);
    free(sources);
}

static void take_seats(struct gate_watch *w)
{
    uint32_t count = find_seats(w->config, NULL);
    w->seats = calloc(count + 1, sizeof(*w->seats));
    w->needs_seats = !w->seats;
    w->count = w->seats ? find_seats(w->config, w->seats) : 0;
    w->needs_keys = true;
    if (w->count) file_watch_open(&w->files);
}

static double read_fetched(void *context)
{
    return (double)key_fetcher_fetched(context);
}

static double read_failed(void *context)
{
    return (double)key_fetcher_failed(context);
}

static void count_failing(void *context, const struct key_source_state *s)
{
    *(double *)context += s->failures != 0;
}

static double read_failing(void *context)
{
    double failing = 0;
    (void)context;
    key_sources_each(0, count_failing, &failing);
    return failing;
}

static void add_fetch_meters(struct gate_watch *w, struct metric_registry *m)
{
    const char *name = "weir_auth_key_fetches_total";
    const char *help = "Times that published keys were asked for, by what came of it.";
    struct metric_label label = { "result", "fetched" };
    metric_counter_fn(m, name, help, &label, 1, read_fetched, w->fetcher);
    label.value = "failed";
    metric_counter_fn(m, name, help, &label, 1, read_failed, w->fetcher);
    metric_gauge_fn(m, "weir_auth_key_sources_failing",
                    "Addresses of keys that could not be fetched when they were asked last.", NULL, 0,
                    read_failing, NULL);
}

static void on_poll(struct timer *t)
{
    struct gate_watch *w = container_of(t, struct gate_watch, poll);
    sweep(w);
    if (w->needs_seats) take_seats(w);
    if (w->needs_keys) fetch_keys(w);
    if (w->needs_seats || w->needs_keys)
        loop_arm(w->loop, &w->poll, SETTLE_MS);
    else if (w->count)
        look(w);
    else if (!list_is_empty(&w->replaced))
        loop_arm(w->loop, &w->poll, SETTLE_MS);
}

/* `context` is the counter. */
static double read_changes(void *context)
{
    return (double)*(const uint64_t *)context;
}

static double read_blocks(void *context)
{
    const struct gate_watch *w = context;
    double sum = 0;
    for (uint32_t i = 0; i < w->count; i++)
        if (w->seats[i].kind == &gate_kind)
            sum += gate_rules_file_blocks(
                atomic_load(&((const struct gate_conf *)w->seats[i].of)->slot->rules));
    return sum;
}

static void add_change_meters(struct metric_registry *m, const char *name, const char *help,
                              struct changes *changes)
{
    struct metric_label label = { "result", "applied" };
    metric_counter_fn(m, name, help, &label, 1, read_changes, &changes->applied);
    label.value = "refused";
    metric_counter_fn(m, name, help, &label, 1, read_changes, &changes->refused);
}

int gate_watch_new(struct gate_watch **out, struct loop *loop, struct jobs *jobs, struct proxy *proxy,
                   struct err *err)
{
    struct gate_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory at start");
    w->loop = loop;
    w->jobs = jobs;
    if (mailbox_new(&w->box, loop, w, 16, err) < 0) {
        free(w);
        return -1;
    }
    if (!(w->fetcher = key_fetcher_new(on_keys, w))) {
        mailbox_free(w->box);
        free(w);
        return err_set(err, "out of memory at start");
    }
    w->proxy = proxy;
    list_init(&w->replaced);
    timer_init(&w->poll, on_poll);
    file_watch_init(&w->files, loop, on_change, w);
    add_change_meters(proxy->metrics, "weir_gate_file_changes_total",
                      "Changed files of address blocks that were taken while weir runs, or refused.",
                      &w->gates);
    add_change_meters(proxy->metrics, "weir_auth_file_changes_total",
                      "Changed files of users or keys that were taken while weir runs, or refused.",
                      &w->auths);
    metric_gauge_fn(proxy->metrics, "weir_gate_file_blocks", "Address blocks of the gates' files.", NULL, 0,
                    read_blocks, w);
    add_fetch_meters(w, proxy->metrics);
    *out = w;
    return 0;
}

void gate_watch_use(struct gate_watch *w, const struct config *config)
{
    free(w->seats);
    w->seats = NULL;
    w->config = config;
    take_seats(w);
    fetch_keys(w);
    loop_disarm(w->loop, &w->poll);
    if (w->needs_seats || w->needs_keys) loop_arm(w->loop, &w->poll, SETTLE_MS);
    if (!w->needs_seats && !w->needs_keys && (w->count || w->files.set)) look(w);
}

void gate_watch_stop(struct gate_watch *w)
{
    if (!w || w->is_stopped) return;
    w->is_stopped = true;
    key_fetcher_stop(w->fetcher);
    loop_disarm(w->loop, &w->poll);
    file_watch_stop(&w->files);
}

bool gate_watch_await_end(struct gate_watch *w, uint32_t wait_ms)
{
    return !w || key_fetcher_await_end(w->fetcher, wait_ms);
}

void gate_watch_free(struct gate_watch *w)
{
    if (!w) return;
    struct list *at;
    while ((at = list_pop_front(&w->replaced))) replaced_free(container_of(at, struct replaced, link));
    file_watch_fini(&w->files);
    key_fetcher_free(w->fetcher);
    mailbox_free(w->box);
    free(w->seats);
    free(w);
}
