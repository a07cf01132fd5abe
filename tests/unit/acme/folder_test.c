#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "acme/folder.h"

static char base[] = "/tmp/weir-acme-XXXXXX";
static char path[64];
static struct acme_folder *folder;
static struct err err;
static char holder[ACME_HOLDER_ROOM];

static int set_up(void **state)
{
    (void)state;
    strcpy(base + sizeof(base) - 7, "XXXXXX");
    if (!mkdtemp(base)) return -1;
    snprintf(path, sizeof(path), "%s/acme", base);
    folder = NULL;
    return acme_folder_open(&folder, path, &err);
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    acme_folder_close(folder);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char room[256];
    snprintf(room, sizeof(room), "%s/%s", path, name);
    return room;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");
    fputs(text, f);
    fclose(f);
}

static unsigned mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(in_folder(name), &st), 0);
    return st.st_mode & 0777;
}

static void one_that_anybody_may_look_into_is_refused(void **state)
{
    (void)state;
    struct acme_folder *other = NULL;
    assert_int_equal(mode_of(""), 0700);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(acme_folder_open(&other, path, &err), -1);
    assert_non_null(strstr(err.text, "is open to anybody, and keys are in it: chmod o-rwx it"));
    assert_int_equal(acme_folder_open(&other, "/proc/nowhere/acme", &err), -1);
    assert_non_null(strstr(err.text, "cannot be made"));
}

static enum acme_lock take_lock(struct acme_folder *f)
{
    err.text[0] = 0;
    return acme_folder_lock(f, holder, &err);
}

static void one_of_two_has_the_lock(void **state)
{
    (void)state;
    struct acme_folder *other = NULL;
    assert_int_equal(acme_folder_open(&other, path, &err), 0);
    assert_int_equal(take_lock(folder), ACME_LOCK_OWN);
    assert_int_equal(take_lock(other), ACME_LOCK_OTHERS);
    assert_memory_equal(holder, "held by process ", 16);
    acme_folder_unlock(folder);
    assert_int_equal(take_lock(other), ACME_LOCK_OWN);
    assert_int_equal(take_lock(folder), ACME_LOCK_OTHERS);
    acme_folder_close(other); /* as if it had been killed */
    assert_int_equal(take_lock(folder), ACME_LOCK_OWN);
}

static void a_lock_that_cannot_be_had_is_nobodys(void **state)
{
    (void)state;
    assert_int_equal(symlink("/nowhere", in_folder("lock")), 0);
    assert_int_equal(take_lock(folder), ACME_LOCK_NONE);
    assert_string_equal(holder, "");
    assert_non_null(strstr(err.text, "/acme/lock cannot be opened: "));
    assert_int_equal(unlink(in_folder("lock")), 0);
    assert_int_equal(take_lock(folder), ACME_LOCK_OWN);
}

static void make_old(const char *name)
{
    const struct timespec old[2] = { { .tv_sec = time(NULL) - 4000 }, { .tv_sec = time(NULL) - 4000 } };
    assert_int_equal(utimensat(AT_FDCWD, in_folder(name), old, AT_SYMLINK_NOFOLLOW), 0);
}

static void who_has_the_lock_removes_what_nobody_writes_any_more(void **state)
{
    (void)state;
    static const char *const made[] = { ".new-host-1-0", ".new-host-2-0", "a.example.ecdsa.pem" };
    for (unsigned i = 0; i < 3; i++) write_file(made[i], "a key");
    make_old(made[0]);
    make_old(made[2]);
    assert_int_equal(take_lock(folder), ACME_LOCK_OWN);
    assert_int_equal(access(in_folder(made[0]), F_OK), -1);
    assert_int_equal(access(in_folder(made[1]), F_OK), 0);
    assert_int_equal(access(in_folder(made[2]), F_OK), 0);
}

static void an_account_is_made_once(void **state)
{
    (void)state;
    EVP_PKEY *first = acme_folder_account(folder, "https://ca.example/dir", &err);
    EVP_PKEY *again = acme_folder_account(folder, "https://ca.example/dir", &err);
    EVP_PKEY *other = acme_folder_account(folder, "https://other.example/dir", &err);
    assert_non_null(first);
    assert_int_equal(EVP_PKEY_eq(first, again), 1);
    assert_int_not_equal(EVP_PKEY_eq(first, other), 1);
    assert_int_equal(mode_of("account-1242d0bcd49c7eab.key"), 0600);
    EVP_PKEY_free(first);
    EVP_PKEY_free(again);
    EVP_PKEY_free(other);
}

