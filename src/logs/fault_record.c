#include "logs/fault_record.h"

#include <string.h>

#include "logs/entry_value.h"

/* A head of that many bytes is over nginx's preset for lines of it (large_client_header_buffers 4 8k). */
#define HEAD_BYTES_MAX 8192u

/* what is known */

static bool says(const struct log_entry *e, enum log_field field)
{
    return field < LOG_FIELD_MAX && e->values[field].data;
}

static bool is_empty(struct slice s)
{
    return !s.len || slice_equal(s, SLICE("-"));
}

static bool is_value(const struct log_entry *e, enum log_field field, struct slice text)
{
    return says(e, field) && slice_equal(e->values[field], text);
}

void fault_seats_find(struct fault_seats *seats,
                      enum log_field (*field_of)(const void *reader, struct slice name), const void *reader)
{
    seats->completion = field_of(reader, SLICE("request_completion"));
    seats->limit_req = field_of(reader, SLICE("limit_req_status"));
    seats->limit_conn = field_of(reader, SLICE("limit_conn_status"));
    seats->upstream_bytes = field_of(reader, SLICE("upstream_bytes_received"));
    seats->cache = field_of(reader, SLICE("upstream_cache_status"));
    seats->connection = field_of(reader, SLICE("connection"));
}

/* attempts */

static struct fault_try *try_at(struct fault_tries *t, uint32_t i)
{
    return &t->tries[i < FAULT_TRIES_MAX ? i : FAULT_TRIES_MAX - 1];
}

/* Calls for each element of a list over attempts; how many there are. */
static uint32_t each_element(struct slice list, struct fault_tries *t,
                             void (*put)(struct fault_try *one, struct slice element))
{
    struct slice element;
    uint32_t count = 0;
    while (entry_next_attempt(&list, &element)) put(try_at(t, count++), element);
    return count;
}

static void put_server(struct fault_try *one, struct slice s)
{
    one->server = s;
}

static void put_status(struct fault_try *one, struct slice s)
{
    uint64_t status;
    one->status = s.len == 3 && entry_u64(s, &status) ? (uint32_t)status : 0;
}

static void put_connect(struct fault_try *one, struct slice s)
{
    one->connect_us = entry_seconds_us(s);
}

static void put_header(struct fault_try *one, struct slice s)
{
    one->header_us = entry_seconds_us(s);
}

static void put_response(struct fault_try *one, struct slice s)
{
    one->response_us = entry_seconds_us(s);
}

void fault_read_tries(const struct log_entry *e, struct fault_tries *out)
{
    static const struct {
        enum log_field field;
        void (*put)(struct fault_try *one, struct slice element);
    } lists[] = { { LOG_UPSTREAM, put_server },
                  { LOG_UPSTREAM_STATUS, put_status },
                  { LOG_UPSTREAM_CONNECT_TIME, put_connect },
                  { LOG_UPSTREAM_HEADER_TIME, put_header },
                  { LOG_UPSTREAM_TIME, put_response } };
    out->count = 0;
    for (uint32_t i = 0; i < FAULT_TRIES_MAX; i++)
        out->tries[i] = (struct fault_try){ .connect_us = UINT64_MAX,
                                            .header_us = UINT64_MAX,
                                            .response_us = UINT64_MAX };
    for (unsigned i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        struct slice list = e->values[lists[i].field];
        if (is_empty(list)) continue;
        uint32_t count = each_element(list, out, lists[i].put);
        if (count > out->count) out->count = count;
    }
    out->has_servers = says(e, LOG_UPSTREAM);
    out->has_statuses = says(e, LOG_UPSTREAM_STATUS);
    out->has_connect = says(e, LOG_UPSTREAM_CONNECT_TIME);
    out->has_header = says(e, LOG_UPSTREAM_HEADER_TIME);
    out->has_response = says(e, LOG_UPSTREAM_TIME);
}

/* judging */

