#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "paper_ca.h"

#include "acme/keeper.h"
#include "acme/request.h"
#include "acme/wanted.h"
#include "base/base64.h"
#include "conf/arena.h"

#define START_S INT64_C(1800000000)
#define RETRY_S 300
#define DAY_S 86400
#define FAR_MS 20000u
#define DIRECTORY "https://ca.example/dir"
#define STAGING "https://staging.ca.example/dir"

/* The clock, in place of the C library's: it stands still but where the keeper waits, and passes over each wait at once, until
 * the test's limit. Where that is far, the keeper oversleeps: a day of seconds would take minutes. */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t limit_ms;
    bool is_waiting, is_over;
} passing = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
static _Atomic uint64_t now_ms;

int clock_gettime(clockid_t id, struct timespec *out)
{
    uint64_t at_ms = atomic_load(&now_ms);
    *out = (struct timespec){ .tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000 };
    if (id == CLOCK_REALTIME) out->tv_sec += START_S;
    return 0;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    (void)cond;
    uint64_t until_ms = (uint64_t)until->tv_sec * 1000 + (uint64_t)until->tv_nsec / 1000000;
    pthread_mutex_unlock(mutex);
    pthread_mutex_lock(&passing.lock);
    while (until_ms > passing.limit_ms && !passing.is_over) {
        passing.is_waiting = true;
        pthread_cond_broadcast(&passing.changed);
        pthread_cond_wait(&passing.changed, &passing.lock);
    }
    if (passing.limit_ms > until_ms + FAR_MS) until_ms += (passing.limit_ms - until_ms) / 16;
    if (!passing.is_over && atomic_load(&now_ms) < until_ms) atomic_store(&now_ms, until_ms);
    pthread_mutex_unlock(&passing.lock);
    pthread_mutex_lock(mutex);
    return ETIMEDOUT;
}

int64_t wall_s(void)
{
    return START_S + (int64_t)(atomic_load(&now_ms) / 1000);
}

/* The keeper has done by then what is to be done. */
static void pass(unsigned seconds)
{
    pthread_mutex_lock(&passing.lock);
    passing.limit_ms += (uint64_t)seconds * 1000;
    passing.is_waiting = false;
    pthread_cond_broadcast(&passing.changed);
    while (!passing.is_waiting) pthread_cond_wait(&passing.changed, &passing.lock);
    pthread_mutex_unlock(&passing.lock);
}

/* What is kept. */

static char base[] = "/tmp/weir-keeper-XXXXXX", path[64];
static struct tls_challenges *challenges;
static struct acme_keeper *keeper;
static struct acme_conf conf;
static const char *lists[3][2] = { { "a.example", "b.example" },
                                   { "c.example", "d.example" },
                                   { "e.example", "f.example" } };
static struct err err;

/* So many certificates are wanted, as `conf` says. */
static void want(uint32_t count)
{
    struct conf_arena *arena = conf_arena_new();
    const struct tls_certificate_conf *all[3];
    struct acme_conf *kept = conf_arena_alloc(arena, sizeof(*kept));
    char file[128];
    *kept = conf;
    for (uint32_t i = 0; i < count; i++) {
        struct tls_certificate_conf *c = conf_arena_alloc(arena, sizeof(*c));
        assert_true(acme_folder_file(path, lists[i][0], "ecdsa", file, sizeof(file)));
        *c = (struct tls_certificate_conf){ .acme = { .data = lists[i], .count = 2 },
                                            .file = conf_arena_copy(arena, slice_of(file)) };
        all[i] = c;
    }
    const struct acme_plan plan = { arena, kept, path, all, count };
    assert_true(acme_keeper_use(keeper, &plan));
    conf_arena_free(arena);
    pass(1);
}

static void begin(void)
{
    pthread_mutex_lock(&passing.lock);
    passing.limit_ms = atomic_load(&now_ms);
    passing.is_over = false;
    pthread_mutex_unlock(&passing.lock);
    keeper = acme_keeper_new(challenges);
}

static void end(void)
{
    acme_keeper_stop(keeper);
    pthread_mutex_lock(&passing.lock);
    passing.is_over = true;
    pthread_cond_broadcast(&passing.changed);
    pthread_mutex_unlock(&passing.lock);
    acme_keeper_free(keeper);
}

