#include "auth/key_fetcher.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/key_schedule.h"
#include "auth/key_store.h"
#include "base/clock.h"
#include "base/join.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/signal_stack.h"
#include "tls/https.h"

#define CONNECT_MS 5000u
#define ANSWER_MS 10000u

struct key_fetcher {
    void (*on_change)(void *context);
    void *context;
    pthread_t thread;
    bool has_thread;
    bool is_stopped;     /* with the store's lock */
    struct https *https; /* likewise: under way */
    _Atomic uint64_t fetched, failed;
};

static uint64_t now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

/* asking */

static int check_answer(const struct https_response *r, struct err *err)
{
    if (r->status >= 300 && r->status < 400)
        return err_set(err, "it leads elsewhere (%d), where nobody follows%s%.200s", r->status,
                       r->fields[1] ? "; write the address itself: " : "", r->fields[1] ? r->fields[1] : "");
    return r->status == 200 ? 0 : err_set(err, "it answers with %d", r->status);
}

/* How many keys there are; -1 with the sentence. What has none is no answer: nobody could pass with it. */
static int ask(struct https *h, const struct key_source *s, struct https_response *r, struct err *err)
{
    const struct https_request rq = { .method = HTTPS_GET,
                                      .url = s->url,
                                      .ca = s->ca,
                                      .accept = "application/jwk-set+json, application/json, */*;q=0.1",
                                      .wanted = { "Cache-Control", "Location" },
                                      .answer_max = KEY_TEXT_MAX,
                                      .connect_ms = CONNECT_MS,
                                      .answer_ms = ANSWER_MS };
    if (https_ask(h, &rq, r, err) < 0 || check_answer(r, err) < 0) return -1;
    struct jwk_set *keys = jwk_set_parse("what it answers with", r->body, err);
    if (!keys) return -1;
    int count = (int)jwk_set_count(keys);
    jwk_set_free(keys);
    return count;
}

/* what came */

/* With the lock held. *is_new: it is something else than before. -1: there is no memory for that, and what was there stays. */
static int take(struct key_source *s, const struct https_response *r, uint32_t keys, bool *is_new,
                struct err *err)
{
    bool is_other = !s->text || !slice_equal((struct slice){ s->text, s->len }, r->body);
    char *text = is_other ? malloc(r->body.len + 1) : NULL;
    if (is_other && !text) return err_set(err, "there is no memory for what it answers with");
    *is_new = is_other;
    s->keys = keys;
    s->failures = 0;
    *s->error = 0;
    s->come_ms = now_ms();
    s->next_ms = s->come_ms + key_fresh_ms(r->fields[0] ? slice_of(r->fields[0]) : SLICE_NONE);
    if (!is_other) return 0;
    if (r->body.len) memcpy(text, r->body.data, r->body.len);
    if (s->text) explicit_bzero(s->text, s->len);
    free(s->text);
    s->text = text;
    s->len = r->body.len;
    atomic_fetch_add_explicit(&s->number, 1, memory_order_release);
    return 0;
}

/* Likewise. What was there stays, however old. */
static void fail(struct key_source *s, const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    s->failures++;
    s->next_ms = now_ms() + key_retry_ms(s->failures);
    snprintf(s->error, sizeof(s->error), "%s", err->text);
    printable_mask(s->error);
    log_event(LOG_WARN, "keys_not_fetched", "url=%s error=%s failures=%" PRIu32 " kept=%" PRIu32, s->url,
              log_quote(s->error, quoted, sizeof(quoted)), s->failures, s->keys);
}

