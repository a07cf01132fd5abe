#include "command/api_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/router.h"
#include "command/document.h"
#include "command/table.h"
#include "http/h1_client.h"

#define ANSWER_MS 5000u /* unless the request says more */
#define WHOLE_TIMES 12u /* for an answer of which something comes all the time */
#define ANSWER_MAX (32u << 20)
#define MEMORY_MAX (8u << 20) /* of the connection */
#define REMEDY "is weir running? Give its admin address with --admin ADDR, or its file with -c FILE"

enum outcome { WAITING, ANSWERED, TOO_LATE, TOO_LARGE, BROKEN };

struct question {
    const struct api_target *to;
    const struct api_request *rq;
    struct loop loop;
    struct budget budget;
    struct h1_client client;
    struct http_stream *stream;
    struct timer timer;
    uint64_t latest_ms; /* of the loop: the answer has to be whole */
    size_t sent;        /* of the body */
    bool is_open;
    enum outcome outcome;
    struct http_fault fault;
    uint16_t status;
    bool is_problem; /* RFC 9457 */
    bool is_foreign; /* a 200 with what weir does not answer with: nothing of it is looked at */
    char *body;
    size_t body_len, body_cap;
    bool (*on_piece)(void *context, struct slice piece); /* NULL: the body is kept */
    void *context;
};

static const struct h1_limits limits = { .head_max = 16 << 10, .field_max = 64 };

static uint32_t wait_ms(const struct api_request *rq)
{
    return rq->wait_ms ? rq->wait_ms : ANSWER_MS;
}

static void finish(struct question *q, enum outcome outcome)
{
    if (q->outcome != WAITING) return;
    q->outcome = outcome;
    loop_stop(&q->loop);
}

/* the request */

static void break_off(struct question *q)
{
    q->fault = (struct http_fault){ .reason = END_SEND_FAILED };
    finish(q, BROKEN);
}

static void send_more(struct question *q)
{
    struct slice body = q->rq->body;
    size_t taken = 0;
    if (q->sent == body.len) return;
    enum io io = http_send_body(q->stream, body.data + q->sent, body.len - q->sent, HTTP_END, &taken);
    q->sent += taken;
    if (io == IO_FAIL) break_off(q);
}

#define CREDENTIALS_MAX (API_TOKEN_MAX + 16)

#define FIELDS_MAX 3

/* How many of `fields` there are. */
static uint32_t make_fields(const struct question *q, char credentials[CREDENTIALS_MAX],
                            struct http_field *fields)
{
    uint32_t count = 0;
    if (*q->to->token) {
        int len = snprintf(credentials, CREDENTIALS_MAX, "Bearer %s", q->to->token);
        fields[count++] = (struct http_field){
            .name = "Authorization", .name_len = 13, .value = credentials, .value_len = (uint32_t)len
        };
    }
    struct slice type = q->rq->is_text ? SLICE("application/octet-stream") : SLICE("application/json");
    if (q->rq->body.len)
        fields[count++] = (struct http_field){
            .name = "Content-Type", .name_len = 12, .value = type.data, .value_len = (uint32_t)type.len
        };
    if (q->rq->if_match)
        fields[count++] = (struct http_field){ .name = "If-Match",
                                               .name_len = 8,
                                               .value = q->rq->if_match,
                                               .value_len = (uint32_t)strlen(q->rq->if_match) };
    return count;
}

static void on_open(struct http_stream *s)
{
    struct question *q = s->owner;
    char host[ADDRESS_TEXT_MAX], credentials[CREDENTIALS_MAX];
    struct http_field fields[FIELDS_MAX];
    bool is_unix = q->to->address.sa.any.sa_family == AF_UNIX, has_body = q->rq->body.len > 0;
    struct http_head head = { .version = HTTP_VERSION_1_1,
                              .method = q->rq->method,
                              .method_text = slice_of(http_method_name(q->rq->method)),
                              .target = slice_of(q->rq->path) };
    /* A POST says that it has no body (RFC 9110 8.6). */
    bool has_length = has_body || q->rq->method != HTTP_GET;
    struct http_send send = { .head = &head,
                              .extra = fields,
                              .extra_count = make_fields(q, credentials, fields),
                              .body = has_length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE,
                              .content_length = q->rq->body.len,
                              .wants_close = true };
    send.authority = is_unix ? SLICE("localhost") : slice_of(address_print(&q->to->address, host));
    q->is_open = true;
    if (http_send_head(s, &send, has_body ? HTTP_MORE : 0) == IO_OK)
        send_more(q);
    else
        break_off(q);
}

static void on_writable(struct http_stream *s)
{
    send_more(s->owner);
}

/* the answer */

static const char *expected_type(const struct question *q)
{
    if (q->on_piece) return "text/event-stream";
    return q->rq->type ? q->rq->type : "application/json";
}

