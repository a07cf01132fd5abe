#include "admin/exchanges.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/routes.h"
#include "base/number.h"
#include "base/quantity.h"
#include "conf/decode.h"
#include "net/loop.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "proxy/split.h"
#include "proxy/story.h"
#include "proxy/worker.h"
#include "record/flight.h"
#include "record/flight_ring.h"

#define LIMIT_MAX 1000u
#define LIMIT_PRESET 50u

enum {
    STATUS,
    CLASS,
    END,
    POOL,
    SERVER,
    LISTENER,
    ROUTE,
    VARIANT,
    CLIENT,
    REQUEST_ID,
    MIN_MS,
    SINCE,
    FAILED,
    ORDER,
    LIMIT
};

const struct admin_query exchange_query[] = {
    [STATUS] = { "status", "integer", "Only with this status, like 502." },
    [CLASS] = { "class", "string", "Only with a status of this class: 1xx, 2xx, 3xx, 4xx or 5xx." },
    [END] = { "end", "string", "Only with this end reason, like connect_refused." },
    [POOL] = { "pool", "string", "Only those sent to this pool." },
    [SERVER] = { "server", "string", "Only those with an attempt at this server." },
    [LISTENER] = { "listener", "string", "Only those of this listener." },
    [ROUTE] = { "route", "string", "Only those that took this route." },
    [VARIANT] = { "variant", "string", "Only those in this variant of a split, like checkout=b." },
    [CLIENT] = { "client", "string", "Only from this client address." },
    [REQUEST_ID] = { "request_id", "string", "Only with this X-Request-Id." },
    [MIN_MS] = { "min_ms", "number", "Only those that took at least this many milliseconds." },
    [SINCE] = { "since", "string",
                "Only those that ended then or later: 2026-01-02T15:04:05Z, seconds since 1970, or 5m for "
                "the last "
                "five minutes." },
    [FAILED] = { "failed", "boolean",
                 "true: only those that failed, and not by the client's doing: 5xx, or broken by a server or "
                 "weir." },
    [ORDER] = { "order", "string",
                "latest: what ended last comes first, as it is if not given; slowest: what took longest, "
                "tunnels left "
                "aside." },
    [LIMIT] = { "limit", "integer", "At most this many, 1 to 1000; 50 if not given." },
    { 0 },
};

/* What flight_print_json() writes: these rows say it, they do not print it. */
#define SAID(name, kind, text, ...)             \
    {                                           \
        name, kind, .help = text, ##__VA_ARGS__ \
    }

static const struct shape_field phase_fields[] = {
    SAID("head_ms", SHAPE_NUMBER, "The request's head was read.", .may_be_null = true),
    SAID("picked_ms", SHAPE_NUMBER, "A server was chosen.", .may_be_null = true),
    SAID("connected_ms", SHAPE_NUMBER, "There was a connection to it.", .may_be_null = true),
    SAID("sent_ms", SHAPE_NUMBER, "The request was sent.", .may_be_null = true),
    SAID("first_byte_ms", SHAPE_NUMBER, "The response began.", .may_be_null = true),
    { 0 },
};
static const struct shape phases_shape = { "Phases", 0, phase_fields };

static const struct shape_field attempt_fields[] = {
    SAID("number", SHAPE_COUNT, "The first is 1; only the first three and the last are kept."),
    SAID("server", SHAPE_STRING, "The server's name.", .may_be_null = true),
    SAID("reason", SHAPE_STRING, "Why the balance method chose it."),
    SAID("is_hedge", SHAPE_BOOL, "Made beside the one before it, which took long."),
    SAID("is_reused", SHAPE_BOOL, "On a connection that had been used before."),
    SAID("connect_ms", SHAPE_NUMBER, "How long connecting took.", .may_be_null = true),
    SAID("first_byte_ms", SHAPE_NUMBER, "From the attempt's start to the response's first byte.",
         .may_be_null = true),
    SAID("failed_after_ms", SHAPE_NUMBER, "From the attempt's start to its failure.", .may_be_null = true),
    SAID("status", SHAPE_COUNT, "The server's status.", .may_be_null = true),
    SAID("end", SHAPE_STRING, "How the attempt ended."),
    SAID("means", SHAPE_STRING, "The same as a clause."),
    SAID("origin", SHAPE_STRING, "Whose doing it was: none, client, weir, server or config."),
    { 0 },
};
static const struct shape attempt_shape = { "Attempt", 0, attempt_fields };

