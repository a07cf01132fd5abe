#include "control/certificate_watch.h"

#include <stdlib.h>

#include "acme/keeper.h"
#include "base/log.h"
#include "control/acme_list.h"
#include "control/acme_plan.h"
#include "control/certificate_list.h"
#include "control/certificate_look.h"
#include "metric/metric.h"
#include "tls/staple.h"

#define WORDS_MS (UINT64_C(12) * 3600 * 1000)
/* Not all file systems say what happens in them. */
#define POLL_MS 60000u
/* What was read right after a change is looked at again. */
#define SETTLE_MS 100u
/* The others of a listener are counted. */
#define SAID_MAX 20u
#define ANSWER_TEXT_MAX ((size_t)4 << 20)

struct asked {
    struct list link;
    struct certificates_ask ask;
};

struct certificate_watch {
    struct certifier certifier; /* first */
    struct loop *loop;
    struct jobs *jobs;
    const struct config *config;
    struct certificate_seat *seats; /* of the configuration in force; their stores are NULL */
    uint32_t count;
    struct file_watch files;
    struct timer poll, words;
    struct list waiting, looked_for; /* of asked: for the next look, for the one that is going on */
    struct acme_keeper *acme;
    bool is_looking, is_due, is_stopped, has_said_missed;
    bool needs_seats, needs_plan; /* there was no memory for them: it is tried again */
    uint64_t applied, refused;
};

/* words in the log */

static void say(const char *listener, const struct tls_certificate *c, enum tls_age age)
{
    static const char *const events[] = { [TLS_AGE_ENDING] = "certificate_ending",
                                          [TLS_AGE_EXPIRED] = "certificate_expired",
                                          [TLS_AGE_FUTURE] = "certificate_not_valid_yet" };
    char date[16];
    log_event(LOG_WARN, events[age], "listener=%s name=%s serial=%s %s=%s", listener,
              c->name_count ? c->names : "-", c->serial, age == TLS_AGE_FUTURE ? "from" : "until",
              tls_date_print(age == TLS_AGE_FUTURE ? c->not_before : c->not_after, date));
}

static void say_ages(const struct listener_conf *listener, int64_t now_s)
{
    struct tls_store *store = tls_slot_get(listener->tls->slot);
    const struct tls_certificate_conf *confs = listener->tls->certificates.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < tls_store_count(store); i++) {
        const struct tls_certificate *c = tls_store_certificate(store, i);
        if (!c || (confs[i].file && acme_has_time(c->not_before, c->not_after, now_s))) continue;
        enum tls_age age = tls_certificate_age(c, now_s);
        if (age != TLS_AGE_GOOD && ++count <= SAID_MAX) say(listener->name, c, age);
    }
    if (count > SAID_MAX)
        log_event(LOG_WARN, "certificate_ending", "listener=%s more=%u", listener->name, count - SAID_MAX);
    tls_store_put(store);
}

static int64_t wall_s(const struct certificate_watch *w)
{
    return (int64_t)(loop_wall_ns(w->loop) / NS_PER_S);
}

static void say_all_ages(struct certificate_watch *w)
{
    for (uint32_t i = 0; i < w->count; i++) say_ages(w->seats[i].listener, wall_s(w));
    if (w->count) loop_arm(w->loop, &w->words, WORDS_MS);
}

static void on_words(struct timer *t)
{
    say_all_ages(container_of(t, struct certificate_watch, words));
}

static const char *file_of(const struct listener_conf *listener, const struct tls_store_fault *fault)
{
    const struct tls_certificate_conf *confs = listener->tls->certificates.data;
    if (fault->is_certificate) return tls_certificate_conf_cert(&confs[fault->certificate]);
    return fault->key && strcmp(fault->key, "ticket_keys") == 0 ? listener->tls->ticket_keys
           : listener->tls->client                              ? listener->tls->client->ca
                                                                : "-";
}

/* The same mistake in the same place as before is not said again. */
static bool was_said(const struct certificate_fault *before, struct certificate_fault *fault)
{
    for (; before; before = before->next) {
        if (before->told.is_certificate != fault->told.is_certificate ||
            before->told.certificate != fault->told.certificate ||
            strcmp(before->told.err.text, fault->told.err.text) != 0)
            continue;
        fault->at_s = before->at_s;
        return true;
    }
    return false;
}

