#include "record/access_log.h"

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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void compile(const char *source, struct access_format *format)
{
    struct err err;
    if (access_format_compile(slice_of(source), format, &err) < 0) fail_msg("%s: %s", source, err.text);
}

struct directory {
    char path[64], file[96], renamed[96];
};

static void directory_make(struct directory *d)
{
    snprintf(d->path, sizeof(d->path), "/tmp/weir-access-log-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    snprintf(d->file, sizeof(d->file), "%s/access.log", d->path);
    snprintf(d->renamed, sizeof(d->renamed), "%s/access.log.1", d->path);
}

static void directory_remove(struct directory *d)
{
    unlink(d->file);
    unlink(d->renamed);
    assert_int_equal(rmdir(d->path), 0);
}

static struct access_log *open_log(const char *path, const char *format, uint32_t workers)
{
    static struct access_log_conf conf;
    conf.path = path;
    conf.buffer_bytes = 65536;
    compile(format, &conf.format);
    struct err err;
    struct access_log *log = access_log_open(&conf, workers, &err);
    if (!log) fail_msg("%s", err.text);
    return log;
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 4 << 20);
    size_t len = fread(text, 1, (4 << 20) - 1, file);
    assert_true(len < (4 << 20) - 1);
    fclose(file);
    return text;
}

/* True once it holds; false after ten seconds. */
static bool wait_until(bool (*holds)(void *ctx), void *ctx)
{
    for (int i = 0; i < 10000; i++) {
        if (holds(ctx)) return true;
        usleep(1000);
    }
    return false;
}

static bool is_written(void *ctx)
{
    return access_log_written_bytes(ctx) > 0;
}

/* Writes lines "<first> 192.0.2.17", ... and returns how many. */
static void write_lines(struct access_log *log, uint32_t worker, uint64_t first, uint64_t count)
{
    struct flight_record r;
    flight_init(&r);
    r.client = (struct ip){ { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 17 } };
    struct access_entry entry = { .record = &r, .now_wall_ns = UINT64_C(1773043507042) * 1000000 };
    for (uint64_t i = first; i < first + count; i++) {
        entry.connection_id = i;
        access_log_write(access_log_writer_of(log, worker), &entry);
    }
}

/* Checks that every line is whole and that they count up from `first`; returns the next number. */
static uint64_t check_lines(char *text, uint64_t first)
{
    char *line, *rest = text;
    while ((line = strsep(&rest, "\n")) && rest) {
        char expected[64];
        snprintf(expected, sizeof(expected), "%llu 192.0.2.17", (unsigned long long)first++);
        assert_string_equal(line, expected);
    }
    assert_string_equal(line, "");
    free(text);
    return first;
}

/* Each worker's numbers begin at a million of its own. */
#define WORKERS_MAX 3
#define OWN 1000000

/* Checks that every line is whole and each worker's are in order; returns how many there are. */
static uint64_t check_interleaved(char *text)
{
    uint64_t lines = 0, next[WORKERS_MAX] = { 0 };
    char *line, *rest = text;
    while ((line = strsep(&rest, "\n")) && rest) {
        char expected[64];
        unsigned long long number = strtoull(line, NULL, 10);
        snprintf(expected, sizeof(expected), "%llu 192.0.2.17", number);
        assert_string_equal(line, expected);
        assert_true(number / OWN < WORKERS_MAX);
        assert_true(number >= next[number / OWN]);
        next[number / OWN] = number + 1;
        lines++;
    }
    assert_string_equal(line, "");
    free(text);
    return lines;
}

static void lines_are_in_the_file_after_closing(void **state)
{
    (void)state;
    struct directory d;
    directory_make(&d);
    struct access_log *log = open_log(d.file, "$connection $remote_addr", 1);
    write_lines(log, 0, 0, 1000);
    assert_int_equal(access_log_dropped(log), 0);
    assert_null(access_log_writer_of(log, 1));
    access_log_close(log);
    assert_int_equal(check_lines(read_all(d.file), 0), 1000);
    log = open_log(d.file, "$connection $remote_addr", 1); /* adds to what is there */
    write_lines(log, 0, 1000, 1);
    access_log_close(log);
    assert_int_equal(check_lines(read_all(d.file), 0), 1001);
    struct stat st;
    assert_int_equal(stat(d.file, &st), 0);
    assert_int_equal(st.st_mode & 07, 0);
    directory_remove(&d);
}

