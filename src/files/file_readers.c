#include "files/file_readers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/signal_stack.h"

struct reader {
    struct file_readers *all;
    pthread_t thread;
    bool waits_for_disk, has_ended, is_left_behind;
};

struct file_readers {
    pthread_mutex_t lock;
    pthread_cond_t changed, ended;
    struct list line;          /* of file_ask */
    char *spare[FILE_BUFFERS]; /* buffers that nobody has */
    uint32_t spare_count, buffer_count;
    bool is_ending, is_freed;
    struct reader readers[FILE_READERS];
    uint32_t reader_count, left_behind;
    uint32_t meters[2][FILE_SOURCES];
};

/* on a worker */

static size_t size_of_texts(const struct file_plan *p)
{
    size_t size = strlen(p->root) + strlen(p->name) + 2 + (p->fallback ? strlen(p->fallback) + 1 : 0);
    for (uint32_t i = 0; i < p->index_count; i++) size += strlen(p->index[i]) + 1;
    return size;
}

static const char *put(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

/* The configuration may be gone before the answer comes. */
static void copy_plan(struct file_ask *a, const struct file_plan *p)
{
    const char **index = (const char **)(void *)a->texts;
    char *at = a->texts + p->index_count * sizeof(*index);
    a->plan = *p;
    a->plan.root = put(&at, p->root);
    a->plan.name = put(&at, p->name);
    if (p->fallback) a->plan.fallback = put(&at, p->fallback);
    for (uint32_t i = 0; i < p->index_count; i++) index[i] = put(&at, p->index[i]);
    a->plan.index = index;
}

struct file_ask *file_ask_new(struct file_readers *r, struct list *asks, struct mailbox *box,
                              const struct file_plan *plan)
{
    size_t room = plan ? plan->index_count * sizeof(char *) + size_of_texts(plan) : 0;
    struct file_ask *a = calloc(1, sizeof(*a) + room);
    if (!a) return NULL;
    a->readers = r;
    a->box = box;
    a->found.fd = a->fd = -1;
    a->is_read = !plan;
    if (plan) copy_plan(a, plan);
    list_init(&a->place);
    list_push_back(asks, &a->link);
    return a;
}

static void give_back(struct file_readers *r, char *data)
{
    pthread_mutex_lock(&r->lock);
    r->spare[r->spare_count++] = data;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void file_ask_free(struct file_ask *a)
{
    if (a->data) give_back(a->readers, a->data);
    list_remove(&a->link);
    free(a);
}

static void drop(struct file_ask *a)
{
    if (a->owns_fd) close(a->fd);
    if (a->found.fd >= 0) close(a->found.fd);
    file_ask_free(a);
}

static bool leave_line(struct file_ask *a)
{
    struct file_readers *r = a->readers;
    pthread_mutex_lock(&r->lock);
    bool was_in_line = !list_is_empty(&a->place);
    list_remove(&a->place);
    if (was_in_line)
        pthread_cond_signal(&r->changed); /* who is behind may not need the buffer that it waited for */
    pthread_mutex_unlock(&r->lock);
    return was_in_line;
}

void file_ask_forget(struct file_ask *a, bool takes_fd)
{
    a->asker = NULL;
    a->owns_fd = takes_fd;
    if (leave_line(a)) drop(a);
}

/* The system may still write to it: then it is its reader's to drop. */
static bool leave_behind(struct file_ask *a)
{
    pthread_mutex_lock(&a->readers->lock);
    bool is_left_behind = a->is_left_behind = a->is_with_reader;
    pthread_mutex_unlock(&a->readers->lock);
    return is_left_behind;
}

void file_asks_drop(struct list *asks)
{
    for (struct list *first; (first = list_pop_front(asks));) {
        struct file_ask *a = container_of(first, struct file_ask, link);
        (void)leave_line(a);
        if (!leave_behind(a)) drop(a);
    }
}

static void deliver(void *reader, const struct mail *m)
{
    (void)reader;
    struct file_ask *a = m->object;
    if (!a->asker) {
        drop(a);
        return;
    }
    a->on_answer(a);
    file_ask_free(a);
}

/* on a reader */

static char *take_buffer(struct file_readers *r)
{
    if (r->spare_count) return r->spare[--r->spare_count];
    char *data = r->buffer_count < FILE_BUFFERS ? malloc(FILE_READ_BYTES) : NULL;
    if (data) r->buffer_count++;
    return data;
}

/* The first in line, and a buffer if it wants one: those who have none wait for it, and with them those behind. */
static struct file_ask *take(struct reader *reader)
{
    struct file_readers *r = reader->all;
    struct file_ask *a = NULL;
    pthread_mutex_lock(&r->lock);
    while (!r->is_ending) {
        a = list_is_empty(&r->line) ? NULL : container_of(r->line.next, struct file_ask, place);
        if (a && (!a->is_read || (a->data = take_buffer(r)))) break;
        pthread_cond_wait(&r->changed, &r->lock);
    }
    if (r->is_ending) {
        a = NULL;
    } else {
        list_remove(&a->place);
        a->is_with_reader = reader->waits_for_disk = true;
        /* Who was told of it while that one was in the way has gone back to sleep. */
        if (!list_is_empty(&r->line)) pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return a;
}

/* Once weir ends nobody is told: it may have been left behind, and the worker's box be gone. */
static bool is_told(struct reader *reader, struct file_ask *a)
{
    struct file_readers *r = reader->all;
    pthread_mutex_lock(&r->lock);
    a->is_with_reader = reader->waits_for_disk = false;
    bool is = !r->is_ending, is_left_behind = a->is_left_behind;
    pthread_mutex_unlock(&r->lock);
    if (is_left_behind) drop(a);
    return is;
}

static void readers_free(struct file_readers *r);

/* Of those who were left behind the last one has what all of them had. */
static void leave(struct reader *reader)
{
    struct file_readers *r = reader->all;
    pthread_mutex_lock(&r->lock);
    reader->has_ended = true;
    pthread_cond_signal(&r->ended);
    if (reader->is_left_behind) r->left_behind--;
    bool is_last = reader->is_left_behind && r->is_freed && !r->left_behind;
    pthread_mutex_unlock(&r->lock);
    if (is_last) readers_free(r);
}

static bool is_ending(struct file_readers *r)
{
    pthread_mutex_lock(&r->lock);
    bool ending = r->is_ending;
    pthread_mutex_unlock(&r->lock);
    return ending;
}

static void work(struct file_ask *a)
{
    if (!a->is_read) {
        file_find(&a->plan, true, &a->found);
        return;
    }
    do a->got = pread(a->fd, a->data, FILE_READ_BYTES, (off_t)a->at);
    while (a->got < 0 && errno == EINTR);
    if (a->got < 0) a->found.error = errno;
}

static void *run(void *argument)
{
    struct reader *reader = argument;
    struct file_ask *a;
    signal_stack_open();
    while ((a = take(reader))) {
        struct mail m = { .deliver = deliver, .object = a };
        struct mailbox *box = a->box;
        work(a);
        if (!is_told(reader, a)) continue;
        /* The worker empties its box; once weir ends it frees what it had asked. */
        while (!mailbox_post(box, &m) && !is_ending(reader->all)) sched_yield();
    }
    leave(reader);
    signal_stack_close();
    return NULL;
}

/* One more thread for each question until all are there; without any nothing is taken. With the lock. */
static bool has_threads(struct file_readers *r)
{
    sigset_t before;
    if (r->reader_count == FILE_READERS) return true;
    struct reader *next = &r->readers[r->reader_count];
    *next = (struct reader){ .all = r };
    signal_block_all_but_faults(&before);
    if (pthread_create(&next->thread, NULL, run, next) == 0) {
        pthread_setname_np(next->thread, "weir-files");
        r->reader_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r->reader_count > 0;
}

bool file_ask_send(struct file_ask *a)
{
    struct file_readers *r = a->readers;
    pthread_mutex_lock(&r->lock);
    bool is_taken = !r->is_ending && has_threads(r);
    if (is_taken) {
        list_push_back(&r->line, &a->place);
        pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return is_taken;
}

/* the whole */

static void add_meters(struct file_readers *r, struct metric_registry *m)
{
    static const char *const names[FILE_SOURCES] = { "cache", "disk" };
    for (unsigned i = 0; i < FILE_SOURCES; i++) {
        struct metric_label label = { "from", names[i] };
        r->meters[0][i] = metric_counter(
            m, "weir_file_lookups_total",
            "Files that routes looked for, by whether the system knew them already or a "
            "thread waited for a disk.",
            &label, 1);
        r->meters[1][i] = metric_counter(m, "weir_file_reads_total",
                                         "Pieces that were read of files, likewise.", &label, 1);
    }
}

void file_readers_count(const struct file_readers *r, struct metric_shard *shard, bool is_read,
                        enum file_source from)
{
    metric_add(shard, r->meters[is_read][from], 1);
}

int file_readers_new(struct file_readers **out, struct metric_registry *metrics, struct err *err)
{
    struct file_readers *r = calloc(1, sizeof(*r));
    if (!r) return err_set(err, "out of memory for what reads files");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    pthread_cond_init(&r->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&r->line);
    add_meters(r, metrics);
    *out = r;
    return 0;
}

/* With the lock: whether somebody has yet to end; those whom a disk keeps do not count if `is_late`. */
static bool has_more_to_end(const struct file_readers *r, bool is_late)
{
    for (uint32_t i = 0; i < r->reader_count; i++)
        if (!r->readers[i].has_ended && !(is_late && r->readers[i].waits_for_disk)) return true;
    return false;
}

static void wait_for_ends(struct file_readers *r)
{
    uint64_t until_ns = clock_now_ns() + FILE_STOP_MS * NS_PER_MS;
    const struct timespec until = { (time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S) };
    bool is_late = false;
    while (has_more_to_end(r, is_late)) {
        if (is_late)
            pthread_cond_wait(&r->ended, &r->lock);
        else
            is_late = pthread_cond_timedwait(&r->ended, &r->lock, &until) == ETIMEDOUT;
    }
}

void file_readers_stop(struct file_readers *r)
{
    if (!r || r->is_ending) return; /* only this thread sets it */
    pthread_mutex_lock(&r->lock);
    r->is_ending = true;
    pthread_cond_broadcast(&r->changed);
    wait_for_ends(r);
    for (uint32_t i = 0; i < r->reader_count; i++)
        r->left_behind += r->readers[i].is_left_behind = !r->readers[i].has_ended;
    uint32_t left_behind = r->left_behind;
    pthread_mutex_unlock(&r->lock);
    for (uint32_t i = 0; i < r->reader_count; i++) {
        if (r->readers[i].is_left_behind)
            pthread_detach(r->readers[i].thread);
        else
            pthread_join(r->readers[i].thread, NULL);
    }
    if (left_behind)
        log_event(LOG_WARN, "files_left_behind", "threads=%u waited_ms=%u", left_behind, FILE_STOP_MS);
}

static void readers_free(struct file_readers *r)
{
    while (r->spare_count) free(r->spare[--r->spare_count]);
    pthread_cond_destroy(&r->ended);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void file_readers_free(struct file_readers *r)
{
    if (!r) return;
    file_readers_stop(r);
    pthread_mutex_lock(&r->lock);
    r->is_freed = true;
    bool has_all = !r->left_behind;
    pthread_mutex_unlock(&r->lock);
    if (has_all) readers_free(r);
}
