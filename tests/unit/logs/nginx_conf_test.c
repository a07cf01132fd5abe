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

#include "logs/nginx_conf.h"

static char directory[64];

static const char *write_file(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    char sub[128];
    strcpy(directory, "/tmp/weir-nginx-conf-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(sub, sizeof(sub), "%s/sites", directory);
    return mkdir(sub, 0700);
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

static void formats_and_logs_are_found_through_includes(void **state)
{
    (void)state;
    struct nginx_conf *c = NULL;
    struct err err = { "" };
    write_file("sites/a.conf", "server { listen 80; access_log /var/log/a.log main; }\n");
    write_file("sites/b.conf",
               "server { access_log off; location ~ \"x{2}\" { access_log /b.log json if=$x; } "
               "access_log /c.log; access_log /d.log buffer=4k; }");
    const char *path = write_file("nginx.conf",
                                  "# comment; with { quotes \"\n"
                                  "http {\n"
                                  "  log_format main '$remote_addr [$time_local] '\n"
                                  "                  '\"$request\" $status ${body_bytes_sent}';\n"
                                  "  log_format json escape=json '{\"s\":\"$status\",\"q\":\"\\\"\"}';\n"
                                  "  content_by_lua_block { ngx.say(\"}\" .. '{' ) }\n"
                                  "  include sites/*.conf; include nothing/*.conf;\n"
                                  "}\n");
    if (nginx_conf_read(&c, path, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(c->format_count, 2);
    assert_string_equal(c->formats[0].text,
                        "$remote_addr [$time_local] \"$request\" $status ${body_bytes_sent}");
    assert_int_equal(c->formats[0].escape, LINE_ESCAPE_DEFAULT);
    assert_string_equal(c->formats[1].text, "{\"s\":\"$status\",\"q\":\"\"\"}");
    assert_int_equal(c->formats[1].escape, LINE_ESCAPE_JSON);
    assert_int_equal(c->log_count, 4);
    assert_ptr_equal(nginx_conf_format_of_log(c, SLICE("/var/log/a.log")), &c->formats[0]);
    assert_ptr_equal(nginx_conf_format_of_log(c, SLICE("/b.log")), &c->formats[1]);
    assert_string_equal(nginx_conf_format_of_log(c, SLICE("/c.log"))->name, "combined");
    assert_string_equal(nginx_conf_format_of_log(c, SLICE("/d.log"))->name, "combined");
    assert_null(nginx_conf_format_of_log(c, SLICE("/other.log")));
    nginx_conf_free(c);
}

static void mistakes_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "http {\n log_format x 'open;\n}", ".conf:" },
        { "\n\nuser nobody", "bad.conf:3: a directive is not ended" },
        { "log_format x;", "needs a name and a text" },
        { "include nowhere.conf;", "there is no " },
        { "include bad.conf;", "deeper than 16" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct nginx_conf *c = NULL;
        struct err err = { "" };
        assert_int_equal(nginx_conf_read(&c, write_file("bad.conf", cases[i].text), &err), -1);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void a_directive_may_have_any_number_of_words(void **state)
{
    (void)state;
    struct nginx_conf *c = NULL;
    struct err err = { "" };
    static char text[65536];
    int at = snprintf(text, sizeof(text), "server_name");
    for (int i = 0; i < 2000; i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at, " www%d.example.com", i);
    snprintf(text + at, sizeof(text) - (size_t)at, ";\naccess_log /a.log;\n");
    const char *path = write_file("names.conf", text);
    if (nginx_conf_read(&c, path, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(c->log_count, 1);
    nginx_conf_free(c);
}

static void a_pipe_is_refused_and_not_waited_for(void **state)
{
    (void)state;
    struct nginx_conf *c = NULL;
    struct err err = { "" };
    char pipe[256];
    snprintf(pipe, sizeof(pipe), "%s/pipe.conf", directory);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    const char *path = write_file("including.conf", "include pipe.conf;\n");
    assert_int_equal(nginx_conf_read(&c, path, &err), -1);
    assert_non_null(strstr(err.text, "pipe.conf: it is no file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_logs_are_found_through_includes),
        cmocka_unit_test(mistakes_name_file_and_line),
        cmocka_unit_test(a_directive_may_have_any_number_of_words),
        cmocka_unit_test(a_pipe_is_refused_and_not_waited_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