static void say_faults(struct certificate_watch *w, const struct certificate_seat *before,
                       const struct certificate_seat *seat)
{
    uint32_t count = 0;
    for (struct certificate_fault *f = seat->faults; f; f = f->next) {
        char quoted[ERR_TEXT_MAX + 64];
        if (was_said(before->faults, f)) continue;
        w->refused++;
        if (++count <= SAID_MAX)
            log_event(LOG_WARN, "certificate_refused", "listener=%s file=%s error=%s", seat->listener->name,
                      file_of(seat->listener, &f->told), log_quote(f->told.err.text, quoted, sizeof(quoted)));
    }
    if (count > SAID_MAX)
        log_event(LOG_WARN, "certificate_refused", "listener=%s more=%u", seat->listener->name,
                  count - SAID_MAX);
}

/* What the issuer says of it is new. */
static uint32_t say_staple(const struct certificate_seat *seat, const struct tls_certificate *c,
                           const struct tls_certificate *old)
{
    char date[16];
    if (!c->staple || tls_staple_is_same(c->staple, old->staple)) return 0;
    log_event(LOG_INFO, "ocsp_response_changed", "listener=%s name=%s serial=%s until=%s",
              seat->listener->name, c->name_count ? c->names : "-", c->serial,
              tls_date_print(c->staple->until, date));
    return 1;
}

static uint32_t say_changes(struct certificate_watch *w, const struct certificate_seat *seat,
                            const struct tls_store *before)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tls_store_count(seat->store); i++) {
        const struct tls_certificate *c = tls_store_certificate(seat->store, i);
        const struct tls_certificate *old = tls_store_certificate(before, i);
        char date[16];
        if (c == old || !c) continue;
        if (old && tls_certificate_is_same(c, old)) {
            count += say_staple(seat, c, old);
            continue;
        }
        w->applied++;
        if (++count <= SAID_MAX)
            log_event(LOG_INFO, "certificate_changed", "listener=%s name=%s serial=%s before=%s until=%s",
                      seat->listener->name, c->name_count ? c->names : "-", c->serial,
                      old ? old->serial : "-", tls_date_print(c->not_after, date));
    }
    if (count > SAID_MAX)
        log_event(LOG_INFO, "certificate_changed", "listener=%s more=%u", seat->listener->name,
                  count - SAID_MAX);
    return count;
}

/* looking */

static void look(struct certificate_watch *w);

static void answer_asked(struct list *asked, struct answer *(*make)(void *context, struct answer *a),
                         void *context)
{
    struct list *at;
    while ((at = list_pop_front(asked))) {
        struct asked *one = container_of(at, struct asked, link);
        struct answer a = { 0 };
        one->ask.done(one->ask.context, make(context, &a));
        free(one);
    }
}

static struct answer *say_stopping(void *context, struct answer *a)
{
    (void)context;
    answer_problem(a, 503, "weir is stopping, or has too much to do.");
    return a;
}

static struct answer *say_short(void *context, struct answer *a)
{
    (void)context;
    answer_problem(a, 503,
                   "Memory ran out while the certificates were read: what was not read stays as it was, "
                   "and is read again at once.");
    return a;
}

struct outcome {
    const struct certificate_watch *watch;
    struct certificates_outcome counts;
};

static void print_refusals(const struct certificate_watch *w, struct json *j)
{
    char room[16384];
    struct text t = text_over(room, sizeof(room));
    for (uint32_t i = 0; i < w->count; i++)
        for (const struct certificate_fault *f = w->seats[i].faults; f; f = f->next)
            text_printf(&t, "%slistener \"%s\": %s", t.len ? "\n" : "", w->seats[i].listener->name,
                        f->told.err.text);
    json_string(j, text_cstr(&t));
}

static struct answer *say_outcome(void *context, struct answer *a)
{
    const struct outcome *o = context;
    bool has_fault = false;
    struct json j;
    for (uint32_t i = 0; i < o->watch->count; i++) has_fault |= o->watch->seats[i].faults != NULL;
    json_init(&j, ANSWER_TEXT_MAX, true);
    if (!has_fault) {
        shape_print(&certificates_outcome_shape, &o->counts, &j);
        answer_json(a, 200, &j);
        return a;
    }
    json_object(&j);
    json_key(&j, "title");
    json_string(&j, "Some of it is refused; there, what was before stays.");
    json_key(&j, "status");
    json_u64(&j, 400);
    json_key(&j, "detail");
    print_refusals(o->watch, &j);
    json_key(&j, "changed");
    json_u64(&j, o->counts.changed);
    json_object_end(&j);
    answer_json(a, 400, &j);
    a->content_type = "application/problem+json";
    return a;
}

