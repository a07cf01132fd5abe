/* Files as sources, over real files and the jobs' thread; the clock moves on with each turn of the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "discovery/sources.h"

#define FILES (4 * JOBS_MAX)
#define TURNS_MAX 200000

struct scene {
    struct budget budget;
    struct loop loop;
    struct mailbox *box;
    struct jobs *jobs;
    struct resolver_conf resolver;
    struct sources *sources;
    struct source *used[FILES];
    uint32_t count;
    struct job job;
    pthread_mutex_t gate; /* held: nothing is worked on */
    char folder[32];
};

static void wait_at_gate(struct job *j)
{
    struct scene *s = container_of(j, struct scene, job);
    pthread_mutex_lock(&s->gate);
    pthread_mutex_unlock(&s->gate);
}

static void pass_gate(struct job *j)
{
    (void)j;
}

static void open_scene(struct scene *s)
{
    struct err err = { "" };
    *s = (struct scene){ .budget.limit = 16 << 20,
                         .resolver.empty_after_ms = 10000,
                         .folder = "/tmp/weir-files-XXXXXX" };
    assert_non_null(mkdtemp(s->folder));
    if (loop_init(&s->loop, &s->budget, &err) < 0) fail_msg("%s", err.text);
    s->loop.is_virtual = true;
    assert_int_equal(mailbox_new(&s->box, &s->loop, s, 1024, &err), 0);
    assert_int_equal(jobs_new(&s->jobs, s->box, &err), 0);
    const struct sources_options o = { .loop = &s->loop, .jobs = s->jobs, .resolver = &s->resolver };
    assert_int_equal(sources_new(&s->sources, &o, &err), 0);
    pthread_mutex_init(&s->gate, NULL);
    pthread_mutex_lock(&s->gate);
    s->job = (struct job){ .run = wait_at_gate, .done = pass_gate };
    assert_true(jobs_post(s->jobs, &s->job));
}

static void close_scene(struct scene *s)
{
    char path[64];
    while (s->count) source_put(s->used[--s->count]);
    jobs_stop(s->jobs);
    loop_turn(&s->loop, 0);
    jobs_free(s->jobs);
    mailbox_free(s->box);
    sources_free(s->sources);
    loop_turn(&s->loop, 0);
    loop_fini(&s->loop);
    for (uint32_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "%s/%u", s->folder, i);
        unlink(path);
    }
    rmdir(s->folder);
}

static struct source *use(struct scene *s, const char *path)
{
    char text[80];
    struct address at;
    snprintf(text, sizeof(text), "file:%s", path);
    assert_int_equal(place_parse(slice_of(text), &at, NULL), 0);
    struct source *found = sources_get(s->sources, &at);
    assert_non_null(found);
    return s->used[s->count++] = found;
}

static struct source *use_list(struct scene *s, const char *list)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%u", s->folder, s->count);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(list, file);
    fclose(file);
    return use(s, path);
}

static void settle(struct scene *s)
{
    pthread_mutex_unlock(&s->gate);
    for (int i = 0; i < TURNS_MAX && !sources_are_settled(s->sources); i++) {
        loop_turn(&s->loop, 1);
        s->loop.now_ns += NS_PER_MS;
    }
    assert_true(sources_are_settled(s->sources));
}

static void however_many_there_are_all_are_read(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (uint32_t i = 0; i < FILES; i++) use_list(&s, "10.0.0.1:80\n10.0.0.2:80\n");
    settle(&s);
    for (uint32_t i = 0; i < FILES; i++) {
        assert_int_equal(s.used[i]->count, 2);
        assert_int_equal(s.used[i]->answers[SOURCE_FAILED], 0);
    }
    close_scene(&s);
}

static void those_that_wait_to_be_read_may_end(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (uint32_t i = 0; i < FILES; i++) use_list(&s, "10.0.0.1:80\n");
    assert_non_null(s.used[FILES - 1]->job);
    while (s.count > 2) source_put(s.used[--s.count]);
    settle(&s);
    assert_int_equal(s.used[0]->count, 1);
    close_scene(&s);
}

static void what_waits_too_long_to_be_read_is_a_failure(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (uint32_t i = 0; i < FILES; i++) use_list(&s, "10.0.0.1:80\n");
    struct source *last = s.used[FILES - 1];
    for (int i = 0; i < TURNS_MAX && !last->fresh.has_answered; i++) {
        s.loop.now_ns += NS_PER_MS;
        loop_turn(&s.loop, 0);
    }
    assert_int_equal(last->answers[SOURCE_FAILED], 1);
    assert_string_equal(last->reason, SOURCE_NO_WORK);
    pthread_mutex_unlock(&s.gate);
    close_scene(&s);
}

/* The memory of a process is a file that is there, and cannot be read where it begins. */
static void a_file_that_cannot_be_read_is_no_empty_one(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct source *f = use(&s, "/proc/self/mem");
    settle(&s);
    assert_int_equal(f->answers[SOURCE_FAILED], 1);
    assert_string_equal(f->reason, "/proc/self/mem cannot be read: Input/output error");
    close_scene(&s);
}

static void a_file_has_a_bound(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct source *f = use(&s, "/proc/self/exe"), *none = use_list(&s, "");
    settle(&s);
    assert_int_equal(f->answers[SOURCE_FAILED], 1);
    assert_non_null(strstr(f->reason, "has more than 1048576 bytes"));
    assert_int_equal(none->answers[SOURCE_EMPTY], 1);
    close_scene(&s);
}

/* What is said on standard error until end_hearing(). */
static int begin_hearing(int *before)
{
    int heard = memfd_create("heard", MFD_CLOEXEC);
    assert_true(heard >= 0);
    fflush(stderr);
    *before = dup(STDERR_FILENO);
    assert_true(*before >= 0 && dup2(heard, STDERR_FILENO) >= 0);
    return heard;
}

static void end_hearing(int heard, int before, char *out, size_t size)
{
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t len = pread(heard, out, size - 1, 0);
    out[len > 0 ? len : 0] = 0;
    close(heard);
}

static uint32_t count_of(const char *text, const char *part)
{
    uint32_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) count++;
    return count;
}

/* No descriptor is to be had while the source is opened, and one is again when it is read. */
static void that_a_file_cannot_be_watched_is_said_once(void **state)
{
    (void)state;
    struct scene s;
    struct rlimit limit, none;
    char text[8192];
    int before;
    open_scene(&s);
    char path[64];
    snprintf(path, sizeof(path), "%s/0", s.folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("10.0.0.1:80\n", file);
    fclose(file);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct source *f = use(&s, path);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int heard = begin_hearing(&before);
    settle(&s);
    for (int i = 0; i < TURNS_MAX && f->answers[SOURCE_FOUND] < 3; i++) {
        s.loop.now_ns += 100 * NS_PER_MS;
        loop_turn(&s.loop, 1);
    }
    end_hearing(heard, before, text, sizeof(text));
    assert_int_equal(f->answers[SOURCE_FOUND], 3);
    assert_int_equal(count_of(text, "event=source_not_watched"), 1);
    assert_non_null(strstr(text, path));
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_many_there_are_all_are_read),
        cmocka_unit_test(those_that_wait_to_be_read_may_end),
        cmocka_unit_test(what_waits_too_long_to_be_read_is_a_failure),
        cmocka_unit_test(a_file_that_cannot_be_read_is_no_empty_one),
        cmocka_unit_test(a_file_has_a_bound),
        cmocka_unit_test(that_a_file_cannot_be_watched_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