static bool is_of_type(struct slice type, struct slice wanted)
{
    return type.len >= wanted.len && slice_equal_fold((struct slice){ type.data, wanted.len }, wanted);
}

static void on_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    (void)flags;
    struct question *q = s->owner;
    if (head->status < 200) return;
    struct slice type = http_field_value(http_head_find(head, HTTP_FIELD_CONTENT_TYPE));
    q->status = head->status;
    q->is_problem = is_of_type(type, SLICE("application/problem+json"));
    q->is_foreign = q->status == 200 && !is_of_type(type, slice_of(expected_type(q)));
    if (q->is_foreign) {
        finish(q, ANSWERED);
        return;
    }
    if (q->on_piece && q->status == 200) loop_disarm(&q->loop, &q->timer); /* it comes when it comes */
    if (s->is_ended) finish(q, ANSWERED);
}

/* With room for the terminator. */
static bool keep(struct question *q, const char *data, size_t len)
{
    size_t needed = q->body_len + len + 1;
    if (needed > q->body_cap) {
        size_t cap = needed < 4096 ? 4096 : 2 * needed;
        char *body = realloc(q->body, cap);
        if (!body) return false;
        q->body = body;
        q->body_cap = cap;
    }
    if (len) memcpy(q->body + q->body_len, data, len);
    q->body_len += len;
    q->body[q->body_len] = 0;
    return true;
}

/* A long answer takes its time where the cores are busy. */
static void give_time(struct question *q)
{
    uint64_t now_ms = loop_now_ms(&q->loop), left_ms = q->latest_ms > now_ms ? q->latest_ms - now_ms : 0;
    loop_arm(&q->loop, &q->timer, left_ms < wait_ms(q->rq) ? left_ms : wait_ms(q->rq));
}

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct question *q = s->owner;
    if (q->outcome != WAITING) return len;
    if (q->on_piece && q->status == 200) {
        if (!q->on_piece(q->context, (struct slice){ data, len }) || (flags & HTTP_END)) finish(q, ANSWERED);
        return len;
    }
    if (q->body_len + len > ANSWER_MAX || !keep(q, data, len))
        finish(q, TOO_LARGE);
    else if (flags & HTTP_END)
        finish(q, ANSWERED);
    else
        give_time(q);
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)fields, (void)count;
    finish(s->owner, ANSWERED);
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct question *q = s->owner;
    q->fault = *fault;
    finish(q, BROKEN);
}

static void on_timer(struct timer *t)
{
    finish(container_of(t, struct question, timer), TOO_LATE);
}

static const struct http_stream_events events = {
    .on_open = on_open,
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_error = on_error,
    .on_writable = on_writable,
};

/* the connection, whose memory is the question's */

static void on_idle(struct h1_client *c)
{
    (void)c;
}

static void on_stale(struct h1_client *c, uint64_t idle_ns)
{
    (void)c, (void)idle_ns;
}

static void on_keep_alive(struct h1_client *c, uint32_t timeout_s, uint32_t max)
{
    (void)c, (void)timeout_s, (void)max;
}

static const struct h1_client_owner owner = {
    .on_idle = on_idle, .on_stale = on_stale, .on_closed = on_idle, .on_keep_alive = on_keep_alive
};

static void exchange(struct question *q)
{
    if (h1_client_connect(&q->client, &owner, &q->loop, &q->to->address, NULL, &limits) < 0) {
        q->outcome = BROKEN;
        return;
    }
    q->stream = h1_client_lease(&q->client);
    q->stream->events = &events;
    q->stream->owner = q;
    timer_init(&q->timer, on_timer);
    q->latest_ms = loop_now_ms(&q->loop) + WHOLE_TIMES * (uint64_t)wait_ms(q->rq);
    loop_arm(&q->loop, &q->timer, wait_ms(q->rq));
    loop_run(&q->loop);
    loop_disarm(&q->loop, &q->timer);
    q->stream->events = NULL; /* nobody listens any more */
    h1_client_close(&q->client);
}

void api_client_escape(struct text *t, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool is_unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             strchr("-._~", c);
        if (is_unreserved)
            text_add_char(t, *name);
        else
            text_printf(t, "%%%02X", c);
    }
}

/* what has come of it */

static int say_not_connected(const struct question *q, const char *at, struct err *err)
{
    int cause = q->client.transport.saved_errno;
    switch (q->outcome == TOO_LATE ? ETIMEDOUT : cause) {
    case ECONNREFUSED:
    case ENOENT:
    case ETIMEDOUT: err_set(err, "nothing answers at %s: " REMEDY, at); return EX_UNAVAILABLE;
    case EACCES:
    case EPERM:
        err_set(err, "may not connect to %s: %s; run as the user or in the group that weir runs as", at,
                strerror(cause));
        return EX_NOPERM;
    default: err_set(err, "cannot connect to %s: %s; " REMEDY, at, strerror(cause)); return EX_UNAVAILABLE;
    }
}

