#include "record/access_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/join.h"
#include "base/log.h"
#include "base/signal_stack.h"
#include "record/access_file.h"
#include "record/access_format.h"
#include "record/access_message.h"
#include "record/access_ring.h"
#include "record/access_socket.h"

#define WAKE_MS 200
#define GIVE_UP_NS (2 * NS_PER_S)
#define SLOW_MS 5
#define SAY_AGAIN_NS (60 * NS_PER_S)
#define SAY_DROPPED_NS (10 * NS_PER_S)
#define IOVECS 64u
#define NO_RING UINT32_MAX

struct access_log {
    struct access_format format;
    struct access_file file;      /* without a socket */
    struct access_socket *socket; /* owned; NULL: lines go to a file */
    struct access_format prefix;  /* with a socket: before each line */
    struct access_message_form form;
    char name[ADDRESS_TEXT_MAX + 8], host[65], tag[64]; /* name: of where lines go, as messages show it */
    int wake_fd;
    uint32_t ring_count;
    struct access_log_writer *rings;
    uint32_t torn; /* the ring whose last line is written in part, or NO_RING */
    uint32_t turn; /* the ring to begin with otherwise */
    struct log_limit limit;
    uint64_t said_ns, dropped_said_ns, dropped_said;
    bool was_away;
    pthread_t thread;
    bool has_ended;                          /* the thread, and it is joined */
    _Atomic uint64_t dropped, written_bytes; /* by the thread */
    _Atomic int32_t offset_s;                /* local time minus UTC */
    _Atomic bool is_sleeping, is_stopping, wants_reopen;
};

enum flush {
    FLUSH_DONE,
    FLUSH_FULL, /* the reader takes no more now: poll() tells when it does */
    FLUSH_SLOW, /* likewise, and poll() does not tell */
    FLUSH_FAILED
};

/* Workers */

static void wake(struct access_log *log)
{
    uint64_t one = 1;
    if (write(log->wake_fd, &one, sizeof(one)) < 0) return; /* it is awake anyhow */
}

void access_log_write(struct access_log_writer *w, const struct access_entry *entry)
{
    struct access_log *log = w->log;
    if (w->own_head - w->known_tail > w->size / 4)
        w->known_tail = atomic_load_explicit(&w->tail, memory_order_acquire);
    uint64_t used = w->own_head - w->known_tail;
    if (bug_if(ACCESS_LOG, used > w->size)) return; /* the line would lie over others, or behind the ring */
    struct text line = text_over(w->base + (w->own_head & (w->size - 1)), w->size - used);
    access_clock_set(&w->clock, entry->now_wall_ns,
                     atomic_load_explicit(&log->offset_s, memory_order_relaxed));
    if (log->socket) {
        access_format_line(&log->prefix, &w->clock, entry, &line);
        text_add_char(&line, ACCESS_MESSAGE_MARK);
    }
    access_format_line(&log->format, &w->clock, entry, &line);
    text_add_char(&line, '\n');
    if (line.is_cut) {
        uint64_t dropped = atomic_load_explicit(&w->dropped, memory_order_relaxed);
        atomic_store_explicit(&w->dropped, dropped + 1, memory_order_relaxed);
    } else {
        w->own_head += line.len;
        used += line.len;
        atomic_store_explicit(&w->head, w->own_head, memory_order_release);
    }
    /* A wake-up lost in the race with falling asleep is made up for by the next line or the time-out. */
    if (used > w->size / 4 && atomic_load_explicit(&log->is_sleeping, memory_order_relaxed) &&
        atomic_exchange_explicit(&log->is_sleeping, false, memory_order_relaxed))
        wake(log);
}

/* Rings */

/* What to write next, whole lines except that a torn one's rest comes first. Returns the number of pieces. */
static uint32_t gather(const struct access_log *log, struct iovec *iov, uint32_t *ring_of)
{
    uint32_t count = 0, first = log->torn == NO_RING ? log->turn : log->torn;
    for (uint32_t i = 0; i < log->ring_count && count < IOVECS; i++) {
        uint32_t index = (first + i) % log->ring_count;
        const struct access_log_writer *w = &log->rings[index];
        uint64_t tail = access_ring_tail(w), len = access_ring_head(w) - tail;
        if (len == 0 || bug_if(ACCESS_LOG, len > w->size)) continue;
        iov[count] = (struct iovec){ (void *)access_ring_at(w, tail), len };
        ring_of[count++] = index;
    }
    return count;
}

