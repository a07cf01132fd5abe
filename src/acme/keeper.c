#include "acme/keeper.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acme/attempt.h"
#include "acme/fetch.h"
#include "acme/wanted.h"
#include "base/clock.h"
#include "base/join.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/rng.h"
#include "base/signal_stack.h"
#include "conf/arena.h"
#include "tls/certificate.h"

/* The folder is looked at so often: for proofs that other nodes are to be found showing. */
#define LOOK_MS 1000u
/* And for what they have had issued. */
#define REREAD_S 60
/* While another has an order going on. */
#define ELSEWHERE_S 5
/* A folder that cannot be used, or a lock that cannot be had of it. */
#define UNUSABLE_S 60
/* That there are too many to be ordered is said so often. */
#define CROWDED_SAID_S 3600

struct entry {
    const struct tls_certificate_conf *conf;
    const char *name, *kind;
    uint64_t wanted; /* acme/wanted.h */
    bool is_changed; /* nobody has ordered it since this process wants it */
    enum acme_state state;
    int64_t until_s, next_s, read_s; /* read_s: when the files were looked at */
    struct acme_attempts attempts;
    char error[ACME_ERROR_ROOM];
};

struct work {
    struct acme_plan plan;
    char *folder;
    struct entry *entries;
};

struct acme_keeper {
    struct tls_challenges *challenges;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    struct work *work, *next; /* in hand; that is to come in its place */
    bool has_next, is_stopped;
    struct acme_fetcher *fetcher; /* while an order goes on */
    /* The thread's own. */
    struct acme_folder *folder;
    char folder_error[ERR_TEXT_MAX]; /* as it was said last */
    int64_t folder_next_s;
    int64_t opens_s,
        crowded_said_s; /* no order begins before, as there were too many; and when that was said */
    struct rng rng;
    _Atomic uint64_t issued, failed;
};

const char *acme_state_name(enum acme_state s)
{
    static const char *const names[] = { "waiting", "ordering", "elsewhere" };
    return names[s];
}

