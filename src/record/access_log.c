#include "record/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/signal_stack.h"
#include "record/access_format.h"

#define WAKE_MS 200
#define GIVE_UP_NS (2 * NS_PER_S)
#define IOVECS 64u
#define NO_RING UINT32_MAX
/* poll() promises room for this much in a pipe. */
#define PIPE_CHUNK 4096u

/* A ring's memory is mapped twice, one after the other, so that every line is in one piece. The producer owns
 * the first part, both share the second. Positions only grow. */
struct access_log_writer {
    struct access_log *log;
    char *base;
    uint64_t size; /* a power of two */
    uint64_t own_head, known_tail;
    struct access_clock clock;
    _Atomic uint64_t dropped; /* written by the producer */

    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
};

struct access_log {
    struct access_format format;
    char *path; /* NULL: standard output */
    int fd, wake_fd;
    bool is_socket, is_pipe; /* a pipe that could not be opened anew without blocking */
    uint32_t ring_count;
    struct access_log_writer *rings;
    uint32_t torn; /* the ring whose last line is written in part, or NO_RING */
    uint32_t turn; /* the ring to begin with otherwise */
    struct log_limit limit;
    pthread_t thread;
    _Atomic uint64_t dropped, written_bytes; /* by the thread */
    _Atomic int32_t offset_s;                /* local time minus UTC */
    _Atomic bool is_sleeping, is_stopping, wants_reopen;
};

enum flush { FLUSH_DONE, FLUSH_FULL /* the reader takes no more now */, FLUSH_FAILED };

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

/* The file */

static int open_path(struct access_log *log, struct err *err)
{
    if (log->path) {
        /* O_NONBLOCK: a FIFO that nobody reads is an error, not a wait. */
        int fd = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
        if (fd < 0)
            return err_set(err, "access_log: cannot open %s: %s; check the directory and its permissions",
                           log->path, strerror(errno));
        log->fd = fd;
        return 0;
    }
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) < 0) return err_set(err, "access_log: standard output is closed");
    log->is_socket = S_ISSOCK(st.st_mode);
    /* O_NONBLOCK on the descriptor itself would reach everyone who shares it. */
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        log->fd = open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        log->is_pipe = log->fd < 0;
        if (log->fd >= 0) return 0;
    }
    log->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return log->fd < 0 ? err_set(err, "access_log: standard output: %s", strerror(errno)) : 0;
}

