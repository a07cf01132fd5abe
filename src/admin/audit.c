#include "admin/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/printable.h"
#include "base/write_all.h"
#include "metric/metric.h"
#include "net/jobs.h"
#include "net/loop.h"

#define LOCK_TRIES 20u
#define REFUSALS_BURST 20u
/* So that whoever has no token cannot push out what was changed: all that is kept would take months of it. */
#define REFUSALS_APART_NS (60 * NS_PER_S)
#define ONE_MAX 4096u
/* So much waits for the disk; more than that is counted, and left out of the file. */
#define WAITING_MAX (256u << 10)

struct audit {
    struct loop *loop;
    struct jobs *jobs;
    struct audit_entry entries[AUDIT_KEPT_MAX];
    uint64_t latest;
    struct {
        uint64_t last_ns;
        uint32_t tokens, suppressed;
    } refusals;
    int folder; /* -1: none */
    struct writing {
        struct job job; /* first */
        struct audit *audit;
        char text[WAITING_MAX];
        size_t len;
        int fault; /* errno; 0: it is written */
    } writing;
    bool is_writing;
    char waiting[WAITING_MAX];
    size_t waiting_len;
    uint64_t lost;
    struct log_limit complaints;
};

/* what is shown */

struct shown {
    uint64_t id;
    const char *time, *who, *by, *peer, *what, *detail, *outcome, *request_id, *trace_id;
    uint64_t status, from, to, suppressed;
};

static const struct shape_field audit_fields[] = {
    SHAPE_ROW(shown, id, COUNT, "Counted from 1 since weir began."),
    SHAPE_ROW(shown, time, STRING, "When it was over (RFC 3339)."),
    SHAPE_ROW(shown, who, STRING, "The name of the token; null where none was shown.", .may_be_null = true),
    SHAPE_ROW(shown, by, STRING, "token, session (of a browser), nothing, or signal."),
    SHAPE_ROW(shown, peer, STRING,
              "Where it came from: an address, or the user and process of this machine."),
    SHAPE_ROW(shown, what, STRING, "The method and target of a request, or a signal."),
    SHAPE_ROW(shown, detail, STRING, "What was sent with it, or why not; never a secret.",
              .may_be_null = true),
    SHAPE_ROW(shown, outcome, STRING,
              "done, refused (nobody may, or not he), failed, or unanswered: who asked "
              "had gone, or had waited too long, before it was over; what came of it is in the log."),
    SHAPE_ROW(shown, request_id, STRING, "The request's X-Request-Id; null if it had none.",
              .may_be_null = true),
    SHAPE_ROW(shown, trace_id, STRING, "The trace that its traceparent named; null if it was part of none.",
              .may_be_null = true),
    SHAPE_ROW(shown, status, COUNT, "Of the answer; null for a signal.", .may_be_null = true),
    { "from_generation", SHAPE_COUNT, offsetof(struct shown, from), .help = "In force before." },
    { "to_generation", SHAPE_COUNT, offsetof(struct shown, to), .help = "In force after it." },
    SHAPE_ROW(shown, suppressed, COUNT, "Refusals before this one that were too many to be written down."),
    { 0 },
};
const struct shape audit_shape = { "AuditEntry", sizeof(struct shown), audit_fields };

static const char *outcome_name(uint8_t outcome)
{
    static const char *const names[] = { "done", "refused", "failed", "unanswered" };
    return names[outcome];
}

