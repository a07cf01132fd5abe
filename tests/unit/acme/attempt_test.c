/* Whichever allocation of an attempt fails: it ends in good order, and says why, or it is done all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/shortage.h"

#define acme_fetch paper_ca_fetch
#include "paper_ca.h"
#undef acme_fetch
int acme_fetch(struct acme_fetcher *f, const struct acme_request *rq, struct acme_response *out,
               struct err *err);

#include "acme/attempt.h"

#define START_S INT64_C(1800000000)
#define ALLOCATIONS_MAX 2000u

/* The clock, in place of the C library's: whoever waits finds it where he wants it. */
static uint64_t now_ms;

int clock_gettime(clockid_t id, struct timespec *out)
{
    *out = (struct timespec){ .tv_sec = (time_t)(now_ms / 1000), .tv_nsec = (long)(now_ms % 1000) * 1000000 };
    if (id == CLOCK_REALTIME) out->tv_sec += START_S;
    return 0;
}

int64_t wall_s(void)
{
    return START_S + (int64_t)(now_ms / 1000);
}

/* The CA is elsewhere, and has memory. */
int acme_fetch(struct acme_fetcher *f, const struct acme_request *rq, struct acme_response *out,
               struct err *err)
{
    shortage.is_paused = true;
    int result = paper_ca_fetch(f, rq, out, err);
    shortage.is_paused = false;
    return result;
}

static const char *names[] = { "a.example", "b.example" };
static char base[] = "/tmp/weir-attempt-XXXXXX";
static struct tls_challenges *challenges;

static bool wait_for_order(void *context, uint64_t until_ms)
{
    (void)context;
    if (now_ms < until_ms) now_ms = until_ms;
    return true;
}

static bool use_shown(void *context, const struct tls_challenge *all, uint32_t count)
{
    (void)context;
    return tls_challenges_set(challenges, all, count);
}

static int refresh(void *context, struct err *err)
{
    return acme_folder_each_shown(*(struct acme_folder **)context, use_shown, NULL, err) < 0 ? -1 : 0;
}

/* Files and folders of one level below. */
static void empty(const char *path, bool is_top)
{
    char inner[512];
    DIR *dir = opendir(path);
    for (const struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir)) {
        snprintf(inner, sizeof(inner), "%s/%s", path, d->d_name);
        if (d->d_name[0] == '.' && (!d->d_name[1] || d->d_name[1] == '.')) continue;
        if (unlink(inner) < 0 && is_top) {
            empty(inner, false);
            rmdir(inner);
        }
    }
    if (dir) closedir(dir);
}

static int attempt(struct acme_folder **folder, enum acme_challenge challenge, struct err *err)
{
    const struct acme_conf conf = { .directory = "https://ca.example/dir", .challenge = challenge };
    const struct tls_certificate_conf certificate = { .acme = { .data = names, .count = 2 } };
    struct acme_attempt a = { .fetcher = (struct acme_fetcher *)&ca,
                              .conf = &conf,
                              .certificate = &certificate,
                              .wait = wait_for_order,
                              .refresh = refresh,
                              .context = folder };
    if (acme_folder_open(folder, base, err) < 0) return -1;
    a.folder = *folder;
    int result = acme_attempt_run(&a);
    if (result < 0) *err = a.err;
    return result;
}

static bool is_there(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/a.example.ecdsa.pem", base);
    return access(path, F_OK) == 0;
}

static void walk(bool wants_proofs)
{
    ca.wants_proofs = wants_proofs;
    for (uint32_t at = 1; at < ALLOCATIONS_MAX; at++) {
        struct acme_folder *folder = NULL;
        struct err err = { "" };
        empty(base, true);
        shortage_begin(at);
        int result = attempt(&folder, ACME_HTTP_01, &err);
        bool has_failed = shortage_end();
        acme_folder_close(folder);
        assert_int_equal(is_there(), result == 0);
        assert_int_equal(*err.text != 0, result < 0);
        if (has_failed) continue;
        assert_int_equal(result, 0);
        assert_true(at > 20); /* there were some */
        return;
    }
    fail_msg("it never went well");
}

static void an_order_may_lack_any_of_its_memory(void **state)
{
    (void)state;
    walk(false);
}

static void so_may_one_with_proofs(void **state)
{
    (void)state;
    walk(true);
}

/* Those before stay, and nothing of what could not be made. */
static void what_is_shown_stays_where_there_is_no_memory_for_others(void **state)
{
    (void)state;
    const struct tls_challenge first = { false, "a.example", "one", "one.print" },
                               others[] = { { true, "a.example", "two", "two.print" },
                                            { false, "b.example", "three", "three.print" } };
    char out[TLS_AUTHORIZATION_ROOM];
    for (uint32_t at = 1;; at++) {
        assert_true(tls_challenges_set(challenges, &first, 1));
        shortage_begin(at);
        bool is_set = tls_challenges_set(challenges, others, 2);
        bool has_failed = shortage_end();
        assert_int_equal(tls_challenges_find_token(challenges, SLICE("one"), out), !is_set);
        assert_int_equal(tls_challenges_find_token(challenges, SLICE("three"), out), is_set);
        if (!has_failed) break;
    }
    shortage_begin(1);
    assert_true(tls_challenges_set(challenges, NULL, 0)); /* which needs none */
    assert_false(shortage_end());
}

static int set_up(void **state)
{
    (void)state;
    memset(&ca, 0, sizeof(ca));
    ca.key = acme_key_new(ACME_KEY_ECDSA);
    strcpy(base + sizeof(base) - 7, "XXXXXX");
    challenges = tls_challenges_new();
    return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    empty(base, true);
    tls_challenges_free(challenges);
    EVP_PKEY_free(ca.key);
    return rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(an_order_may_lack_any_of_its_memory),
        TEST(so_may_one_with_proofs),
        TEST(what_is_shown_stays_where_there_is_no_memory_for_others),
#undef TEST
    };
    shortage_spare_openssl();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