static ssize_t write_out(struct access_log *log, struct iovec *iov, uint32_t count)
{
    if (log->is_socket) {
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
        return sendmsg(log->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (log->is_pipe) {
        struct pollfd p = { .fd = log->fd, .events = POLLOUT };
        if (poll(&p, 1, 0) <= 0) {
            errno = EAGAIN;
            return -1;
        }
        count = 1;
        if (iov->iov_len > PIPE_CHUNK) iov->iov_len = PIPE_CHUNK;
    }
    return writev(log->fd, iov, (int)count);
}

/* Rings */

static char *map_twice(size_t size)
{
    int fd = memfd_create("access log", MFD_CLOEXEC);
    if (fd < 0) return NULL;
    char *base = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool is_mapped = base != MAP_FAILED;
    for (int i = 0; i < 2 && is_mapped; i++)
        is_mapped = mmap(base + (size_t)i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                         0) != MAP_FAILED;
    if (!is_mapped && base != MAP_FAILED) munmap(base, 2 * size);
    close(fd);
    return is_mapped ? base : NULL;
}

static uint64_t head_of(const struct access_log_writer *w)
{
    return atomic_load_explicit(&w->head, memory_order_acquire);
}

static uint64_t tail_of(const struct access_log_writer *w)
{
    return atomic_load_explicit(&w->tail, memory_order_relaxed); /* only this thread changes it */
}

static const char *at_position(const struct access_log_writer *w, uint64_t position)
{
    return w->base + (position & (w->size - 1));
}

/* What to write next, whole lines except that a torn one's rest comes first. Returns the number of pieces. */
static uint32_t gather(const struct access_log *log, struct iovec *iov, uint32_t *ring_of)
{
    uint32_t count = 0, first = log->torn == NO_RING ? log->turn : log->torn;
    for (uint32_t i = 0; i < log->ring_count && count < IOVECS; i++) {
        uint32_t index = (first + i) % log->ring_count;
        const struct access_log_writer *w = &log->rings[index];
        uint64_t tail = tail_of(w), len = head_of(w) - tail;
        if (len == 0 || bug_if(ACCESS_LOG, len > w->size)) continue;
        iov[count] = (struct iovec){ (void *)at_position(w, tail), len };
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
        if (*at_position(w, tail_of(w) + part - 1) != '\n') log->torn = ring_of[i];
        log->turn = (ring_of[i] + 1) % log->ring_count;
        atomic_store_explicit(&w->tail, tail_of(w) + part, memory_order_release);
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
              log_quote(log->path ? log->path : "-", path, sizeof(path)), strerror(error),
              (unsigned long long)access_log_dropped(log), suppressed);
}

/* One pass: what is in the rings at its start, more or less. Stops where the file takes no more; what is left
 * stays in the rings, and new lines are dropped once those are full. */
static enum flush flush(struct access_log *log)
{
    struct iovec iov[IOVECS];
    uint32_t ring_of[IOVECS];
    uint64_t left = 0;
    for (uint32_t i = 0; i < log->ring_count; i++) left += head_of(&log->rings[i]) - tail_of(&log->rings[i]);
    while (left > 0 || log->torn != NO_RING) {
        uint32_t count = gather(log, iov, ring_of);
        if (count == 0) break;
        ssize_t written = write_out(log, iov, count);
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
    for (uint64_t at = tail_of(w); at < end; at++) lines += *at_position(w, at) == '\n';
    atomic_fetch_add_explicit(&log->dropped, lines, memory_order_relaxed);
    atomic_store_explicit(&w->tail, end, memory_order_release);
}

/* The rest of a line that the old file did not take must not begin the new one. */
static void discard_torn(struct access_log *log)
{
    if (log->torn == NO_RING) return;
    struct access_log_writer *w = &log->rings[log->torn];
    uint64_t tail = tail_of(w);
    const char *rest = at_position(w, tail), *end = memchr(rest, '\n', head_of(w) - tail);
    if (end) discard(log, w, tail + (uint64_t)(end - rest) + 1);
    log->torn = NO_RING;
}

/* The thread */

static void reopen(struct access_log *log)
{
    struct err err;
    if (!log->path) return;
    flush(log);
    int old = log->fd;
    if (open_path(log, &err) < 0) {
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
    struct pollfd fds[] = { { .fd = log->wake_fd, .events = POLLIN }, { .fd = log->fd, .events = POLLOUT } };
    if (last == FLUSH_DONE) atomic_store_explicit(&log->is_sleeping, true, memory_order_relaxed);
    poll(fds, last == FLUSH_FULL ? 2 : 1, WAKE_MS);
    atomic_store_explicit(&log->is_sleeping, false, memory_order_relaxed);
    uint64_t count;
    if (fds[0].revents && read(log->wake_fd, &count, sizeof(count)) < 0)
        return; /* EFD_NONBLOCK: nothing there */
}

/* Writes out everything, as long as the file goes on taking some of it. */
static void finish_access_writer(struct access_log *log)
{
    uint64_t last_progress = clock_now_ns(), written = access_log_written_bytes(log);
    while (flush(log) == FLUSH_FULL) {
        uint64_t now = clock_now_ns();
        if (access_log_written_bytes(log) != written) {
            written = access_log_written_bytes(log);
            last_progress = now;
        }
        if (now - last_progress > GIVE_UP_NS) break;
        struct pollfd p = { .fd = log->fd, .events = POLLOUT };
        poll(&p, 1, WAKE_MS);
    }
    for (uint32_t i = 0; i < log->ring_count; i++) discard(log, &log->rings[i], head_of(&log->rings[i]));
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
    if (log->fd >= 0) close(log->fd);
    if (log->wake_fd >= 0) close(log->wake_fd);
    free(log->rings);
    free(log->path);
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
        w->base = map_twice(size);
        if (!w->base) return err_set(err, "access_log: no memory for a buffer: %s", strerror(errno));
        access_clock_init(&w->clock);
    }
    return 0;
}

struct access_log *access_log_open(const struct access_log_conf *conf, uint32_t workers, struct err *err)
{
    struct access_log *log = calloc(1, sizeof(*log));
    if (!log) {
        err_set(err, "access_log: no memory");
        return NULL;
    }
    log->format = conf->format;
    log->fd = -1;
    log->torn = NO_RING;
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool is_stdout = strcmp(conf->path, "-") == 0;
    if (!is_stdout) log->path = strdup(conf->path);
    uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
    while (size < conf->buffer_bytes) size *= 2;
    update_offset(log);
    if (log->wake_fd < 0 || (!is_stdout && !log->path)) {
        err_set(err, "access_log: %s", strerror(errno));
        goto undo;
    }
    if (open_path(log, err) < 0 || make_rings(log, workers, size, err) < 0 || start_thread(log, err) < 0)
        goto undo;
    return log;

undo:
    log_free(log);
    return NULL;
}

void access_log_close(struct access_log *log)
{
    if (!log) return;
    atomic_store_explicit(&log->is_stopping, true, memory_order_release);
    wake(log);
    pthread_join(log->thread, NULL);
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
    for (uint32_t i = 0; i < log->ring_count; i++)
        dropped += atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
    return dropped;
}

uint64_t access_log_written_bytes(const struct access_log *log)
{
    return atomic_load_explicit(&log->written_bytes, memory_order_relaxed);
}
