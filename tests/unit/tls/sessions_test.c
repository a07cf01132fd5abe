#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdlib.h>

#include <cmocka.h>

#include "tls/sessions.h"

static struct budget budget = { .limit = 256 << 20 };
static struct loop loop;
static struct tls_sessions sessions;

static int set_up(void **state)
{
    (void)state;
    struct err err;
    budget.limit = 256 << 20;
    assert_int_equal(loop_init(&loop, &budget, &err), 0);
    tls_sessions_init(&sessions, &loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_sessions_fini(&sessions);
    loop_fini(&loop);
    assert_int_equal(budget.used, 0);
    return 0;
}

/* One that OpenSSL finds fit to be resumed: it has an id. */
static SSL_SESSION *make(int version)
{
    SSL_SESSION *s = SSL_SESSION_new();
    unsigned char id[32] = { 1 };
    assert_int_equal(SSL_SESSION_set1_id(s, id, sizeof(id)), 1);
    assert_int_equal(SSL_SESSION_set_protocol_version(s, version), 1);
    return s;
}

static SSL_SESSION *keep(uint64_t key, int version)
{
    SSL_SESSION *s = make(version);
    assert_true(tls_sessions_keep(&sessions, &(struct tls_session_key){ key, key }, s));
    return s;
}

static SSL_SESSION *take(uint64_t key)
{
    return tls_sessions_take(&sessions, &(struct tls_session_key){ key, key });
}

static void one_of_tls_1_3_is_given_once_the_latest_first(void **state)
{
    (void)state;
    SSL_SESSION *kept[TLS_SESSIONS_EACH + 2];
    for (unsigned i = 0; i < TLS_SESSIONS_EACH + 2; i++) kept[i] = keep(1, TLS1_3_VERSION);
    assert_int_equal(sessions.count, TLS_SESSIONS_EACH);
    for (unsigned i = 0; i < TLS_SESSIONS_EACH; i++) {
        SSL_SESSION *s = take(1);
        assert_ptr_equal(s, kept[TLS_SESSIONS_EACH + 1 - i]);
        SSL_SESSION_free(s);
    }
    assert_null(take(1));
    assert_int_equal(sessions.entries.live, 0);
}

static void one_of_tls_1_2_serves_until_another_comes(void **state)
{
    (void)state;
    SSL_SESSION *first = keep(1, TLS1_2_VERSION);
    for (unsigned i = 0; i < 3; i++) {
        SSL_SESSION *s = take(1);
        assert_ptr_equal(s, first);
        SSL_SESSION_free(s);
    }
    SSL_SESSION *second = keep(1, TLS1_2_VERSION), *s = take(1);
    assert_ptr_equal(s, second);
    SSL_SESSION_free(s);
    assert_int_equal(sessions.count, 1);
}

static void nobody_gets_anothers(void **state)
{
    (void)state;
    keep(1, TLS1_2_VERSION);
    assert_null(take(1 + TLS_SESSION_BUCKETS)); /* of the same bucket */
    assert_null(tls_sessions_take(&sessions, &(struct tls_session_key){ 1, 2 }));
    tls_sessions_forget(&sessions, &(struct tls_session_key){ 1, 1 });
    assert_null(take(1));
}

static void those_go_first_that_were_asked_for_longest_ago(void **state)
{
    (void)state;
    for (uint64_t key = 1; key <= TLS_SESSIONS_MAX; key++) keep(key, TLS1_2_VERSION);
    SSL_SESSION_free(take(1));
    keep(TLS_SESSIONS_MAX + 1, TLS1_2_VERSION);
    assert_int_equal(sessions.count, TLS_SESSIONS_MAX);
    assert_null(take(2));
    SSL_SESSION *s = take(1);
    assert_non_null(s);
    SSL_SESSION_free(s);
}

static void one_that_is_too_old_is_not_given(void **state)
{
    (void)state;
    keep(1, TLS1_2_VERSION);
    loop.wall_offset_ns += (TLS_SESSION_LIFE_S - 1) * (uint64_t)NS_PER_S;
    SSL_SESSION *s = take(1);
    assert_non_null(s);
    SSL_SESSION_free(s);
    loop.wall_offset_ns += 2 * (uint64_t)NS_PER_S;
    assert_null(take(1));
    assert_int_equal(sessions.count, 0);
}

static void none_is_kept_where_memory_is_out(void **state)
{
    (void)state;
    SSL_SESSION *s = make(TLS1_2_VERSION);
    budget.limit = budget.used;
    assert_false(tls_sessions_keep(&sessions, &(struct tls_session_key){ 1, 1 }, s));
    SSL_SESSION_free(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_of_tls_1_3_is_given_once_the_latest_first),
        TEST(one_of_tls_1_2_serves_until_another_comes),
        TEST(nobody_gets_anothers),
        TEST(those_go_first_that_were_asked_for_longest_ago),
        TEST(one_that_is_too_old_is_not_given),
        TEST(none_is_kept_where_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