static void an_account_that_cannot_be_read_is_not_written_over(void **state)
{
    (void)state;
    write_file("account-1242d0bcd49c7eab.key", "half a key");
    assert_null(acme_folder_account(folder, "https://ca.example/dir", &err));
    assert_non_null(strstr(err.text, "has no key of P-256; put it back, or remove it for a new account"));
}

/* Where its file is on what is not mounted, or cannot be looked at, it is there all the same. */
static void an_account_that_is_out_of_reach_is_not_made_anew(void **state)
{
    (void)state;
    static const char *const leads_to[] = { "account-1242d0bcd49c7eab.key", "/nowhere/account.key" };
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(symlink(leads_to[i], in_folder("account-1242d0bcd49c7eab.key")), 0);
        assert_null(acme_folder_account(folder, "https://ca.example/dir", &err));
        assert_non_null(strstr(err.text, "cannot open "));
        assert_int_equal(unlink(in_folder("account-1242d0bcd49c7eab.key")), 0);
    }
}

static void attempts_outlive_the_process(void **state)
{
    (void)state;
    char error[ACME_ERROR_ROOM], file[256];
    struct acme_attempts a = { 3, 1800000000, UINT64_MAX, 5 }, read = { 7, 7, 7, 7 };
    acme_folder_read_attempts(folder, "a.example", "ecdsa", &read, error);
    assert_int_equal(read.failures, 0);
    assert_int_equal(read.next_s, 0);
    assert_string_equal(error, "");
    assert_int_equal(acme_folder_keep_attempts(folder, "a.example", "ecdsa", &a, "it said: no", &err), 0);
    acme_folder_read_attempts(folder, "a.example", "ecdsa", &read, error);
    assert_int_equal(read.failures, 3);
    assert_int_equal(read.next_s, 1800000000);
    assert_true(read.asked == UINT64_MAX);
    assert_int_equal(read.issued, 5);
    assert_string_equal(error, "it said: no");
    assert_int_equal(mode_of("a.example.ecdsa.attempts"), 0600);
    snprintf(file, sizeof(file), "%s", in_folder("a.example.ecdsa.pem"));
    acme_folder_read_attempts_of(file, &read, error);
    assert_int_equal(read.failures, 3);
    assert_string_equal(error, "it said: no");
}

static void attempts_that_somebody_spoilt_are_none(void **state)
{
    (void)state;
    char error[ACME_ERROR_ROOM];
    static const char *const spoilt[] = { "", "failures x", "failures 3\n", "failures 3\nnext", "{}" };
    for (unsigned i = 0; i < sizeof(spoilt) / sizeof(*spoilt); i++) {
        struct acme_attempts read = { 7, 7 };
        write_file("a.example.ecdsa.attempts", spoilt[i]);
        acme_folder_read_attempts(folder, "a.example", "ecdsa", &read, error);
        assert_int_equal(read.failures, 0);
        assert_int_equal(read.next_s, 0);
    }
}

static void attempts_that_do_not_say_of_what_are_of_anything(void **state)
{
    (void)state;
    char error[ACME_ERROR_ROOM];
    struct acme_attempts read = { 7, 7, 7, 7 };
    write_file("a.example.ecdsa.attempts", "failures 3\nnext 1800000000\nerror it said: no\n");
    acme_folder_read_attempts(folder, "a.example", "ecdsa", &read, error);
    assert_int_equal(read.failures, 3);
    assert_int_equal(read.asked, 0);
    assert_int_equal(read.issued, 0);
    assert_string_equal(error, "it said: no");
}

static void the_pace_outlives_the_process(void **state)
{
    (void)state;
    struct acme_pace p = { 0 }, read;
    acme_folder_read_pace(folder, &read);
    assert_int_equal(acme_pace_opens_at(&read, 1800000000), 0);
    for (unsigned i = 0; i < ACME_ORDERS_AN_HOUR + 5; i++) acme_pace_note(&p, 1800000000 + i);
    assert_int_equal(acme_folder_keep_pace(folder, &p, &err), 0);
    acme_folder_read_pace(folder, &read);
    assert_int_equal(acme_pace_opens_at(&read, 1800000100), 1800000005 + 3600);
    acme_pace_note(&read, 1800003700);
    assert_int_equal(acme_pace_opens_at(&read, 1800000100), 1800000006 + 3600);
}

