#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/key_schedule.h"
#include "auth/key_store.h"
#include "base/bug.h"

static struct key_store store = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void open_store(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&store.sources);
}

struct key_store *key_store(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_store);
    return &store;
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct key_source *make(const char *url, const char *ca)
{
    struct key_source *s = calloc(1, sizeof(*s));
    if (!s || !(s->url = strdup(url)) || (ca && !(s->ca = strdup(ca)))) {
        if (s) free(s->url);
        free(s);
        return NULL;
    }
    list_push_back(&store.sources, &s->link);
    return s;
}

struct key_source *key_source_get(const char *url, const char *ca)
{
    struct key_store *all = key_store();
    struct key_source *found = NULL;
    pthread_mutex_lock(&all->lock);
    for (struct list *at = all->sources.next; at != &all->sources && !found; at = at->next) {
        struct key_source *s = container_of(at, struct key_source, link);
        if (strcmp(s->url, url) == 0 && is_same(s->ca, ca)) found = s;
    }
    if (!found) found = make(url, ca);
    if (found) found->references++;
    pthread_mutex_unlock(&all->lock);
    return found;
}

void key_store_put(struct key_source *s)
{
    if (bug_if(ROUTE, !s->references)) return;
    if (--s->references) return;
    list_remove(&s->link);
    if (s->text) explicit_bzero(s->text, s->len); /* HMAC's keys are secrets */
    free(s->text);
    free(s->url);
    free(s->ca);
    free(s);
}

static uint64_t due_ms(const struct key_source *s)
{
    return s->missed_ms && s->missed_ms < s->next_ms ? s->missed_ms : s->next_ms;
}

struct key_source *key_store_due(uint64_t now_ms, uint64_t *until_ms)
{
    struct key_source *first = NULL;
    *until_ms = UINT64_MAX;
    for (struct list *at = store.sources.next; at != &store.sources; at = at->next) {
        struct key_source *s = container_of(at, struct key_source, link);
        if (!s->is_used || due_ms(s) >= *until_ms) continue;
        first = s;
        *until_ms = due_ms(s);
    }
    return *until_ms <= now_ms ? first : NULL;
}

void key_source_put(struct key_source *s)
{
    if (!s) return;
    pthread_mutex_lock(&store.lock);
    key_store_put(s);
    pthread_mutex_unlock(&store.lock);
}

uint64_t key_source_number(const struct key_source *s)
{
    return atomic_load_explicit(&s->number, memory_order_acquire);
}

struct jwk_set *key_source_read(struct key_source *s, struct err *err)
{
    pthread_mutex_lock(&store.lock);
    size_t len = s->len;
    char *text = s->text ? malloc(len + 1) : NULL;
    if (text) memcpy(text, s->text, len);
    pthread_mutex_unlock(&store.lock);
    if (!text) {
        err_set(err, "%.300s has not been fetched yet", s->url);
        return NULL;
    }
    struct jwk_set *keys = jwk_set_parse(s->url, (struct slice){ text, len }, err);
    explicit_bzero(text, len);
    free(text);
    return keys;
}

void key_source_miss(struct key_source *s, uint64_t now_ms)
{
    uint64_t from_ms = atomic_load_explicit(&s->may_miss_ms, memory_order_relaxed);
    if (now_ms < from_ms || !atomic_compare_exchange_strong(&s->may_miss_ms, &from_ms, now_ms + KEY_MISS_MS))
        return;
    pthread_mutex_lock(&store.lock);
    s->missed_ms = now_ms;
    pthread_cond_broadcast(&store.changed);
    pthread_mutex_unlock(&store.lock);
}

void key_sources_each(uint64_t now_ms, void (*each)(void *context, const struct key_source_state *s),
                      void *context)
{
    struct key_store *all = key_store();
    pthread_mutex_lock(&all->lock);
    for (struct list *at = all->sources.next; at != &all->sources; at = at->next) {
        const struct key_source *s = container_of(at, struct key_source, link);
        if (!s->is_used) continue;
        const struct key_source_state state = { .url = s->url,
                                                .keys = s->keys,
                                                .failures = s->failures,
                                                .has_come = s->text,
                                                .is_fetching = s->is_fetching,
                                                .age_ms = now_ms > s->come_ms ? now_ms - s->come_ms : 0,
                                                .next_ms = s->next_ms > now_ms ? s->next_ms - now_ms : 0,
                                                .error = s->error };
        each(context, &state);
    }
    pthread_mutex_unlock(&all->lock);
}
