/* What has changed with an event: of routes and servers, as they were counted before it and after it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/before_after.h"
#include "admin/estimate.h"
#include "admin/routes.h"
#include "base/event_list.h"
#include "base/number.h"
#include "metric/comparison.h"
#include "proxy/proxy.h"
#include "self/profiler.h"

/* A comparison takes a tenth of a millisecond. */
#define LIMIT_PRESET 20u
#define LIMIT_MAX 50u
#define SLOT_NS (10 * NS_PER_S)
#define SLOTS_MAX 360u /* an hour of them: what the history keeps */

enum { KIND, LIMIT };

const struct admin_query event_report_query[] = {
    [KIND] = { "kind", "string", "route or server; both if absent." },
    [LIMIT] = { "limit", "integer",
                "At most this many, those with the most requests, 1 to 50; 20 if not given." },
    { 0 },
};

struct side_answer {
    uint64_t requests, errors;
    double rate, p50_ms, p95_ms, p99_ms;
};

static const struct shape_field side_fields[] = {
    SHAPE_ROW(side_answer, requests, COUNT, "Exchanges of a route, attempts at a server."),
    SHAPE_ROW(side_answer, errors, COUNT, "Those that failed, or ended in a 5xx."),
    SHAPE_ROW(side_answer, rate, NUMBER, "Requests a second."),
    SHAPE_ROW(side_answer, p50_ms, NUMBER,
              "Half took no longer: a route's whole exchanges, a server's first bytes.", .may_be_null = true),
    SHAPE_ROW(side_answer, p95_ms, NUMBER, "19 of 20 took no longer.", .may_be_null = true),
    SHAPE_ROW(side_answer, p99_ms, NUMBER, "99 of a hundred took no longer.", .may_be_null = true),
    { 0 },
};
static const struct shape side_shape = { "EventSide", sizeof(struct side_answer), side_fields };

struct row_answer {
    const char *kind, *of, *name;
    struct side_answer before, after;
    double rate_p;
    struct estimate_answer error_difference, p50_difference_ms, p95_difference_ms, p99_difference_ms;
    struct shape_list changes;
};

static const struct shape_field row_fields[] = {
    SHAPE_ROW(row_answer, kind, STRING, "route or server."),
    SHAPE_ROW(row_answer, of, STRING, "The listener of a route, the pool of a server."),
    SHAPE_ROW(row_answer, name, STRING, "Its name."),
    SHAPE_ROW(row_answer, before, OBJECT, NULL, .of = &side_shape),
    SHAPE_ROW(row_answer, after, OBJECT, NULL, .of = &side_shape),
    SHAPE_ROW(row_answer, rate_p, NUMBER,
              "How often chance alone ever makes such a difference of rates, however often one looks."),
    SHAPE_ROW(
        row_answer, error_difference, OBJECT,
        "How much larger the error share is after than before. These intervals fail once in a hundred times, "
        "however often one looks.",
        .of = &estimate_shape),
    SHAPE_ROW(row_answer, p50_difference_ms, OBJECT, "How much longer half of them take at most.",
              .of = &estimate_shape),
    SHAPE_ROW(row_answer, p95_difference_ms, OBJECT, "How much longer 95 of a hundred take at most.",
              .of = &estimate_shape),
    SHAPE_ROW(row_answer, p99_difference_ms, OBJECT, "How much longer 99 of a hundred take at most.",
              .of = &estimate_shape),
    SHAPE_ROW(row_answer, changes, LIST,
              "What is certain: \"more errors\", \"slower p95\", \"fewer requests\", …"),
    { 0 },
};
static const struct shape row_shape = { "EventChange", sizeof(struct row_answer), row_fields };

struct report_answer {
    uint64_t event;
    const char *name, *at, *flame, *profile;
    double before_seconds, after_seconds;
    bool is_over;
    uint64_t total, left_off;
    struct shape_list rows;
};