/* What the look found is served from now on. */
static void serve(struct certificate_watch *w, struct certificate_look *l, struct outcome *o)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct certificate_seat *found = &l->seats[i], *seat = &w->seats[i];
        struct tls_slot *slot = seat->listener->tls->slot;
        if (found->store) {
            struct tls_store *before = tls_slot_get(slot);
            say_faults(w, seat, found);
            o->counts.changed += say_changes(w, found, before);
            tls_slot_set(slot, found->store);
            tls_store_put(before);
            found->store = NULL;
            certificate_faults_free(seat->faults);
            seat->faults = found->faults;
            found->faults = NULL;
        }
        seat->stamp = found->stamp;
        seat->again_s = found->again_s;
        struct tls_store *now = tls_slot_get(slot);
        o->counts.certificates += tls_store_count(now);
        tls_store_put(now);
    }
}

/* How long until it is looked at again unasked. */
static uint64_t next_look_ms(const struct certificate_watch *w)
{
    int64_t now_ms = (int64_t)(clock_wall_ns() / NS_PER_MS), wait_ms = POLL_MS;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct certificate_seat *seat = &w->seats[i];
        if (!seat->stamp) return SETTLE_MS;
        if (seat->again_s && 1000 * seat->again_s - now_ms < wait_ms) wait_ms = 1000 * seat->again_s - now_ms;
    }
    return wait_ms > (int64_t)SETTLE_MS ? (uint64_t)wait_ms : SETTLE_MS;
}

static void watch_on(struct certificate_watch *w, struct certificate_look *l)
{
    if (!file_watch_set_is_whole(l->watched)) { /* there was no memory */
        loop_arm(w->loop, &w->poll, SETTLE_MS);
        return;
    }
    uint32_t missed = file_watch_set_missed(l->watched);
    file_watch_use(&w->files, l->watched);
    l->watched = NULL;
    loop_arm(w->loop, &w->poll, next_look_ms(w));
    if (missed && !w->has_said_missed)
        log_event(LOG_WARN, "certificates_not_watched",
                  "reason=\"inotify has no room; they are looked at once a minute\" remedy=\"raise "
                  "fs.inotify.max_user_watches and max_user_instances\"");
    w->has_said_missed = missed;
}

static void done(struct job *job)
{
    struct certificate_look *l = (struct certificate_look *)job;
    struct certificate_watch *w = l->owner;
    struct outcome o = { .watch = w };
    bool is_of_now = l->config == w->config;
    w->is_looking = false;
    if (w->is_stopped || !job_has_run(job)) {
        answer_asked(&w->looked_for, say_stopping, NULL);
    } else if (!is_of_now) {
        while (!list_is_empty(&w->looked_for)) list_push_front(&w->waiting, list_pop_front(&w->looked_for));
        w->is_due = true;
    } else {
        serve(w, l, &o);
        watch_on(w, l);
        answer_asked(&w->looked_for, l->was_short ? say_short : say_outcome, &o);
        if (o.counts.changed) say_all_ages(w);
    }
    certificate_look_free(l);
    if (w->is_due || !list_is_empty(&w->waiting)) look(w);
}

static void look(struct certificate_watch *w)
{
    w->is_due = w->is_looking;
    if (w->is_looking || w->is_stopped || w->needs_seats) return;
    struct certificate_look *l = certificate_look_new(w->config, &w->files, w->seats);
    if (l) {
        l->owner = w;
        l->job.done = done;
        l->reads_all = !list_is_empty(&w->waiting);
    }
    if (l && jobs_post(w->jobs, &l->job)) {
        w->is_looking = true;
        list_move(&w->looked_for, &w->waiting);
        return;
    }
    if (l) certificate_look_free(l);
    answer_asked(&w->waiting, say_stopping, NULL);
    loop_arm(w->loop, &w->poll, SETTLE_MS);
}

static void on_change(void *context)
{
    look(context);
}

static void take_seats(struct certificate_watch *w);

static void on_poll(struct timer *t)
{
    struct certificate_watch *w = container_of(t, struct certificate_watch, poll);
    if (w->needs_seats) take_seats(w);
    if (w->needs_plan) w->needs_plan = !acme_plan_use(w->acme, w->config);
    if (w->needs_seats || w->needs_plan)
        loop_arm(w->loop, &w->poll, SETTLE_MS);
    else
        look(w);
}

/* what others ask */

static bool ask(struct certifier *certifier, const struct certificates_ask *what)
{
    struct certificate_watch *w = (struct certificate_watch *)certifier;
    struct asked *a = w->is_stopped || !w->config ? NULL : calloc(1, sizeof(*a));
    if (!a) return false;
    a->ask = *what;
    list_push_back(&w->waiting, &a->link);
    loop_arm(w->loop, &w->poll, 0); /* the answer comes after this has returned */
    return true;
}

static void list_all(struct certifier *certifier, struct answer *out)
{
    const struct certificate_watch *w = (const struct certificate_watch *)certifier;
    certificate_list(w->seats, w->count, wall_s(w), out);
}

