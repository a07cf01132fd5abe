#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event_list.h"
#include "base/log_line.h"
#include "base/signal_stack.h"

/* Under PIPE_BUF, so that lines of several processes into one pipe are not torn. */
#define LINE_MAX_BYTES 1024u
#define RING_LINES 512u
#define STOP_PATIENCE_MS 1000
#define POLL_SLICE_MS 100
#define JOURNAL_SLICE_MS 10

struct line {
    uint32_t len;
    char text[LINE_MAX_BYTES];
};

/* Many writers, one reader (D. Vyukov's bounded queue). The turn of slot i says who may touch it: at
 * `position` (≡ i mod RING_LINES) it is free for the writer that claims that position, at position + 1 it is
 * full. Kept apart from the lines, whose memory stays untouched until it is needed. */
static struct ring {
    struct line *lines;
    _Atomic uint64_t turns[RING_LINES];
    _Atomic uint64_t claimed; /* positions given to writers */
    uint64_t taken;           /* the reader's */
    sem_t filled;
    pthread_t thread;
    _Atomic bool is_started, is_stopping;
    _Atomic uint64_t dropped;
    uint64_t dropped_said; /* the reader's */
} ring;

static _Atomic int level_min = LOG_INFO;

/* Set before there is a second thread. */
static struct {
    enum log_form form;
    int fd; /* LOG_JOURNAL */
    struct sockaddr_un journal;
} sink = { .fd = -1 };

int log_use(enum log_form form, const char *journal, struct err *err)
{
    sink.form = form;
    if (form != LOG_JOURNAL) return 0;
    size_t len = strlen(journal);
    if (*journal != '/' || len >= sizeof(sink.journal.sun_path))
        return err_set(err, "%.200s is no path of a socket", journal);
    sink.journal.sun_family = AF_UNIX;
    memcpy(sink.journal.sun_path, journal, len + 1);
    if (sink.fd < 0) sink.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return sink.fd < 0 ? err_set(err, "cannot open a socket: %s", strerror(errno)) : 0;
}

/* As it is written to stderr. */
static struct slice shape(const struct line *line, char memory[LOG_JSON_MAX])
{
    struct slice text = { line->text, line->len };
    if (sink.form != LOG_JSON) return text;
    struct text json = text_over(memory, LOG_JSON_MAX);
    log_line_json(text, &json);
    text_add_char(&json, '\n');
    return text_slice(&json);
}

/* False: it is for stderr. With the connection's room used up it may be a while: *waited_ms as for write_line(). */
static bool send_to_journal(const struct line *line, int *waited_ms)
{
    char memory[LOG_JOURNAL_MAX];
    struct text t = text_over(memory, sizeof(memory));
    if (sink.form != LOG_JOURNAL) return false;
    log_line_journal((struct slice){ line->text, line->len }, &t);
    for (;;) {
        if (sendto(sink.fd, memory, t.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                   (const struct sockaddr *)&sink.journal, sizeof(sink.journal)) >= 0)
            return true;
        if ((errno != EAGAIN && errno != EINTR) || *waited_ms >= STOP_PATIENCE_MS) return false;
        /* Of a socket without a connection poll() does not know whether there is room. */
        const struct timespec slice = { .tv_nsec = JOURNAL_SLICE_MS * (long)NS_PER_MS };
        nanosleep(&slice, NULL);
        bool has_writer = atomic_load_explicit(&ring.is_started, memory_order_relaxed) &&
                          !atomic_load_explicit(&ring.is_stopping, memory_order_relaxed);
        if (!has_writer) *waited_ms += JOURNAL_SLICE_MS;
    }
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_min, (int)level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&ring.dropped, memory_order_relaxed);
}

static uint32_t clamp_len(int written, size_t room)
{
    if (written < 0) return 0;
    return (uint32_t)((size_t)written < room ? (size_t)written : room - 1);
}

