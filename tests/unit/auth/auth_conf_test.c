#include "auth/auth_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/jwk.h"
#include "conf/decoded.h"
#include "sign.h"

#define HASH "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

static char users[] = "/tmp/weir-users-XXXXXX", keys[] = "/tmp/weir-keys-XXXXXX";

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int write_files(void **state)
{
    (void)state;
    write_file(users, "bob:" HASH "\n");
    write_file(keys, sign_jwk(NULL, ""));
    return 0;
}

static int unlink_files(void **state)
{
    (void)state;
    unlink(users);
    unlink(keys);
    return 0;
}

/* `format` as an `auth`, with the files' names where @ (users) and # (keys) stand. The faults, for free(), or NULL; *arena is
 * the caller's. */
static char *decode(const char *format, struct auth_conf *out, struct conf_arena **arena)
{
    char text[1024];
    char *at = text;
    for (const char *c = format; *c; c++) {
        const char *file = *c == '@' ? users : *c == '#' ? keys : NULL;
        at += file ? sprintf(at, "%s", file) : sprintf(at, "%c", *c);
    }
    *arena = conf_arena_new();
    return decode_yaml(text, &auth_conf_type, out, *arena);
}

static void the_short_forms_say_all_that_is_needed(void **state)
{
    (void)state;
    struct auth_conf c;
    struct conf_arena *arena;
    char *faults = decode("{basic: '@', jwt: '#'}", &c, &arena);
    if (faults) fail_msg("%s", faults);
    assert_string_equal(c.header, "X-User");
    assert_string_equal(c.realm, "restricted");
    assert_false(c.passes);
    assert_int_equal(c.basic->keep_ms, 60000);
    assert_string_equal(c.jwt->user, "sub");
    assert_int_equal(c.jwt->leeway_ms, 30000);
    assert_int_equal(c.basic->file->kind->count(auth_file_get_users(c.basic->file)), 1);
    assert_int_equal(c.jwt->file->kind->count(auth_file_get_keys(c.jwt->file)), 1);
    assert_ptr_equal(auth_that_asks(&c), &c);
    conf_arena_free(arena);
}

static void all_of_it_is_read(void **state)
{
    (void)state;
    struct auth_conf c;
    struct conf_arena *arena;
    char *faults = decode(
        "{jwt: {keys: '#', algorithms: [RS256, EdDSA], issuer: i, audience: a, leeway: off,\n"
        "  unlimited: true, user: email, claims: {sub: X-Sub}, require: {scope: admin}},\n"
        " realm: r, header: '', allow: [bob], pass: true}",
        &c, &arena);
    if (faults) fail_msg("%s", faults);
    const uint32_t *algorithms = c.jwt->algorithms.data;
    assert_int_equal(c.jwt->algorithms.count, 2);
    assert_int_equal(algorithms[0], JWK_RS256);
    assert_int_equal(algorithms[1], JWK_EDDSA);
    assert_int_equal(c.jwt->audience.count, 1);
    assert_int_equal(c.jwt->leeway_ms, 0);
    assert_true(c.jwt->may_last && c.passes);
    const struct auth_claim_conf *claims = c.jwt->claims.data;
    assert_string_equal(claims[0].name, "sub");
    assert_string_equal(claims[0].field, "X-Sub");
    conf_arena_free(arena);
}