void audit_print(const struct audit_entry *e, struct json *out)
{
    char date[24], time_text[32];
    struct tm tm;
    uint64_t wall_ms = e->wall_ns / NS_PER_MS;
    time_t seconds = (time_t)(wall_ms / 1000);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    snprintf(time_text, sizeof(time_text), "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
    const struct shown s = { .id = e->id,
                             .time = time_text,
                             .who = *e->who ? e->who : NULL,
                             .by = e->by,
                             .peer = e->peer,
                             .what = e->what,
                             .detail = *e->detail ? e->detail : NULL,
                             .outcome = outcome_name(e->outcome),
                             .request_id = *e->request_id ? e->request_id : NULL,
                             .trace_id = *e->trace_id ? e->trace_id : NULL,
                             .status = e->status ? e->status : SHAPE_NULL,
                             .from = e->from,
                             .to = e->to,
                             .suppressed = e->suppressed };
    shape_print(&audit_shape, &s, out);
}

/* the files, on the jobs' thread */

static void rotate(int folder)
{
    char from[32], to[32];
    for (unsigned i = AUDIT_FILES_MAX; i; i--) {
        if (i > 1)
            snprintf(from, sizeof(from), AUDIT_FILE ".%u", i - 1);
        else
            snprintf(from, sizeof(from), AUDIT_FILE);
        snprintf(to, sizeof(to), AUDIT_FILE ".%u", i);
        if (renameat(folder, from, folder, to) < 0 && errno != ENOENT) return;
    }
}

/* The file of that name, locked: while a binary takes over two processes have it, and one may have renamed it meanwhile. They hold
 * it for a write; whoever else does, for longer, keeps nobody waiting. */
static int open_locked(int folder)
{
    const struct timespec pause = { .tv_nsec = 10 * NS_PER_MS };
    for (unsigned tries = 0; tries < LOCK_TRIES; tries++) {
        struct stat mine, named;
        int fd = openat(folder, AUDIT_FILE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &mine) == 0 &&
            fstatat(folder, AUDIT_FILE, &named, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == named.st_ino)
            return fd;
        close(fd);
        nanosleep(&pause, NULL);
    }
    errno = EBUSY;
    return -1;
}

/* All or nothing: what a full disk cuts would spoil the line that comes next as well. */
static int append_whole(int fd, struct slice text, off_t *size)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return -1;
    *size = st.st_size + (off_t)text.len;
    if (write_all(fd, text) == 0) return 0;
    int cause = errno;
    (void)!ftruncate(fd, st.st_size);
    errno = cause;
    return -1;
}

static void write_text(struct writing *w)
{
    off_t size = 0;
    int folder = w->audit->folder;
    int fd = open_locked(folder);
    w->fault = 0;
    if (fd < 0 || append_whole(fd, (struct slice){ w->text, w->len }, &size) < 0) w->fault = errno;
    if (fd < 0) return;
    if (!w->fault && size > AUDIT_FILE_BYTES_MAX) rotate(folder);
    close(fd);
}

static void run(struct job *job)
{
    write_text((struct writing *)job);
}

/* on the control thread */

static void begin_writing(struct audit *a);

static void complain(struct audit *a, int fault)
{
    uint32_t suppressed = 0;
    if (!log_limit_pass(&a->complaints, a->loop->now_ns, 1, &suppressed)) return; /* NOLINT */
    log_event(LOG_WARN, "audit_not_written", "error=\"%s\" suppressed=%u",
              strerror(fault), /* NOLINT(concurrency-mt-unsafe) */
              suppressed);
}

static void done(struct job *job)
{
    struct writing *w = (struct writing *)job;
    struct audit *a = w->audit;
    if (!job_has_run(job)) write_text(w);
    if (w->fault) {
        a->lost++;
        complain(a, w->fault);
    }
    a->is_writing = false;
    begin_writing(a);
}

static void take_waiting(struct audit *a)
{
    struct writing *w = &a->writing;
    memcpy(w->text, a->waiting, a->waiting_len);
    w->len = a->waiting_len;
    a->waiting_len = 0;
    w->audit = a;
    w->job = (struct job){ .run = run, .done = done };
}

static void begin_writing(struct audit *a)
{
    if (a->is_writing || !a->waiting_len || a->folder < 0) return;
    take_waiting(a);
    a->is_writing = jobs_post(a->jobs, &a->writing.job);
    if (a->is_writing) return;
    write_text(&a->writing); /* rather a turn that takes long than a line that is lost */
    if (a->writing.fault) complain(a, a->writing.fault);
}

static void append(struct audit *a, const struct audit_entry *e)
{
    struct json j;
    if (a->folder < 0) return;
    json_init(&j, ONE_MAX, false);
    audit_print(e, &j);
    if (j.is_failed || j.len + 1 > WAITING_MAX - a->waiting_len) {
        a->lost++;
    } else {
        memcpy(a->waiting + a->waiting_len, j.data, j.len);
        a->waiting_len += j.len;
        a->waiting[a->waiting_len++] = '\n';
    }
    json_fini(&j);
    begin_writing(a);
}

