#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "tls/pki.h"
#include "tls/store.h"

#define CONFS_MAX 8

static struct tls_certificate_conf confs[CONFS_MAX];
static struct tls_conf conf;
static struct tls_store *store;
static char faults[2048];

static void on_fault(void *context, const struct tls_store_fault *fault)
{
    (void)context;
    size_t len = strlen(faults);
    snprintf(faults + len, sizeof(faults) - len, "%d:%s:%s\n",
             fault->is_certificate ? (int)fault->certificate : -1, fault->key ? fault->key : "",
             fault->err.text);
}

static void add(const struct pki_wish *wish)
{
    pki_make(wish);
    confs[conf.certificates.count++] = (struct tls_certificate_conf){ strdup(pki_path(wish->file, ".pem")),
                                                                      strdup(pki_path(wish->file, ".key")) };
}

static const struct tls_store_asked asked = { .on_fault = on_fault };

static void open_store(void)
{
    store = tls_store_new(&conf, &asked);
    if (!store) fail_msg("%s", faults);
}

static int set_up(void **state)
{
    (void)state;
    memset(&conf, 0, sizeof(conf));
    conf.certificates.data = confs;
    faults[0] = 0;
    store = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_store_put(store);
    for (uint32_t i = 0; i < conf.certificates.count; i++) {
        free((char *)(uintptr_t)confs[i].cert);
        free((char *)(uintptr_t)confs[i].key);
    }
    pki_remove();
    return 0;
}

static const char *serial_of(const char *name, enum tls_key_kind kind)
{
    const struct tls_choice *choice = tls_store_find(store, slice_of(name));
    return choice && choice->by_kind[kind] ? choice->by_kind[kind]->serial : "";
}

static const char *serial(uint32_t n)
{
    return tls_store_certificate(store, n)->serial;
}

static void a_name_finds_its_certificate_in_any_case(void **state)
{
    (void)state;
    add(&(struct pki_wish){ .file = "a", .names = "DNS:a.example,DNS:www.a.example", .days = 30 });
    add(&(struct pki_wish){ .file = "b", .names = "DNS:b.example", .days = 30 });
    open_store();
    assert_string_equal(serial_of("a.example", TLS_KEY_EC), serial(0));
    assert_string_equal(serial_of("WWW.a.Example", TLS_KEY_EC), serial(0));
    assert_string_equal(serial_of("b.example", TLS_KEY_EC), serial(1));
    assert_string_equal(serial_of("", TLS_KEY_EC), serial(0));
    assert_null(tls_store_find(store, SLICE("c.example")));
    assert_null(tls_store_find(store, SLICE("example")));
    assert_null(tls_store_find(store, SLICE(".example")));
    assert_null(tls_store_find(store, SLICE(".")));
}

static void a_wildcard_is_one_label_and_an_exact_name_goes_first(void **state)
{
    (void)state;
    add(&(struct pki_wish){ .file = "w", .names = "DNS:*.a.example", .days = 30 });
    add(&(struct pki_wish){ .file = "x", .names = "DNS:x.a.example", .days = 30 });
    open_store();
    assert_string_equal(serial_of("y.a.example", TLS_KEY_EC), serial(0));
    assert_string_equal(serial_of("x.a.example", TLS_KEY_EC), serial(1));
    assert_null(tls_store_find(store, SLICE("a.example")));
    assert_null(tls_store_find(store, SLICE("y.x.a.example")));
    assert_null(tls_store_find(store, SLICE(".a.example"))); /* how the table has the wildcard */
    assert_null(tls_store_find(store, SLICE("*.a.exampl")));
}

static void a_name_has_one_certificate_of_each_kind_the_first(void **state)
{
    (void)state;
    add(&(struct pki_wish){ .file = "ec", .names = "DNS:a.example", .days = 30 });
    add(&(struct pki_wish){
        .file = "rsa", .names = "DNS:a.example,DNS:r.example", .key = PKI_RSA, .days = 30 });
    add(&(struct pki_wish){ .file = "late", .names = "DNS:a.example", .days = 30 });
    open_store();
    assert_string_equal(serial_of("a.example", TLS_KEY_EC), serial(0));
    assert_string_equal(serial_of("a.example", TLS_KEY_RSA), serial(1));
    assert_string_equal(serial_of("r.example", TLS_KEY_EC), "");
    assert_string_equal(serial_of("", TLS_KEY_RSA), serial(1));
}

