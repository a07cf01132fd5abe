#include "proxy/file_answer.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "files/media_types.h"
#include "proxy/worker.h"

static void go_on(struct file_answer *f);

static void fail(struct file_answer *f, enum end_reason reason, const char *detail)
{
    const struct http_fault fault = { .reason = reason, .detail = detail };
    f->stream.events->on_error(&f->stream, &fault);
}

static void count(const struct file_answer *f, bool is_read, enum file_source from)
{
    file_readers_count(f->worker->proxy->file_readers, f->worker->metrics, is_read, from);
}

/* reading */

/* In place it was written to since it was found, and has not only grown: what came and what follows are of two states. */
static bool has_changed(const struct file_answer *f)
{
    struct stat st;
    if (!f->was_interrupted || fstat(f->found.fd, &st) < 0) return false;
    bool is_touched = st.st_mtim.tv_sec != f->found.modified_s || st.st_mtim.tv_nsec != f->found.modified_ns;
    return is_touched && (uint64_t)st.st_size <= f->found.size;
}

/* Passes on what was read. True if all of it was taken and more is to be read. */
static bool pass_on(struct file_answer *f, const char *data, size_t len)
{
    if (bug_if(EXCHANGE, len > f->end - f->at))
        len = (size_t)(f->end - f->at); /* it would be another's part */
    bool is_last = f->at + len == f->end;
    if (is_last && has_changed(f)) {
        fail(f, END_FILE_CHANGED, NULL);
        return false;
    }
    size_t taken = f->stream.events->on_body(&f->stream, data, len, is_last ? HTTP_END : 0);
    if (bug_if(EXCHANGE, taken > len)) taken = len;
    f->at += taken;
    return taken == len && !is_last && f->found.fd >= 0; /* closed: it is over */
}

static void read_failed(struct file_answer *f, int64_t got)
{
    if (got == 0)
        fail(f, END_FILE_CHANGED, "it has become shorter");
    else
        fail(f, END_FILE_UNREADABLE, NULL);
}

static void on_read(struct file_ask *a)
{
    struct file_answer *f = a->asker;
    if (bug_if(EXCHANGE, f->ask != a)) return; /* it was forgotten */
    uint64_t left = f->end - f->at;
    f->ask = NULL;
    f->was_interrupted = true;
    if (a->got <= 0)
        read_failed(f, a->got);
    else if (pass_on(f, a->data, (uint64_t)a->got < left ? (size_t)a->got : (size_t)left))
        go_on(f);
}

static void ask_to_read(struct file_answer *f)
{
    struct worker *w = f->worker;
    if (bug_if(EXCHANGE, f->ask)) return; /* one at a time, else bytes come twice */
    struct file_ask *a = file_ask_new(w->proxy->file_readers, &w->file_asks, w->box, NULL);
    if (!a) {
        fail(f, END_NO_MEMORY, NULL);
        return;
    }
    a->on_answer = on_read;
    a->asker = f;
    a->fd = f->found.fd;
    a->at = f->at;
    if (!file_ask_send(a)) {
        file_ask_free(a);
        fail(f, END_DRAINED, NULL);
        return;
    }
    count(f, true, FILE_FROM_DISK);
    f->ask = a;
}

/* What is not taken is read anew: no more than little of it. */
static size_t piece_bytes(struct file_answer *f)
{
    uint64_t left = f->end - f->at;
    size_t may = f->stream.events->may_take(&f->stream), most = FILE_READ_BYTES;
    if (may < most) most = may > LOOP_LITTLE_BYTES ? may : LOOP_LITTLE_BYTES;
    return left < most ? (size_t)left : most;
}

/* What the system has in its cache, into the loop's scratch. False: it is over, or somebody is waited for. */
static bool read_piece(struct file_answer *f)
{
    struct loop *l = &f->worker->loop;
    if (bug_if(EXCHANGE, f->at >= f->end))
        return false; /* all of it has gone: to read on would look like a file that was cut */
    struct iovec into = { l->scratch, piece_bytes(f) };
    ssize_t got = preadv2(f->found.fd, &into, 1, (off_t)f->at, RWF_NOWAIT);
    if (got < 0) {
        /* EOPNOTSUPP: a file system that cannot say whether it would wait. */
        bool may_wait = errno == EAGAIN || errno == EOPNOTSUPP || errno == EINTR;
        if (may_wait)
            ask_to_read(f);
        else
            read_failed(f, got);
        return false;
    }
    if (got == 0) {
        read_failed(f, 0);
        return false;
    }
    count(f, true, FILE_FROM_CACHE);
    bool was_busy = loop_claim_scratch(l);
    bool goes_on = pass_on(f, l->scratch, (size_t)got);
    loop_release_scratch(l, was_busy);
    return goes_on;
}