static void nobody_is_asked_where_none_is_said(void **state)
{
    (void)state;
    struct auth_conf c;
    struct conf_arena *arena;
    char *faults = decode("none", &c, &arena);
    if (faults) fail_msg("%s", faults);
    assert_null(auth_that_asks(&c));
    assert_null(auth_that_asks(NULL));
    conf_arena_free(arena);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "{}", "does not say what who may pass has to show" },
        { "{asks: none, basic: '@'}", "nobody is asked, and yet it says how" },
        { "{basic: /nowhere/users}", "cannot open /nowhere/users" },
        { "{basic: '#'}", ":1: " },
        { "{jwt: '@'}", "not correct JSON" },
        { "{jwt: {keys: '#', algorithms: [none]}}", "none" },
        { "{basic: '@', header: 'X User'}", "cannot be the name of a header" },
        { "{basic: '@', header: Authorization}", "says something else already" },
        { "{basic: '@', header: X-Forwarded-For}", "says something else already" },
        { "{basic: '@', header: X-Client-Cert-Subject}", "says something else already" },
        { "{jwt: {keys: '#', claims: {sub: Host}}}", "says something else already" },
        { "{jwt: 'http://login.example/keys'}", "may be anybody's" },
        { "{jwt: 'https://'}", "this is no address" },
        { "{jwt: 'https:///keys'}", "this is no address" },
        { "{jwt: 'https://login.example/a b'}", "this is no address" },
        { "{jwt: {keys: '#', ca: /etc/ca.pem}}", "it verifies who publishes keys" },
        { "{forward: {pool: p, user: Cookie}}", "says something else already" },
        { "{forward: {pool: p, user: 'X User'}}", "cannot be the name of a header" },
        { "{forward: {pool: p, copy: [Host]}}", "says something else already" },
        { "{basic: '@', realm: 'a\"b'}", "a realm has neither quotes" },
        { "maybe", "maybe" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct auth_conf c;
        struct conf_arena *arena;
        char *faults = decode(cases[i].text, &c, &arena);
        if (!faults || !strstr(faults, cases[i].says))
            fail_msg("%s: %s", cases[i].text, faults ? faults : "nothing");
        free(faults);
        conf_arena_free(arena);
    }
}

struct names {
    char text[256];
};

static void add_name(void *context, const char *name)
{
    struct names *n = context;
    strcat(strcat(n->text, name), " ");
}

static void its_fields_are_those_that_servers_go_by(void **state)
{
    (void)state;
    struct auth_conf c;
    struct conf_arena *arena;
    struct names n = { "" };
    assert_null(
        decode("{jwt: {keys: '#', claims: {email: X-Email, groups: X-Groups}}, header: X-Who}", &c, &arena));
    auth_conf_each_field(&c, add_name, &n);
    assert_string_equal(n.text, "X-Who X-Email X-Groups ");
    auth_conf_each_field(NULL, add_name, &n);
    conf_arena_free(arena);
    /* Also the one that a service says it in: whoever else reads it there believes it. */
    const char *const copy[] = { "X-Role" };
    struct auth_forward_conf forward = { .copy = { (void *)(uintptr_t)copy, 1 }, .user = "Remote-User" };
    c = (struct auth_conf){ .forward = &forward, .header = "" };
    n.text[0] = 0;
    auth_conf_each_field(&c, add_name, &n);
    assert_string_equal(n.text, "X-Role Remote-User ");
}

static void a_file_is_told_from_the_one_that_was_there(void **state)
{
    (void)state;
    struct err err;
    char path[] = "/tmp/weir-users-XXXXXX";
    write_file(path, "bob:" HASH "\n");
    struct auth_file *f = auth_file_new(&auth_file_users, path, &err);
    assert_non_null(f);
    struct users *other = auth_file_users.read(users, &err);
    auth_file_users.free(auth_file_set(f, other));
    assert_ptr_equal(auth_file_get_users(f), other);
    unlink(path);
    uint64_t gone = auth_file_stamp(f);
    assert_true(gone != 0 && gone != f->stamp);
    auth_file_free(f);
    auth_file_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_short_forms_say_all_that_is_needed),
        cmocka_unit_test(all_of_it_is_read),
        cmocka_unit_test(nobody_is_asked_where_none_is_said),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(its_fields_are_those_that_servers_go_by),
        cmocka_unit_test(a_file_is_told_from_the_one_that_was_there),
    };
    return cmocka_run_group_tests(tests, write_files, unlink_files);
}
