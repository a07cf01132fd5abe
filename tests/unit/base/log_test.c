#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int stderr_saved = -1;

/* stderr into an anonymous file until captured() gives what came. */
static void capture(void)
{
    char path[] = "/tmp/weir-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    fflush(stderr);
    stderr_saved = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static char *captured(void)
{
    off_t size = lseek(STDERR_FILENO, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    ssize_t got = pread(STDERR_FILENO, text, (size_t)size, 0);
    dup2(stderr_saved, STDERR_FILENO);
    close(stderr_saved);
    assert_int_equal(got, size);
    return text;
}

static uint32_t count_of(const char *text, const char *part)
{
    uint32_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) count++;
    return count;
}

static void a_line_has_time_level_event_and_values(void **state)
{
    (void)state;
    capture();
    log_event(LOG_WARN, "listening", "listener=%s", "web");
    log_event(LOG_ERROR, "bare", "%s", "");
    char *text = captured();
    assert_int_equal(strncmp(text, "time=20", 7), 0);
    assert_non_null(strstr(text, "Z level=warn event=listening listener=web\n"));
    assert_non_null(strstr(text, "Z level=error event=bare\n"));
    free(text);
}

static void lines_under_the_level_are_not_written(void **state)
{
    (void)state;
    capture();
    log_event(LOG_DEBUG, "x", "a=1");
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "y", "a=1");
    log_set_level(LOG_INFO);
    char *text = captured();
    assert_null(strstr(text, "event=x"));
    assert_non_null(strstr(text, "level=debug event=y"));
    free(text);
}

static void a_long_line_is_cut_and_no_value_forges_a_line(void **state)
{
    (void)state;
    char many[3000];
    memset(many, 'x', sizeof(many) - 1);
    many[sizeof(many) - 1] = 0;
    capture();
    log_event(LOG_INFO, "long", "value=%s", many);
    log_event(LOG_INFO, "forged", "value=%s", "a\ntime=0 level=error");
    char *text = captured();
    assert_int_equal(count_of(text, "\n"), 2);
    assert_int_equal(strcspn(text, "\n"), 1022);
    free(text);
}

static void values_are_quoted_when_they_must_be(void **state)
{
    (void)state;
    static const struct {
        const char *value, *quoted;
    } cases[] = {
        { "plain", "plain" },         { "", "\"\"" },
        { "a b", "\"a b\"" },         { "a\"b\\", "\"a\\\"b\\\\\"" },
        { "a\nb", "\"a\\x0ab\"" },    { "k=v", "\"k=v\"" },
        { "h\xc3\xa9", "h\xc3\xa9" }, { "0123456789 0123456789 0123456789", "\"0123456789 01234567\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[26];
        log_quote(cases[i].value, out, sizeof(out));
        if (strlen(cases[i].value) > 20)
            assert_true(strlen(out) < sizeof(out));
        else
            assert_string_equal(out, cases[i].quoted);
    }
}

static void *write_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) log_event(LOG_INFO, "many", "i=%d", i);
    return NULL;
}

static void lines_of_many_threads_are_all_written_or_counted(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint64_t before = log_dropped();
    capture();
    assert_int_equal(log_start(NULL), 0);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, write_many, NULL);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    log_stop();
    char *text = captured();
    uint64_t dropped = log_dropped() - before;
    assert_int_equal(count_of(text, "event=many i="), 4000 - dropped);
    if (dropped) assert_non_null(strstr(text, "event=log_dropped count="));
    assert_int_equal(count_of(text, "\n"), count_of(text, "event="));
    free(text);
}

static void a_full_pipe_stops_nobody(void **state)
{
    (void)state;
    int pipes[2];
    uint64_t before = log_dropped();
    assert_int_equal(pipe(pipes), 0);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(pipes[1], STDERR_FILENO);
    close(pipes[1]);
    assert_int_equal(log_start(NULL), 0);
    for (int i = 0; i < 3000; i++)
        log_event(LOG_INFO, "full", "i=%d", i); /* 64 KiB of pipe and the ring are less */
    assert_true(log_dropped() > before);
    log_stop(); /* loses patience with the pipe */
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[0]);
}

/* Nobody reads it, and it has no room. */
static int full_journal(struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    snprintf(at->sun_path, sizeof(at->sun_path), "/tmp/weir-journal-%d", (int)getpid());
    at->sun_family = AF_UNIX;
    unlink(at->sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)at, sizeof(*at)), 0);
    int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    while (sendto(sender, "x", 1, 0, (const struct sockaddr *)at, sizeof(*at)) == 1) {}
    assert_int_equal(errno, EAGAIN);
    close(sender);
    return fd;
}

static void what_a_full_journal_does_not_take_until_the_end_is_on_stderr(void **state)
{
    (void)state;
    struct sockaddr_un at = { 0 };
    struct err err;
    int journal = full_journal(&at);
    capture();
    assert_int_equal(log_use(LOG_JOURNAL, at.sun_path, &err), 0);
    log_event(LOG_INFO, "early", "i=0");
    assert_int_equal(log_start(&err), 0);
    for (int i = 0; i < 100; i++) log_event(LOG_INFO, "kept", "i=%d", i);
    log_stop();
    assert_int_equal(log_use(LOG_TEXT, NULL, &err), 0);
    char *text = captured();
    assert_int_equal(count_of(text, "event=early i=0\n"), 1);
    assert_int_equal(count_of(text, "event=kept i="), 100);
    free(text);
    close(journal);
    unlink(at.sun_path);
}

static void a_limit_lets_a_burst_pass_then_one_a_second(void **state)
{
    (void)state;
    struct log_limit limit = { 0 };
    uint32_t suppressed, passed = 0;
    uint64_t now = UINT64_C(1000000000) * 50;
    for (int i = 0; i < 10; i++) passed += (uint32_t)log_limit_pass(&limit, now, 3, &suppressed);
    assert_int_equal(passed, 3);
    now += 1500000000;
    assert_true(log_limit_pass(&limit, now, 3, &suppressed));
    assert_int_equal(suppressed, 7);
    assert_false(log_limit_pass(&limit, now, 3, &suppressed));
    now += 500000000; /* the half second of before counts */
    assert_true(log_limit_pass(&limit, now, 3, &suppressed));
    assert_int_equal(suppressed, 1);
    now += UINT64_C(1000000000) * 100;
    passed = 0;
    for (int i = 0; i < 10; i++) passed += (uint32_t)log_limit_pass(&limit, now, 3, &suppressed);
    assert_int_equal(passed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_event_and_values),
        cmocka_unit_test(lines_under_the_level_are_not_written),
        cmocka_unit_test(a_long_line_is_cut_and_no_value_forges_a_line),
        cmocka_unit_test(values_are_quoted_when_they_must_be),
        cmocka_unit_test(lines_of_many_threads_are_all_written_or_counted),
        cmocka_unit_test(a_full_pipe_stops_nobody),
        cmocka_unit_test(what_a_full_journal_does_not_take_until_the_end_is_on_stderr),
        cmocka_unit_test(a_limit_lets_a_burst_pass_then_one_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