static const struct shape_field sentence_fields[] = {
    SAID("at_ms", SHAPE_NUMBER, "When, since the exchange's first byte; null: no time is kept of it.",
         .may_be_null = true),
    SAID("text", SHAPE_STRING, "What happened."),
    { 0 },
};
static const struct shape sentence_shape = { "Sentence", 0, sentence_fields };

static const struct shape_field exchange_fields[] = {
    SAID("id", SHAPE_STRING, "weir's own id, 16 hexadecimal digits."),
    SAID("request_id", SHAPE_STRING, "X-Request-Id, given by the client or made by weir."),
    SAID("start", SHAPE_STRING, "When its first byte came (RFC 3339)."),
    SAID("client", SHAPE_STRING, "The client's address."),
    SAID("client_port", SHAPE_COUNT, "The port at the other end of the connection."),
    SAID("listener", SHAPE_STRING, "Where it came in.", .may_be_null = true),
    SAID("route", SHAPE_STRING, "The route that matched.", .may_be_null = true),
    SAID("variant", SHAPE_STRING, "The split and its variant, like checkout=b.", .may_be_null = true),
    SAID("pool", SHAPE_STRING, "The pool that it was sent to.", .may_be_null = true),
    SAID("protocol", SHAPE_STRING, "HTTP/1.0, HTTP/1.1, HTTP/2 or tcp.", .may_be_null = true),
    SAID("method", SHAPE_STRING, "Absent for tcp.", .may_be_null = true, .is_optional = true),
    SAID("target", SHAPE_STRING, "Absent for tcp.", .is_optional = true),
    SAID("is_target_cut", SHAPE_BOOL, "The target was longer than a record keeps.", .is_optional = true),
    SAID("status", SHAPE_COUNT, "What the client was sent; 0 is none. Absent for tcp.", .is_optional = true),
    SAID("grpc_status", SHAPE_COUNT, "What a gRPC client was told beside that; null where nothing was.",
         .may_be_null = true, .is_optional = true),
    SAID("is_local_reply", SHAPE_BOOL, "weir itself answered.", .is_optional = true),
    SAID("is_delayed", SHAPE_BOOL, "A rate limit held it back.", .is_optional = true),
    SAID("is_over_rate", SHAPE_BOOL, "A dry rate limit would have held it back or refused it.",
         .is_optional = true),
    SAID("is_retry_denied", SHAPE_BOOL, "Another attempt was due, and the pool's retry budget used up.",
         .is_optional = true),
    SAID("is_hedge_denied", SHAPE_BOOL,
         "Another server was to be asked beside one that took long, and the pool's retry budget used up.",
         .is_optional = true),
    SAID("is_tunnel", SHAPE_BOOL, "It was tcp, or became a tunnel by an upgrade."),
    SAID("is_tls", SHAPE_BOOL, "The client's connection was TLS."),
    SAID("tls_version", SHAPE_STRING, "TLSv1.2 or TLSv1.3; null where it was plain.", .may_be_null = true),
    SAID("tls_cipher", SHAPE_STRING, "The cipher suite, as OpenSSL calls it; null where it was plain.",
         .may_be_null = true),
    SAID("end", SHAPE_STRING, "How it ended."),
    SAID("means", SHAPE_STRING, "The same as a clause."),
    SAID("origin", SHAPE_STRING, "Whose doing it was: none, client, weir, server or config."),
    SAID("bytes_in", SHAPE_COUNT, "From the client, heads included."),
    SAID("bytes_out", SHAPE_COUNT, "To the client, heads included."),
    SAID("total_ms", SHAPE_NUMBER, "From the first byte to the end."),
    SAID("phases", SHAPE_OBJECT, "When each phase was over, since the start; null: it never was.",
         .of = &phases_shape),
    SAID("attempt_count", SHAPE_COUNT, "How many servers were tried, the same one twice included."),
    SAID("attempts", SHAPE_LIST, "Those that are kept.", .of = &attempt_shape),
    SAID("why", SHAPE_STRING, "What the client got and why, in a sentence."),
    SAID("story", SHAPE_LIST, "The whole in sentences; where one exchange is asked for.",
         .of = &sentence_shape, .is_optional = true),
    { 0 },
};
const struct shape exchange_shape = { "Exchange", 0, exchange_fields };