static int64_t wall_s(void)
{
    return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/* plans */

static void work_free(struct work *w)
{
    if (!w) return;
    conf_arena_free(w->plan.arena);
    free(w->entries);
    free(w->folder);
    free(w);
}

/* NULL: there is no memory. */
static struct work *work_new(const struct acme_plan *plan)
{
    struct work *w = calloc(1, sizeof(*w));
    if (w) w->entries = calloc(plan->count + 1, sizeof(*w->entries));
    if (!w || !w->entries || !(w->folder = strdup(plan->folder))) {
        work_free(w);
        return NULL;
    }
    w->plan = *plan;
    w->plan.certificates = NULL;
    w->plan.folder = w->folder;
    conf_arena_get(plan->arena);
    for (uint32_t i = 0; i < plan->count; i++) {
        struct entry *e = &w->entries[i];
        e->conf = plan->certificates[i];
        e->name = *(const char *const *)e->conf->acme.data;
        e->kind = acme_key_kind_name(plan->conf->key);
        e->wanted = acme_wanted(plan->conf, &e->conf->acme);
        e->is_changed = true;
    }
    return w;
}

/* What it wanted before as it does now was seen to already. Most are where they were. */
static void inherit(struct work *w, const struct work *before)
{
    uint32_t count = before ? before->plan.count : 0;
    for (uint32_t i = 0; i < w->plan.count; i++) {
        struct entry *e = &w->entries[i];
        for (uint32_t n = 0; n < count; n++) {
            const struct entry *old = &before->entries[(i + n) % count];
            if (strcmp(old->conf->file, e->conf->file) != 0) continue;
            if (old->wanted == e->wanted) e->is_changed = old->is_changed;
            break;
        }
    }
}

/* waiting */

/* False: weir stops. Lets go of the lock meanwhile, which is held. */
static bool wait_locked(struct acme_keeper *k, uint64_t until_ms, bool until_plan)
{
    const struct timespec at = { .tv_sec = (time_t)(until_ms / 1000),
                                 .tv_nsec = (long)(until_ms % 1000) * (long)NS_PER_MS };
    while (!k->is_stopped && !(until_plan && k->has_next) && clock_now_ns() / NS_PER_MS < until_ms)
        pthread_cond_timedwait(&k->changed, &k->lock, &at);
    return !k->is_stopped;
}

static bool wait_for_order(void *context, uint64_t until_ms)
{
    struct acme_keeper *k = context;
    pthread_mutex_lock(&k->lock);
    bool goes_on = wait_locked(k, until_ms, false);
    pthread_mutex_unlock(&k->lock);
    return goes_on;
}

/* proofs */

static bool use_shown(void *context, const struct tls_challenge *all, uint32_t count)
{
    return tls_challenges_set(((struct acme_keeper *)context)->challenges, all, count);
}

static int refresh(void *context, struct err *err)
{
    struct acme_keeper *k = context;
    return acme_folder_each_shown(k->folder, use_shown, k, err) < 0 ? -1 : 0;
}

/* one certificate */

static uint64_t own_number(const struct tls_certificate *c)
{
    return strtoull(c->serial + (strlen(c->serial) > 15 ? strlen(c->serial) - 15 : 0), NULL, 16);
}

/* What there is of it, and when something is to be done about it. */
static void look(struct acme_keeper *k, struct entry *e)
{
    struct file_stamp stamps[TLS_CERTIFICATE_FILES];
    struct tls_certificate *c = NULL;
    struct acme_attempts attempts;
    char error[ACME_ERROR_ROOM];
    struct err err;
    int64_t until_s = 0, due_s = 0;
    if (tls_certificate_read(&c, e->conf->file, e->conf->file, stamps, &err) == 0) {
        until_s = c->not_after;
        if (acme_has_names(c, &e->conf->acme))
            due_s = acme_renewal_at(c->not_before, c->not_after, own_number(c));
        tls_certificate_put(c);
    }
    acme_folder_read_attempts(k->folder, e->name, e->kind, &attempts, error);
    pthread_mutex_lock(&k->lock);
    if (attempts.asked == e->wanted) e->is_changed = false;
    e->read_s = wall_s();
    e->until_s = until_s;
    e->attempts = attempts;
    e->state = ACME_STATE_WAITING;
    e->next_s = acme_next_at(&attempts, e->wanted, e->is_changed, due_s, e->read_s);
    memcpy(e->error, error, sizeof(error));
    pthread_mutex_unlock(&k->lock);
}

/* words: "" if there is nothing to be said; NULL: it stays as it is. */
static void set_state(struct acme_keeper *k, struct entry *e, enum acme_state state, int64_t next_s,
                      const char *words)
{
    pthread_mutex_lock(&k->lock);
    e->state = state;
    if (next_s) e->next_s = next_s;
    if (words) snprintf(e->error, sizeof(e->error), "%s", words);
    pthread_mutex_unlock(&k->lock);
}

static const char *print_time(int64_t seconds, char out[32])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &tm));
    return out;
}

static void say_failure(const struct entry *e)
{
    char quoted[ACME_ERROR_ROOM + 64], next[32];
    log_event(LOG_WARN, "acme_failed", "name=%s names=%u error=%s failures=%" PRIu32 " next=%s", e->name,
              e->conf->acme.count, log_quote(e->error, quoted, sizeof(quoted)), e->attempts.failures,
              print_time(e->next_s, next));
}

/* There were too many of late: CAs limit what an account may ask for. Said once, not of each that waits. */
static bool is_crowded(struct acme_keeper *k, struct entry *e)
{
    int64_t now_s = wall_s();
    struct acme_pace pace;
    char words[80], next[32];
    if (k->opens_s <= now_s || k->opens_s > now_s + CROWDED_SAID_S) {
        acme_folder_read_pace(k->folder, &pace);
        k->opens_s = acme_pace_opens_at(&pace, now_s);
    }
    if (!k->opens_s) return false;
    snprintf(words, sizeof(words), "%u orders were made within an hour", ACME_ORDERS_AN_HOUR);
    set_state(k, e, ACME_STATE_WAITING, k->opens_s, words);
    bool is_said = now_s >= k->crowded_said_s && now_s - k->crowded_said_s < CROWDED_SAID_S;
    if (is_said) return true;
    k->crowded_said_s = now_s;
    log_event(LOG_WARN, "acme_not_ordered", "name=%s error=\"%s\" next=%s", e->name, words,
              print_time(k->opens_s, next));
    return true;
}