/* Returns where what `format` gives begins. */
__attribute__((format(printf, 5, 0))) static uint32_t format_line(struct line *line, uint64_t now_ns,
                                                                  enum log_level level, const char *event,
                                                                  const char *format, va_list args)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    time_t seconds = (time_t)(now_ns / NS_PER_S);
    struct tm t;
    gmtime_r(&seconds, &t);
    size_t room = LINE_MAX_BYTES - 1; /* the newline's place */
    line->len = clamp_len(snprintf(line->text, room,
                                   "time=%04d-%02d-%02dT%02d:%02d:%02d.%03uZ level=%s event=%s ",
                                   t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                                   (unsigned)(now_ns / NS_PER_MS % 1000), names[level & 3], event),
                          room);
    uint32_t head_len = line->len;
    line->len += clamp_len(vsnprintf(line->text + line->len, room - line->len, format, args),
                           room - line->len);
    while (line->len && line->text[line->len - 1] == ' ') line->len--;
    /* A value that should have been quoted must not forge a line of its own. */
    for (uint32_t i = 0; i < line->len; i++)
        if (line->text[i] == '\n' || line->text[i] == '\r') line->text[i] = ' ';
    line->text[line->len++] = '\n';
    return head_len;
}

/* Waits for room in stderr. Once the program is stopping, patience ends: *waited_ms counts over all lines. From then on
 * each has what room there is. */
static void write_line(const struct line *line, int *waited_ms)
{
    char memory[LOG_JSON_MAX];
    size_t done = 0;
    if (send_to_journal(line, waited_ms)) return;
    struct slice out = shape(line, memory);
    while (done < out.len) {
        struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
        bool is_patient = *waited_ms < STOP_PATIENCE_MS;
        /* After a signal, too: write() would wait as long as it takes. */
        if (poll(&p, 1, is_patient ? POLL_SLICE_MS : 0) <= 0) {
            if (!is_patient) return;
            if (atomic_load_explicit(&ring.is_stopping, memory_order_relaxed)) *waited_ms += POLL_SLICE_MS;
            continue;
        }
        ssize_t n = write(STDERR_FILENO, out.data + done, out.len - done);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return;
        if (n > 0) done += (size_t)n;
    }
}

/* Before the writer thread runs, and after it: the caller itself writes. */
static void write_now(const struct line *line)
{
    char memory[LOG_JSON_MAX];
    size_t done = 0;
    int waited_ms = STOP_PATIENCE_MS - JOURNAL_SLICE_MS; /* one try, and once more */
    if (send_to_journal(line, &waited_ms)) return;
    struct slice out = shape(line, memory);
    while (done < out.len) {
        ssize_t n = write(STDERR_FILENO, out.data + done, out.len - done);
        if (n < 0 && errno != EINTR) return;
        if (n > 0) done += (size_t)n;
    }
}

static bool enqueue(const struct line *line)
{
    uint64_t at = atomic_load_explicit(&ring.claimed, memory_order_relaxed);
    for (;;) {
        uint64_t turn = atomic_load_explicit(&ring.turns[at % RING_LINES], memory_order_acquire);
        if (turn < at) return false; /* still full from a lap ago */
        if (turn > at)
            at = atomic_load_explicit(&ring.claimed, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&ring.claimed, &at, at + 1, memory_order_relaxed,
                                                       memory_order_relaxed))
            break;
    }
    struct line *slot = &ring.lines[at % RING_LINES];
    slot->len = line->len;
    memcpy(slot->text, line->text, line->len);
    atomic_store_explicit(&ring.turns[at % RING_LINES], at + 1, memory_order_release);
    sem_post(&ring.filled);
    return true;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    struct line line;
    bool is_kept = event_list_keeps(event);
    bool is_shown = (int)level >= atomic_load_explicit(&level_min, memory_order_relaxed);
    if (!is_kept && !is_shown) return;
    int saved = errno;
    uint64_t now_ns = clock_wall_ns();
    va_list args;
    va_start(args, format);
    uint32_t head_len = format_line(&line, now_ns, level, event, format, args);
    va_end(args);
    if (is_kept && line.len > head_len)
        event_list_note(level, event, now_ns, line.text + head_len, line.len - head_len - 1);
    if (!is_shown) {
        errno = saved;
        return;
    }
    if (!atomic_load_explicit(&ring.is_started, memory_order_acquire))
        write_now(&line);
    else if (!enqueue(&line))
        atomic_fetch_add_explicit(&ring.dropped, 1, memory_order_relaxed);
    errno = saved;
}

__attribute__((format(printf, 3, 4))) static void format_own(struct line *line, const char *event,
                                                             const char *format, ...)
{
    va_list args;
    va_start(args, format);
    format_line(line, clock_wall_ns(), LOG_WARN, event, format, args);
    va_end(args);
}

