#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "admin/latency.h"
#include "admin/pools.h"
#include "admin/routes.h"
#include "base/number.h"
#include "metric/history.h"
#include "net/loop.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"
#include "proxy/route_set.h"

#define LIMIT_MAX 1000u
#define LIMIT_PRESET 100u
#define POINTS_MAX 200000u /* in one answer */
#define RECENT_SECONDS 10

enum { KIND, OF, NAME, SEARCH, STATE, SORT, LIMIT, STEP, POINTS };

const struct admin_query traffic_query[] = {
    [KIND] = { "kind", "string", "listener, route, pool or server; listener if not given." },
    [OF] = { "of", "string", "Only routes of this listener, or servers of this pool." },
    [NAME] = { "name", "string", "Only of this name." },
    [SEARCH] = { "search", "string", "Only those whose name has this in it, in capitals or not." },
    [STATE] = { "state", "string",
                "Only servers in this state, like down; \"unwell\" is all that are neither up nor warming." },
    [SORT] = { "sort", "string",
               "What comes first: name, requests, errors, p99, or of servers state: those that are not well. "
               "In the "
               "order of the configuration if not given." },
    [LIMIT] = { "limit", "integer", "At most this many, 1 to 1000; 100 if not given." },
    [STEP] = { "step", "integer", "Seconds of each point of the series: 1, 10 or 60; 10 if not given." },
    [POINTS] = { "points", "integer",
                 "How many points each series is to have, up to now: at most 300 of 1 s, 360 of 10 s, 1440 "
                 "of a "
                 "minute; none if not given." },
    { 0 },
};

#define SAID(name, kind, text, ...)             \
    {                                           \
        name, kind, .help = text, ##__VA_ARGS__ \
    }

static const struct shape_field series_fields[] = {
    SAID("requests", SHAPE_NUMBERS, "How many came in each step; of a server, attempts at it."),
    SAID("errors", SHAPE_NUMBERS, "How many failed, and not by the client's doing."),
    SAID("p50_ms", SHAPE_NUMBERS, "Half of them took no longer; null where none is known."),
    SAID("p95_ms", SHAPE_NUMBERS, "19 of 20 took no longer."),
    SAID("p99_ms", SHAPE_NUMBERS, "99 of a hundred took no longer."),
    { 0 },
};
static const struct shape series_shape = { "TrafficSeries", 0, series_fields };

static const struct shape_field row_fields[] = {
    SAID("kind", SHAPE_STRING, "listener, route, pool or server."),
    SAID("of", SHAPE_STRING, "A route's listener, a server's pool; null of others.", .may_be_null = true),
    SAID("name", SHAPE_STRING, "Its name in the configuration."),
    SAID("requests", SHAPE_COUNT, "In the last ten seconds: requests, or attempts at a pool or server."),
    SAID("errors", SHAPE_COUNT, "Of those, failed and not by the client's doing."),
    SAID("p50_ms", SHAPE_NUMBER,
         "Half took no longer, of the last ten to twenty seconds: a listener's and a route's "
         "whole exchanges, a pool's and a server's first bytes.",
         .may_be_null = true),
    SAID("p95_ms", SHAPE_NUMBER, "19 of 20 took no longer.", .may_be_null = true),
    SAID("p99_ms", SHAPE_NUMBER, "99 of a hundred took no longer.", .may_be_null = true),
    SAID("series", SHAPE_OBJECT, NULL, .of = &series_shape, .is_optional = true),
    SAID("server", SHAPE_OBJECT, NULL, .of = &server_shape, .is_optional = true),
    { 0 },
};
static const struct shape row_shape = { "TrafficRow", 0, row_fields };

static const struct shape_field traffic_fields[] = {
    SAID("at", SHAPE_NUMBER, "The end of the last second that is kept, in seconds since 1970.",
         .may_be_null = true),
    SAID("seconds", SHAPE_COUNT, "Of how many seconds the rows' counts are: 10, or fewer after a start."),
    SAID("step", SHAPE_COUNT, "Seconds of each point of the series."),
    SAID("from", SHAPE_NUMBER, "When the series' first point begins; null without series.",
         .may_be_null = true),
    SAID("total", SHAPE_COUNT, "How many there are; `rows` has at most `limit` of them."),
    SAID("rows", SHAPE_LIST, "What was asked for.", .of = &row_shape),
    { 0 },
};
const struct shape traffic_shape = { "Traffic", 0, traffic_fields };