struct judge {
    const struct log_entry *e;
    const struct fault_tries *tries;
    const struct fault_try *last; /* NULL: no server was tried, as far as is known */
    const struct fault_seats *seats;
    const struct fault_asked *asked;
    struct fault_verdict *out;
    bool is_own; /* the log says that no server was tried */
};

static void decide(struct judge *j, enum fault_kind kind, uint32_t evidence)
{
    j->out->kind = kind;
    j->out->evidence |= evidence;
    if (j->last) j->out->server = j->last->server;
}

static uint32_t lacking(const struct judge *j, uint32_t wanted)
{
    static const struct {
        uint32_t bit;
        enum log_field field;
    } fields[] = { { FAULT_BIT(UPSTREAM), LOG_UPSTREAM },
                   { FAULT_BIT(UPSTREAM_STATUS), LOG_UPSTREAM_STATUS },
                   { FAULT_BIT(CONNECT_TIME), LOG_UPSTREAM_CONNECT_TIME },
                   { FAULT_BIT(HEADER_TIME), LOG_UPSTREAM_HEADER_TIME },
                   { FAULT_BIT(RESPONSE_TIME), LOG_UPSTREAM_TIME },
                   { FAULT_BIT(REQUEST_TIME), LOG_REQUEST_TIME } };
    for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (says(j->e, fields[i].field)) wanted &= ~fields[i].bit;
    if (says(j->e, j->seats->limit_req)) wanted &= ~FAULT_BIT(LIMIT_REQ);
    if (says(j->e, j->seats->limit_conn)) wanted &= ~FAULT_BIT(LIMIT_CONN);
    if (says(j->e, j->seats->upstream_bytes)) wanted &= ~FAULT_BIT(UPSTREAM_BYTES);
    if (j->asked->has_error_log) wanted &= ~FAULT_BIT(ERROR_LOG);
    return wanted;
}

static void leave_open(struct judge *j, enum fault_kind kind, uint32_t wanted)
{
    decide(j, kind, FAULT_BIT(STATUS));
    j->out->wants = lacking(j, wanted);
}

/* Whether the log says that the application's own answer is what the client got. */
static bool is_applications(const struct judge *j)
{
    if (!j->last) return false;
    if (j->tries->has_header) return j->last->header_us != UINT64_MAX;
    /* nginx itself notes 502 and 504 for a server that did not answer. */
    return j->last->status == j->e->status && j->e->status != 502 && j->e->status != 504;
}

static uint32_t by_answer(const struct judge *j)
{
    return FAULT_BIT(STATUS) | (j->tries->has_header ? FAULT_BIT(HEADER_TIME) : FAULT_BIT(UPSTREAM_STATUS));
}

#define ALL_OF_UPSTREAM \
    (FAULT_BIT(UPSTREAM) | FAULT_BIT(UPSTREAM_STATUS) | FAULT_BIT(CONNECT_TIME) | FAULT_BIT(HEADER_TIME))

/* An upstream's name in place of an address: none of its servers could be used. */
static bool is_group_name(struct slice server)
{
    return server.len && !memchr(server.data, ':', server.len) && !memchr(server.data, '/', server.len);
}