/* Writes all that is ready, then says what was dropped since it last said so. */
static void write_ready(int *waited_ms)
{
    for (;;) {
        _Atomic uint64_t *turn = &ring.turns[ring.taken % RING_LINES];
        if (atomic_load_explicit(turn, memory_order_acquire) != ring.taken + 1) break;
        write_line(&ring.lines[ring.taken % RING_LINES], waited_ms);
        atomic_store_explicit(turn, ring.taken + RING_LINES, memory_order_release);
        ring.taken++;
    }
    uint64_t dropped = log_dropped();
    if (dropped == ring.dropped_said) return;
    struct line line;
    format_own(&line, "log_dropped", "count=%" PRIu64, dropped - ring.dropped_said);
    ring.dropped_said = dropped;
    write_line(&line, waited_ms);
}

static void *run_writer(void *unused)
{
    (void)unused;
    int waited_ms = 0;
    pthread_setname_np(pthread_self(), "weir-log");
    signal_stack_open();
    while (!atomic_load_explicit(&ring.is_stopping, memory_order_acquire)) {
        while (sem_wait(&ring.filled) < 0 && errno == EINTR) {}
        write_ready(&waited_ms);
    }
    write_ready(&waited_ms);
    signal_stack_close();
    return NULL;
}

int log_start(struct err *err)
{
    sigset_t before;
    if (!ring.lines && !(ring.lines = calloc(RING_LINES, sizeof(*ring.lines))))
        return err_set(err, "no memory for the log's ring of %u lines", RING_LINES);
    for (uint32_t i = 0; i < RING_LINES; i++) atomic_store(&ring.turns[i], i);
    atomic_store(&ring.claimed, 0);
    ring.taken = 0;
    ring.dropped_said = log_dropped();
    atomic_store(&ring.is_stopping, false);
    sem_init(&ring.filled, 0, 0);
    /* Signals, SIGPIPE of a reader gone included, are not for this thread. */
    signal_block_all_but_faults(&before);
    int failure = pthread_create(&ring.thread, NULL, run_writer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure) {
        sem_destroy(&ring.filled);
        return err_set(err, "the log's thread cannot start: %s", strerror(failure));
    }
    atomic_store_explicit(&ring.is_started, true, memory_order_release);
    return 0;
}

void log_stop(void)
{
    if (!atomic_exchange(&ring.is_started, false)) return;
    atomic_store_explicit(&ring.is_stopping, true, memory_order_release);
    sem_post(&ring.filled);
    pthread_join(ring.thread, NULL);
    /* The lines and the semaphore stay: a thread that saw the log started may still be about to put a
     * line. */
}

static bool needs_quotes(const char *value)
{
    if (!*value) return true;
    for (; *value; value++)
        if ((unsigned char)*value <= ' ' || *value == '"' || *value == '=' || *value == '\\' ||
            *value == 0x7f)
            return true;
    return false;
}

const char *log_quote(const char *value, char *out, uint32_t out_size)
{
    if (!value) value = "";
    if (!needs_quotes(value)) {
        snprintf(out, out_size, "%s", value);
        return out;
    }
    uint32_t at = 0;
    if (out_size < 8) { /* the quotes, one escape and the end */
        if (out_size) out[0] = 0;
        return out;
    }
    out[at++] = '"';
    for (; *value && at + 6 < out_size; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c < ' ' || c == 0x7f) {
            at += (uint32_t)snprintf(out + at, out_size - at, "\\x%02x", c);
        } else {
            out[at++] = (char)c;
        }
    }
    out[at++] = '"';
    out[at] = 0;
    return out;
}

int log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t burst, uint32_t *suppressed)
{
    if (!limit->last_ns) {
        limit->tokens = burst;
        limit->last_ns = now_ns ? now_ns : 1;
    }
    uint64_t earned = now_ns > limit->last_ns ? (now_ns - limit->last_ns) / NS_PER_S : 0;
    if (earned) {
        limit->last_ns += earned * NS_PER_S; /* the fraction of a second stays earned */
        limit->tokens = earned < burst - limit->tokens ? limit->tokens + (uint32_t)earned : burst;
    }
    *suppressed = limit->suppressed;
    if (!limit->tokens) {
        limit->suppressed++;
        return 0;
    }
    limit->tokens--;
    limit->suppressed = 0;
    return 1;
}
