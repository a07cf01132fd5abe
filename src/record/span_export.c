#include "record/span_export.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/signal_stack.h"

/* So many exchanges in a request, and so many bytes of it. */
#define BATCH_MAX 128u
#define TEXT_MAX ((size_t)4 << 20)
/* What gathers until it is sent; how long the collector may take for anything, and at the end of weir. */
#define GATHER_MS 200
#define COLLECTOR_MS 2000
#define LAST_MS 500
#define ANSWER_MAX 4096u

struct span_ring {
    struct span_export *owner;
    alignas(64) _Atomic uint32_t written; /* the worker's */
    alignas(64) _Atomic uint32_t taken;   /* the thread's */
    alignas(64) struct span_record places[SPAN_RING_PLACES];
};

struct span_export {
    const struct tracing_conf *conf;
    const struct span_source *source;
    uint32_t ring_count, first_ring; /* first: of the next batch */
    pthread_t thread;
    int wake; /* eventfd */
    _Atomic bool is_asleep, is_stopping;
    bool is_last; /* the thread's: it has heard of the stop, and sends what is left */
    _Atomic uint64_t sent, dropped, failed; /* exchanges */
    struct log_limit complaints;
    struct span_ring rings[];
};

/* the workers' side */

void span_ring_put(struct span_ring *r, const struct span_record *s)
{
    struct span_export *e = r->owner;
    uint32_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    if (written - atomic_load_explicit(&r->taken, memory_order_acquire) == SPAN_RING_PLACES) {
        atomic_fetch_add_explicit(&e->dropped, 1, memory_order_relaxed);
        return;
    }
    r->places[written % SPAN_RING_PLACES] = *s;
    atomic_store(&r->written, written + 1);
    /* One call of the system for all that come until it is awake. */
    if (atomic_load(&e->is_asleep) && atomic_exchange(&e->is_asleep, false)) eventfd_write(e->wake, 1);
}

/* the thread's */

static bool has_any(struct span_export *e)
{
    for (uint32_t i = 0; i < e->ring_count; i++)
        if (atomic_load(&e->rings[i].written) != atomic_load(&e->rings[i].taken)) return true;
    return false;
}

/* Each begins with another ring: one that is always full must not be all that is ever read. */
static uint32_t take_batch(struct span_export *e, struct json *j)
{
    uint32_t count = 0, first = e->first_ring;
    e->first_ring = (first + 1) % e->ring_count;
    for (uint32_t i = 0; i < e->ring_count; i++) {
        struct span_ring *r = &e->rings[(first + i) % e->ring_count];
        uint32_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
        while (count < BATCH_MAX && taken != atomic_load_explicit(&r->written, memory_order_acquire)) {
            span_print(e->source, &r->places[taken % SPAN_RING_PLACES], j);
            atomic_store_explicit(&r->taken, ++taken, memory_order_release);
            count++;
        }
    }
    return count;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until the socket is ready for it, or time is up, or weir ends. */
static int wait_for(const struct span_export *e, int fd, short events, uint64_t until_ms)
{
    struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = e->wake, .events = POLLIN } };
    eventfd_t ignored;
    for (;;) {
        uint64_t now = now_ms();
        if (now >= until_ms || (!e->is_last && atomic_load(&e->is_stopping))) break;
        int ready = poll(p, e->is_last ? 1 : 2, (int)(until_ms - now));
        if (ready < 0 && errno != EINTR) return -1;
        if (ready > 0 && p[0].revents) return 0;
        /* A worker's call is seen later, by what is in its ring; one to stop, above. */
        if (ready > 0) eventfd_read(e->wake, &ignored);
    }
    errno = ETIMEDOUT;
    return -1;
}