/* 502 and 504 that nginx made. */
static void judge_gateway(struct judge *j)
{
    bool is_504 = j->e->status == 504;
    enum fault_kind open = is_504 ? FAULT_UNCLEAR_504 : FAULT_UNCLEAR_502;
    uint32_t wanted = ALL_OF_UPSTREAM | FAULT_BIT(ERROR_LOG);
    if (is_applications(j)) {
        decide(j, FAULT_UPSTREAM_5XX, by_answer(j));
    } else if (j->is_own) {
        if (is_504)
            leave_open(j, open, wanted);
        else
            decide(j, FAULT_NAME_UNRESOLVED, FAULT_BIT(STATUS) | FAULT_BIT(UPSTREAM));
    } else if (j->last && is_group_name(j->last->server)) {
        decide(j, FAULT_NO_SERVER, FAULT_BIT(STATUS) | FAULT_BIT(UPSTREAM));
    } else if (!j->last || !j->tries->has_connect || !j->tries->has_header) {
        leave_open(j, open, wanted);
    } else if (j->last->connect_us == UINT64_MAX) {
        /* Refused, unreachable, or TLS that failed: the error log tells them apart. */
        decide(j, is_504 ? FAULT_CONNECT_TIMEOUT : FAULT_CONNECT_FAILED,
               FAULT_BIT(STATUS) | FAULT_BIT(CONNECT_TIME));
        j->out->wants = lacking(j, FAULT_BIT(ERROR_LOG));
    } else if (is_504) {
        decide(j, FAULT_FIRST_BYTE_TIMEOUT,
               FAULT_BIT(STATUS) | FAULT_BIT(CONNECT_TIME) | FAULT_BIT(HEADER_TIME));
    } else if (is_value(j->e, j->seats->upstream_bytes, SLICE("0"))) {
        decide(j, FAULT_SERVER_CLOSED,
               FAULT_BIT(STATUS) | FAULT_BIT(HEADER_TIME) | FAULT_BIT(UPSTREAM_BYTES));
    } else if (says(j->e, j->seats->upstream_bytes) && !is_empty(j->e->values[j->seats->upstream_bytes])) {
        /* It wrote something, and nginx could make no head of it. */
        decide(j, FAULT_BAD_RESPONSE, FAULT_BIT(STATUS) | FAULT_BIT(HEADER_TIME) | FAULT_BIT(UPSTREAM_BYTES));
    } else {
        leave_open(j, open, FAULT_BIT(UPSTREAM_BYTES) | FAULT_BIT(ERROR_LOG));
    }
}

static bool judge_limits(struct judge *j)
{
    if (is_value(j->e, j->seats->limit_req, SLICE("REJECTED")))
        decide(j, FAULT_RATE_LIMITED, FAULT_BIT(STATUS) | FAULT_BIT(LIMIT_REQ));
    else if (is_value(j->e, j->seats->limit_conn, SLICE("REJECTED")))
        decide(j, FAULT_CLIENT_CONNECTIONS, FAULT_BIT(STATUS) | FAULT_BIT(LIMIT_CONN));
    else
        return false;
    return true;
}

static void judge_5xx(struct judge *j)
{
    static const uint32_t wanted = ALL_OF_UPSTREAM | FAULT_BIT(ERROR_LOG);
    uint32_t status = j->e->status;
    if (status == 502 || status == 504)
        judge_gateway(j);
    else if (is_applications(j))
        decide(j, FAULT_UPSTREAM_5XX, by_answer(j));
    else if (status == 500)
        leave_open(j, FAULT_UNCLEAR_500, wanted);
    else if (status == 503 && judge_limits(j))
        return;
    else if (status == 503)
        leave_open(j, FAULT_UNCLEAR_503, wanted | FAULT_BIT(LIMIT_REQ) | FAULT_BIT(LIMIT_CONN));
    else
        leave_open(j, FAULT_UNCLEAR_5XX, wanted);
}

static void judge_400(struct judge *j)
{
    uint64_t length;
    struct slice request = j->e->values[LOG_REQUEST];
    bool has_length = entry_u64(j->e->values[LOG_REQUEST_LENGTH], &length);
    if (slice_starts_with(request, SLICE("\\x16\\x03")) ||
        slice_starts_with(request, SLICE("\\u0016\\u0003")))
        decide(j, FAULT_TLS_ON_PLAIN, FAULT_BIT(STATUS) | FAULT_BIT(REQUEST));
    else if (j->e->is_binary)
        decide(j, FAULT_BAD_REQUEST, FAULT_BIT(STATUS) | FAULT_BIT(REQUEST));
    else if (has_length && length > HEAD_BYTES_MAX && slice_equal(j->e->method, SLICE("GET")))
        decide(j, FAULT_HEAD_TOO_LARGE, FAULT_BIT(STATUS) | FAULT_BIT(REQUEST_LENGTH));
    else if (!is_applications(j))
        leave_open(j, FAULT_UNCLEAR_400, ALL_OF_UPSTREAM | FAULT_BIT(ERROR_LOG_INFO));
}