static int say_fault(const struct question *q, const char *at, struct err *err)
{
    const char *detail = q->fault.detail;
    bool is_http = q->fault.reason != END_BAD_RESPONSE && q->fault.reason != END_BAD_RESPONSE_BODY &&
                   q->fault.reason != END_RESPONSE_HEAD_TOO_LARGE;
    err_set(err, "%s at %s: %s%s%s%s", is_http ? "no whole answer from weir" : "it is no weir that answers",
            at, end_reason_info(q->fault.reason)->means, detail ? ": " : "", detail ? detail : "",
            is_http ? "; ask again" : "; give weir's admin address with --admin ADDR");
    return is_http ? EX_UNAVAILABLE : EX_PROTOCOL;
}

/* The sentence of a problem document. False: it has none. */
static bool read_problem(const struct question *q, struct err *err)
{
    struct conf_tree tree;
    if (!q->is_problem || document_read(&tree, (struct slice){ q->body, q->body_len }, NULL) < 0)
        return false;
    const struct conf_node *detail = document_get(tree.root, "detail");
    if (detail) {
        err_set(err, "%s", document_text(tree.root, "detail"));
        table_clean(err->text);
    }
    conf_tree_free(&tree);
    return detail != NULL;
}

static int say_refused(const struct question *q, const char *at, struct err *err)
{
    const char *from = "--token, the `admin:` of -c FILE, or WEIR_TOKEN";
    if (q->status == 401) {
        if (*q->to->token)
            err_set(err, "weir at %s refuses this token; give the one that its configuration has, by %s", at,
                    from);
        else
            err_set(err, "weir at %s wants a token; give it by %s", at, from);
        return EX_NOPERM;
    }
    if (!read_problem(q, err)) {
        err_set(err, "it is no weir that answers at %s: %u %s; give weir's admin address with --admin ADDR",
                at, q->status, http_status_text(q->status));
        return EX_PROTOCOL;
    }
    if (q->status == 403) return EX_NOPERM;
    return q->status >= 500 ? EX_UNAVAILABLE : EX_DATAERR;
}

static int conclude(const struct question *q, struct err *err)
{
    char at[ADDRESS_TEXT_MAX];
    address_print(&q->to->address, at);
    if (!q->is_open) return say_not_connected(q, at, err);
    switch (q->outcome) {
    case WAITING:
    case BROKEN: return say_fault(q, at, err);
    case TOO_LATE:
        err_set(err, "weir at %s has not answered within %u s; is something else there?", at,
                wait_ms(q->rq) / 1000);
        return EX_UNAVAILABLE;
    case TOO_LARGE:
        err_set(err, "the answer of %s is over %u MiB or memory is out", at, ANSWER_MAX >> 20);
        return EX_UNAVAILABLE;
    case ANSWERED: break;
    }
    if (q->is_foreign) {
        err_set(err,
                "it is no weir that answers at %s: what comes is not %s; give weir's admin address with "
                "--admin ADDR",
                at, expected_type(q));
        return EX_PROTOCOL;
    }
    return q->status == 200 && (q->body || q->on_piece) ? EX_OK : say_refused(q, at, err);
}

static int ask(struct question *q, struct err *err)
{
    int code = EX_OSERR;
    q->budget.limit = MEMORY_MAX;
    if (loop_init(&q->loop, &q->budget, err) == 0) {
        exchange(q);
        code = conclude(q, err);
        loop_fini(&q->loop);
    }
    return code;
}

int api_client_stream(const struct api_target *to, const char *path,
                      bool (*on_piece)(void *context, struct slice piece), void *context, struct err *err)
{
    const struct api_request rq = { .method = HTTP_GET, .path = path };
    struct question *q = calloc(1, sizeof(*q));
    if (!q) {
        err_set(err, "out of memory");
        return EX_OSERR;
    }
    q->to = to;
    q->rq = &rq;
    q->on_piece = on_piece;
    q->context = context;
    int code = ask(q, err);
    free(q->body);
    free(q);
    return code;
}

int api_client_ask(const struct api_target *to, const struct api_request *rq, char **body, size_t *len,
                   struct err *err)
{
    *body = NULL;
    struct question *q = calloc(1, sizeof(*q));
    if (!q) {
        err_set(err, "out of memory");
        return EX_OSERR;
    }
    q->to = to;
    q->rq = rq;
    int code = ask(q, err);
    if (code == EX_OK || (code == EX_DATAERR && rq->keeps_problem)) {
        *body = q->body;
        if (len) *len = q->body_len;
    } else {
        free(q->body);
    }
    free(q);
    return code;
}
