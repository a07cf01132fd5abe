#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "base/number.h"
#include "logs/report.h"
#include "logs/watch.h"

#define WAIT_MS 10000u
#define TOP_PRESET 10u
#define TOP_MAX 1000u

/* the list */

struct source_answer {
    const char *name, *path, *fault;
    uint64_t records, bytes, malformed, errors, files, rotations, truncations, foreign, dropped;
    uint64_t undecided, lag_bytes;
    double lag_seconds;
};

static const struct shape_field source_fields[] = {
    SHAPE_ROW(source_answer, name, STRING, "The source."),
    SHAPE_ROW(source_answer, path, STRING, "Where it is read: a path, a pattern, or a syslog address."),
    SHAPE_ROW(source_answer, records, COUNT, "Records since weir started."),
    SHAPE_ROW(source_answer, bytes, COUNT, "Bytes read since then."),
    SHAPE_ROW(source_answer, errors, COUNT, "Records with a 5xx."),
    SHAPE_ROW(source_answer, malformed, COUNT, "Lines that are no records."),
    SHAPE_ROW(source_answer, files, COUNT, "Files that are open."),
    SHAPE_ROW(source_answer, rotations, COUNT, "Files whose name another one took."),
    SHAPE_ROW(source_answer, truncations, COUNT, "Files that began anew."),
    SHAPE_ROW(source_answer, foreign, COUNT, "Datagrams that are no syslog of nginx."),
    SHAPE_ROW(source_answer, dropped, COUNT, "Datagrams that the kernel dropped because they came too fast."),
    SHAPE_ROW(source_answer, undecided, COUNT,
              "Values of which a rule's regular expression could not tell within its limits."),
    SHAPE_ROW(source_answer, lag_bytes, COUNT, "Bytes that are there and not read."),
    SHAPE_ROW(source_answer, lag_seconds, NUMBER,
              "For how long the file that is furthest behind has had such."),
    { 0 },
};
const struct shape log_source_shape = { "LogSource", sizeof(struct source_answer), source_fields };

static void print_source(const struct watch *w, uint32_t place, struct json *j)
{
    char text[ADDRESS_TEXT_MAX];
    const struct source_conf *conf = watch_source_conf(w, place);
    const struct source_figures *f = watch_source_figures(w, place);
    struct source_answer a = {
        .name = conf->name,
        .path = conf->path ? conf->path : address_print(&conf->syslog, text),
        .records = atomic_load(&f->records),
        .bytes = atomic_load(&f->bytes),
        .errors = atomic_load(&f->errors),
        .malformed = atomic_load(&f->malformed),
        .files = atomic_load(&f->open_files),
        .rotations = atomic_load(&f->rotated),
        .truncations = atomic_load(&f->truncated),
        .foreign = atomic_load(&f->foreign),
        .dropped = atomic_load(&f->dropped),
        .undecided = atomic_load(&f->undecided),
        .lag_bytes = atomic_load(&f->lag_bytes),
        .lag_seconds = (double)atomic_load(&f->lag_ms) / 1000,
    };
    shape_print(&log_source_shape, &a, j);
}