/* reading the query */

/* Digits only, 1 to `max`; else false. */
static bool read_bounded(struct slice text, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    if (!number_u64(text, &value)) return false;
    *out = (uint32_t)value;
    return value >= 1 && value <= max;
}

/* A plain decimal number from 0 to 1e12. */
static bool read_decimal(struct slice text, double *out)
{
    return number_decimal(text, out) && *out <= 1e12;
}

static bool read_status(struct slice text, uint16_t *out)
{
    uint32_t status = 0;
    if (!read_bounded(text, 599, &status) || status < 100) return false;
    *out = (uint16_t)status;
    return true;
}

static bool read_class(struct slice text, uint8_t *out)
{
    if (text.len != 1 &&
        !(text.len == 3 && slice_equal_fold((struct slice){ text.data + 1, 2 }, SLICE("xx"))))
        return false;
    *out = (uint8_t)(text.data[0] - '0');
    return *out >= 1 && *out <= 5;
}

static bool read_bool(struct slice text, bool *out)
{
    *out = slice_equal(text, SLICE("true"));
    return *out || slice_equal(text, SLICE("false"));
}

static int read_end(struct slice text, enum end_reason *out, struct err *err)
{
    const char *names[END_REASON_COUNT];
    *out = end_reason_by_name(text.data);
    if (*out != END_NONE && *out != END_REASON_COUNT) return 0;
    for (unsigned i = 1; i < END_REASON_COUNT; i++) names[i - 1] = end_reason_info((enum end_reason)i)->name;
    const char *nearest = conf_nearest(text, names, END_REASON_COUNT - 1);
    if (nearest)
        return err_set(err, "there is no end reason \"%.64s\"; did you mean \"%s\"?", text.data, nearest);
    return err_set(err, "there is no end reason \"%.64s\"; /metrics shows them all in weir_exchanges_total",
                   text.data);
}

/* RFC 3339 5.6 with whole seconds, in UTC: 2026-01-02T15:04:05Z. */
static bool read_date(struct slice text, uint64_t *out_ns)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    int parts[6] = { 0 };
    if (text.len != sizeof(form) - 1) return false;
    for (size_t i = 0, part = 0; i < text.len; i++) {
        bool is_digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (form[i] == '0' ? !is_digit : text.data[i] != form[i]) return false;
        if (is_digit)
            parts[part] = parts[part] * 10 + (text.data[i] - '0');
        else
            part++;
    }
    struct tm tm = { .tm_year = parts[0],
                     .tm_mon = parts[1],
                     .tm_mday = parts[2],
                     .tm_hour = parts[3],
                     .tm_min = parts[4],
                     .tm_sec = parts[5] };
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t seconds = timegm(&tm);
    if (seconds < 0) return false;
    *out_ns = (uint64_t)seconds * NS_PER_S;
    return true;
}

