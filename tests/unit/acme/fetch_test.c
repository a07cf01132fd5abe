#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "acme/fetch.h"
#include "net/loopback.h"

#define LIMIT_S 60

/* What the fetcher, and the libcurl that it loads, find in the place of the C library's and OpenSSL's. */

static atomic_bool is_missing;
static atomic_uint folders_trusted;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_resolving, is_released;

void *dlopen(const char *file, int mode)
{
    void *(*real)(const char *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    return atomic_load(&is_missing) && file && strstr(file, "libcurl") ? NULL : real(file, mode);
}

int X509_STORE_load_path(X509_STORE *store, const char *folder)
{
    atomic_fetch_add(&folders_trusted, 1);
    return X509_LOOKUP_add_dir(X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir()), folder,
                               X509_FILETYPE_PEM);
}

/* A name server that says nothing. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)name, (void)service, (void)hints, (void)out;
    pthread_mutex_lock(&lock);
    is_resolving = true;
    pthread_cond_broadcast(&changed);
    while (!is_released) pthread_cond_wait(&changed, &lock);
    is_resolving = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return EAI_FAIL;
}

static struct err err;

static void a_library_that_is_installed_later_is_found_then(void **state)
{
    (void)state;
    struct acme_fetcher *f = NULL;
    atomic_store(&is_missing, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(acme_fetcher_new(&f, NULL, &err), -1);
        assert_non_null(strstr(err.text, "install it"));
    }
    atomic_store(&is_missing, false);
    assert_int_equal(acme_fetcher_new(&f, NULL, &err), 0);
    acme_fetcher_free(f);
}

/* Takes connections, and closes them: what a client trusts is set up by then. */
static void *hang_up(void *context)
{
    for (int fd; (fd = accept(*(int *)context, NULL, NULL)) >= 0;) {
        char hello[1];
        (void)!read(fd, hello, 1);
        close(fd);
    }
    return NULL;
}

static unsigned count_folders_trusted(const char *ca, const char *url)
{
    struct acme_fetcher *f = NULL;
    struct acme_response response;
    const struct acme_request rq = { .method = ACME_GET, .url = url };
    atomic_store(&folders_trusted, 0);
    assert_int_equal(acme_fetcher_new(&f, ca, &err), 0);
    assert_int_equal(acme_fetch(f, &rq, &response, &err), -1);
    acme_fetcher_free(f);
    return atomic_load(&folders_trusted);
}

static void a_ca_of_ones_own_is_trusted_alone(void **state)
{
    (void)state;
    struct address at;
    pthread_t thread;
    char url[64], ca[] = "/tmp/weir-fetch-XXXXXX";
    int fd = loopback_open(SOCK_STREAM, &at), file = mkstemp(ca);
    assert_int_equal(pthread_create(&thread, NULL, hang_up, &fd), 0);
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", address_port(&at));
    unsigned of_host = count_folders_trusted(NULL, url), of_own = count_folders_trusted(ca, url);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fd);
    close(file);
    unlink(ca);
    assert_int_not_equal(of_host, 0); /* else this test sees nothing */
    assert_int_equal(of_own, 0);
}

static void *ask(void *context)
{
    const struct acme_request rq = { .method = ACME_GET, .url = "https://slow.example/" };
    struct acme_response response;
    struct err words;
    return acme_fetch(context, &rq, &response, &words) < 0 ? context : NULL;
}

static void set_released(bool now)
{
    pthread_mutex_lock(&lock);
    is_released = now;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_resolving(bool wanted)
{
    pthread_mutex_lock(&lock);
    while (is_resolving != wanted) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void a_stop_does_not_wait_for_a_name_server(void **state)
{
    (void)state;
    struct acme_fetcher *f = NULL;
    struct timespec until;
    pthread_t thread;
    void *failed = NULL;
    assert_int_equal(acme_fetcher_new(&f, NULL, &err), 0);
    assert_int_equal(pthread_create(&thread, NULL, ask, f), 0);
    wait_resolving(true);
    acme_fetcher_stop(f);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_S;
    int waited = pthread_timedjoin_np(thread, &failed, &until);
    if (waited == 0) acme_fetcher_free(f);
    set_released(true);
    wait_resolving(false);
    if (waited == ETIMEDOUT) pthread_join(thread, &failed);
    assert_int_equal(waited, 0);
    assert_ptr_equal(failed, f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_that_is_installed_later_is_found_then), /* first: it is loaded once */
        cmocka_unit_test(a_ca_of_ones_own_is_trusted_alone),
        cmocka_unit_test(a_stop_does_not_wait_for_a_name_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