/* `written` bytes of the pieces are out. */
static void consume(struct access_log *log, const struct iovec *iov, const uint32_t *ring_of, uint32_t count,
                    size_t written)
{
    atomic_fetch_add_explicit(&log->written_bytes, written, memory_order_relaxed);
    log->torn = NO_RING;
    for (uint32_t i = 0; i < count && written > 0; i++) {
        struct access_log_writer *w = &log->rings[ring_of[i]];
        size_t part = written < iov[i].iov_len ? written : iov[i].iov_len;
        if (*access_ring_at(w, access_ring_tail(w) + part - 1) != '\n') log->torn = ring_of[i];
        log->turn = (ring_of[i] + 1) % log->ring_count;
        atomic_store_explicit(&w->tail, access_ring_tail(w) + part, memory_order_release);
        written -= part;
    }
    (void)bug_if(ACCESS_LOG, written); /* more than there was to write */
}

static void report_failure(struct access_log *log)
{
    char path[256];
    uint32_t suppressed;
    int error = errno;
    if (!log_limit_pass(&log->limit, clock_now_ns(), 1, &suppressed)) return;
    log_event(LOG_ERROR, "access_log_write_failed", "path=%s error=\"%s\" dropped=%llu suppressed=%u",
              log_quote(log->file.path ? log->file.path : "-", path, sizeof(path)), strerror(error),
              (unsigned long long)access_log_dropped(log), suppressed);
}

/* One pass: what is in the rings at its start, more or less. Stops where the file takes no more; what is left
 * stays in the rings, and new lines are dropped once those are full. */