/* It is noted as one that has failed before it begins: whoever dies within it has waited all the same. -1: it must not begin. */
static int note_beginning(struct acme_keeper *k, struct entry *e, struct acme_attempts *before,
                          struct err *err)
{
    int64_t now_s = wall_s(), first_s = (int64_t)(k->work->plan.conf->retry_ms / 1000);
    struct acme_pace pace;
    acme_folder_read_pace(k->folder, &pace);
    acme_pace_note(&pace, now_s);
    *before = e->attempts;
    struct acme_attempts begun = e->attempts;
    if (e->is_changed && begun.asked) begun.failures = 0; /* those were of another configuration */
    acme_attempt_begins(&begun, e->wanted, now_s, first_s, rng_next(&k->rng));
    if (acme_folder_keep_pace(k->folder, &pace, err) < 0) return -1;
    return acme_folder_keep_attempts(k->folder, e->name, e->kind, &begun, "it was broken off", err);
}

static void say_contested(const struct entry *e, struct acme_attempts *a, struct err *words)
{
    char next[32];
    acme_attempt_contested(a);
    (void)err_set(words, "who shares the folder had it issued with other names: give both the same list");
    log_event(LOG_WARN, "acme_contested", "name=%s error=\"%s\" next=%s", e->name, words->text,
              print_time(a->next_s, next));
}

static void note_end(struct acme_keeper *k, struct entry *e, const struct acme_attempt *a, int result,
                     const struct acme_attempts *before)
{
    int64_t now_s = wall_s(), first_s = (int64_t)(k->work->plan.conf->retry_ms / 1000);
    struct err err, said = a->err;
    bool is_contested = acme_is_contested(before, e->wanted, e->is_changed);
    look(k, e); /* as noted before */
    struct acme_attempts attempts = e->attempts;
    pthread_mutex_lock(&k->lock);
    bool is_stopped = k->is_stopped;
    pthread_mutex_unlock(&k->lock);
    if (result == 0 && is_contested)
        say_contested(e, &attempts, &said);
    else if (result == 0)
        acme_attempt_succeeded(&attempts, now_s, first_s);
    else if (is_stopped && !a->is_made)
        attempts = *before;
    else if (a->is_uncounted && !is_stopped)
        acme_attempt_uncounted(&attempts, now_s, first_s, a->retry_after_s);
    else
        acme_attempt_failed(&attempts, now_s, a->retry_after_s);
    printable_mask(said.text);
    if (acme_folder_keep_attempts(k->folder, e->name, e->kind, &attempts,
                                  result == 0 && !is_contested ? "" : said.text, &err) < 0)
        log_event(LOG_WARN, "acme_state_not_kept", "error=\"%s\"", err.text);
    look(k, e);
}

