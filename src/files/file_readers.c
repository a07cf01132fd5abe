#include "files/file_readers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/signal_stack.h"

struct file_readers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct file_ask *first, **last;
    char *spare[FILE_BUFFERS]; /* buffers that nobody has */
    uint32_t spare_count, buffer_count;
    bool is_ending;
    pthread_t threads[FILE_READERS];
    uint32_t thread_count;
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

void file_ask_forget(struct file_ask *a, bool takes_fd)
{
    a->asker = NULL;
    a->owns_fd = takes_fd;
}

static void drop(struct file_ask *a)
{
    if (a->owns_fd) close(a->fd);
    if (a->found.fd >= 0) close(a->found.fd);
    file_ask_free(a);
}

void file_asks_drop(struct list *asks)
{
    for (struct list *first; (first = list_pop_front(asks));)
        drop(container_of(first, struct file_ask, link));
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
static struct file_ask *take(struct file_readers *r)
{
    struct file_ask *a = NULL;
    pthread_mutex_lock(&r->lock);
    while (!r->is_ending) {
        a = r->first;
        if (a && (!a->is_read || (a->data = take_buffer(r)))) break;
        pthread_cond_wait(&r->changed, &r->lock);
    }
    if (r->is_ending) {
        a = NULL;
    } else if (!(r->first = a->next)) {
        r->last = &r->first;
    }
    pthread_mutex_unlock(&r->lock);
    return a;
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
    struct file_readers *r = argument;
    struct file_ask *a;
    signal_stack_open();
    while ((a = take(r))) {
        struct mail m = { .deliver = deliver, .object = a };
        work(a);
        /* The worker empties its box; once weir ends it frees what it had asked. */
        while (!mailbox_post(a->box, &m) && !is_ending(r)) sched_yield();
    }
    signal_stack_close();
    return NULL;
}

/* One more thread for each question until all are there; without any nothing is taken. With the lock. */
static bool has_threads(struct file_readers *r)
{
    sigset_t before;
    if (r->thread_count == FILE_READERS) return true;
    pthread_t *t = &r->threads[r->thread_count];
    signal_block_all_but_faults(&before);
    if (pthread_create(t, NULL, run, r) == 0) {
        pthread_setname_np(*t, "weir-files");
        r->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r->thread_count > 0;
}

bool file_ask_send(struct file_ask *a)
{
    struct file_readers *r = a->readers;
    pthread_mutex_lock(&r->lock);
    bool is_taken = !r->is_ending && has_threads(r);
    if (is_taken) {
        a->next = NULL;
        *r->last = a;
        r->last = &a->next;
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
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->last = &r->first;
    add_meters(r, metrics);
    *out = r;
    return 0;
}

void file_readers_stop(struct file_readers *r)
{
    if (!r) return;
    pthread_mutex_lock(&r->lock);
    r->is_ending = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    while (r->thread_count) pthread_join(r->threads[--r->thread_count], NULL);
}

void file_readers_free(struct file_readers *r)
{
    if (!r) return;
    file_readers_stop(r);
    while (r->spare_count) free(r->spare[--r->spare_count]);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