/* Of 499, which nginx notes only where the client had got nothing. */
static void judge_499(struct judge *j)
{
    bool has_answered = j->last && j->last->header_us != UINT64_MAX;
    decide(j, has_answered ? FAULT_CLIENT_GONE_TAKING : FAULT_CLIENT_GONE_WAITING,
           FAULT_BIT(STATUS) | (j->tries->has_header ? FAULT_BIT(HEADER_TIME) : 0));
}

/* Statuses that only nginx itself makes of such a reason, where no server was asked. */
static void judge_own_4xx(struct judge *j)
{
    uint32_t by = FAULT_BIT(STATUS) | FAULT_BIT(UPSTREAM);
    bool has_request = j->e->method.len > 0;
    bool has_body = has_request && !slice_equal(j->e->method, SLICE("GET")) &&
                    !slice_equal(j->e->method, SLICE("HEAD"));
    switch (j->e->status) {
    case 401:
        decide(j, is_empty(j->e->values[LOG_USER]) ? FAULT_AUTH_REQUIRED : FAULT_AUTH_FAILED,
               by | FAULT_BIT(USER));
        break;
    case 403: leave_open(j, FAULT_UNCLEAR_403, FAULT_BIT(ERROR_LOG)); break;
    case 404: decide(j, FAULT_FILE_NOT_FOUND, by); break;
    case 405: decide(j, FAULT_METHOD_NOT_ALLOWED, by); break;
    case 408: decide(j, has_body ? FAULT_BODY_TIMEOUT : FAULT_HEADER_TIMEOUT, by | FAULT_BIT(REQUEST)); break;
    case 413: decide(j, FAULT_BODY_TOO_LARGE, by); break;
    case 414: decide(j, FAULT_TARGET_TOO_LONG, by); break;
    case 429:
        if (!judge_limits(j))
            leave_open(j, FAULT_UNCLEAR_429,
                       FAULT_BIT(LIMIT_REQ) | FAULT_BIT(LIMIT_CONN) | FAULT_BIT(ERROR_LOG));
        break;
    default: break;
    }
}

static void judge_4xx(struct judge *j)
{
    switch (j->e->status) {
    case 400: judge_400(j); break;
    case 494: decide(j, FAULT_HEAD_TOO_LARGE, FAULT_BIT(STATUS)); break;
    case 495:
    case 496: decide(j, FAULT_CLIENT_CERTIFICATE, FAULT_BIT(STATUS)); break;
    case 497: decide(j, FAULT_PLAIN_ON_TLS, FAULT_BIT(STATUS)); break;
    case 499: judge_499(j); break;
    default:
        if (j->is_own)
            judge_own_4xx(j);
        else if (j->e->status == 429 && judge_limits(j))
            return;
        else if (!j->last && j->e->status == 413)
            decide(j, FAULT_BODY_TOO_LARGE, FAULT_BIT(STATUS));
        else if (!j->last && j->e->status == 414)
            decide(j, FAULT_TARGET_TOO_LONG, FAULT_BIT(STATUS));
        else if (!j->last && j->e->status == 408)
            judge_own_4xx(j);
        else if (!j->last && j->e->status == 429)
            leave_open(j, FAULT_UNCLEAR_429,
                       FAULT_BIT(UPSTREAM) | FAULT_BIT(LIMIT_REQ) | FAULT_BIT(LIMIT_CONN) |
                           FAULT_BIT(ERROR_LOG));
    }
}

/* where the time of a slow one went */