static const struct shape_field report_fields[] = {
    SHAPE_ROW(report_answer, event, COUNT, "The event's id."),
    SHAPE_ROW(report_answer, name, STRING, "What it was, as in the list of events."),
    SHAPE_ROW(report_answer, at, STRING, "When (RFC 3339)."),
    SHAPE_ROW(report_answer, before_seconds, NUMBER, "How long before it is looked at: 10 to 15 minutes."),
    SHAPE_ROW(report_answer, after_seconds, NUMBER, "How long after it: until now, an hour at most."),
    SHAPE_ROW(report_answer, is_over, BOOL, "The hour is over: this report stays as it is."),
    SHAPE_ROW(
        report_answer, flame, STRING,
        "Where the flame graph of weir's own CPU time after it is, compared with before; null: see profile.",
        .may_be_null = true),
    SHAPE_ROW(report_answer, profile, STRING, "What is known of profiles."),
    SHAPE_ROW(report_answer, total, COUNT,
              "Routes and servers that had requests; `rows` has at most `limit`."),
    SHAPE_ROW(report_answer, left_off, COUNT, "Those that were not counted, for there were too many."),
    SHAPE_ROW(report_answer, rows, LIST, "Those with the most requests first.", .of = &row_shape),
    { 0 },
};
const struct shape event_report_shape = { "EventReport", sizeof(struct report_answer), report_fields };

/* counting */

/* What came between two snapshots. */
struct stretch {
    uint64_t cells[HISTOGRAM_CELLS];
    uint64_t slot_requests[SLOTS_MAX], slot_errors[SLOTS_MAX];
    struct history_point points[SLOTS_MAX];
    struct comparison_side side;
};

/* A namesake that has come in its place counts from 0. */
static uint64_t since(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now;
}

static uint32_t cell_count(const struct before_after_object *o, uint32_t cell, uint32_t *hint)
{
    if (!o) return 0;
    while (*hint < o->cell_count && o->cells[*hint].cell < cell) (*hint)++;
    return *hint < o->cell_count && o->cells[*hint].cell == cell ? o->cells[*hint].count : 0;
}

static void fill_slots(struct stretch *s, const struct history *h, const struct history_key *key,
                       uint64_t from_ns, uint64_t to_ns)
{
    const struct history_series *series = h ? history_find(h, key) : NULL;
    int64_t first = (int64_t)((from_ns + SLOT_NS - 1) / SLOT_NS), end = (int64_t)(to_ns / SLOT_NS);
    if (!series || end <= first) return;
    if (end > history_latest(h, HISTORY_TEN) + 1) end = history_latest(h, HISTORY_TEN) + 1;
    if (end - first > (int64_t)SLOTS_MAX) first = end - (int64_t)SLOTS_MAX;
    if (end - first < 2) return;
    uint32_t count = (uint32_t)(end - first);
    history_read(h, series, HISTORY_TEN, first, count, s->points);
    for (uint32_t i = 0; i < count; i++) {
        s->slot_requests[i] = s->points[i].requests;
        s->slot_errors[i] = s->points[i].errors < s->points[i].requests ? s->points[i].errors
                                                                        : s->points[i].requests;
    }
    s->side.slots = (struct comparison_slots){ s->slot_requests, s->slot_errors, count };
}

static void fill_stretch(struct stretch *s, const struct history *h, const struct before_after_snapshot *from,
                         const struct before_after_snapshot *to, const struct history_key *key)
{
    const struct before_after_object *a = before_after_object(from, key), *b = before_after_object(to, key);
    uint32_t hints[2] = { 0, 0 };
    memset(s, 0, sizeof(*s));
    s->side.cells = s->cells;
    s->side.seconds = fmax((double)(to->at_ns - from->at_ns) / NS_PER_S, 0.001);
    if (!b) return;
    s->side.requests = since(b->requests, a ? a->requests : 0);
    s->side.errors = since(b->errors, a ? a->errors : 0);
    /* They are read one after the other while both grow. */
    if (s->side.errors > s->side.requests) s->side.errors = s->side.requests;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++)
        s->cells[i] = since(cell_count(b, i, &hints[1]), cell_count(a, i, &hints[0]));
    fill_slots(s, h, key, from->at_ns, to->at_ns);
}

/* a row */

#define CHANGES_MAX 5u

struct row {
    struct row_answer answer;
    const char *changes[CHANGES_MAX];
};