static enum flush flush_file(struct access_log *log)
{
    struct iovec iov[IOVECS];
    uint32_t ring_of[IOVECS];
    uint64_t left = 0;
    for (uint32_t i = 0; i < log->ring_count; i++)
        left += access_ring_head(&log->rings[i]) - access_ring_tail(&log->rings[i]);
    while (left > 0 || log->torn != NO_RING) {
        uint32_t count = gather(log, iov, ring_of);
        if (count == 0) break;
        ssize_t written = access_file_write(&log->file, iov, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return FLUSH_FULL;
        if (written <= 0) {
            report_failure(log);
            return FLUSH_FAILED;
        }
        consume(log, iov, ring_of, count, (size_t)written);
        left -= (size_t)written < left ? (size_t)written : left;
    }
    return FLUSH_DONE;
}

/* Drops from ring `w` up to `end`, counting lines. */
static void discard(struct access_log *log, struct access_log_writer *w, uint64_t end)
{
    uint64_t lines = 0;
    for (uint64_t at = access_ring_tail(w); at < end; at++) lines += *access_ring_at(w, at) == '\n';
    atomic_fetch_add_explicit(&log->dropped, lines, memory_order_relaxed);
    atomic_store_explicit(&w->tail, end, memory_order_release);
}

/* The rest of a line that the old file did not take must not begin the new one. */
static void discard_torn(struct access_log *log)
{
    if (log->torn == NO_RING) return;
    struct access_log_writer *w = &log->rings[log->torn];
    uint64_t tail = access_ring_tail(w);
    const char *rest = access_ring_at(w, tail), *end = memchr(rest, '\n', access_ring_head(w) - tail);
    if (end) discard(log, w, tail + (uint64_t)(end - rest) + 1);
    log->torn = NO_RING;
}

/* Messages */

/* Lines become messages as long as the outbox has room. False: it has none. */
static bool post_lines(struct access_log *log, struct access_log_writer *w)
{
    uint64_t tail = access_ring_tail(w), head = access_ring_head(w);
    while (tail < head) {
        const char *line = access_ring_at(w, tail), *end = memchr(line, '\n', head - tail);
        struct text room = access_outbox_room(&log->socket->box, ACCESS_MESSAGE_ROOM);
        if (!room.data) return false;
        if (bug_if(ACCESS_LOG, !end)) return true; /* half a line */
        struct slice whole = { line, (size_t)(end - line) };
        access_message_make(&log->form, whole, &room);
        access_outbox_add(&log->socket->box, (uint32_t)room.len);
        tail += whole.len + 1;
        atomic_store_explicit(&w->tail, tail, memory_order_release);
    }
    return true;
}

static bool post_all(struct access_log *log)
{
    for (uint32_t i = 0; i < log->ring_count; i++) {
        uint32_t ring = (log->turn + i) % log->ring_count;
        if (post_lines(log, &log->rings[ring])) continue;
        log->turn = (ring + 1) % log->ring_count; /* this one has had its share */
        return false;
    }
    return true;
}

static bool is_wanted(const struct access_log *log)
{
    return atomic_load_explicit(&log->is_stopping, memory_order_relaxed) ||
           atomic_load_explicit(&log->wants_reopen, memory_order_relaxed);
}

/* Ends also when there is something else to do, since workers may write as fast as this goes. */
static enum flush flush_messages(struct access_log *log)
{
    do {
        uint32_t kept = log->socket->box.count;
        bool is_all = post_all(log);
        switch (access_socket_send(log->socket, clock_now_ns())) {
        case ACCESS_SENT_FULL: return FLUSH_FULL;
        case ACCESS_SENT_SLOW: return FLUSH_SLOW;
        case ACCESS_SENT_AWAY: return FLUSH_FAILED;
        case ACCESS_SENT: break;
        }
        if (is_all) return FLUSH_DONE;
        if (kept && log->socket->box.count >= kept) return FLUSH_SLOW; /* nothing is confirmed */
    } while (!is_wanted(log));
    return FLUSH_SLOW;
}

/* Once when nobody is there any more, then again from time to time, and once when somebody is. */
static void say_state(struct access_log *log)
{
    const struct access_socket *s = log->socket;
    uint64_t now = clock_now_ns();
    char to[2 * sizeof(log->name)];
    uint32_t suppressed;
    bool is_away = s->trouble[0];
    bool is_due = is_away != log->was_away || (is_away && now - log->said_ns > SAY_AGAIN_NS);
    if (!is_due || !log_limit_pass(&log->limit, now, 4, &suppressed)) return;
    log->was_away = is_away;
    log->said_ns = now;
    unsigned long long dropped = access_log_dropped(log), repeated = access_log_repeated(log);
    log_quote(log->name, to, sizeof(to));
    if (is_away)
        log_event(
            LOG_ERROR, "access_log_unreachable",
            "to=%s error=\"%s\" dropped=%llu remedy=\"lines wait in buffers (access_log: buffer) while weir "
            "tries again\"",
            to, s->trouble, dropped);
    else
        log_event(LOG_INFO, "access_log_reached", "to=%s dropped=%llu repeated=%llu", to, dropped, repeated);
}

/* Whichever target */

static enum flush flush(struct access_log *log)
{
    if (!log->socket) return flush_file(log);
    enum flush result = flush_messages(log);
    say_state(log);
    return result;
}

static void say_dropped(struct access_log *log, bool is_last)
{
    char to[2 * sizeof(log->name)];
    uint64_t dropped = access_log_dropped(log), now = clock_now_ns();
    bool is_due = is_last || !log->dropped_said_ns || now - log->dropped_said_ns > SAY_DROPPED_NS;
    if (dropped == log->dropped_said || !is_due) return;
    log_event(LOG_WARN, "access_log_dropped", "to=%s count=%llu total=%llu",
              log_quote(log->name, to, sizeof(to)), (unsigned long long)(dropped - log->dropped_said),
              (unsigned long long)dropped);
    log->dropped_said = dropped;
    log->dropped_said_ns = now;
}

static int target_fd(const struct access_log *log)
{
    return log->socket ? log->socket->fd : log->file.fd;
}

/* The thread */

static void reopen(struct access_log *log)
{
    struct err err;
    if (log->socket) {
        access_socket_again(log->socket);
        return;
    }
    if (!log->file.path) return;
    flush(log);
    int old = log->file.fd;
    if (access_file_open(&log->file, &err) < 0) {
        char text[ERR_TEXT_MAX + 2];
        log_event(LOG_ERROR, "access_log_reopen_failed", "error=%s", log_quote(err.text, text, sizeof(text)));
        return;
    }
    close(old);
    discard_torn(log);
}

static void update_offset(struct access_log *log)
{
    time_t now = time(NULL);
    struct tm t;
    if (localtime_r(&now, &t))
        atomic_store_explicit(&log->offset_s, (int32_t)t.tm_gmtoff, memory_order_relaxed);
}

/* Until woken or the time is over. After a failure only stopping and reopening wake it: a worker's wake-up
 * would but fail again. */
static void sleep_until_woken(struct access_log *log, enum flush last)
{
    struct pollfd fds[] = { { .fd = log->wake_fd, .events = POLLIN },
                            { .fd = target_fd(log), .events = POLLOUT } };
    if (last == FLUSH_DONE) atomic_store_explicit(&log->is_sleeping, true, memory_order_relaxed);
    poll(fds, last == FLUSH_FULL ? 2 : 1, last == FLUSH_SLOW ? SLOW_MS : WAKE_MS);
    atomic_store_explicit(&log->is_sleeping, false, memory_order_relaxed);
    uint64_t count;
    if (fds[0].revents && read(log->wake_fd, &count, sizeof(count)) < 0)
        return; /* EFD_NONBLOCK: nothing there */
}

/* Grows with everything that the reader took or confirmed. */
static uint64_t progress_of(const struct access_log *log)
{
    return access_log_written_bytes(log) - (log->socket ? access_outbox_all(&log->socket->box).len : 0);
}

static bool is_finished(const struct access_log *log, enum flush last)
{
    if (!log->socket) return last != FLUSH_FULL;
    return last == FLUSH_DONE && !log->socket->box.count;
}

/* Writes out everything, as long as the file goes on taking some of it; for a socket that is away it waits as long as for one that is
 * full. */
static void finish_access_writer(struct access_log *log)
{
    uint64_t last_progress = clock_now_ns(), progress = progress_of(log);
    for (enum flush last; !is_finished(log, last = flush(log));) {
        uint64_t now = clock_now_ns();
        if (progress_of(log) != progress) {
            progress = progress_of(log);
            last_progress = now;
        }
        if (now - last_progress > GIVE_UP_NS) break;
        struct pollfd p = { .fd = target_fd(log), .events = POLLOUT };
        if (last == FLUSH_FULL)
            poll(&p, 1, WAKE_MS);
        else
            poll(NULL, 0, SLOW_MS);
    }
    for (uint32_t i = 0; i < log->ring_count; i++)
        discard(log, &log->rings[i], access_ring_head(&log->rings[i]));
    if (log->socket) atomic_fetch_add_explicit(&log->dropped, log->socket->box.count, memory_order_relaxed);
    say_dropped(log, true);
}

static void *run_access_writer(void *arg)
{
    struct access_log *log = arg;
    signal_stack_open();
    while (!atomic_load_explicit(&log->is_stopping, memory_order_acquire)) {
        update_offset(log);
        enum flush result = FLUSH_DONE;
        if (atomic_exchange_explicit(&log->wants_reopen, false, memory_order_acquire))
            reopen(log);
        else
            result = flush(log);
        say_dropped(log, false);
        sleep_until_woken(log, result);
    }
    if (atomic_exchange_explicit(&log->wants_reopen, false, memory_order_acquire)) reopen(log);
    finish_access_writer(log);
    signal_stack_close();
    return NULL;
}

static int start_thread(struct access_log *log, struct err *err)
{
    sigset_t old;
    signal_block_all_but_faults(&old);
    int error = pthread_create(&log->thread, NULL, run_access_writer, log);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) return err_set(err, "access_log: cannot start its thread: %s", strerror(error));
    pthread_setname_np(log->thread, "access-log");
    return 0;
}