static bool read_since(struct slice text, uint64_t now_ns, uint64_t *out_ns)
{
    struct err err;
    double seconds = 0;
    uint64_t ms = 0;
    if (read_date(text, out_ns)) return true;
    if (read_decimal(text, &seconds)) {
        *out_ns = seconds < 1e10 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
        return true;
    }
    if (quantity_parse_ms(text, &ms, &err) < 0) return false;
    uint64_t now_ms = now_ns / NS_PER_MS;
    *out_ns = ms < now_ms ? (now_ms - ms) * NS_PER_MS : 0;
    return true;
}

static int read_figures(const struct admin_request *rq, struct flight_filter *f, struct err *err)
{
    const struct slice *q = rq->query;
    double ms = 0;
    if (q[STATUS].data && !read_status(q[STATUS], &f->status))
        return err_set(err, "status is \"%.32s\"; write a number from 100 to 599", q[STATUS].data);
    if (q[CLASS].data && !read_class(q[CLASS], &f->status_class))
        return err_set(err, "class is \"%.32s\"; write 1xx, 2xx, 3xx, 4xx or 5xx", q[CLASS].data);
    if (q[END].data && read_end(q[END], &f->end, err) < 0) return -1;
    if (q[FAILED].data && !read_bool(q[FAILED], &f->is_failure))
        return err_set(err, "failed is \"%.32s\"; write true or false", q[FAILED].data);
    f->has_client = q[CLIENT].data;
    if (f->has_client && !ip_parse(q[CLIENT], &f->client))
        return err_set(err, "client is \"%.64s\"; write an address like 192.0.2.7 or 2001:db8::1",
                       q[CLIENT].data);
    if (q[REQUEST_ID].data && (!q[REQUEST_ID].len || q[REQUEST_ID].len > FLIGHT_REQUEST_ID_MAX))
        return err_set(err, "request_id has %zu bytes; records keep from 1 to %u", q[REQUEST_ID].len,
                       FLIGHT_REQUEST_ID_MAX);
    f->request_id = q[REQUEST_ID];
    if (q[MIN_MS].data && !read_decimal(q[MIN_MS], &ms))
        return err_set(err, "min_ms is \"%.32s\"; write milliseconds, like 250 or 0.5", q[MIN_MS].data);
    f->min_total_us = (uint64_t)ceil(ms * 1000);
    if (q[SINCE].data && !read_since(q[SINCE], loop_wall_ns(rq->loop), &f->since_wall_ns))
        return err_set(err, "since is \"%.32s\"; write 2026-01-02T15:04:05Z, seconds since 1970, or 5m",
                       q[SINCE].data);
    return 0;
}

/* reading names: an id each */

/* Records tell of what a configuration has had, too: a name that the process knows is good, if nothing has it now. */
static int find_gone(const struct proxy *p, const char *what, struct slice name, const char *where,
                     uint32_t *id, struct err *err)
{
    *id = names_find(&p->names, name.data);
    if (*id) return 0;
    return err_set(err, "there is no %s \"%.64s\"; GET /api/v1/%s lists them", what, name.data, where);
}

static int find_pool(const struct proxy *p, struct slice name, struct flight_filter *f, struct err *err)
{
    const struct pool *pool = proxy_pool_by_name(p, name.data);
    if (!pool) return find_gone(p, "pool", name, "pools", &f->pool, err);
    f->pool = pool->id;
    return 0;
}

static int find_listener(const struct proxy *p, struct slice name, struct flight_filter *f, struct err *err)
{
    for (uint32_t i = 0; i < p->listener_count; i++)
        if (slice_equal(slice_of(p->listeners[i]->name), name)) f->listener = p->listeners[i]->id;
    return f->listener ? 0 : find_gone(p, "listener", name, "listeners", &f->listener, err);
}

/* Names of servers are unique within a pool, those of routes within a listener: with neither given there
 * may be two. */
static int find_server(const struct proxy *p, struct slice name, struct flight_filter *f, struct err *err)
{
    for (uint32_t i = 0; i < p->pool_count; i++) {
        if (f->pool && p->pools[i]->id != f->pool) continue;
        const struct server *s = pool_server_by_name(p->pools[i], name.data);
        if (!s) continue;
        if (f->server) return err_set(err, "several pools have a server \"%.64s\"; add pool=", name.data);
        f->server = s->id;
    }
    return f->server ? 0 : find_gone(p, "server", name, "pools", &f->server, err);
}