static struct side_answer side_of(const struct comparison_side *s, double rate, const uint64_t *quantiles)
{
    bool has_any = histogram_count(s->cells) > 0;
    double ms[COMPARISON_QUANTILES];
    for (int i = 0; i < COMPARISON_QUANTILES; i++) ms[i] = has_any ? (double)quantiles[i] / 1000 : NAN;
    return (struct side_answer){ s->requests, s->errors, rate, ms[0], ms[1], ms[2] };
}

static struct estimate_answer estimate(const struct statistic_shift *s, bool has_both, double scale)
{
    if (!has_both) return (struct estimate_answer){ NAN, NAN, NAN };
    return (struct estimate_answer){ s->difference * scale, s->interval.low * scale,
                                     s->interval.high * scale };
}

static void say(struct row *r, const struct statistic_shift *s, const char *more, const char *less)
{
    if (s->interval.low > 0) r->changes[r->answer.changes.count++] = more;
    if (s->interval.high < 0) r->changes[r->answer.changes.count++] = less;
}

static void say_changes(struct row *r, const struct comparison *c)
{
    if (c->rate_p < COMPARISON_ALPHA)
        r->changes[r->answer.changes.count++] = c->rates[1] > c->rates[0] ? "more requests"
                                                                          : "fewer requests";
    say(r, &c->errors, "more errors", "fewer errors");
    say(r, &c->shifts[COMPARISON_P50], "slower p50", "faster p50");
    say(r, &c->shifts[COMPARISON_P95], "slower p95", "faster p95");
    say(r, &c->shifts[COMPARISON_P99], "slower p99", "faster p99");
    r->answer.changes.data = r->changes;
}

static void describe(struct row *r, const struct proxy *p, const struct history_key *key,
                     const struct comparison_side *before, const struct comparison_side *after)
{
    struct comparison c;
    comparison_fill(&c, before, after);
    bool has_requests = before->requests && after->requests;
    bool has_durations = histogram_count(before->cells) && histogram_count(after->cells);
    *r = (struct row){ .answer = { .kind = key->kind == HISTORY_ROUTE ? "route" : "server",
                                   .of = names_of(&p->names, key->of),
                                   .name = names_of(&p->names, key->id),
                                   .before = side_of(before, c.rates[0], c.quantiles[0]),
                                   .after = side_of(after, c.rates[1], c.quantiles[1]),
                                   .rate_p = c.rate_p,
                                   .error_difference = estimate(&c.errors, has_requests, 1),
                                   .p50_difference_ms = estimate(&c.shifts[0], has_durations, 0.001),
                                   .p95_difference_ms = estimate(&c.shifts[1], has_durations, 0.001),
                                   .p99_difference_ms = estimate(&c.shifts[2], has_durations, 0.001) } };
    say_changes(r, &c);
}

/* the report */

struct candidate {
    struct history_key key;
    uint64_t requests;
};

/* What is needed; too large for a stack. */
struct work {
    struct candidate candidates[BEFORE_AFTER_OBJECTS_MAX];
    uint32_t total;
    struct row rows[LIMIT_MAX];
    struct row_answer answers[LIMIT_MAX];
    struct stretch before, after;
};

static int by_requests(const void *a, const void *b)
{
    const struct candidate *first = a, *second = b;
    return (first->requests < second->requests) - (first->requests > second->requests);
}

static void collect(struct work *w, const struct before_after_window *in, struct slice kind)
{
    for (uint32_t i = 0; i < in->end->count; i++) {
        const struct before_after_object *o = &in->end->objects[i];
        const struct before_after_object *begin = before_after_object(in->begin, &o->key);
        const char *name = o->key.kind == HISTORY_ROUTE ? "route" : "server";
        uint64_t requests = since(o->requests, begin ? begin->requests : 0);
        if (!requests || (kind.data && !slice_equal(kind, slice_of(name)))) continue;
        w->candidates[w->total++] = (struct candidate){ o->key, requests };
    }
    qsort(w->candidates, w->total, sizeof(*w->candidates), by_requests);
}