static void a_certificate_is_whole_or_not_there(void **state)
{
    (void)state;
    char staged[ACME_PATH_ROOM], file[256];
    assert_true(acme_folder_file(path, "a.example", "rsa", file, sizeof(file)));
    assert_string_equal(file, in_folder("a.example.rsa.pem"));
    assert_int_equal(acme_folder_stage(folder, SLICE("key\n"), SLICE("chain\n"), staged, &err), 0);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(acme_folder_publish(folder, staged, "a.example", "rsa", &err), 0);
    assert_int_equal(mode_of("a.example.rsa.pem"), 0600);
    assert_int_equal(access(staged, F_OK), -1);
    assert_int_equal(acme_folder_stage(folder, SLICE("key\n"), SLICE("chain\n"), staged, &err), 0);
    acme_folder_unstage(staged);
    assert_int_equal(access(staged, F_OK), -1);
}

/* proofs */

static char shown[1024];

static bool note_shown(void *context, const struct tls_challenge *all, uint32_t count)
{
    (void)context;
    shown[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), "%s %s %s %s;",
                 all[i].is_tls ? "tls" : "http", all[i].name, all[i].token, all[i].authorization);
    return true;
}

static void proofs_are_shown_by_who_shares_the_folder(void **state)
{
    (void)state;
    struct acme_folder *other = NULL;
    const struct tls_challenge c = { true, "a.example", "tok", "tok.print" };
    assert_int_equal(acme_folder_open(&other, path, &err), 0);
    assert_false(acme_folder_each_shown(other, note_shown, NULL, &err));
    assert_int_equal(acme_folder_show(folder, &c, &err), 0);
    assert_true(acme_folder_each_shown(other, note_shown, NULL, &err));
    assert_string_equal(shown, "tls a.example tok tok.print;");
    assert_false(acme_folder_each_shown(other, note_shown, NULL, &err));
    acme_folder_unshow(folder, "tok");
    assert_true(acme_folder_each_shown(other, note_shown, NULL, &err));
    assert_string_equal(shown, "");
    acme_folder_close(other);
}

static void what_is_no_proof_is_not_shown(void **state)
{
    (void)state;
    write_file("challenges/tok", "http-01 a.example other.print\n"); /* of another token */
    write_file("challenges/a=b", "http-01 a.example a=b.print\n");
    write_file("challenges/half", "http-01");
    write_file("challenges/empty", "");
    assert_int_equal(symlink("/etc/passwd", in_folder("challenges/link")), 0);
    assert_int_equal(mkdir(in_folder("challenges/directory"), 0700), 0);
    assert_false(acme_folder_each_shown(folder, note_shown, NULL, &err));
}

static void what_was_left_behind_is_removed(void **state)
{
    (void)state;
    const struct tls_challenge c = { false, "a.example", "tok", "tok.print" };
    assert_int_equal(acme_folder_show(folder, &c, &err), 0);
    make_old("challenges/tok");
    assert_false(acme_folder_each_shown(folder, note_shown, NULL, &err));
    assert_int_equal(access(in_folder("challenges/tok"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(one_that_anybody_may_look_into_is_refused),
        TEST(one_of_two_has_the_lock),
        TEST(a_lock_that_cannot_be_had_is_nobodys),
        TEST(who_has_the_lock_removes_what_nobody_writes_any_more),
        TEST(an_account_is_made_once),
        TEST(an_account_that_cannot_be_read_is_not_written_over),
        TEST(an_account_that_is_out_of_reach_is_not_made_anew),
        TEST(attempts_outlive_the_process),
        TEST(attempts_that_somebody_spoilt_are_none),
        TEST(attempts_that_do_not_say_of_what_are_of_anything),
        TEST(the_pace_outlives_the_process),
        TEST(a_certificate_is_whole_or_not_there),
        TEST(proofs_are_shown_by_who_shares_the_folder),
        TEST(what_is_no_proof_is_not_shown),
        TEST(what_was_left_behind_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
