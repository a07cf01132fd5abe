#include "command/api_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#define REST "listeners: {web: {bind: \":18999\", pool: web}}\npools: {web: {servers: [\"127.0.0.1:1\"]}}\n"

static char path[] = "/tmp/weir-api-target-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    unsetenv("WEIR_TOKEN");
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *admin)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, REST "%s", admin);
    fclose(file);
}

static void expect(const struct api_options *o, const char *address, const char *token)
{
    struct err err = { "" };
    struct api_target t;
    char text[ADDRESS_TEXT_MAX];
    int code = api_target_find(o, &t, &err);
    if (code != EX_OK) fail_msg("%d: %s", code, err.text);
    assert_string_equal(address_print(&t.address, text), address);
    assert_string_equal(t.token, token);
}

static void refuse(const struct api_options *o, int code, const char *word)
{
    struct err err = { "" };
    struct api_target t;
    assert_int_equal(api_target_find(o, &t, &err), code);
    if (!strstr(err.text, word)) fail_msg("\"%s\" is not in: %s", word, err.text);
}

static void without_options_it_is_the_preset(void **state)
{
    (void)state;
    expect(&(struct api_options){ 0 }, "127.0.0.1:9091", "");
}

static void an_address_for_all_means_this_machine(void **state)
{
    (void)state;
    expect(&(struct api_options){ .admin = ":9000" }, "127.0.0.1:9000", "");
    expect(&(struct api_options){ .admin = "[::]:9000" }, "127.0.0.1:9000", "");
    expect(&(struct api_options){ .admin = "0.0.0.0:9000" }, "127.0.0.1:9000", "");
    expect(&(struct api_options){ .admin = "[::1]:9000" }, "[::1]:9000", "");
    expect(&(struct api_options){ .admin = "192.0.2.7:9000" }, "192.0.2.7:9000", "");
    expect(&(struct api_options){ .admin = "unix:/run/weir.sock" }, "unix:/run/weir.sock", "");
}

static void the_file_says_where_and_what_to_show(void **state)
{
    (void)state;
    write_file("admin: {bind: \"0.0.0.0:9700\", token: secret}\n");
    expect(&(struct api_options){ .config = path }, "127.0.0.1:9700", "secret");
    write_file("admin: \"unix:/run/weir.sock\"\n");
    expect(&(struct api_options){ .config = path }, "unix:/run/weir.sock", "");
}

static void options_go_before_the_file_and_the_file_before_the_environment(void **state)
{
    (void)state;
    write_file("admin: {bind: \"127.0.0.1:9700\", token: of-the-file}\n");
    setenv("WEIR_TOKEN", "of-the-environment", 1);
    expect(&(struct api_options){ .config = path, .admin = ":9800" }, "127.0.0.1:9800", "of-the-file");
    expect(&(struct api_options){ .config = path, .token = "given" }, "127.0.0.1:9700", "given");
    expect(&(struct api_options){ .admin = ":9800" }, "127.0.0.1:9800", "of-the-environment");
    write_file("");
    expect(&(struct api_options){ .config = path, .admin = ":9800" }, "127.0.0.1:9800", "of-the-environment");
    unsetenv("WEIR_TOKEN");
}

static void what_cannot_be_asked_is_said(void **state)
{
    (void)state;
    refuse(&(struct api_options){ .admin = "nonsense" }, EX_USAGE, "--admin");
    refuse(&(struct api_options){ .admin = ":0" }, EX_USAGE, "port 0");
    refuse(&(struct api_options){ .config = "/nowhere/weir.yaml" }, EX_CONFIG, "/nowhere/weir.yaml");
    write_file("");
    refuse(&(struct api_options){ .config = path }, EX_CONFIG, "`admin:`");
}

static void a_token_that_no_header_can_carry_is_refused(void **state)
{
    (void)state;
    refuse(&(struct api_options){ .token = "a\r\nX: y" }, EX_USAGE, "--token");
    refuse(&(struct api_options){ .token = "" }, EX_USAGE, "--token");
    char lengthy[300];
    memset(lengthy, 'a', sizeof(lengthy) - 1);
    lengthy[sizeof(lengthy) - 1] = 0;
    refuse(&(struct api_options){ .token = lengthy }, EX_USAGE, "299 bytes");
    setenv("WEIR_TOKEN", "two words", 1);
    refuse(&(struct api_options){ 0 }, EX_USAGE, "WEIR_TOKEN");
    unsetenv("WEIR_TOKEN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_it_is_the_preset),
        cmocka_unit_test(an_address_for_all_means_this_machine),
        cmocka_unit_test(the_file_says_where_and_what_to_show),
        cmocka_unit_test(options_go_before_the_file_and_the_file_before_the_environment),
        cmocka_unit_test(what_cannot_be_asked_is_said),
        cmocka_unit_test(a_token_that_no_header_can_carry_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