/* Minutes of the machine's clock, as /debug/flame has them: the one after the event, and the one before it. */
static void write_flame(const struct before_after_window *in, char out[64])
{
    char minutes[2][8];
    time_t after = (time_t)(in->event->wall_ns / NS_PER_S) + 60, before = after - 120;
    struct tm tm;
    strftime(minutes[0], sizeof(minutes[0]), "%H:%M", localtime_r(&after, &tm));
    strftime(minutes[1], sizeof(minutes[1]), "%H:%M", localtime_r(&before, &tm));
    snprintf(out, 64, "/debug/flame?at=%s&diff=%s", minutes[0], minutes[1]);
}

static void print(const struct admin_request *rq, const struct event *e, const struct before_after_window *in,
                  const struct work *w, uint32_t count, struct answer *out)
{
    char flame[64], at[32];
    time_t wall = (time_t)(e->wall_ns / NS_PER_S);
    struct tm tm;
    bool has_profiles = rq->profiler && profiler_history(rq->profiler);
    strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&wall, &tm));
    write_flame(in, flame);
    const struct report_answer a = { .event = e->id,
                                     .name = e->name,
                                     .at = at,
                                     .flame = has_profiles ? flame : NULL,
                                     .profile = has_profiles
                                                    ? "one is kept of each minute of the last hour"
                                                    : "none was kept; write `profile: {continuous: true}`",
                                     .before_seconds = w->before.side.seconds,
                                     .after_seconds = w->after.side.seconds,
                                     .is_over = in->is_over,
                                     .total = w->total,
                                     .left_off = in->end->left_off,
                                     .rows = { w->answers, count } };
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&event_report_shape, &a, &j);
    answer_json(out, 200, &j);
}

static void report(const struct admin_request *rq, const struct event *e,
                   const struct before_after_window *in, uint32_t limit, struct answer *out)
{
    struct work *w = calloc(1, sizeof(*w));
    if (!w) {
        answer_problem(out, 503, "There is no memory for the report; try again.");
        return;
    }
    collect(w, in, rq->query[KIND]);
    uint32_t count = w->total < limit ? w->total : limit;
    w->before.side.seconds = (double)(in->event->at_ns - in->begin->at_ns) / NS_PER_S;
    w->after.side.seconds = (double)(in->end->at_ns - in->event->at_ns) / NS_PER_S;
    for (uint32_t i = 0; i < count; i++) {
        const struct history_key *key = &w->candidates[i].key;
        before_after_read_cells(rq->before_after, key);
        fill_stretch(&w->before, rq->history, in->begin, in->event, key);
        fill_stretch(&w->after, rq->history, in->event, in->end, key);
        describe(&w->rows[i], rq->proxy, key, &w->before.side, &w->after.side);
        w->answers[i] = w->rows[i].answer;
    }
    print(rq, e, in, w, count, out);
    free(w);
}

void events_report(const struct admin_request *rq, struct answer *out)
{
    uint64_t id = 0, limit = LIMIT_PRESET;
    struct event e;
    struct before_after_window in;
    struct slice kind = rq->query[KIND];
    before_after_look(rq->before_after);
    if (!number_u64(rq->params[0], &id) || !event_list_get(id, &e))
        answer_problem(out, 404, "There is no event \"%.32s\"; GET /api/v1/events lists those that are kept.",
                       rq->params[0].data);
    else if (rq->query[LIMIT].data &&
             (!number_u64(rq->query[LIMIT], &limit) || limit < 1 || limit > LIMIT_MAX))
        answer_problem(out, 400, "limit is \"%.32s\"; write a number from 1 to %u.", rq->query[LIMIT].data,
                       LIMIT_MAX);
    else if (kind.data && !slice_equal(kind, SLICE("route")) && !slice_equal(kind, SLICE("server")))
        answer_problem(out, 400, "kind is \"%.32s\"; write route or server.", kind.data);
    else if (!rq->before_after || !before_after_find(rq->before_after, id, &in))
        answer_problem(
            out, 409,
            "Event %u (%s) is not watched: the latest %u markers, configurations and changes by people are, "
            "and as many of servers.",
            (unsigned)id, e.name, BEFORE_AFTER_WATCHED_MAX);
    else
        report(rq, &e, &in, (uint32_t)limit, out);
}