static void fetch(struct key_fetcher *f, struct key_source *s)
{
    struct err err;
    struct https *h = NULL;
    struct https_response r = { 0 };
    int keys = https_new(&h, &err);
    pthread_mutex_lock(&key_store()->lock);
    f->https = h;
    bool is_stopped = f->is_stopped;
    pthread_mutex_unlock(&key_store()->lock);
    if (keys == 0 && !is_stopped) keys = ask(h, s, &r, &err);
    pthread_mutex_lock(&key_store()->lock);
    f->https = NULL;
    is_stopped = f->is_stopped;
    bool is_new = false;
    if (!is_stopped && keys >= 0 && take(s, &r, (uint32_t)keys, &is_new, &err) < 0) keys = -1;
    if (!is_stopped && keys < 0) fail(s, &err);
    pthread_mutex_unlock(&key_store()->lock);
    if (!is_stopped) atomic_fetch_add(keys < 0 ? &f->failed : &f->fetched, 1);
    if (is_new) f->on_change(f->context);
    https_free(h);
}

/* the thread */

static void wait_until(struct key_store *all, uint64_t until_ms)
{
    const struct timespec at = { .tv_sec = (time_t)(until_ms / 1000),
                                 .tv_nsec = (long)(until_ms % 1000) * (long)NS_PER_MS };
    if (until_ms == UINT64_MAX)
        pthread_cond_wait(&all->changed, &all->lock);
    else
        pthread_cond_timedwait(&all->changed, &all->lock, &at);
}

static void *run(void *argument)
{
    struct key_fetcher *f = argument;
    struct key_store *all = key_store();
    signal_stack_open();
    pthread_mutex_lock(&all->lock);
    while (!f->is_stopped) {
        uint64_t until_ms;
        struct key_source *s = key_store_due(now_ms(), &until_ms);
        if (!s) {
            wait_until(all, until_ms);
            continue;
        }
        s->references++;
        s->missed_ms = 0;
        s->is_fetching = true;
        pthread_mutex_unlock(&all->lock);
        fetch(f, s);
        pthread_mutex_lock(&all->lock);
        s->is_fetching = false;
        key_store_put(s);
    }
    pthread_mutex_unlock(&all->lock);
    signal_stack_close();
    return NULL;
}

static void start(struct key_fetcher *f)
{
    sigset_t before;
    if (f->has_thread) return;
    signal_block_all_but_faults(&before);
    f->has_thread = pthread_create(&f->thread, NULL, run, f) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (f->has_thread)
        pthread_setname_np(f->thread, "weir-keys");
    else
        log_event(LOG_ERROR, "keys_not_fetched", "reason=\"there is no thread to be had\"");
}

/* for others */

struct key_fetcher *key_fetcher_new(void (*on_change)(void *context), void *context)
{
    struct key_fetcher *f = calloc(1, sizeof(*f));
    if (!f) return NULL;
    f->on_change = on_change;
    f->context = context;
    return f;
}

void key_fetcher_use(struct key_fetcher *f, struct key_source *const *sources, uint32_t count)
{
    struct key_store *all = key_store();
    pthread_mutex_lock(&all->lock);
    for (struct list *at = all->sources.next; at != &all->sources; at = at->next)
        container_of(at, struct key_source, link)->is_used = false;
    for (uint32_t i = 0; i < count; i++) sources[i]->is_used = true;
    pthread_cond_broadcast(&all->changed);
    bool is_stopped = f->is_stopped;
    pthread_mutex_unlock(&all->lock);
    if (count && !is_stopped) start(f);
}

void key_fetcher_stop(struct key_fetcher *f)
{
    struct key_store *all = key_store();
    if (!f) return;
    pthread_mutex_lock(&all->lock);
    f->is_stopped = true;
    if (f->https) https_stop(f->https);
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

bool key_fetcher_await_end(struct key_fetcher *f, uint32_t wait_ms)
{
    if (!f) return true;
    if (f->has_thread) f->has_thread = !join_within(f->thread, wait_ms);
    return !f->has_thread;
}

void key_fetcher_free(struct key_fetcher *f)
{
    key_fetcher_stop(f);
    if (f && f->has_thread) pthread_join(f->thread, NULL);
    free(f);
}

uint64_t key_fetcher_fetched(const struct key_fetcher *f)
{
    return atomic_load(&f->fetched);
}

uint64_t key_fetcher_failed(const struct key_fetcher *f)
{
    return atomic_load(&f->failed);
}