void logs_list(const struct admin_request *rq, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "sources");
    json_array(&j);
    for (uint32_t i = 0; rq->watch && i < watch_source_count(rq->watch); i++) print_source(rq->watch, i, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

/* questions, which the observer's thread answers */

struct log_question {
    struct watch_question base; /* first */
    struct call_ticket ticket;
    enum tally_window window;
    enum period_dimension dimension;
    uint32_t top;
    void (*print)(struct log_question *q, struct source *s, uint64_t now_s, struct json *j);
    struct json json;
};

static void ask_source(struct watch_question *base, struct source *s, uint64_t now_s)
{
    struct log_question *q = (struct log_question *)base;
    json_init(&q->json, ANSWER_MAX, true);
    q->print(q, s, now_s, &q->json);
}

static void on_logs_made(struct watch_question *base)
{
    struct log_question *q = (struct log_question *)base;
    struct answer a = { 0 };
    answer_json(&a, 200, &q->json);
    call_answer(q->ticket, &a);
    free(q);
}

/* The source that the path names; false: out says that there is none. */
static bool find_source(const struct admin_request *rq, uint32_t *source, struct answer *out)
{
    uint32_t count = rq->watch ? watch_source_count(rq->watch) : 0;
    *source = rq->watch ? watch_source_by_name(rq->watch, rq->params[0]) : 0;
    if (*source < count) return true;
    answer_problem(out, 404, "There is no log source \"%.64s\"; GET /api/v1/logs lists them.",
                   rq->params[0].data);
    return false;
}

static bool read_window(struct slice value, enum tally_window *window, struct answer *out)
{
    *window = value.data ? tally_window_by_name(value) : TALLY_ALL;
    if (*window < TALLY_WINDOW_COUNT) return true;
    answer_problem(out, 400, "\"%.64s\" is no window; there are 1m, 5m, 1h and all.", value.data);
    return false;
}

static bool read_top(struct slice value, uint32_t *top, struct answer *out)
{
    uint64_t n = 0;
    *top = TOP_PRESET;
    if (!value.data) return true;
    if (number_u64(value, &n) && n >= 1 && n <= TOP_MAX) {
        *top = (uint32_t)n;
        return true;
    }
    answer_problem(out, 400, "\"%.64s\" is no number from 1 to %u.", value.data, TOP_MAX);
    return false;
}

static void send_question(const struct admin_request *rq, const struct log_question *shape,
                          struct answer *out)
{
    struct log_question *q = malloc(sizeof(*q));
    if (q) {
        *q = *shape;
        q->base.ask = ask_source;
        q->base.done = on_logs_made;
        /* Its answer comes by mail to this thread, so not before this has returned. */
        if (watch_ask(rq->watch, &q->base)) {
            q->ticket = call_wait(rq, WAIT_MS, NULL, NULL);
            return;
        }
        free(q);
    }
    answer_problem(out, 503, "Too many questions wait for the log reader; try again.");
}

/* summary */

const struct admin_query log_summary_query[] = {
    { "window", "string", "1m, 5m, 1h, or all (the preset): of which time." },
    { "top", "integer", "How many of each dimension, 1 to 1000; 10 without it." },
    { 0 },
};

static void key_u64(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_u64(j, value);
}

static void print_head(const struct log_question *q, const struct source *s, struct json *j)
{
    json_key(j, "source");
    json_string(j, source_conf(s)->name);
    json_key(j, "window");
    json_string(j, tally_window_name(q->window));
}

static void print_summary(struct log_question *q, struct source *s, uint64_t now_s, struct json *j)
{
    struct tally *t = source_tally(s);
    json_object(j);
    print_head(q, s, j);
    key_u64(j, "now", now_s);
    key_u64(j, "first", tally_first_s(t));
    key_u64(j, "last", tally_last_s(t));
    json_key(j, "fault");
    json_string(j, *source_fault(s) ? source_fault(s) : NULL);
    json_key(j, "malformed");
    report_malformed_json(t, j);
    json_key(j, "figures");
    report_json(tally_period(t, q->window, now_s), q->top, j);
    json_object_end(j);
}

void logs_summary(const struct admin_request *rq, struct answer *out)
{
    struct log_question q = { .print = print_summary };
    if (find_source(rq, &q.base.source, out) && read_window(rq->query[0], &q.window, out) &&
        read_top(rq->query[1], &q.top, out))
        send_question(rq, &q, out);
}

/* top */

const struct admin_query log_top_query[] = {
    { "by", "string",
      "client (the preset), network, path, host, agent, referer, upstream, variant, or error_path: paths "
      "with a 5xx." },
    { "window", "string", "1m, 5m, 1h, or all (the preset): of which time." },
    { "n", "integer", "How many, 1 to 1000; 10 without it." },
    { 0 },
};

static void print_top(struct log_question *q, struct source *s, uint64_t now_s, struct json *j)
{
    const struct period *p = tally_period(source_tally(s), q->window, now_s);
    json_object(j);
    print_head(q, s, j);
    json_key(j, "by");
    json_string(j, period_dimension_name(q->dimension));
    key_u64(j, "records", p->records);
    key_u64(j, "missing_at_most", period_missing(p, q->dimension));
    json_key(j, "top");
    report_top_json(p, q->dimension, q->top, j);
    json_object_end(j);
}

void logs_top(const struct admin_request *rq, struct answer *out)
{
    struct log_question q = { .print = print_top, .dimension = PERIOD_CLIENT };
    if (!find_source(rq, &q.base.source, out)) return;
    if (rq->query[0].data) q.dimension = period_dimension_by_name(rq->query[0]);
    if (q.dimension == PERIOD_DIMENSION_COUNT) {
        answer_problem(
            out, 400,
            "\"%.64s\" is nothing that is counted by; there are client, network, path, host, agent, "
            "referer, upstream, variant and error_path.",
            rq->query[0].data);
        return;
    }
    if (read_window(rq->query[1], &q.window, out) && read_top(rq->query[2], &q.top, out))
        send_question(rq, &q, out);
}

/* series */

static void print_series(struct log_question *q, struct source *s, uint64_t now_s, struct json *j)
{
    uint64_t records[60], errors[60];
    uint32_t count = tally_series(source_tally(s), now_s, records, errors);
    (void)q;
    json_object(j);
    json_key(j, "source");
    json_string(j, source_conf(s)->name);
    key_u64(j, "step_seconds", 60);
    key_u64(j, "end", now_s - now_s % 60 + 60);
    json_key(j, "records");
    json_array(j);
    for (uint32_t i = 0; i < count; i++) json_u64(j, records[i]);
    json_array_end(j);
    json_key(j, "errors");
    json_array(j);
    for (uint32_t i = 0; i < count; i++) json_u64(j, errors[i]);
    json_array_end(j);
    json_object_end(j);
}

void logs_series(const struct admin_request *rq, struct answer *out)
{
    struct log_question q = { .print = print_series };
    if (find_source(rq, &q.base.source, out)) send_question(rq, &q, out);
}

/* stream */

const struct admin_query log_stream_query[] = {
    { "where", "string", "Only these records, in the filter language of docs/logs.md." },
    { 0 },
};

struct log_stream {
    struct watch *watch;
    uint64_t tap;
};

/* The client has gone. If this cannot be said now, the tap's next chunk finds no call and says it again. */
static void on_gone(void *context)
{
    struct log_stream *s = context;
    if (s->tap && !watch_untap(s->watch, s->tap)) s->tap = 0;
    free(s);
}

static void on_chunk(const struct watch_chunk *c)
{
    struct call_ticket ticket = { c->context, c->number };
    if (!c->data) {
        call_end(ticket);
        return;
    }
    if (!call_push(ticket, c->data, c->len) && !call_is_open(ticket) && !watch_untap(c->watch, c->id)) return;
}

/* -1: out says why. */
static int compile_where(struct slice where, struct filter **out, struct answer *answer)
{
    struct err err;
    *out = NULL;
    if (!where.data || filter_compile(out, where, &err) == 0) return 0;
    answer_problem(answer, 400, "In `where`: %s", err.text);
    return -1;
}

void logs_stream(const struct admin_request *rq, struct answer *out)
{
    uint32_t source;
    struct filter *filter;
    if (!find_source(rq, &source, out) || compile_where(rq->query[0], &filter, out) < 0) return;
    struct log_stream *s = calloc(1, sizeof(*s));
    if (!s) {
        filter_free(filter);
        answer_problem(out, 503, "There is no memory for the stream; try again.");
        return;
    }
    s->watch = rq->watch;
    struct call_ticket ticket = call_stream(rq, "text/event-stream", on_gone, s);
    struct watch_viewer viewer = { .on_chunk = on_chunk, .context = ticket.env, .number = ticket.id };
    s->tap = watch_tap(rq->watch, source, filter, viewer); /* 0: nothing comes, and the client asks again */
}
