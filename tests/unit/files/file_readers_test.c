#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/file_readers.h"

#define ASKS 64u

/* A disk that does not answer who reads from there until it is told to. In the system's place. */
#define HUNG 1000000

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_hung;
    unsigned waiting;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

ssize_t pread(int fd, void *buf, size_t nbytes, off_t offset)
{
    pthread_mutex_lock(&disk.lock);
    disk.waiting += offset == HUNG;
    pthread_cond_broadcast(&disk.changed);
    while (offset == HUNG && disk.is_hung) pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting -= offset == HUNG;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
    return syscall(SYS_pread64, fd, buf, nbytes, offset);
}

static void hang(bool is_hung)
{
    pthread_mutex_lock(&disk.lock);
    disk.is_hung = is_hung;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

static void until_waiting(unsigned count)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.waiting != count) pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

struct scene {
    struct budget budget;
    struct loop loop;
    struct mailbox *box;
    struct metric_registry *metrics;
    struct file_readers *readers;
    struct list asks;
    char path[32];
    int fd;
    unsigned answers, right;
};

static void open_scene(struct scene *s)
{
    struct err err;
    *s = (struct scene){ .budget = { .limit = 1 << 20 }, .path = "/tmp/weir-readers-XXXXXX" };
    list_init(&s->asks);
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    assert_int_equal(mailbox_new(&s->box, &s->loop, s, 16, &err), 0);
    assert_int_equal(metric_registry_new(&s->metrics, 1, 100, &err), 0);
    assert_int_equal(file_readers_new(&s->readers, s->metrics, &err), 0);
    s->fd = mkstemp(s->path);
    assert_true(s->fd >= 0);
    assert_int_equal(write(s->fd, "0123456789", 10), 10);
}

static void close_scene(struct scene *s)
{
    file_readers_stop(s->readers);
    file_asks_drop(&s->asks);
    file_readers_free(s->readers);
    mailbox_free(s->box);
    metric_registry_free(s->metrics);
    loop_fini(&s->loop);
    if (s->fd >= 0) close(s->fd);
    unlink(s->path);
}

static void on_read(struct file_ask *a)
{
    struct scene *s = a->asker;
    s->answers++;
    s->right += a->got == 10 - (int64_t)a->at && a->data[0] == (char)('0' + a->at);
}

static struct file_ask *read_at(struct scene *s, uint64_t at)
{
    struct file_ask *a = file_ask_new(s->readers, &s->asks, s->box, NULL);
    assert_non_null(a);
    a->on_answer = on_read;
    a->asker = s;
    a->fd = s->fd;
    a->at = at;
    assert_true(file_ask_send(a));
    return a;
}

static void wait_for_all(struct scene *s)
{
    while (!list_is_empty(&s->asks)) loop_turn(&s->loop, -1);
}

/* More than there are threads, buffers and places in the box. */
static void everybody_is_answered(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (unsigned i = 0; i < ASKS; i++) read_at(&s, i % 10);
    wait_for_all(&s);
    assert_int_equal(s.answers, ASKS);
    assert_int_equal(s.right, ASKS);
    close_scene(&s);
}

static void on_found(struct file_ask *a)
{
    struct scene *s = a->asker;
    s->answers++;
    s->right += a->found.result == FILE_FOUND && a->found.size == 10;
    if (a->found.fd >= 0) close(a->found.fd);
    a->found.fd = -1;
}

static void a_file_is_found_though_its_plan_is_gone(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    char name[32], root[] = "/tmp", index[] = "index.html";
    const char *index_names[] = { index };
    memcpy(name, s.path + 5, sizeof(name) - 5);
    struct file_plan plan = {
        .root = root, .name = name, .index = index_names, .index_count = 1, .fallback = index
    };
    struct file_ask *a = file_ask_new(s.readers, &s.asks, s.box, &plan);
    assert_non_null(a);
    memset(name, 'x', 5);
    memset(root, 'x', 4);
    memset(index, 'x', 4);
    index_names[0] = NULL;
    a->on_answer = on_found;
    a->asker = &s;
    assert_true(file_ask_send(a));
    wait_for_all(&s);
    assert_int_equal(s.right, 1);
    close_scene(&s);
}

static void what_is_forgotten_closes_its_file(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    int fd = s.fd;
    file_ask_forget(read_at(&s, 0), true);
    s.fd = -1;
    wait_for_all(&s);
    assert_int_equal(s.answers, 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    close_scene(&s);
}

static void what_weir_leaves_undone_is_given_back(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (unsigned i = 0; i < ASKS; i++) read_at(&s, 0);
    file_readers_stop(s.readers);
    struct file_ask *late = file_ask_new(s.readers, &s.asks, s.box, NULL);
    assert_non_null(late);
    assert_false(file_ask_send(late));
    close_scene(&s);
}

static unsigned under_way(const struct scene *s)
{
    unsigned count = 0;
    for (const struct list *at = s->asks.next; at != &s->asks; at = at->next) count++;
    return count;
}

/* Whoever asks and goes away while no disk answers leaves nothing behind: neither memory nor descriptors. */
static void what_is_forgotten_in_line_is_gone_at_once(void **state)
{
    (void)state;
    struct scene s;
    int fds[ASKS];
    open_scene(&s);
    hang(true);
    for (unsigned i = 0; i < FILE_READERS; i++) read_at(&s, HUNG);
    until_waiting(FILE_READERS);
    for (unsigned i = 0; i < ASKS; i++) {
        struct file_ask *a = read_at(&s, 0);
        a->fd = fds[i] = dup(s.fd);
        assert_true(a->fd >= 0);
        file_ask_forget(a, true);
    }
    assert_int_equal(under_way(&s), FILE_READERS);
    for (unsigned i = 0; i < ASKS; i++) assert_int_equal(fcntl(fds[i], F_GETFD), -1);
    hang(false);
    wait_for_all(&s);
    assert_int_equal(s.answers, FILE_READERS);
    close_scene(&s);
}

/* Without a bound: the stop that this waits for would never come. */
static void a_disk_that_never_answers_does_not_keep_weir_from_ending(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    hang(true);
    for (unsigned i = 0; i < FILE_READERS - 1; i++) read_at(&s, HUNG);
    until_waiting(FILE_READERS - 1);
    read_at(&s, 0);
    read_at(&s, 0);
    close_scene(&s);
    assert_int_equal(under_way(&s), 0);
    hang(false); /* those who come back find that nobody waits for them */
    until_waiting(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_answered),
        cmocka_unit_test(a_file_is_found_though_its_plan_is_gone),
        cmocka_unit_test(what_is_forgotten_closes_its_file),
        cmocka_unit_test(what_weir_leaves_undone_is_given_back),
        cmocka_unit_test(what_is_forgotten_in_line_is_gone_at_once),
        cmocka_unit_test(a_disk_that_never_answers_does_not_keep_weir_from_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