static void run_order(struct acme_keeper *k, struct entry *e)
{
    const struct acme_conf *conf = k->work->plan.conf;
    struct acme_attempts before;
    struct acme_attempt a = { .folder = k->folder,
                              .conf = conf,
                              .certificate = e->conf,
                              .wait = wait_for_order,
                              .refresh = refresh,
                              .context = k,
                              .is_uncounted = true };
    if (is_crowded(k, e)) return;
    if (note_beginning(k, e, &before, &a.err) < 0) {
        char quoted[ERR_TEXT_MAX + 64];
        log_event(LOG_WARN, "acme_not_ordered", "name=%s error=%s", e->name,
                  log_quote(a.err.text, quoted, sizeof(quoted)));
        set_state(k, e, ACME_STATE_WAITING, wall_s() + UNUSABLE_S, a.err.text);
        return;
    }
    set_state(k, e, ACME_STATE_ORDERING, 0, NULL);
    log_event(LOG_INFO, "acme_ordering", "name=%s names=%u challenge=%s directory=%s", e->name,
              e->conf->acme.count, acme_challenge_name((enum acme_challenge)conf->challenge),
              conf->directory);
    int result = acme_fetcher_new(&a.fetcher, conf->ca, &a.err);
    pthread_mutex_lock(&k->lock);
    k->fetcher = a.fetcher;
    if (a.fetcher && k->is_stopped) acme_fetcher_stop(a.fetcher);
    pthread_mutex_unlock(&k->lock);
    if (result == 0) result = acme_attempt_run(&a);
    pthread_mutex_lock(&k->lock);
    k->fetcher = NULL;
    pthread_mutex_unlock(&k->lock);
    acme_fetcher_free(a.fetcher);
    note_end(k, e, &a, result, &before);
    atomic_fetch_add(result == 0 ? &k->issued : &k->failed, 1);
    char until[32], next[32];
    if (result == 0)
        log_event(LOG_INFO, "acme_issued", "name=%s names=%u until=%s next=%s", e->name, e->conf->acme.count,
                  print_time(e->until_s, until), print_time(e->next_s, next));
    else
        say_failure(e);
}

/* Said once, as long as it is the same. */
static void say_unusable(struct acme_keeper *k, const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    if (strcmp(err->text, k->folder_error) != 0)
        log_event(LOG_ERROR, "acme_folder_unusable", "error=%s",
                  log_quote(err->text, quoted, sizeof(quoted)));
    snprintf(k->folder_error, sizeof(k->folder_error), "%s", err->text);
}

static void see_to(struct acme_keeper *k, struct entry *e)
{
    char holder[ACME_HOLDER_ROOM], words[ACME_HOLDER_ROOM + 64];
    int64_t now_s = wall_s();
    struct err err;
    if (!e->read_s || now_s - e->read_s >= REREAD_S || now_s < e->read_s) look(k, e);
    if (e->next_s > now_s || (k->opens_s > now_s && is_crowded(k, e))) return;
    switch (acme_folder_lock(k->folder, holder, &err)) {
    case ACME_LOCK_OTHERS:
        snprintf(words, sizeof(words), "another order goes on: the folder is %s",
                 *holder ? holder : "locked");
        printable_mask(words);
        set_state(k, e, ACME_STATE_ELSEWHERE, now_s + ELSEWHERE_S, words);
        return;
    case ACME_LOCK_NONE:
        say_unusable(k, &err);
        set_state(k, e, ACME_STATE_WAITING, now_s + UNUSABLE_S, err.text);
        return;
    case ACME_LOCK_OWN: break;
    }
    *k->folder_error = 0;
    look(k, e); /* whoever had the lock may have done it */
    if (e->next_s <= now_s) run_order(k, e);
    acme_folder_unlock(k->folder);
}

/* the thread */

static bool open_folder(struct acme_keeper *k)
{
    struct err err;
    if (k->folder) return true;
    if (wall_s() < k->folder_next_s) return false;
    if (acme_folder_open(&k->folder, k->work->plan.folder, &err) == 0) {
        *k->folder_error = 0;
        return true;
    }
    say_unusable(k, &err);
    k->folder_next_s = wall_s() + UNUSABLE_S;
    return false;
}

static void turn(struct acme_keeper *k)
{
    struct err err;
    if (!open_folder(k)) return;
    if (refresh(k, &err) < 0) say_unusable(k, &err);
    for (uint32_t i = 0; i < k->work->plan.count; i++) {
        pthread_mutex_lock(&k->lock);
        bool goes_on = !k->is_stopped && !k->has_next;
        pthread_mutex_unlock(&k->lock);
        if (!goes_on) return;
        see_to(k, &k->work->entries[i]);
    }
}

