/* What guards did is kept, and the file is nobody's but who owns the folder. */
#include "control/split_watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/jobs.h"
#include "net/loop.h"
#include "proxy/proxy.h"
#include "proxy/site.h"
#include "proxy/split_steering.h"

#define FILE_NAME "split-guards.json"

struct scene {
    char path[64];
    int folder;
    struct budget budget;
    struct loop loop;
    struct mailbox *box;
    struct jobs *jobs;
    struct split_variant_conf variants[2];
    struct split_guard_conf guard;
    struct split_conf conf;
    struct split_variant of[2];
    struct split split;
    struct site site;
    struct proxy proxy;
    struct split_watch *watch;
    struct err err;
};

static int open_scene(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    if (!s) return -1;
    *state = s;
    strcpy(s->path, "/tmp/weir-split-watch-XXXXXX");
    s->budget.limit = 64 << 20;
    if (!mkdtemp(s->path) || (s->folder = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return -1;
    if (loop_init(&s->loop, &s->budget, &s->err) < 0) return -1;
    if (mailbox_new(&s->box, &s->loop, s, 64, &s->err) < 0 || jobs_new(&s->jobs, s->box, &s->err) < 0)
        return -1;
    s->variants[0] = (struct split_variant_conf){ "a", 9000, "web" };
    s->variants[1] = (struct split_variant_conf){ "b", 1000, "canary" };
    s->guard = (struct split_guard_conf){ .errors = 100,
                                          .quantile_ms = { UINT64_MAX, UINT64_MAX, UINT64_MAX },
                                          .index = 1 };
    s->conf = (struct split_conf){
        .name = "checkout", .salt = "checkout", .variants = { s->variants, 2 }, .guard = &s->guard
    };
    if (http_template_parse_source(SLICE("client"), &s->conf.unit, &s->err) < 0) return -1;
    s->split = (struct split){ .conf = &s->conf, .name = "checkout", .variant_count = 2, .variants = s->of };
    if (split_book_open(&s->split.book, NULL, &s->conf, 1, &s->err) < 0) return -1;
    s->site = (struct site){ .proxy = &s->proxy, .splits = &s->split, .split_count = 1 };
    s->proxy.site = &s->site;
    if (metric_registry_new(&s->proxy.metrics, 1, 64, &s->err) < 0) return -1;
    return split_watch_new(&s->watch, &s->proxy, &s->loop, s->jobs, -1, &s->err);
}

static int close_scene(void **state)
{
    struct scene *s = *state;
    unlinkat(s->folder, FILE_NAME, 0);
    unlinkat(s->folder, FILE_NAME ".new", 0);
    rmdir(s->path);
    close(s->folder);
    jobs_stop(s->jobs);
    loop_turn(&s->loop, 0);
    split_watch_free(s->watch);
    jobs_free(s->jobs);
    mailbox_free(s->box);
    metric_registry_free(s->proxy.metrics);
    split_book_close(s->split.book);
    loop_fini(&s->loop);
    free(s);
    return 0;
}

static bool is_kept(const struct scene *s, const char *what)
{
    char text[1024] = "";
    int fd = openat(s->folder, FILE_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    if (read(fd, text, sizeof(text) - 1) < 0) fail();
    close(fd);
    return strstr(text, what) != NULL;
}

/* A job that keeps the others waiting. */
struct gate {
    struct job job; /* first */
    pthread_mutex_t lock;
};

static void wait_at_gate(struct job *job)
{
    struct gate *g = (struct gate *)job;
    pthread_mutex_lock(&g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void leave_gate(struct job *job)
{
    (void)job;
}

static void what_is_on_its_way_is_not_written_over_the_next_owner_s(void **state)
{
    struct scene *s = *state;
    static struct gate gate; /* until its mail has come */
    gate = (struct gate){ .job = { .run = wait_at_gate, .done = leave_gate },
                          .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_mutex_lock(&gate.lock);
    assert_true(jobs_post(s->jobs, &gate.job));
    split_watch_own(s->watch, s->folder, false);
    split_steer_pause(&s->split, 1234, 0);
    split_watch_stop(s->watch);
    assert_true(is_kept(s, "\"weight\": 1234"));
    int fd = openat(s->folder, FILE_NAME, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0 && write(fd, "theirs", 6) == 6);
    close(fd);
    pthread_mutex_unlock(&gate.lock);
    jobs_stop(s->jobs);
    assert_true(is_kept(s, "theirs"));
    pthread_mutex_destroy(&gate.lock);
}

static void what_could_not_be_written_is_at_the_next_look(void **state)
{
    struct scene *s = *state;
    assert_int_equal(mkdirat(s->folder, FILE_NAME ".new", 0700), 0);
    jobs_stop(s->jobs); /* it is written at once, then */
    split_watch_own(s->watch, s->folder, false);
    assert_false(is_kept(s, "checkout"));
    assert_int_equal(unlinkat(s->folder, FILE_NAME ".new", AT_REMOVEDIR), 0);
    split_watch_follow(s->watch);
    assert_true(is_kept(s, "\"weight\": 1000"));
}

static void what_was_kept_is_taken_up(void **state)
{
    struct scene *s = *state;
    jobs_stop(s->jobs);
    split_watch_own(s->watch, s->folder, false);
    split_steer_take_back(&s->split, 0);
    split_watch_stop(s->watch);
    split_watch_free(s->watch);
    s->split.book->guard = (struct split_guard){ 0 };
    assert_int_equal(split_watch_new(&s->watch, &s->proxy, &s->loop, s->jobs, s->folder, &s->err), 0);
    assert_int_equal(split_guard_of(&s->split)->state, SPLIT_GUARD_BACK);
    assert_int_equal(s->of[0].weight, 10000);
    assert_int_equal(s->of[1].weight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_on_its_way_is_not_written_over_the_next_owner_s, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(what_could_not_be_written_is_at_the_next_look, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(what_was_kept_is_taken_up, open_scene, close_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