/* The question. */

enum sort { SORT_NONE, SORT_NAME, SORT_REQUESTS, SORT_ERRORS, SORT_P99, SORT_STATE };

struct question {
    enum history_kind kind;
    enum history_step step;
    enum sort sort;
    uint32_t limit, points;
    struct slice of, name, search, state; /* data is NULL: any */
};

static const char *const kind_names[] = { "listener", "route", "pool", "server" };
static const char *const sort_names[] = { "", "name", "requests", "errors", "p99", "state" };

static bool find_name(const char *const *names, int count, struct slice text, int *out)
{
    for (int i = 0; i < count; i++) {
        if (!slice_equal(slice_of(names[i]), text)) continue;
        *out = i;
        return true;
    }
    return false;
}

static bool read_count(struct slice text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    if (!number_u64(text, &value) || value < min || value > max) return false;
    *out = (uint32_t)value;
    return true;
}

static int read_step(struct slice text, enum history_step *out, struct err *err)
{
    uint32_t seconds = 10;
    if (text.data && !read_count(text, 1, 60, &seconds)) seconds = 0;
    for (int i = 0; i < HISTORY_STEPS; i++) {
        if (history_step_seconds((enum history_step)i) != seconds) continue;
        *out = (enum history_step)i;
        return 0;
    }
    return err_set(err, "step is \"%.32s\"; write 1, 10 or 60", text.data ? text.data : "");
}

static int read_question(const struct admin_request *rq, struct question *q, struct err *err)
{
    const struct slice *given = rq->query;
    int kind = HISTORY_LISTENER, sort = SORT_NONE;
    *q = (struct question){ .limit = LIMIT_PRESET,
                            .of = given[OF],
                            .name = given[NAME],
                            .search = given[SEARCH],
                            .state = given[STATE] };
    if (given[KIND].data && !find_name(kind_names, HISTORY_KINDS, given[KIND], &kind))
        return err_set(err, "kind is \"%.32s\"; write listener, route, pool or server", given[KIND].data);
    if (given[SORT].data && !find_name(sort_names, SORT_STATE + 1, given[SORT], &sort))
        return err_set(err, "sort is \"%.32s\"; write name, requests, errors, p99 or state",
                       given[SORT].data);
    q->kind = (enum history_kind)kind;
    q->sort = (enum sort)sort;
    if ((q->sort == SORT_STATE || q->state.data) && q->kind != HISTORY_SERVER)
        return err_set(err, "only servers have a state; add kind=server");
    if (given[LIMIT].data && !read_count(given[LIMIT], 1, LIMIT_MAX, &q->limit))
        return err_set(err, "limit is \"%.32s\"; write a number from 1 to %u", given[LIMIT].data, LIMIT_MAX);
    if (read_step(given[STEP], &q->step, err) < 0) return -1;
    uint32_t most = history_step_points(q->step);
    if (given[POINTS].data && !read_count(given[POINTS], 0, most, &q->points))
        return err_set(err,
                       "points is \"%.32s\"; write a number from 0 to %u, the most that are kept of %u s",
                       given[POINTS].data, most, history_step_seconds(q->step));
    if (q->limit * q->points > POINTS_MAX)
        return err_set(err, "%u series of %u points are over %u in all; ask for fewer", q->limit, q->points,
                       POINTS_MAX);
    return 0;
}

/* What there is. */

struct row {
    const char *of, *name;
    const struct roster_place *place;    /* of a server; else NULL */
    const struct history_series *series; /* NULL: nothing is kept of it yet */
    struct history_point recent;
    uint32_t order; /* in the configuration */
};

struct rows {
    const struct question *question;
    const struct history *history;
    struct row *all;
    uint32_t count, room;
    bool is_out_of_memory;
};

static bool has_within(const char *name, struct slice part)
{
    size_t len = strlen(name);
    for (size_t at = 0; at + part.len <= len; at++)
        if (slice_equal_fold((struct slice){ name + at, part.len }, part)) return true;
    return false;
}

static bool is_in_state(const struct server *s, struct slice state)
{
    const char *name = server_state_name(s);
    if (slice_equal(state, SLICE("unwell"))) return strcmp(name, "up") != 0 && strcmp(name, "warming") != 0;
    return slice_equal(state, slice_of(name));
}

