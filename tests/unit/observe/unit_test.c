#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/unit.h"

/* A tree of cgroups, and a systemctl that says what a test wants. */
static char directory[64], cgroups[128], mark[128], systemctl[128];
static struct unit_places places = {
    .cgroup_mount = cgroups, .systemd_mark = mark, .systemctl = systemctl, .limit_ms = 5000
};

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void make_directory(const char *below)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, below);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/weir-unit-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(cgroups, sizeof(cgroups), "%s/cgroup", directory);
    snprintf(mark, sizeof(mark), "%s/systemd", directory);
    snprintf(systemctl, sizeof(systemctl), "%s/systemctl", directory);
    make_directory("cgroup");
    make_directory("cgroup/system.slice");
    make_directory("cgroup/system.slice/nginx.service");
    places.limit_ms = 5000;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

static void systemd_says(const char *text)
{
    char script[2048];
    write_file(mark, "", 0600);
    snprintf(script, sizeof(script), "#!/bin/sh\ncat <<'END'\n%s\nEND\n", text);
    write_file(systemctl, script, 0700);
}

static void names_are_completed(void **state)
{
    (void)state;
    char out[UNIT_NAME_MAX], name[UNIT_NAME_MAX + 8];
    assert_true(unit_name_complete("nginx", out));
    assert_string_equal(out, "nginx.service");
    assert_true(unit_name_complete("user@1000.slice", out));
    assert_string_equal(out, "user@1000.slice");
    assert_true(unit_name_complete("php8.2-fpm", out));
    assert_string_equal(out, "php8.2-fpm.service");
    assert_false(unit_name_complete("", out));
    assert_false(unit_name_complete("../x", out));
    assert_false(unit_name_complete("a/b", out));
    assert_false(unit_name_complete("a b", out));
    memset(name, 'a', UNIT_NAME_MAX - 1);
    name[UNIT_NAME_MAX - 1] = 0;
    assert_false(unit_name_complete(name, out));
}

static void a_state_is_read(void **state)
{
    (void)state;
    struct unit_state s;
    assert_true(unit_state_parse(SLICE("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=3\n"
                                       "StatusText=12 requests\x1b[2J\nMainPID=77\nResult=success\n"
                                       "ControlGroup=/system.slice/nginx.service\nOther=1\nno pair\n"
                                       "ActiveEnterTimestampMonotonic=5000000\nExecMainStatus=0\n"),
                                 &s));
    assert_string_equal(s.active, "active");
    assert_string_equal(s.sub, "running");
    assert_string_equal(s.status, "12 requests?[2J");
    assert_string_equal(s.group, "/system.slice/nginx.service");
    assert_int_equal(s.restarts, 3);
    assert_int_equal(s.main_pid, 77);
    assert_int_equal(s.active_since_us, 5000000);
    assert_false(unit_state_parse(SLICE("Result=success\n"), &s));
    assert_false(unit_state_parse(SLICE(""), &s));
}

static void without_systemd_a_unit_is_the_cgroup_of_its_name(void **state)
{
    (void)state;
    struct unit u;
    struct notes notes = { .count = 0 };
    struct err err = { "" };
    if (unit_find(&u, "nginx", &places, &notes, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(u.name, "nginx.service");
    assert_non_null(strstr(u.cgroup, "/cgroup/system.slice/nginx.service"));
    assert_false(u.state.is_known);
    assert_int_equal(notes.count, 1);
    assert_non_null(strstr(notes.text[0], "systemd does not run"));
    assert_int_equal(unit_find(&u, "other", &places, &notes, &err), -1);
    assert_non_null(strstr(err.text, "no such unit"));
    assert_int_equal(unit_find(&u, "a b", &places, &notes, &err), -1);
    assert_non_null(strstr(err.text, "no name of a unit"));
}

static void systemd_says_where_a_unit_is_and_how_it_is(void **state)
{
    (void)state;
    struct unit u;
    struct notes notes = { .count = 0 };
    struct err err = { "" };
    systemd_says("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=2\n"
                 "ControlGroup=/system.slice/nginx.service");
    if (unit_find(&u, "nginx", &places, &notes, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(u.state.restarts, 2);
    assert_non_null(strstr(u.cgroup, "/cgroup/system.slice/nginx.service"));
    systemd_says("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=5\n"
                 "ControlGroup=/system.slice/nginx.service");
    unit_refresh(&u, &places, &notes);
    assert_int_equal(u.state.restarts, 5);
    assert_int_equal(notes.count, 0);
}

static void what_does_not_run_is_told(void **state)
{
    (void)state;
    struct unit u;
    struct notes notes = { .count = 0 };
    struct err err = { "" };
    systemd_says("LoadState=not-found\nActiveState=inactive\nSubState=dead");
    assert_int_equal(unit_find(&u, "nginx", &places, &notes, &err), -1);
    assert_non_null(strstr(err.text, "systemd has no unit nginx.service"));
    systemd_says("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=oom-kill\nControlGroup=");
    assert_int_equal(unit_find(&u, "nginx", &places, &notes, &err), -1);
    assert_non_null(strstr(err.text, "failed (failed, result oom-kill)"));
}

static void a_systemctl_that_fails_or_hangs_is_noted(void **state)
{
    (void)state;
    struct unit u;
    struct notes notes = { .count = 0 };
    struct err err = { "" };
    write_file(mark, "", 0600);
    write_file(systemctl, "#!/bin/sh\nexit 4\n", 0700);
    if (unit_find(&u, "nginx", &places, &notes, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(notes.count, 1);
    assert_non_null(strstr(notes.text[0], "status 4"));
    write_file(systemctl, "#!/bin/sh\nexec tail -f /dev/null\n", 0700);
    places.limit_ms = 20;
    if (unit_find(&u, "nginx", &places, &notes, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(notes.count, 2);
    assert_non_null(strstr(notes.text[1], "did not answer within 20 ms"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_completed),
        cmocka_unit_test(a_state_is_read),
        cmocka_unit_test_setup_teardown(without_systemd_a_unit_is_the_cgroup_of_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(systemd_says_where_a_unit_is_and_how_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_run_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_systemctl_that_fails_or_hangs_is_noted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