static void say(const struct audit_entry *e)
{
    char what[2 * AUDIT_WHAT_MAX + 64], detail[2 * AUDIT_DETAIL_MAX + 64], peer[160], mention[MENTION_MAX];
    log_event(e->outcome == AUDIT_DONE ? LOG_INFO : LOG_WARN, "change",
              "what=%s outcome=%s who=%s by=%s peer=%s status=%u generation=%u detail=%s suppressed=%u%s",
              log_quote(e->what, what, sizeof(what)), outcome_name(e->outcome), *e->who ? e->who : "-", e->by,
              log_quote(e->peer, peer, sizeof(peer)), e->status, e->to,
              log_quote(e->detail, detail, sizeof(detail)), e->suppressed,
              mention_print_texts(slice_of(e->request_id), slice_of(e->trace_id), mention));
}

static bool may_note_refusal(struct audit *a, uint32_t *suppressed)
{
    uint64_t now_ns = a->loop->now_ns, passed = (now_ns - a->refusals.last_ns) / REFUSALS_APART_NS;
    if (!a->refusals.last_ns || passed >= REFUSALS_BURST - a->refusals.tokens) {
        a->refusals.tokens = REFUSALS_BURST;
        a->refusals.last_ns = now_ns;
    } else {
        a->refusals.tokens += (uint32_t)passed;
        a->refusals.last_ns += passed * REFUSALS_APART_NS;
    }
    if (!a->refusals.tokens) {
        a->refusals.suppressed++;
        return false;
    }
    a->refusals.tokens--;
    *suppressed = a->refusals.suppressed;
    a->refusals.suppressed = 0;
    return true;
}

void audit_note(struct audit *a, const struct audit_entry *e, bool is_event)
{
    uint32_t suppressed = 0;
    if (!a) return;
    if (e->outcome == AUDIT_REFUSED && !may_note_refusal(a, &suppressed)) return;
    struct audit_entry *kept = &a->entries[a->latest++ % AUDIT_KEPT_MAX];
    *kept = *e;
    kept->id = a->latest;
    kept->wall_ns = loop_wall_ns(a->loop);
    kept->suppressed = suppressed;
    printable_mask(kept->what);
    printable_mask(kept->detail);
    append(a, kept);
    if (is_event) say(kept);
}

uint64_t audit_latest(const struct audit *a)
{
    return a ? a->latest : 0;
}

uint64_t audit_oldest(const struct audit *a)
{
    if (!a || a->latest <= AUDIT_KEPT_MAX) return a && a->latest ? 1 : 0;
    return a->latest - AUDIT_KEPT_MAX + 1;
}

const struct audit_entry *audit_get(const struct audit *a, uint64_t id)
{
    return id && id <= audit_latest(a) && id >= audit_oldest(a) ? &a->entries[(id - 1) % AUDIT_KEPT_MAX]
                                                                : NULL;
}

static double read_entries(void *context)
{
    return (double)((const struct audit *)context)->latest;
}

static double read_lost(void *context)
{
    return (double)((const struct audit *)context)->lost;
}

struct audit *audit_new(struct loop *loop, struct jobs *jobs, struct metric_registry *metrics)
{
    struct audit *a = calloc(1, sizeof(*a));
    if (!a) return NULL;
    a->loop = loop;
    a->jobs = jobs;
    a->folder = -1;
    metric_counter_fn(metrics, "weir_audit_entries_total", "Changes, and refused ones, in the audit trail.",
                      NULL, 0, read_entries, a);
    metric_counter_fn(metrics, "weir_audit_lost_total",
                      "Times that entries of the audit trail could not be written to its file.", NULL, 0,
                      read_lost, a);
    return a;
}

int audit_keep(struct audit *a, int folder, struct err *err)
{
    /* Opened anew: a duplicate would keep the lock that the folder's owner has on it (flock(2)). */
    a->folder = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->folder >= 0) return 0;
    return err_set(err, "cannot keep the audit trail: %s",
                   strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
}

void audit_free(struct audit *a)
{
    if (!a) return;
    if (a->waiting_len && a->folder >= 0) {
        take_waiting(a);
        write_text(&a->writing);
    }
    if (a->folder >= 0) close(a->folder);
    free(a);
}