static void a_name_that_is_too_long_is_nobodys(void **state)
{
    (void)state;
    char name[300];
    add(&(struct pki_wish){ .file = "a", .names = "DNS:a.example", .days = 30 });
    open_store();
    memset(name, 'a', sizeof(name));
    assert_null(tls_store_find(store, (struct slice){ name, sizeof(name) }));
    assert_null(tls_store_find(store, (struct slice){ name, 253 }));
    assert_null(tls_store_find(store, (struct slice){ "a.example\0x", 11 }));
}

static void every_mistake_is_told_with_its_place(void **state)
{
    (void)state;
    add(&(struct pki_wish){ .file = "a", .days = 30 });
    confs[conf.certificates.count++] = (struct tls_certificate_conf){ strdup("/nowhere.pem"),
                                                                      strdup(pki_path("a", ".key")) };
    confs[conf.certificates.count++] = (struct tls_certificate_conf){ strdup(pki_path("a", ".pem")),
                                                                      strdup("/nowhere.key") };
    struct tls_client_conf client = { .ca = "/nowhere.ca" };
    conf.client = &client;
    conf.ticket_keys = "/dev/null";
    assert_null(tls_store_new(&conf, &asked));
    assert_string_equal(faults, "1::cannot open /nowhere.pem: No such file or directory\n"
                                "2::cannot open /nowhere.key: No such file or directory\n"
                                "-1:ticket_keys:/dev/null is no file\n"
                                "-1:client:cannot open /nowhere.ca: No such file or directory\n");
}

/* What was read so soon after it was written is read again; here it is to be known as it is. */
static void make_old(const char *file)
{
    char command[600];
    struct stat st;
    struct timespec now;
    snprintf(command, sizeof(command), "touch -d 2020-01-01 %s %s", pki_path(file, ".pem"),
             pki_path(file, ".key"));
    assert_int_equal(system(command), 0);
    do { /* ctime is the kernel's alone */
        assert_int_equal(stat(pki_path(file, ".key"), &st), 0);
        clock_gettime(CLOCK_REALTIME, &now);
    } while ((now.tv_sec - st.st_ctim.tv_sec) * 1000000000L + now.tv_nsec - st.st_ctim.tv_nsec < 30000000L);
}

static void renewed_is_what_has_changed_and_a_mistake_stays_as_it_was(void **state)
{
    (void)state;
    add(&(struct pki_wish){ .file = "a", .names = "DNS:a.example", .days = 30 });
    add(&(struct pki_wish){ .file = "b", .names = "DNS:b.example", .days = 30 });
    add(&(struct pki_wish){ .file = "c", .names = "DNS:c.example", .days = 30 });
    make_old("a");
    make_old("b");
    make_old("c");
    open_store();
    assert_int_equal(tls_store_stamp(store), tls_conf_stamp(&conf));
    struct tls_store *before = store;
    pki_make(&(struct pki_wish){ .file = "b", .names = "DNS:n.example", .days = 30 });
    pki_write("c", ".pem", "nothing");
    make_old("b");
    make_old("c");
    assert_int_not_equal(tls_store_stamp(store), tls_conf_stamp(&conf));
    store = tls_store_renew(before, &conf, &asked);
    assert_ptr_equal(tls_store_certificate(store, 0), tls_store_certificate(before, 0));
    assert_ptr_equal(tls_store_certificate(store, 2), tls_store_certificate(before, 2));
    assert_string_equal(serial_of("n.example", TLS_KEY_EC), serial(1));
    assert_null(tls_store_find(store, SLICE("b.example")));
    assert_string_equal(serial_of("c.example", TLS_KEY_EC), serial(2));
    assert_non_null(strstr(faults, "2::"));
    assert_int_equal(tls_store_stamp(store), tls_conf_stamp(&conf)); /* the mistake is not read again */
    tls_store_put(before);
}