static void a_few_lines_are_written_without_more_coming(void **state)
{
    (void)state;
    struct directory d;
    directory_make(&d);
    struct access_log *log = open_log(d.file, "$connection $remote_addr", 1);
    write_lines(log, 0, 0, 1);
    assert_true(wait_until(is_written, log));
    assert_int_equal(check_lines(read_all(d.file), 0), 1);
    access_log_close(log);
    directory_remove(&d);
}

static void a_path_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct access_log_conf conf = { .path = "/nonexistent/access.log", .buffer_bytes = 65536 };
    compile("combined", &conf.format);
    struct err err;
    assert_null(access_log_open(&conf, 1, &err));
    assert_non_null(strstr(err.text, "/nonexistent/access.log"));
}

/* The write end of a pipe by a path, as /dev/stdout would be. */
static void pipe_path(int fds[2], char path[64])
{
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
    snprintf(path, 64, "/proc/self/fd/%d", fds[1]);
}

static void a_stuck_reader_drops_lines_and_never_blocks_the_worker(void **state)
{
    (void)state;
    int fds[2];
    char path[64];
    pipe_path(fds, path);
    struct access_log *log = open_log(path, "$connection $remote_addr", 1);
    write_lines(log, 0, 0, 20000);
    uint64_t dropped = access_log_dropped(log);
    assert_true(dropped > 10000 && dropped < 20000);
    /* The reader goes away: what is left is counted. */
    close(fds[0]);
    close(fds[1]);
    access_log_close(log);
}

struct draining {
    int fd;
    char *text;
    size_t len;
};

static void *drain(void *arg)
{
    struct draining *d = arg;
    ssize_t len;
    while ((len = read(d->fd, d->text + d->len, 1 << 16)) > 0) d->len += (size_t)len;
    return NULL;
}

static void short_writes_to_a_slow_pipe_keep_lines_whole(void **state)
{
    (void)state;
    int fds[2];
    char path[64];
    pipe_path(fds, path);
    struct draining draining = { .fd = fds[0], .text = calloc(1, 4 << 20) };
    pthread_t thread;
    struct access_log *log = open_log(path, "$connection $remote_addr", 2);
    for (uint32_t i = 0; i < 2; i++) write_lines(log, i, i * OWN, 1000); /* 9 times the pipe */
    assert_int_equal(pthread_create(&thread, NULL, drain, &draining), 0);
    for (uint32_t i = 0; i < 2; i++) write_lines(log, i, i * OWN + 1000, 1000);
    assert_int_equal(access_log_dropped(log), 0);
    access_log_close(log);
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    assert_int_equal(check_interleaved(draining.text), 4000);
}

/* As under systemd. The first writes find nobody who reads. */
static void standard_output_may_be_a_socket(void **state)
{
    (void)state;
    int fds[2], saved = dup(STDOUT_FILENO), small = 4608;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    fflush(stdout);
    assert_int_equal(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
    struct access_log *log = open_log("-", "$connection $remote_addr", 1);
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    write_lines(log, 0, 0, 3000);
    assert_true(wait_until(is_written, log));
    struct draining draining = { .fd = fds[0], .text = calloc(1, 4 << 20) };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &draining), 0);
    access_log_close(log);
    close(fds[1]);
    pthread_join(thread, NULL);
    assert_int_equal(check_lines(draining.text, 0), 3000);
    close(fds[0]);
    close(saved);
}

static bool is_reopened(void *ctx)
{
    const struct directory *d = ctx;
    return access(d->file, F_OK) == 0;
}

static void reopening_loses_and_splits_nothing(void **state)
{
    (void)state;
    struct directory d;
    directory_make(&d);
    struct access_log *log = open_log(d.file, "$connection $remote_addr", 1);
    uint64_t written = 0, next = 0;
    for (int round = 0; round < 5; round++) {
        write_lines(log, 0, written, 1000);
        assert_int_equal(rename(d.file, d.renamed), 0);
        access_log_reopen(log);
        write_lines(log, 0, written + 1000, 300);
        written += 1300;
        assert_true(wait_until(is_reopened, &d));
        next = check_lines(read_all(d.renamed), next);
    }
    assert_int_equal(access_log_dropped(log), 0);
    access_log_close(log);
    assert_int_equal(check_lines(read_all(d.file), next), written);
    directory_remove(&d);
}