static bool is_asked_for(const struct question *q, const struct row *r)
{
    if (q->of.data && !slice_equal(q->of, slice_of(r->of))) return false;
    if (q->name.data && !slice_equal(q->name, slice_of(r->name))) return false;
    if (q->search.data && !has_within(r->name, q->search)) return false;
    return !q->state.data || is_in_state(r->place->server, q->state);
}

static void add(struct rows *rows, const struct history_key *key, struct row r)
{
    if (!is_asked_for(rows->question, &r)) return;
    if (rows->count == rows->room) {
        uint32_t room = rows->room ? 2 * rows->room : 64;
        struct row *more = realloc(rows->all, room * sizeof(*more));
        if (!more) {
            rows->is_out_of_memory = true;
            return;
        }
        rows->all = more;
        rows->room = room;
    }
    r.order = rows->count;
    r.series = history_find(rows->history, key);
    if (r.series && rows->question->sort == SORT_P99)
        r.recent = history_recent(rows->history, r.series);
    else if (r.series)
        r.recent = history_recent_counts(rows->history, r.series);
    rows->all[rows->count++] = r;
}

static void collect(struct rows *rows, const struct proxy *p)
{
    enum history_kind kind = rows->question->kind;
    bool is_of_pools = kind == HISTORY_POOL || kind == HISTORY_SERVER;
    for (uint32_t i = 0; i < p->listener_count && !is_of_pools; i++) {
        const struct listener *l = p->listeners[i];
        if (kind == HISTORY_LISTENER)
            add(rows, &(struct history_key){ kind, 0, l->id }, (struct row){ .name = l->name });
        for (uint32_t k = 0; k < l->routes->route_count && kind == HISTORY_ROUTE; k++)
            add(rows, &(struct history_key){ kind, l->id, l->routes->routes[k].id },
                (struct row){ .of = l->name, .name = l->routes->routes[k].name });
    }
    for (uint32_t i = 0; i < p->pool_count && is_of_pools; i++) {
        const struct pool *pool = p->pools[i];
        if (kind == HISTORY_POOL)
            add(rows, &(struct history_key){ kind, 0, pool->id }, (struct row){ .name = pool->name });
        for (uint32_t k = 0; k < pool->roster->count && kind == HISTORY_SERVER; k++) {
            const struct roster_place *place = &pool->roster->places[k];
            add(rows, &(struct history_key){ kind, pool->id, place->server->id },
                (struct row){ .of = pool->name, .name = place->server->name, .place = place });
        }
    }
}

/* Order. */

static int by_order(const struct row *a, const struct row *b)
{
    return (a->order > b->order) - (a->order < b->order);
}

/* The greater first. */
static int by_number(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b);
}

static int compare_names(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    int names = strcmp(a->name, b->name);
    return names ? names : by_order(a, b);
}

static int compare_requests(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    int numbers = by_number(a->recent.requests, b->recent.requests);
    return numbers ? numbers : by_order(a, b);
}

static int compare_errors(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    int numbers = by_number(a->recent.errors, b->recent.errors);
    return numbers ? numbers : compare_requests(left, right);
}

static int compare_p99(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    int numbers = by_number(a->recent.p99_us, b->recent.p99_us);
    return numbers ? numbers : by_order(a, b);
}

/* How much there is to see of it. */
static uint64_t concern(const struct server *s)
{
    static const char *const least_first[] = {
        "up", "warming", "maintenance", "draining", "ejected", "down"
    };
    int found = 0;
    return find_name(least_first, 6, slice_of(server_state_name(s)), &found) ? (uint64_t)found : 0;
}

static int compare_states(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    int states = by_number(concern(a->place->server), concern(b->place->server));
    return states ? states : compare_errors(left, right);
}

static void sort_rows(struct rows *rows)
{
    int (*compare)(const void *, const void *) = NULL;
    switch (rows->question->sort) {
    case SORT_NONE: break;
    case SORT_NAME: compare = compare_names; break;
    case SORT_REQUESTS: compare = compare_requests; break;
    case SORT_ERRORS: compare = compare_errors; break;
    case SORT_P99: compare = compare_p99; break;
    case SORT_STATE: compare = compare_states; break;
    }
    if (compare && rows->count) qsort(rows->all, rows->count, sizeof(*rows->all), compare);
}

/* The answer. */

static double ms_of(uint64_t us)
{
    return us ? (double)us / 1000 : NAN;
}