static void what_is_not_valid_now_takes_the_place_of_nothing_that_is(void **state)
{
    (void)state;
    const struct tls_store_asked now = { .on_fault = on_fault, .now_s = (int64_t)time(NULL) };
    add(&(struct pki_wish){ .file = "a", .names = "DNS:a.example", .days = 30 });
    add(&(struct pki_wish){ .file = "b", .names = "DNS:b.example", .from_days = -9, .days = 8 });
    open_store();
    struct tls_store *before = store;
    pki_make(&(struct pki_wish){ .file = "a", .names = "DNS:a.example", .from_days = 3, .days = 8 });
    pki_make(&(struct pki_wish){ .file = "b", .names = "DNS:b.example", .from_days = -5, .days = 2 });
    store = tls_store_renew(before, &conf, &now);
    assert_ptr_equal(tls_store_certificate(store, 0), tls_store_certificate(before, 0));
    assert_ptr_not_equal(tls_store_certificate(store, 1), tls_store_certificate(before, 1));
    assert_non_null(strstr(faults, "is not valid before"));
    assert_null(strstr(faults, "1::"));
    tls_store_put(before);
    /* Once its time has come it is taken, though no file has changed since. */
    const struct tls_store_asked then = { .on_fault = on_fault, .now_s = tls_store_again(store) };
    assert_in_range(then.now_s, now.now_s + 3 * 86400 - 60, now.now_s + 3 * 86400 + 60);
    before = store;
    faults[0] = 0;
    store = tls_store_renew(before, &conf, &then);
    assert_ptr_not_equal(tls_store_certificate(store, 0), tls_store_certificate(before, 0));
    assert_int_equal(tls_store_certificate(store, 0)->not_before, then.now_s);
    assert_int_equal(tls_store_again(store), 0);
    assert_string_equal(faults, "");
    tls_store_put(before);
}

/* A key and a chain in one file, as what a CA issues is kept. */
static void issue(const char *names)
{
    char *key, *chain, both[8192];
    pki_make(&(struct pki_wish){ .file = "b", .names = names, .days = 30 });
    key = pki_read("b", ".key");
    chain = pki_read("b", ".pem");
    snprintf(both, sizeof(both), "%s%s", key, chain);
    pki_write("issued", ".pem", both);
    free(key);
    free(chain);
}

static void what_a_ca_is_still_to_issue_is_nobodys_until_then(void **state)
{
    (void)state;
    add(&(struct pki_wish){ .file = "a", .names = "DNS:a.example", .days = 30 });
    char *file = strdup(pki_path("issued", ".pem"));
    confs[conf.certificates.count++] = (struct tls_certificate_conf){ .file = file };
    open_store();
    assert_int_equal(tls_store_count(store), 2);
    assert_null(tls_store_certificate(store, 1));
    assert_null(tls_store_find(store, SLICE("b.example")));
    assert_string_equal(serial_of("a.example", TLS_KEY_EC), serial(0));
    struct tls_store *before = store;
    issue("DNS:b.example");
    store = tls_store_renew(before, &conf, &asked);
    assert_string_equal(serial_of("b.example", TLS_KEY_EC), serial(1));
    tls_store_put(before);
    /* One that vanishes goes on being served. */
    before = store;
    assert_int_equal(remove(file), 0);
    store = tls_store_renew(before, &conf, &asked);
    assert_ptr_equal(tls_store_certificate(store, 1), tls_store_certificate(before, 1));
    assert_string_equal(faults, "");
    tls_store_put(before);
    free(file);
    confs[1].file = NULL;
}

static void a_listener_may_have_nothing_but_what_is_still_to_come(void **state)
{
    (void)state;
    char *file = strdup(pki_path("issued", ".pem"));
    confs[conf.certificates.count++] = (struct tls_certificate_conf){ .file = file };
    open_store();
    const struct tls_choice *choice = tls_store_find(store, SLICE(""));
    for (unsigned i = 0; i < TLS_KEY_KINDS; i++) assert_null(choice->by_kind[i]);
    assert_null(tls_store_find(store, SLICE("b.example")));
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_finds_its_certificate_in_any_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wildcard_is_one_label_and_an_exact_name_goes_first, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_name_has_one_certificate_of_each_kind_the_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_is_too_long_is_nobodys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(renewed_is_what_has_changed_and_a_mistake_stays_as_it_was, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_valid_now_takes_the_place_of_nothing_that_is, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_ca_is_still_to_issue_is_nobodys_until_then, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_listener_may_have_nothing_but_what_is_still_to_come, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_mistake_is_told_with_its_place, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