/* With the lock held. */
static void take_plan(struct acme_keeper *k)
{
    if (!k->has_next) return;
    if (k->next) inherit(k->next, k->work);
    work_free(k->work);
    k->work = k->next;
    k->next = NULL;
    k->has_next = false;
    acme_folder_close(k->folder);
    k->folder = NULL;
    k->folder_next_s = k->opens_s = 0;
    bool is_set = tls_challenges_set(k->challenges, NULL,
                                     0); /* what there is to be shown is looked at anew */
    (void)is_set;
}

static void *run(void *argument)
{
    struct acme_keeper *k = argument;
    signal_stack_open();
    pthread_mutex_lock(&k->lock);
    while (!k->is_stopped) {
        take_plan(k);
        if (!k->work) {
            pthread_cond_wait(&k->changed, &k->lock);
            continue;
        }
        pthread_mutex_unlock(&k->lock);
        turn(k);
        pthread_mutex_lock(&k->lock);
        wait_locked(k, clock_now_ns() / NS_PER_MS + LOOK_MS, true);
    }
    pthread_mutex_unlock(&k->lock);
    signal_stack_close();
    return NULL;
}

static void start(struct acme_keeper *k)
{
    sigset_t before;
    if (k->has_thread) return;
    signal_block_all_but_faults(&before);
    k->has_thread = pthread_create(&k->thread, NULL, run, k) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (k->has_thread)
        pthread_setname_np(k->thread, "weir-acme");
    else
        log_event(LOG_ERROR, "acme_not_started", "reason=\"there is no thread to be had\"");
}

/* for others */

struct acme_keeper *acme_keeper_new(struct tls_challenges *challenges)
{
    struct acme_keeper *k = calloc(1, sizeof(*k));
    pthread_condattr_t monotonic;
    if (!k) return NULL;
    k->challenges = challenges;
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    rng_seed_random(&k->rng);
    return k;
}

bool acme_keeper_use(struct acme_keeper *k, const struct acme_plan *plan)
{
    bool has_work = plan && plan->count;
    struct work *w = has_work ? work_new(plan) : NULL;
    if (has_work && !w) return false;
    pthread_mutex_lock(&k->lock);
    work_free(k->next);
    k->next = w;
    k->has_next = true;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    if (w && !k->is_stopped) start(k);
    return true;
}

void acme_keeper_stop(struct acme_keeper *k)
{
    if (!k) return;
    pthread_mutex_lock(&k->lock);
    k->is_stopped = true;
    if (k->fetcher) acme_fetcher_stop(k->fetcher);
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

bool acme_keeper_await_end(struct acme_keeper *k, uint32_t wait_ms)
{
    if (!k) return true;
    if (k->has_thread) k->has_thread = !join_within(k->thread, wait_ms);
    return !k->has_thread;
}

void acme_keeper_free(struct acme_keeper *k)
{
    if (!k) return;
    acme_keeper_stop(k);
    if (k->has_thread) pthread_join(k->thread, NULL);
    acme_folder_close(k->folder);
    work_free(k->work);
    work_free(k->next);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void acme_keeper_each(struct acme_keeper *k, void (*each)(void *context, const struct acme_status *s),
                      void *context)
{
    pthread_mutex_lock(&k->lock);
    const struct work *w = k->has_next ? k->next : k->work;
    for (uint32_t i = 0; w && i < w->plan.count; i++) {
        const struct entry *e = &w->entries[i];
        const struct acme_status s = { .conf = e->conf,
                                       .state = e->state,
                                       .until_s = e->until_s,
                                       .next_s = e->next_s,
                                       .failures = e->attempts.failures,
                                       .error = e->error };
        each(context, &s);
    }
    pthread_mutex_unlock(&k->lock);
}

uint64_t acme_keeper_issued(const struct acme_keeper *k)
{
    return atomic_load(&k->issued);
}

uint64_t acme_keeper_failed(const struct acme_keeper *k)
{
    return atomic_load(&k->failed);
}
