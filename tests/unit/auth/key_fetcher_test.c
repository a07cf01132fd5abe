/* Keys that are fetched while memory is short: what was there stays, why nothing came is said, and it is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <pthread.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/shortage.h"

#include "auth/key_fetcher.h"
#include "auth/key_store.h"
#include "tls/https.h"

#define URL "https://login.example/keys"
#define ALLOCATIONS_MAX 2000u

/* Who publishes them, in place of libcurl: the thread's allocation of that number fails from then on until it is done. */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t asked, done; /* requests */
    uint64_t at;
    bool has_failed;
    char keys[512];
} publisher = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

int https_new(struct https **out, struct err *err)
{
    (void)err;
    *out = (struct https *)&publisher;
    return 0;
}

int https_ask(struct https *h, const struct https_request *rq, struct https_response *out, struct err *err)
{
    (void)h, (void)rq, (void)err;
    pthread_mutex_lock(&publisher.lock);
    publisher.asked++;
    *out = (struct https_response){ .status = 200, .body = slice_of(publisher.keys) };
    shortage_begin(publisher.at);
    pthread_mutex_unlock(&publisher.lock);
    return 0;
}

void https_free(struct https *h)
{
    (void)h;
    pthread_mutex_lock(&publisher.lock);
    publisher.has_failed = shortage_end();
    publisher.done++;
    pthread_cond_broadcast(&publisher.changed);
    pthread_mutex_unlock(&publisher.lock);
}

void https_stop(struct https *h)
{
    (void)h;
}

static void on_change(void *context)
{
    (void)context;
}

/* Has a source asked once, with that allocation failing; whether it did. */
static bool fetch_once(struct key_source *s, uint64_t at)
{
    struct key_fetcher *f = key_fetcher_new(on_change, NULL);
    pthread_mutex_lock(&publisher.lock);
    publisher.at = at;
    uint32_t wanted = publisher.done + 1;
    pthread_mutex_unlock(&publisher.lock);
    pthread_mutex_lock(&key_store()->lock);
    s->next_ms = 0;
    pthread_mutex_unlock(&key_store()->lock);
    key_fetcher_use(f, &s, 1);
    pthread_mutex_lock(&publisher.lock);
    while (publisher.done < wanted) pthread_cond_wait(&publisher.changed, &publisher.lock);
    bool has_failed = publisher.has_failed;
    pthread_mutex_unlock(&publisher.lock);
    key_fetcher_free(f);
    return has_failed;
}

static void publish(unsigned number)
{
    snprintf(publisher.keys, sizeof(publisher.keys),
             "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k%u\",\"alg\":\"HS256\",\"k\":"
             "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}]}",
             number);
}

static void whatever_cannot_be_had_is_said_and_what_was_there_stays(void **state)
{
    (void)state;
    struct key_source *s = key_source_get(URL, NULL);
    publish(0);
    assert_false(fetch_once(s, 0));
    assert_string_equal(s->error, "");
    for (unsigned at = 1; at < ALLOCATIONS_MAX; at++) {
        uint64_t before = key_source_number(s);
        char kept[sizeof(publisher.keys)];
        snprintf(kept, sizeof(kept), "%.*s", (int)s->len, s->text);
        publish(at);
        bool has_failed = fetch_once(s, at);
        bool has_come = key_source_number(s) != before;
        assert_int_equal(*s->error == 0, has_come);
        assert_int_equal(s->failures == 0, has_come);
        assert_memory_equal(s->text, has_come ? publisher.keys : kept, s->len);
        if (has_failed) continue;
        assert_true(has_come && at > 1);
        key_source_put(s);
        return;
    }
    fail_msg("it never went well");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_cannot_be_had_is_said_and_what_was_there_stays),
    };
    shortage_spare_openssl();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