/* As much as one may have of a turn. */
static void go_on(struct file_answer *f)
{
    struct loop *l = &f->worker->loop;
    if (f->ask || f->found.fd < 0) return;
    for (uint64_t moved = 0; moved < LOOP_TURN_BYTES && !l->is_scratch_busy; moved += FILE_READ_BYTES)
        if (!read_piece(f)) return;
    f->was_interrupted = true;
    loop_defer(l, &f->task);
}

void file_answer_send(struct file_answer *f, uint64_t begin, uint64_t end)
{
    if (bug_if(EXCHANGE, begin > end || end > f->found.size)) return;
    f->at = begin;
    f->end = end;
    if (begin < end)
        go_on(f);
    else
        pass_on(f, NULL, 0);
}

static void resume(struct http_stream *s)
{
    struct file_answer *f = container_of(s, struct file_answer, stream);
    f->was_interrupted = true;
    if (!f->ask && f->found.fd >= 0) loop_defer(&f->worker->loop, &f->task);
}

/* finding */

static void on_task(struct loop_task *t)
{
    struct file_answer *f = container_of(t, struct file_answer, task);
    if (f->has_told) {
        go_on(f);
        return;
    }
    f->has_told = true;
    f->on_found(f);
}

static void take_found(struct file_answer *f, const struct file_found *found, const struct files_conf *conf)
{
    f->found = *found;
    if (found->result == FILE_FOUND) f->type = media_type_of(conf, found->says_type);
    f->found.says_type = NULL; /* the plan's, which ends */
}

static void on_looked(struct file_ask *a)
{
    struct file_answer *f = a->asker;
    if (bug_if(EXCHANGE, f->ask != a)) return;
    f->ask = NULL;
    f->was_interrupted = true; /* since it was looked at */
    take_found(f, &a->found, f->conf);
    a->found.fd = -1;
    loop_defer(&f->worker->loop, &f->task);
}

static int ask_to_look(struct file_answer *f, const struct file_plan *plan)
{
    struct worker *w = f->worker;
    struct file_ask *a = file_ask_new(w->proxy->file_readers, &w->file_asks, w->box, plan);
    if (!a) return -1;
    a->on_answer = on_looked;
    a->asker = f;
    if (!file_ask_send(a)) {
        file_ask_free(a);
        return -1;
    }
    count(f, false, FILE_FROM_DISK);
    f->ask = a;
    return 0;
}

bool file_answer_may_begin(const struct worker *w)
{
    uint32_t limit = w->proxy->file_limit, share = limit / w->proxy->worker_count;
    return !limit || w->open_files < (share ? share : 1);
}

int file_answer_find(struct file_answer *f, const struct file_plan *plan, const struct files_conf *conf)
{
    struct file_found found;
    if (bug_if(EXCHANGE, f->is_counted || f->ask)) return -1; /* once */
    f->conf = conf;
    f->is_counted = true;
    count_add(&f->worker->open_files, 1);
    file_find(plan, false, &found);
    if (found.result == FILE_NOT_KNOWN) return ask_to_look(f, plan);
    count(f, false, FILE_FROM_CACHE);
    take_found(f, &found, conf);
    loop_defer(&f->worker->loop, &f->task);
    return 0;
}

/* the whole */

static const struct http_stream_ops ops = { .resume = resume };

void file_answer_init(struct file_answer *f, struct worker *w, void *owner,
                      const struct http_stream_events *events)
{
    f->stream = (struct http_stream){ .ops = &ops, .events = events, .owner = owner };
    f->worker = w;
    f->found.fd = -1;
    loop_task_init(&f->task, on_task);
}

void file_answer_close(struct file_answer *f)
{
    bool is_reading = f->ask && f->ask->is_read;
    loop_cancel(&f->task);
    if (f->ask) file_ask_forget(f->ask, is_reading);
    if (f->found.fd >= 0 && !is_reading) close(f->found.fd);
    f->found.fd = -1;
    f->ask = NULL;
    if (f->is_counted) count_less(EXCHANGE, &f->worker->open_files);
    f->is_counted = false;
}