static int set_up(void **state)
{
    (void)state;
    memset(&ca, 0, sizeof(ca));
    ca.key = acme_key_new(ACME_KEY_ECDSA);
    conf = (struct acme_conf){ .directory = DIRECTORY, .retry_ms = RETRY_S * 1000 };
    strcpy(base + sizeof(base) - 7, "XXXXXX");
    if (!mkdtemp(base)) return -1;
    snprintf(path, sizeof(path), "%s/acme", base);
    challenges = tls_challenges_new();
    begin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    end();
    tls_challenges_free(challenges);
    EVP_PKEY_free(ca.key);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char room[256];
    snprintf(room, sizeof(room), "%s/%s", path, name);
    return room;
}

static bool is_there(void)
{
    return access(in_folder("a.example.ecdsa.pem"), F_OK) == 0;
}

static struct acme_status row;
static char row_error[ACME_ERROR_ROOM];

static void note_row(void *context, const struct acme_status *s)
{
    if (strcmp(*(const char *const *)s->conf->acme.data, context) != 0) return;
    row = *s;
    snprintf(row_error, sizeof(row_error), "%s", s->error);
}

static void look_at(const char *name)
{
    row = (struct acme_status){ 0 };
    acme_keeper_each(keeper, note_row, (void *)(uintptr_t)name);
}

static struct acme_folder *open_as_another(void)
{
    struct acme_folder *f = NULL;
    assert_int_equal(acme_folder_open(&f, path, &err), 0);
    return f;
}

static void keep_attempts(struct acme_attempts a)
{
    struct acme_folder *f = open_as_another();
    assert_int_equal(acme_folder_keep_attempts(f, "a.example", "ecdsa", &a, "", &err), 0);
    acme_folder_close(f);
}

static uint64_t wanted(void)
{
    const struct conf_items names = { .data = lists[0], .count = 2 };
    return acme_wanted(&conf, &names);
}

static void a_certificate_is_issued_once(void **state)
{
    (void)state;
    want(1);
    assert_true(is_there());
    pass(DAY_S);
    assert_int_equal(ca.orders, 1);
    look_at("a.example");
    assert_int_equal(row.state, ACME_STATE_WAITING);
    assert_int_equal(row.failures, 0);
    assert_true(row.next_s >= START_S + 60 * DAY_S && row.next_s <= START_S + 64 * DAY_S);
}

static void another_ca_is_asked_at_once(void **state)
{
    (void)state;
    conf.directory = STAGING;
    want(1);
    assert_string_equal(ca.directory, STAGING);
    conf.directory = DIRECTORY;
    want(1);
    assert_int_equal(ca.orders, 2);
    assert_string_equal(ca.directory, DIRECTORY);
    want(1); /* again the same */
    end();
    begin();
    want(1);
    pass(DAY_S / 4);
    assert_int_equal(ca.orders, 2);
}

static void another_ca_is_asked_after_a_restart(void **state)
{
    (void)state;
    conf.directory = STAGING;
    want(1);
    end();
    conf.directory = DIRECTORY;
    begin();
    want(1);
    assert_int_equal(ca.orders, 2);
    assert_string_equal(ca.directory, DIRECTORY);
}

static void another_ca_that_refuses_is_asked_until_it_does_not(void **state)
{
    (void)state;
    conf.directory = STAGING;
    want(1);
    ca.refusal = 403;
    conf.directory = DIRECTORY;
    want(1);
    assert_int_equal(ca.orders, 2);
    assert_true(is_there()); /* the one before */
    ca.refusal = 0;
    pass(RETRY_S - 10);
    assert_int_equal(ca.orders, 2);
    pass(RETRY_S / 5 + 20);
    assert_int_equal(ca.orders, 3);
    look_at("a.example");
    assert_int_equal(row.failures, 0);
    assert_string_equal(row_error, "");
}

static void a_corrected_configuration_waits_for_nothing(void **state)
{
    (void)state;
    ca.refusal = 403;
    want(1);
    pass(DAY_S / 2);
    look_at("a.example");
    assert_true(row.failures > 5 && row.next_s > wall_s());
    unsigned orders = ca.orders;
    conf.challenge = ACME_TLS_ALPN_01;
    want(1);
    assert_int_equal(ca.orders, orders + 1);
    look_at("a.example");
    assert_int_equal(row.failures, 1);
    ca.refusal = 0;
    conf.challenge = ACME_HTTP_01;
    want(1);
    assert_true(is_there());
}