static void log_free(struct access_log *log)
{
    for (uint32_t i = 0; i < log->ring_count; i++) munmap(log->rings[i].base, 2 * log->rings[i].size);
    if (log->socket) access_socket_fini(log->socket);
    access_file_fini(&log->file);
    if (log->wake_fd >= 0) close(log->wake_fd);
    free(log->rings);
    free(log->socket);
    free(log);
}

static int make_rings(struct access_log *log, uint32_t workers, uint64_t size, struct err *err)
{
    log->rings = aligned_alloc(_Alignof(struct access_log_writer), workers * sizeof(*log->rings));
    if (!log->rings) return err_set(err, "access_log: no memory");
    memset(log->rings, 0, workers * sizeof(*log->rings));
    for (; log->ring_count < workers; log->ring_count++) {
        struct access_log_writer *w = &log->rings[log->ring_count];
        w->log = log;
        w->size = size;
        w->base = access_ring_map(size);
        if (!w->base) return err_set(err, "access_log: no memory for a buffer: %s", strerror(errno));
        access_clock_init(&w->clock);
    }
    return 0;
}

static void describe(struct access_log *log, const struct access_log_conf *conf)
{
    const struct syslog_conf *s = conf->syslog;
    const struct journald_conf *j = conf->journald;
    bool is_counted = s && s->server.sa.any.sa_family != AF_UNIX && s->transport == SYSLOG_TCP;
    gethostname(log->host, sizeof(log->host) - 1);
    snprintf(log->tag, sizeof(log->tag), "%s", s ? s->tag : j->tag);
    log->form = (struct access_message_form){
        .kind = j            ? ACCESS_MESSAGE_JOURNALD
                : is_counted ? ACCESS_MESSAGE_SYSLOG_COUNTED
                             : ACCESS_MESSAGE_SYSLOG,
        .facility = s ? s->facility : 0,
        .severity = s ? s->severity : j->severity,
        .tag = log->tag,
        .host = log->host,
        .pid = (int)getpid(),
    };
}