static void list_acme(struct certifier *certifier, struct answer *out)
{
    acme_list_print(((const struct certificate_watch *)certifier)->acme, out);
}

static double read_issued(void *context)
{
    return (double)acme_keeper_issued(((const struct certificate_watch *)context)->acme);
}

static double read_failed(void *context)
{
    return (double)acme_keeper_failed(((const struct certificate_watch *)context)->acme);
}

static double read_applied(void *context)
{
    return (double)((const struct certificate_watch *)context)->applied;
}

static double read_refused(void *context)
{
    return (double)((const struct certificate_watch *)context)->refused;
}

int certificate_watch_new(struct certificate_watch **out, struct loop *loop, struct jobs *jobs,
                          struct proxy *proxy, struct err *err)
{
    const char *help = "Certificates that were taken from their files while weir runs, or refused.";
    struct metric_label label = { "result", "applied" };
    struct certificate_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory at start");
    w->certifier = (struct certifier){ ask, list_all, list_acme };
    if (!(w->acme = acme_keeper_new(proxy->challenges))) {
        free(w);
        return err_set(err, "out of memory at start");
    }
    w->loop = loop;
    w->jobs = jobs;
    list_init(&w->waiting);
    list_init(&w->looked_for);
    timer_init(&w->poll, on_poll);
    timer_init(&w->words, on_words);
    file_watch_init(&w->files, loop, on_change, w);
    metric_counter_fn(proxy->metrics, "weir_tls_certificate_changes_total", help, &label, 1, read_applied, w);
    label.value = "refused";
    metric_counter_fn(proxy->metrics, "weir_tls_certificate_changes_total", help, &label, 1, read_refused, w);
    help = "Orders of certificates from a CA (ACME), by what became of them.";
    label.value = "issued";
    metric_counter_fn(proxy->metrics, "weir_acme_orders_total", help, &label, 1, read_issued, w);
    label.value = "failed";
    metric_counter_fn(proxy->metrics, "weir_acme_orders_total", help, &label, 1, read_failed, w);
    *out = w;
    return 0;
}

static void forget_seats(struct certificate_watch *w)
{
    for (uint32_t i = 0; i < w->count; i++) certificate_faults_free(w->seats[i].faults);
    free(w->seats);
    w->seats = NULL;
    w->count = 0;
}

static void take_seats(struct certificate_watch *w)
{
    const struct listener_conf *listeners = w->config->proxy.listeners.data;
    w->seats = calloc(certificate_look_count(w->config) + 1, sizeof(*w->seats));
    w->needs_seats = !w->seats;
    for (uint32_t i = 0; w->seats && i < w->config->proxy.listeners.count; i++) {
        if (!listeners[i].tls) continue;
        struct tls_store *store = tls_slot_get(listeners[i].tls->slot);
        w->seats[w->count++] = (struct certificate_seat){ .listener = &listeners[i],
                                                          .stamp = tls_store_stamp(store),
                                                          .again_s = tls_store_again(store) };
        tls_store_put(store);
    }
    if (w->count) file_watch_open(&w->files);
}

void certificate_watch_use(struct certificate_watch *w, const struct config *config)
{
    forget_seats(w);
    w->config = config;
    take_seats(w);
    loop_disarm(w->loop, &w->words);
    loop_disarm(w->loop, &w->poll);
    say_all_ages(w);
    w->needs_plan = !acme_plan_use(w->acme, config);
    if (w->needs_seats || w->needs_plan)
        loop_arm(w->loop, &w->poll, SETTLE_MS);
    else if (w->count || w->files.set)
        look(w);
}

struct certifier *certificate_watch_certifier(struct certificate_watch *w)
{
    return &w->certifier;
}

void certificate_watch_order_none(struct certificate_watch *w)
{
    acme_keeper_stop(w->acme);
}

void certificate_watch_stop(struct certificate_watch *w)
{
    if (!w || w->is_stopped) return;
    w->is_stopped = true;
    acme_keeper_stop(w->acme);
    loop_disarm(w->loop, &w->poll);
    loop_disarm(w->loop, &w->words);
    file_watch_stop(&w->files);
    answer_asked(&w->waiting, say_stopping, NULL);
}

bool certificate_watch_await_end(struct certificate_watch *w, uint32_t wait_ms)
{
    return !w || acme_keeper_await_end(w->acme, wait_ms);
}

void certificate_watch_free(struct certificate_watch *w)
{
    if (!w) return;
    file_watch_fini(&w->files);
    forget_seats(w);
    acme_keeper_free(w->acme);
    free(w);
}