static void print_quantiles(const struct history_point *p, struct json *j)
{
    json_key(j, "p50_ms");
    json_double(j, ms_of(p->p50_us));
    json_key(j, "p95_ms");
    json_double(j, ms_of(p->p95_us));
    json_key(j, "p99_ms");
    json_double(j, ms_of(p->p99_us));
}

static double value_at(const struct history_point *p, int field)
{
    switch (field) {
    case 0: return (double)p->requests;
    case 1: return (double)p->errors;
    case 2: return ms_of(p->p50_us);
    case 3: return ms_of(p->p95_us);
    default: return ms_of(p->p99_us);
    }
}

static void print_series(const struct rows *rows, const struct row *r, struct history_point *points,
                         struct json *j)
{
    const struct question *q = rows->question;
    int64_t first = history_latest(rows->history, q->step) - q->points + 1;
    memset(points, 0, q->points * sizeof(*points));
    if (r->series) history_read(rows->history, r->series, q->step, first, q->points, points);
    json_key(j, "series");
    json_object(j);
    for (int field = 0; series_fields[field].name; field++) {
        json_key(j, series_fields[field].name);
        json_array(j);
        for (uint32_t i = 0; i < q->points; i++) json_double(j, value_at(&points[i], field));
        json_array_end(j);
    }
    json_object_end(j);
}

static void print_row(const struct rows *rows, const struct row *r, const struct proxy *p,
                      struct history_point *points, struct json *j)
{
    struct history_point recent = { 0 };
    if (r->series) recent = history_recent(rows->history, r->series);
    json_object(j);
    json_key(j, "kind");
    json_string(j, kind_names[rows->question->kind]);
    json_key(j, "of");
    json_string(j, r->of);
    json_key(j, "name");
    json_string(j, r->name);
    json_key(j, "requests");
    json_u64(j, recent.requests);
    json_key(j, "errors");
    json_u64(j, recent.errors);
    print_quantiles(&recent, j);
    if (rows->question->points) print_series(rows, r, points, j);
    if (r->place) {
        json_key(j, "server");
        server_print(r->place, p->metrics, j);
    }
    json_object_end(j);
}

/* Seconds since 1970 of a second of the loop's clock. */
static double wall(const struct loop *l, int64_t second)
{
    return (double)second + floor((double)l->wall_offset_ns / 1e6) / 1e3;
}

static void print(const struct admin_request *rq, const struct rows *rows, struct history_point *points,
                  struct answer *out)
{
    const struct question *q = rows->question;
    int64_t last = history_latest(rows->history, HISTORY_SECOND);
    int64_t start = (int64_t)((rq->proxy->started_wall_ns - rq->loop->wall_offset_ns) / NS_PER_S);
    int64_t length = history_step_seconds(q->step);
    int64_t first = (history_latest(rows->history, q->step) - q->points + 1) * length;
    int64_t seen = last < 0 ? 0 : last - start;
    struct json j;
    json_init(&j, ANSWER_MAX, false);
    json_object(&j);
    json_key(&j, "at");
    json_double(&j, last < 0 ? NAN : wall(rq->loop, last + 1));
    json_key(&j, "seconds");
    json_u64(&j, seen < 1 ? 1 : seen < RECENT_SECONDS ? (uint64_t)seen : RECENT_SECONDS);
    json_key(&j, "step");
    json_u64(&j, (uint64_t)length);
    json_key(&j, "from");
    json_double(&j, q->points && last >= 0 ? wall(rq->loop, first) : NAN);
    json_key(&j, "total");
    json_u64(&j, rows->count);
    json_key(&j, "rows");
    json_array(&j);
    for (uint32_t i = 0; i < rows->count && i < q->limit; i++)
        print_row(rows, &rows->all[i], rq->proxy, points, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

void traffic_show(const struct admin_request *rq, struct answer *out)
{
    struct question q;
    struct err err;
    if (!rq->history) {
        answer_problem(out, 503, "No history of traffic is kept; give admin: {history} some memory.");
        return;
    }
    if (read_question(rq, &q, &err) < 0) {
        answer_error(out, 400, &err);
        return;
    }
    struct rows rows = { .question = &q, .history = rq->history };
    struct history_point *points = calloc(q.points + 1, sizeof(*points));
    collect(&rows, rq->proxy);
    sort_rows(&rows);
    if (!points || rows.is_out_of_memory)
        answer_problem(out, 503, "There is no memory for the answer; try again.");
    else
        print(rq, &rows, points, out);
    free(points);
    free(rows.all);
}