static void judge_slow(struct judge *j)
{
    const struct fault_try *last = j->last;
    uint64_t all = j->e->request_us, upstream = j->e->upstream_us;
    uint32_t by = FAULT_BIT(REQUEST_TIME) | FAULT_BIT(RESPONSE_TIME);
    if (!last && !j->is_own) {
        leave_open(j, FAULT_UNCLEAR_SLOW, ALL_OF_UPSTREAM | FAULT_BIT(RESPONSE_TIME));
        return;
    }
    if (upstream == UINT64_MAX) upstream = 0;
    if (!last || upstream < all / 2) {
        bool is_delayed = is_value(j->e, j->seats->limit_req, SLICE("DELAYED"));
        decide(j, is_delayed ? FAULT_RATE_DELAYED : FAULT_SLOW_CLIENT, by);
        return;
    }
    uint64_t own = last->response_us == UINT64_MAX ? 0 : last->response_us;
    if (j->tries->count > 1 && own < upstream / 2) {
        decide(j, FAULT_SLOW_RETRIES, by);
        return;
    }
    if (last->connect_us == UINT64_MAX || last->header_us == UINT64_MAX) {
        leave_open(j, FAULT_UNCLEAR_SLOW, FAULT_BIT(CONNECT_TIME) | FAULT_BIT(HEADER_TIME));
        return;
    }
    uint64_t thought = last->header_us > last->connect_us ? last->header_us - last->connect_us : 0;
    uint64_t body = own > last->header_us ? own - last->header_us : 0;
    by |= FAULT_BIT(CONNECT_TIME) | FAULT_BIT(HEADER_TIME);
    if (last->connect_us >= thought && last->connect_us >= body)
        decide(j, FAULT_SLOW_CONNECT, by);
    else
        decide(j, thought >= body ? FAULT_SLOW_ANSWER : FAULT_SLOW_BODY, by);
}

/* The first attempt that nginx gave up for another; NULL: there is none, or the log does not say. */
static const struct fault_try *failed_try(const struct fault_tries *t)
{
    for (uint32_t i = 0; i + 1 < t->count && i + 1 < FAULT_TRIES_MAX; i++)
        if (t->tries[i].status >= 500) return &t->tries[i];
    return NULL;
}

/* The client got what looks like an answer. */
static void judge_answered(struct judge *j)
{
    const struct fault_try *failed;
    bool is_cut = says(j->e, j->seats->completion) && is_empty(j->e->values[j->seats->completion]);
    if (is_cut && j->asked->has_error_log) {
        /* nginx tells at level error of servers that stop, and of clients at level info only. */
        decide(j, FAULT_CLIENT_GONE_TAKING, FAULT_BIT(COMPLETION) | FAULT_BIT(ERROR_LOG));
    } else if (is_cut) {
        leave_open(j, FAULT_UNCLEAR_CUT, FAULT_BIT(ERROR_LOG));
        j->out->evidence = FAULT_BIT(COMPLETION);
    } else if ((failed = failed_try(j->tries))) {
        decide(j, FAULT_MENDED, FAULT_BIT(STATUS) | FAULT_BIT(UPSTREAM) | FAULT_BIT(UPSTREAM_STATUS));
        j->out->server = failed->server;
    } else if (j->e->request_us != UINT64_MAX && j->e->request_us >= j->asked->slow_us) {
        judge_slow(j);
    } else if (is_value(j->e, j->seats->limit_req, SLICE("DELAYED"))) {
        decide(j, FAULT_RATE_DELAYED, FAULT_BIT(LIMIT_REQ));
    }
}

void fault_of_record(const struct log_entry *e, const struct fault_tries *tries,
                     const struct fault_seats *seats, const struct fault_asked *asked,
                     struct fault_verdict *out)
{
    uint32_t kept = tries->count < FAULT_TRIES_MAX ? tries->count : FAULT_TRIES_MAX;
    *out = (struct fault_verdict){ .kind = FAULT_NONE };
    struct judge j = { .e = e,
                       .tries = tries,
                       .last = kept ? &tries->tries[kept - 1] : NULL,
                       .seats = seats,
                       .asked = asked,
                       .out = out,
                       .is_own = (tries->has_servers || tries->has_statuses) && !tries->count };
    if (e->status >= 500)
        judge_5xx(&j);
    else if (e->status >= 400)
        judge_4xx(&j);
    else if (e->status)
        judge_answered(&j);
}