/* Whoever is not there yet is no reason not to start. */
static int open_socket(struct access_log *log, const struct access_log_conf *conf, struct err *err)
{
    struct address to = { 0 };
    char printed[ADDRESS_TEXT_MAX];
    describe(log, conf);
    if (access_format_compile_own(access_message_prefix(log->form.kind), &log->prefix, err) < 0) return -1;
    if (conf->syslog) {
        to = conf->syslog->server;
    } else {
        char path[sizeof(to.sa.un.sun_path) + sizeof("unix:")];
        snprintf(path, sizeof(path), "unix:%s", conf->journald->socket);
        if (address_parse(slice_of(path), false, &to, err) < 0) return -1;
    }
    snprintf(log->name, sizeof(log->name), "%s%s", conf->journald ? "journald " : "",
             address_print(&to, printed));
    log->socket = calloc(1, sizeof(*log->socket));
    if (!log->socket) return err_set(err, "access_log: no memory");
    return access_socket_init(log->socket, &to, log->form.kind == ACCESS_MESSAGE_SYSLOG_COUNTED, err);
}

static int open_target(struct access_log *log, const struct access_log_conf *conf, struct err *err)
{
    if (!conf->path) return open_socket(log, conf, err);
    snprintf(log->name, sizeof(log->name), "%s", conf->path);
    return access_file_init(&log->file, conf->path, err);
}

struct access_log *access_log_open(const struct access_log_conf *conf, uint32_t workers, struct err *err)
{
    struct access_log *log = calloc(1, sizeof(*log));
    if (!log) {
        err_set(err, "access_log: no memory");
        return NULL;
    }
    log->format = conf->format;
    log->file.fd = -1;
    log->torn = NO_RING;
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
    while (size < conf->buffer_bytes) size *= 2;
    update_offset(log);
    if (log->wake_fd < 0) {
        err_set(err, "access_log: %s", strerror(errno));
        goto undo;
    }
    if (open_target(log, conf, err) < 0 || make_rings(log, workers, size, err) < 0 ||
        start_thread(log, err) < 0)
        goto undo;
    return log;

undo:
    log_free(log);
    return NULL;
}

static void tell_to_end(struct access_log *log)
{
    atomic_store_explicit(&log->is_stopping, true, memory_order_release);
    wake(log);
}

bool access_log_await_end(struct access_log *log, uint32_t wait_ms)
{
    uint64_t before;
    if (!log || log->has_ended) return true;
    tell_to_end(log);
    do {
        before = access_log_written_bytes(log);
        log->has_ended = join_within(log->thread, wait_ms);
    } while (!log->has_ended && access_log_written_bytes(log) != before);
    return log->has_ended;
}

void access_log_close(struct access_log *log)
{
    if (!log) return;
    if (!log->has_ended) {
        tell_to_end(log);
        pthread_join(log->thread, NULL);
    }
    log_free(log);
}

bool access_log_wants_response(const struct access_log_writer *writer)
{
    return access_format_wants_response(&writer->log->format);
}

struct access_log_writer *access_log_writer_of(struct access_log *log, uint32_t worker)
{
    return worker < log->ring_count ? &log->rings[worker] : NULL;
}

void access_log_reopen(struct access_log *log)
{
    int saved = errno;
    atomic_store_explicit(&log->wants_reopen, true, memory_order_release);
    wake(log);
    errno = saved;
}

uint64_t access_log_dropped(const struct access_log *log)
{
    uint64_t dropped = atomic_load_explicit(&log->dropped, memory_order_relaxed);
    if (log->socket) dropped += atomic_load_explicit(&log->socket->lost, memory_order_relaxed);
    for (uint32_t i = 0; i < log->ring_count; i++)
        dropped += atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
    return dropped;
}

uint64_t access_log_written_bytes(const struct access_log *log)
{
    if (log->socket) return atomic_load_explicit(&log->socket->sent_bytes, memory_order_relaxed);
    return atomic_load_explicit(&log->written_bytes, memory_order_relaxed);
}

uint64_t access_log_repeated(const struct access_log *log)
{
    return log->socket ? atomic_load_explicit(&log->socket->repeated, memory_order_relaxed) : 0;
}

bool access_log_is_reached(const struct access_log *log)
{
    return !log->socket || atomic_load_explicit(&log->socket->is_reached, memory_order_relaxed);
}

const char *access_log_name(const struct access_log *log)
{
    return log->name;
}