/* Another node, which has other names in its list, had it issued and is to be left time. */
static void who_shares_the_file_and_wants_another_is_not_hurried(void **state)
{
    (void)state;
    want(1);
    assert_int_equal(unlink(in_folder("a.example.ecdsa.pem")), 0);
    keep_attempts((struct acme_attempts){ 0, wall_s() + RETRY_S, 7, 7 });
    pass(RETRY_S - 10);
    assert_int_equal(ca.orders, 1);
    pass(20);
    assert_int_equal(ca.orders, 2);
}

/* The other has it issued anew whenever it was issued here. */
static void who_takes_it_again_and_again_is_let_have_it(void **state)
{
    (void)state;
    want(1);
    for (unsigned i = 1; i < 5; i++) {
        assert_int_equal(unlink(in_folder("a.example.ecdsa.pem")), 0);
        look_at("a.example");
        keep_attempts((struct acme_attempts){ row.failures, wall_s() + RETRY_S, 7, 7 });
        pass(RETRY_S + 80);
        assert_int_equal(ca.orders, 1 + i);
        look_at("a.example");
        assert_int_equal(row.failures, i);
        assert_non_null(strstr(row_error, "give both the same list"));
        assert_true(row.next_s >= wall_s() - 80 + (RETRY_S << (i - 1)));
    }
    conf.challenge = ACME_TLS_ALPN_01; /* what changes here is no quarrel */
    want(1);
    look_at("a.example");
    assert_int_equal(row.failures, 0);
    assert_string_equal(row_error, "");
}

static void success_is_followed_by_a_wait(void **state)
{
    (void)state;
    want(1);
    assert_int_equal(unlink(in_folder("a.example.ecdsa.pem")), 0);
    pass(RETRY_S - 10);
    assert_int_equal(ca.orders, 1);
    pass(80);
    assert_int_equal(ca.orders, 2);
}

static void a_lock_that_cannot_be_had_is_said(void **state)
{
    (void)state;
    acme_folder_close(open_as_another()); /* makes it */
    assert_int_equal(symlink("/nowhere", in_folder("lock")), 0);
    want(1);
    look_at("a.example");
    assert_int_equal(row.state, ACME_STATE_WAITING);
    assert_non_null(strstr(row_error, "/lock cannot be opened"));
    assert_true(row.next_s > wall_s());
    assert_int_equal(unlink(in_folder("lock")), 0);
    pass(50);
    assert_int_equal(ca.orders, 0);
    pass(20);
    assert_true(is_there());
    look_at("a.example");
    assert_string_equal(row_error, "");
}

static void who_has_the_lock_is_said_as_long_as_he_has_it(void **state)
{
    (void)state;
    char holder[ACME_HOLDER_ROOM];
    struct acme_folder *other = open_as_another();
    assert_int_equal(acme_folder_lock(other, holder, &err), ACME_LOCK_OWN);
    want(1);
    look_at("a.example");
    assert_int_equal(row.state, ACME_STATE_ELSEWHERE);
    assert_non_null(strstr(row_error, "held by process "));
    keep_attempts((struct acme_attempts){ 1, wall_s() + 4000, wanted(), 0 });
    acme_folder_close(other);
    pass(70);
    look_at("a.example");
    assert_int_equal(row.state, ACME_STATE_WAITING);
    assert_string_equal(row_error, "");
    assert_int_equal(ca.orders, 0);
}

static void expect_uncounted(unsigned times, const char *words)
{
    for (unsigned i = 0; i < times; i++) {
        look_at("a.example");
        assert_non_null(strstr(row_error, words));
        assert_int_equal(row.failures, 0);
        assert_true(row.next_s > wall_s() && row.next_s <= wall_s() + RETRY_S);
        pass(RETRY_S);
    }
}

static void what_is_lacking_here_is_no_failure_of_the_ca(void **state)
{
    (void)state;
    ca.is_library_missing = true;
    want(1);
    expect_uncounted(5, "it is not installed");
    ca.is_library_missing = false;
    pass(RETRY_S);
    assert_true(is_there());
}

static void an_account_that_cannot_be_read_is_no_failure_of_the_ca(void **state)
{
    (void)state;
    acme_folder_close(open_as_another());
    assert_int_equal(symlink("/nowhere", in_folder("account-1242d0bcd49c7eab.key")), 0);
    want(1);
    expect_uncounted(3, "cannot open ");
    assert_int_equal(ca.orders, 0);
}