static int find_route(const struct proxy *p, struct slice name, struct flight_filter *f, struct err *err)
{
    for (uint32_t i = 0; i < p->listener_count; i++) {
        const struct listener *l = p->listeners[i];
        if (f->listener && l->id != f->listener) continue;
        for (uint32_t k = 0; k < l->routes->route_count; k++) {
            if (!slice_equal(slice_of(l->routes->routes[k].name), name)) continue;
            if (f->route)
                return err_set(err, "several listeners have a route \"%.64s\"; add listener=", name.data);
            f->route = l->routes->routes[k].id;
        }
    }
    return f->route ? 0 : find_gone(p, "route", name, "routes", &f->route, err);
}

static int find_variant(const struct proxy *p, struct slice name, struct flight_filter *f, struct err *err)
{
    for (uint32_t i = 0; i < p->site->split_count; i++)
        for (uint32_t k = 0; k < p->site->splits[i].variant_count; k++)
            if (slice_equal(slice_of(p->site->splits[i].variants[k].name), name))
                f->variant = p->site->splits[i].variants[k].id;
    return f->variant ? 0 : find_gone(p, "variant", name, "splits", &f->variant, err);
}

static int read_names(const struct admin_request *rq, struct flight_filter *f, struct err *err)
{
    const struct slice *q = rq->query;
    if (q[POOL].data && find_pool(rq->proxy, q[POOL], f, err) < 0) return -1;
    if (q[LISTENER].data && find_listener(rq->proxy, q[LISTENER], f, err) < 0) return -1;
    if (q[SERVER].data && find_server(rq->proxy, q[SERVER], f, err) < 0) return -1;
    if (q[VARIANT].data && find_variant(rq->proxy, q[VARIANT], f, err) < 0) return -1;
    return q[ROUTE].data ? find_route(rq->proxy, q[ROUTE], f, err) : 0;
}

/* handlers */

/* Those of the workers that are there; to be freed. NULL: no memory. */
static struct flight_ring **collect_rings(const struct proxy *p, uint32_t *count)
{
    struct flight_ring **rings = calloc(p->worker_count + 1, sizeof(struct flight_ring *));
    *count = 0;
    for (uint32_t i = 0; rings && i < p->worker_count; i++)
        if (p->workers[i]) rings[(*count)++] = p->workers[i]->flights;
    return rings;
}

void exchange_print(const struct proxy *p, const struct flight_record *r, bool has_story, struct json *j)
{
    const struct flight_names names = { proxy_name_of, (void *)p };
    char memory[STORY_WHY_MAX];
    struct text why = text_over(memory, sizeof(memory));
    story_why(r, &why);
    json_object(j);
    flight_print_members(r, &names, j);
    json_key(j, "why");
    json_slice(j, text_slice(&why));
    if (has_story) {
        json_key(j, "story");
        story_print(p, r, j);
    }
    json_object_end(j);
}