static int open_connection(const struct span_export *e, uint64_t until_ms)
{
    const struct address *a = &e->conf->endpoint.address;
    int fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fault = 0;
    socklen_t len = sizeof(fault);
    if (fd < 0) return -1;
    if (connect(fd, &a->sa.any, a->len) == 0) return fd;
    if (errno == EINPROGRESS && wait_for(e, fd, POLLOUT, until_ms) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0) {
        if (!fault) return fd;
        errno = fault;
    }
    fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

static int write_all(const struct span_export *e, int fd, struct slice text, uint64_t until_ms)
{
    while (text.len) {
        ssize_t got = send(fd, text.data, text.len, MSG_NOSIGNAL);
        if (got < 0 && errno != EAGAIN && errno != EINTR) return -1;
        if (got < 0 && errno == EAGAIN && wait_for(e, fd, POLLOUT, until_ms) < 0) return -1;
        if (got > 0) text = (struct slice){ text.data + got, text.len - (size_t)got };
    }
    return 0;
}

/* Nothing failed of which the system could tell. */
static unsigned no_answer(void)
{
    errno = 0;
    return 0;
}

/* The status of its answer (RFC 9112 4); of what follows nothing is wanted. 0: there is none, with errno or, if what came
 * is none, without. */
static unsigned read_status(const struct span_export *e, int fd, uint64_t until_ms)
{
    char answer[ANSWER_MAX];
    size_t len = 0;
    static const char start[] = "HTTP/1.1 200";
    while (len < sizeof(start) - 1) {
        ssize_t got = recv(fd, answer + len, sizeof(answer) - len, 0);
        if (got == 0) return no_answer();
        if (got < 0 && errno == EAGAIN && wait_for(e, fd, POLLIN, until_ms) < 0) return 0;
        if (got < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (got > 0) len += (size_t)got;
    }
    unsigned status = 0;
    if (memcmp(answer, "HTTP/1.", 7) != 0 || answer[8] != ' ') return no_answer();
    for (size_t i = 9; i < 12; i++) {
        if (answer[i] < '0' || answer[i] > '9') return no_answer();
        status = status * 10 + (unsigned)(answer[i] - '0');
    }
    return status;
}

/* The status, or 0 with errno. */
static unsigned post(const struct span_export *e, struct slice body, uint64_t until_ms)
{
    char head[512];
    const struct trace_endpoint *to = &e->conf->endpoint;
    int len = snprintf(head, sizeof(head),
                       "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: "
                       "%zu\r\nConnection: close\r\n\r\n",
                       to->path, to->host, body.len);
    int fd = open_connection(e, until_ms);
    if (fd < 0) return 0;
    unsigned status = 0;
    errno = 0;
    if (write_all(e, fd, (struct slice){ head, (size_t)len }, until_ms) == 0 &&
        write_all(e, fd, body, until_ms) == 0)
        status = read_status(e, fd, until_ms);
    int fault = errno;
    close(fd);
    errno = fault;
    return status;
}

static void complain(struct span_export *e, unsigned status, int fault, uint32_t count)
{
    uint32_t suppressed = 0;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    if (!log_limit_pass(&e->complaints, now_ns, 1, &suppressed)) return; /* NOLINT */
    log_event(LOG_WARN, "spans_not_sent",
              "endpoint=http://%s%s status=%u error=\"%s\" exchanges=%u suppressed=%u",
              e->conf->endpoint.host, e->conf->endpoint.path, status,
              status  ? ""
              : fault ? strerror(fault) /* NOLINT(concurrency-mt-unsafe) */
                      : "no whole answer",
              count, suppressed);
}

/* False: there was nothing, or it came to nothing. */
static bool send_batch(struct span_export *e, uint64_t until_ms)
{
    struct json j;
    json_init(&j, TEXT_MAX, false);
    span_request_begin(e->source, &j);
    uint32_t count = take_batch(e, &j);
    span_request_end(&j);
    errno = ENOMEM;
    unsigned status = !count || j.is_failed ? 0 : post(e, (struct slice){ j.data, j.len }, until_ms);
    int fault = errno;
    bool is_taken = status >= 200 && status < 300;
    json_fini(&j);
    if (!count) return false;
    atomic_fetch_add(is_taken ? &e->sent : &e->failed, count);
    if (!is_taken) complain(e, status, fault, count);
    return is_taken;
}

static void sleep_until_woken(struct span_export *e)
{
    struct pollfd p = { .fd = e->wake, .events = POLLIN };
    eventfd_t ignored;
    atomic_store(&e->is_asleep, true);
    if (!has_any(e) && !atomic_load(&e->is_stopping)) poll(&p, 1, -1);
    atomic_store(&e->is_asleep, false);
    eventfd_read(e->wake, &ignored);
    /* What comes right behind goes with it. */
    if (!atomic_load(&e->is_stopping)) poll(&p, 1, GATHER_MS);
}

static void *run(void *context)
{
    struct span_export *e = context;
    while (!atomic_load(&e->is_stopping)) {
        sleep_until_woken(e);
        while (!atomic_load(&e->is_stopping) && has_any(e) && send_batch(e, now_ms() + COLLECTOR_MS)) {}
    }
    e->is_last = true;
    uint64_t until_ms = now_ms() + LAST_MS;
    while (send_batch(e, until_ms)) {}
    return NULL;
}

/* opening and closing */

static double read_sent(void *context)
{
    return (double)atomic_load(&((struct span_export *)context)->sent);
}

static double read_dropped(void *context)
{
    return (double)atomic_load(&((struct span_export *)context)->dropped);
}

static double read_failed(void *context)
{
    return (double)atomic_load(&((struct span_export *)context)->failed);
}

static void add_metrics(struct span_export *e, struct metric_registry *m)
{
    const char *help =
        "Exchanges whose spans the collector took, did not take, or for which there was no room.";
    struct metric_label label = { "result", "sent" };
    metric_counter_fn(m, "weir_traced_exchanges_total", help, &label, 1, read_sent, e);
    label.value = "dropped";
    metric_counter_fn(m, "weir_traced_exchanges_total", help, &label, 1, read_dropped, e);
    label.value = "failed";
    metric_counter_fn(m, "weir_traced_exchanges_total", help, &label, 1, read_failed, e);
}

static int start_thread(struct span_export *e, struct err *err)
{
    sigset_t old;
    signal_block_all_but_faults(&old);
    int error = pthread_create(&e->thread, NULL, run, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error)
        return err_set(err, "tracing: cannot start its thread: %s",
                       strerror(error)); /* NOLINT(concurrency-mt-unsafe) */
    pthread_setname_np(e->thread, "tracing");
    return 0;
}

int span_export_open(struct span_export **out, const struct tracing_conf *conf,
                     const struct span_source *source, uint32_t worker_count, struct metric_registry *metrics,
                     struct err *err)
{
    size_t size = sizeof(struct span_export) + worker_count * sizeof(struct span_ring);
    struct span_export *e = aligned_alloc(alignof(struct span_ring), size);
    if (!e) return err_set(err, "out of memory for tracing");
    memset(e, 0, size);
    e->conf = conf;
    e->source = source;
    e->ring_count = worker_count;
    for (uint32_t i = 0; i < worker_count; i++) e->rings[i].owner = e;
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->wake < 0 || start_thread(e, err) < 0) {
        if (e->wake < 0) err_set(err, "tracing: %s", strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
        if (e->wake >= 0) close(e->wake);
        free(e);
        return -1;
    }
    add_metrics(e, metrics);
    *out = e;
    return 0;
}

void span_export_close(struct span_export *e)
{
    if (!e) return;
    atomic_store(&e->is_stopping, true);
    eventfd_write(e->wake, 1);
    pthread_join(e->thread, NULL);
    close(e->wake);
    free(e);
}

const struct tracing_conf *span_export_conf(const struct span_export *e)
{
    return e->conf;
}

struct span_ring *span_export_ring(struct span_export *e, uint32_t worker)
{
    return &e->rings[worker];
}