static void a_proof_that_cannot_be_shown_is_no_failure_of_the_ca(void **state)
{
    (void)state;
    ca.wants_proofs = true;
    ca.is_library_missing = true;
    want(1);
    assert_int_equal(rmdir(in_folder("challenges")), 0);
    ca.is_library_missing = false;
    pass(RETRY_S);
    expect_uncounted(3, "challenges/token cannot be put in its place");
}

static void a_ca_out_of_order_is_given_the_time_it_asks_for(void **state)
{
    (void)state;
    ca.refusal = 503;
    ca.retry_after_s = 7200;
    want(1);
    look_at("a.example");
    assert_int_equal(row.failures, 0);
    assert_true(row.next_s > wall_s() + 7190);
    pass(7100);
    assert_int_equal(ca.orders, 1);
}

static void a_wait_of_a_clock_far_ahead_is_not_waited_for(void **state)
{
    (void)state;
    acme_folder_close(open_as_another());
    keep_attempts((struct acme_attempts){ 2, wall_s() + 3650 * (int64_t)DAY_S, wanted(), 0 });
    want(1);
    assert_true(is_there());
}

static unsigned count_lines(const char *file, const char *event)
{
    char line[2048];
    unsigned count = 0;
    FILE *f = fopen(file, "r");
    while (fgets(line, sizeof(line), f)) count += strstr(line, event) != NULL;
    fclose(f);
    return count;
}

static void too_many_wait_and_are_said_once(void **state)
{
    (void)state;
    struct acme_folder *f = open_as_another();
    struct acme_pace pace = { 0 };
    char file[128];
    for (unsigned i = 0; i < ACME_ORDERS_AN_HOUR; i++) acme_pace_note(&pace, wall_s());
    assert_int_equal(acme_folder_keep_pace(f, &pace, &err), 0);
    acme_folder_close(f);
    int64_t opens_s = wall_s() + 3600;
    snprintf(file, sizeof(file), "%s/log", base);
    fflush(stderr);
    int kept = dup(2);
    assert_non_null(freopen(file, "a", stderr));
    want(3);
    pass(3500);
    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    assert_int_equal(ca.orders, 0);
    assert_int_equal(count_lines(file, "event=acme_not_ordered"), 1);
    for (unsigned i = 0; i < 3; i++) {
        look_at(lists[i][0]);
        assert_int_equal(row.next_s, opens_s);
        assert_int_equal(row.failures, 0);
        assert_non_null(strstr(row_error, "60 orders were made within an hour"));
    }
    pass(200);
    assert_int_equal(ca.orders, 3);
}

static void a_certificate_that_begins_soon_is_waited_for(void **state)
{
    (void)state;
    ca.early_s = 120;
    want(1);
    assert_int_equal(ca.orders, 1);
    pass(100);
    assert_false(is_there());
    pass(30);
    assert_true(is_there());
    assert_int_equal(ca.orders, 1);
}

static void one_that_begins_much_later_is_refused(void **state)
{
    (void)state;
    ca.early_s = 3600;
    want(1);
    assert_false(is_there());
    look_at("a.example");
    assert_string_equal(row_error, "what the CA issued is valid in 3600 s only; is this host's clock right?");
    assert_int_equal(row.failures, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_certificate_is_issued_once),
        TEST(another_ca_is_asked_at_once),
        TEST(another_ca_is_asked_after_a_restart),
        TEST(another_ca_that_refuses_is_asked_until_it_does_not),
        TEST(a_corrected_configuration_waits_for_nothing),
        TEST(who_shares_the_file_and_wants_another_is_not_hurried),
        TEST(who_takes_it_again_and_again_is_let_have_it),
        TEST(success_is_followed_by_a_wait),
        TEST(a_lock_that_cannot_be_had_is_said),
        TEST(who_has_the_lock_is_said_as_long_as_he_has_it),
        TEST(what_is_lacking_here_is_no_failure_of_the_ca),
        TEST(an_account_that_cannot_be_read_is_no_failure_of_the_ca),
        TEST(a_proof_that_cannot_be_shown_is_no_failure_of_the_ca),
        TEST(a_ca_out_of_order_is_given_the_time_it_asks_for),
        TEST(a_wait_of_a_clock_far_ahead_is_not_waited_for),
        TEST(too_many_wait_and_are_said_once),
        TEST(a_certificate_that_begins_soon_is_waited_for),
        TEST(one_that_begins_much_later_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