static bool is_at_limit(void *ctx)
{
    return access_log_written_bytes(ctx) == 1000;
}

/* RLIMIT_FSIZE stands for a full disk: a short write, then errors. */
static void set_file_limit(rlim_t limit)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void a_full_disk_holds_lines_back_until_there_is_room(void **state)
{
    (void)state;
    struct directory d;
    directory_make(&d);
    struct access_log *log = open_log(d.file, "$connection $remote_addr", 1);
    set_file_limit(1000);
    write_lines(log, 0, 0, 1000);
    assert_true(wait_until(is_at_limit, log));
    set_file_limit(RLIM_INFINITY);
    access_log_close(log);
    assert_int_equal(check_lines(read_all(d.file), 0), 1000);
    directory_remove(&d);
}

static void a_line_torn_by_a_full_disk_does_not_go_on_in_the_next_file(void **state)
{
    (void)state;
    struct directory d;
    directory_make(&d);
    struct access_log *log = open_log(d.file, "$connection $remote_addr", 1);
    set_file_limit(1000);
    write_lines(log, 0, 0, 1000);
    assert_true(wait_until(is_at_limit, log));
    assert_int_equal(rename(d.file, d.renamed), 0);
    access_log_reopen(log);
    assert_true(wait_until(is_reopened, &d));
    set_file_limit(RLIM_INFINITY);
    access_log_close(log);
    char *old = read_all(d.renamed), *new = read_all(d.file);
    assert_int_equal(strlen(old), 1000);
    uint64_t torn = strtoull(strrchr(old, '\n') + 1, NULL, 10);
    assert_int_equal(check_lines(new, torn + 1), 1000);
    free(old);
    directory_remove(&d);
}

static void a_device_that_is_full_drops_and_closes(void **state)
{
    (void)state;
    struct access_log *log = open_log("/dev/full", "$connection $remote_addr", 2);
    write_lines(log, 1, 0, 20000);
    assert_true(access_log_dropped(log) > 10000);
    assert_int_equal(access_log_written_bytes(log), 0);
    access_log_close(log);
}

#define LINES 30000

struct writing {
    struct access_log *log;
    uint32_t worker;
};

static void *write_many(void *arg)
{
    struct writing *w = arg;
    write_lines(w->log, w->worker, w->worker * (uint64_t)OWN, LINES);
    return NULL;
}

static void workers_write_side_by_side(void **state)
{
    (void)state;
    struct directory d;
    directory_make(&d);
    struct access_log *log = open_log(d.file, "$connection $remote_addr", WORKERS_MAX);
    pthread_t threads[WORKERS_MAX];
    struct writing writings[WORKERS_MAX];
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        writings[i] = (struct writing){ log, i };
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writings[i]), 0);
    }
    for (uint32_t i = 0; i < WORKERS_MAX; i++) pthread_join(threads[i], NULL);
    uint64_t dropped = access_log_dropped(log), lines;
    access_log_close(log);
    lines = check_interleaved(read_all(d.file));
    assert_int_equal(lines + dropped, WORKERS_MAX * LINES);
    directory_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_in_the_file_after_closing),
        cmocka_unit_test(a_few_lines_are_written_without_more_coming),
        cmocka_unit_test(a_path_that_cannot_be_opened_is_named),
        cmocka_unit_test(a_stuck_reader_drops_lines_and_never_blocks_the_worker),
        cmocka_unit_test(short_writes_to_a_slow_pipe_keep_lines_whole),
        cmocka_unit_test(standard_output_may_be_a_socket),
        cmocka_unit_test(reopening_loses_and_splits_nothing),
        cmocka_unit_test(a_full_disk_holds_lines_back_until_there_is_room),
        cmocka_unit_test(a_line_torn_by_a_full_disk_does_not_go_on_in_the_next_file),
        cmocka_unit_test(a_device_that_is_full_drops_and_closes),
        cmocka_unit_test(workers_write_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