static void print_list(const struct admin_request *rq, const struct flight_record *records, uint32_t count,
                       struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "exchanges");
    json_array(&j);
    for (uint32_t i = 0; i < count; i++) exchange_print(rq->proxy, &records[i], false, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

static int read_order(struct slice text, bool *is_slowest, struct err *err)
{
    *is_slowest = slice_equal(text, SLICE("slowest"));
    if (!text.data || *is_slowest || slice_equal(text, SLICE("latest"))) return 0;
    return err_set(err, "order is \"%.32s\"; write latest or slowest", text.data);
}

void exchanges_list(const struct admin_request *rq, struct answer *out)
{
    struct flight_filter filter = { 0 };
    struct err err;
    bool is_slowest = false;
    uint32_t limit = LIMIT_PRESET, count = 0;
    if (rq->query[LIMIT].data && !read_bounded(rq->query[LIMIT], LIMIT_MAX, &limit)) {
        answer_problem(out, 400, "limit is \"%.32s\"; write a number from 1 to %u.", rq->query[LIMIT].data,
                       LIMIT_MAX);
        return;
    }
    if (read_figures(rq, &filter, &err) < 0 || read_names(rq, &filter, &err) < 0 ||
        read_order(rq->query[ORDER], &is_slowest, &err) < 0) {
        answer_error(out, 400, &err);
        return;
    }
    struct flight_ring **rings = collect_rings(rq->proxy, &count);
    struct flight_record *records = malloc(limit * sizeof(*records));
    if (rings && records)
        print_list(
            rq, records,
            (is_slowest ? flight_select_slowest : flight_select)(rings, count, &filter, records, limit), out);
    else
        answer_problem(out, 503, "There is no memory for %u exchanges; ask for fewer.", limit);
    free(rings);
    free(records);
}

/* "the last 3m12s", "all since weir began". */
static void add_since(struct text *t, uint64_t since_ns, uint64_t now_ns)
{
    char duration[32];
    if (!since_ns) {
        TEXT_LITERAL(t, "all since weir began");
        return;
    }
    uint64_t ms = now_ns > since_ns ? (now_ns - since_ns) / NS_PER_MS : 0;
    quantity_print_ms(ms >= 1000 ? ms - ms % 1000 : ms, duration);
    text_printf(t, "those of the last %s", duration);
}

/* Why there is no such exchange, and how long one is kept. */
static void answer_unknown(const struct admin_request *rq, struct flight_ring **rings, uint32_t count,
                           uint64_t id, struct answer *out)
{
    char text[FLIGHT_ID_TEXT_MAX], memory[256];
    struct text kept = text_over(memory, sizeof(memory));
    uint64_t now_ns = loop_wall_ns(rq->loop);
    flight_id_print(id, text);
    if (!flight_has_given(rings, count, id)) {
        answer_problem(out, 404,
                       "There is no exchange %s, and this process has had none: ids are given anew when weir "
                       "starts. "
                       "GET /api/v1/exchanges lists what there is.",
                       text);
        return;
    }
    add_since(&kept, flight_complete_since_ns(rings, count, FLIGHT_RECENT), now_ns);
    TEXT_LITERAL(&kept, ", and of those that failed ");
    add_since(&kept, flight_complete_since_ns(rings, count, FLIGHT_FAILED), now_ns);
    answer_problem(
        out, 404,
        "Exchange %s is still going on, or no longer kept. Kept are %s: of each worker the latest %u, and "
        "before "
        "them %u that failed, %u that were slow and one of %u others.",
        text, text_cstr(&kept), FLIGHT_RING_RECORDS, FLIGHT_FAILED_RECORDS, FLIGHT_SLOW_RECORDS,
        FLIGHT_SAMPLED_OF);
}

void exchanges_show(const struct admin_request *rq, struct answer *out)
{
    uint64_t id = 0;
    struct slice text = rq->params[0];
    if (!flight_id_parse(text, &id)) {
        answer_problem(
            out, 400,
            "\"%.40s\" is not an id of weir's, which has 16 hexadecimal digits; an X-Request-Id is found "
            "with /api/v1/exchanges?request_id=.",
            text.data);
        return;
    }
    uint32_t count = 0;
    struct flight_ring **rings = collect_rings(rq->proxy, &count);
    struct flight_record record;
    struct json j;
    if (!rings) {
        answer_problem(out, 503, "There is no memory to look for an exchange; try again.");
    } else if (!flight_find(rings, count, id, &record)) {
        answer_unknown(rq, rings, count, id, out);
    } else {
        json_init(&j, ANSWER_MAX, true);
        exchange_print(rq->proxy, &record, true, &j);
        answer_json(out, 200, &j);
    }
    free(rings);
}
