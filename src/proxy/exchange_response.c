/* From the server, or a file, to the client. */
#include "base/bug.h"
#include "proxy/compression.h"
#include "proxy/exchange_hedge.h"
#include "proxy/exchange_steps.h"
#include "proxy/fault_page.h"
#include "proxy/grpc.h"
#include "proxy/headers.h"
#include "proxy/hedge.h"
#include "proxy/upgrade.h"
#include "record/access_log.h"

void exchange_response_is_whole(struct exchange *x)
{
    exchange_enter(x, EXCHANGE_FLUSH);
    exchange_advance(x);
}

void exchange_wait_for_client(struct exchange *x)
{
    exchange_pace_response(x, 0);
    x->is_behind = true;
    exchange_moved(x);
}

/* the server's side */

/* An attempt that was left says no more: else its answer would be taken for the next one's, or go to another client. */
static bool is_left(const struct exchange *x, struct http_stream *s)
{
    if (!bug_if(EXCHANGE, s != x->attempt.stream)) return false;
    s->events = NULL;
    return true;
}

static void on_open(struct http_stream *s)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (x->state != EXCHANGE_CONNECT || is_left(x, s) || upgrade_awaits_word(x)) return;
    attempt_opened(&x->attempt);
    if (request_begin(x) == STEP_GO) exchange_advance(x);
}

static void on_moved(struct http_stream *s, struct http_stream *to)
{
    struct exchange *x = s->owner;
    if (is_left(x, s)) {
        http_stream_reset(to, END_INTERNAL);
        return;
    }
    x->attempt.stream = to;
    exchange_listen_to_server(x);
}

void exchange_client_failed(struct exchange *x)
{
    exchange_cut(x, x->client->lacks_memory ? END_NO_MEMORY : END_CLIENT_ABORT);
}

static void pass_informational(struct exchange *x, struct http_head *head)
{
    /* RFC 9110 15.2: never to a 1.0 client. */
    if (x->head.version == HTTP_VERSION_1_0) return;
    struct http_send send = { .head = head, .body = HTTP_BODY_NONE };
    headers_of_other_responses(x, head->fields, head->field_count);
    x->is_informed = true;
    if (http_send_head(x->client, &send, 0) == IO_FAIL) {
        exchange_client_failed(x);
    } else if (!x->client->is_flushed) {
        /* One that waits is enough: the next is read when the client has taken it. */
        http_stream_pause(x->attempt.stream);
        exchange_wait_for_client(x);
    }
}

/* What a bodiless response says of the body that it would have had. */
static void say_length(const struct http_head *head, struct http_send *send)
{
    struct slice text = http_field_value(http_head_find(head, HTTP_FIELD_CONTENT_LENGTH));
    send->is_bodiless = true;
    if (!text.len || head->status == 204) return;
    send->body = HTTP_BODY_LENGTH;
    send->content_length = 0;
    for (size_t i = 0; i < text.len; i++)
        send->content_length = send->content_length * 10 + (uint64_t)(text.data[i] - '0');
}

static bool is_bodiless(const struct exchange *x, uint16_t status)
{
    return x->head.method == HTTP_HEAD || status == 204 || status == 304;
}

/* For the access log, which is written when the head's memory is gone. Out of memory: the line does without. */
static void keep_response(struct exchange *x, const struct http_head *head)
{
    if (!x->worker->access_log || !access_log_wants_response(x->worker->access_log)) return;
    struct http_head *copy = arena_alloc(&x->arena, sizeof(*copy));
    if (!copy) return;
    *copy = *head;
    copy->reason = SLICE_NONE;
    if (exchange_copy_fields(x, head->fields, head->field_count, &copy->fields) == 0) x->response = copy;
}

/* In the head of an answer that is nothing but trailers, else in these. */
static void note_grpc(struct exchange *x, const struct http_field *fields, uint32_t count)
{
    uint8_t status = x->is_grpc ? grpc_status_in(fields, count) : GRPC_NONE;
    if (status != GRPC_NONE) x->record.grpc = (status + 1u) & 127u;
}

void exchange_begin_response(struct exchange *x, struct http_head *head, unsigned flags)
{
    struct http_send send = { .head = head, .body = head->body, .content_length = head->content_length };
    if (bug_if(EXCHANGE,
               !x->client || (!x->file && !x->attempt.stream))) { /* nobody's answer, or to nobody */
        exchange_end_of_bug(x);
        return;
    }
    if (is_bodiless(x, head->status)) say_length(head, &send);
    /* An answer before the request's end, by a server that will not read the rest or that the client may not send it
     * to: what still comes would have to be read to no purpose. */
    bool was_refused = x->request == REQUEST_REFUSED;
    bool is_unwanted = x->file || x->attempt.stream->is_last || was_refused ||
                       (x->head.expects_continue && !x->is_informed);
    send.is_early = !x->client->is_ended && is_unwanted;
    exchange_enter(x, EXCHANGE_RESPONSE);
    x->record.status = head->status;
    if (headers_of_response(x, head, &send) < 0 || compression_begin(x, &send) < 0) {
        exchange_cut(x, END_NO_MEMORY);
        return;
    }
    keep_response(x, head);
    note_grpc(x, head->fields, head->field_count);
    if (x->request == REQUEST_SENT) request_drop_replay(x);
    if (http_send_head(x->client, &send, flags & HTTP_MORE) != IO_OK) {
        exchange_client_failed(x);
        return;
    }
    /* Nobody takes the rest of the request: it is thrown away, lest a client that sends first and reads then and a
     * response that fills the kernel wait for each other. */
    if (was_refused) {
        exchange_request_is(x, REQUEST_UNWANTED);
        http_stream_resume(x->client);
    }
    if (x->state != EXCHANGE_RESPONSE) return;
    if (head->body == HTTP_BODY_NONE)
        exchange_response_is_whole(x);
    else
        exchange_unpin(x); /* the configuration may have changed since it began */
}

/* A page goes in its place; what still comes of it is not waited for. */
static void replace_answer(struct exchange *x, uint16_t status)
{
    x->replaced = status;
    x->end = END_OK;
    attempt_end(&x->attempt, END_OK);
    attempt_leave(&x->attempt);
    exchange_enter(x, EXCHANGE_REPLY);
    exchange_advance(x);
}

static void on_server_error(struct http_stream *s, const struct http_fault *fault);

static void on_response_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (!exchange_is_with_server(x) || is_left(x, s)) return;
    if (bug_if(EXCHANGE, x->state == EXCHANGE_RESPONSE || !x->client)) { /* one answer to one client */
        exchange_end_of_bug(x);
        return;
    }
    if (head->status < 200 && head->status != 101) {
        if (x->hedge) exchange_hedge_drop(x, END_OUTRUN); /* what is told comes from one server */
        pass_informational(x, head);
        return;
    }
    const char *unfit = upgrade_why_unfit(x, head);
    if (unfit) {
        struct http_fault fault = { .reason = END_BAD_RESPONSE, .detail = unfit };
        on_server_error(s, &fault);
        return;
    }
    attempt_answered(&x->attempt, head->status);
    if (x->hedge && !hedge_is_good(x->retry, head->status)) {
        exchange_hedge_take_over(x, END_ANSWER_GIVEN_UP);
        return;
    }
    if (x->hedge) exchange_hedge_drop(x, END_OUTRUN);
    if (exchange_answer_is_given_up(x, head->status)) {
        exchange_advance(x);
        return;
    }
    x->record.first_byte_us = exchange_since_start_us(x);
    if (fault_page_replaces(x, head->status)) {
        replace_answer(x, head->status);
        return;
    }
    if (head->status == 101) {
        if (upgrade_begin(x, head) < 0) {
            exchange_client_failed(x);
            return;
        }
        keep_response(x, head);
        exchange_enter(x, EXCHANGE_TUNNEL);
        exchange_advance(x);
        exchange_unpin(x);
        return;
    }
    exchange_begin_response(x, head, flags);
}

size_t exchange_take_response(struct exchange *x, const char *data, size_t len, unsigned flags)
{
    if (bug_if(EXCHANGE, x->state != EXCHANGE_RESPONSE)) { /* between its head and its end */
        exchange_end_of_bug(x);
        return len;
    }
    if (x->compression) return compression_take(x, data, len, flags);
    size_t taken = 0;
    enum io io = http_send_body(x->client, data, len, flags, &taken);
    x->body_out += taken;
    if (io == IO_FAIL) {
        exchange_client_failed(x);
        return len;
    }
    if (taken < len)
        exchange_wait_for_client(x);
    else if (flags & HTTP_END)
        exchange_response_is_whole(x);
    else
        exchange_moved(x);
    return taken;
}

static size_t on_response_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (!exchange_is_with_server(x) || is_left(x, s)) return len;
    return exchange_take_response(x, data, len, flags);
}

size_t exchange_may_take_response(struct http_stream *s)
{
    const struct exchange *x = s->owner;
    return x->client ? http_stream_room(x->client) : SIZE_MAX;
}

static void on_response_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (!exchange_is_with_server(x) || is_left(x, s)) return;
    if (bug_if(EXCHANGE, x->state != EXCHANGE_RESPONSE)) {
        exchange_end_of_bug(x);
        return;
    }
    note_grpc(x, fields, count);
    /* Without memory none pass, as none need (RFC 9110 6.5.1). */
    struct http_field *passing = NULL;
    if (exchange_copy_fields(x, fields, count, &passing) < 0) count = 0;
    headers_of_other_responses(x, passing, count);
    if (x->compression)
        compression_take_trailers(x, passing, count);
    else if (http_send_trailers(x->client, passing, count) == IO_FAIL)
        exchange_client_failed(x);
    else
        exchange_response_is_whole(x);
}

static void on_server_error(struct http_stream *s, const struct http_fault *fault)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if ((x->state != EXCHANGE_CONNECT && !exchange_is_with_server(x)) || is_left(x, s)) return;
    if (compression_has_all(x)) return;
    enum end_reason reason = fault->reason;
    if (x->request >= REQUEST_REFUSED && http_is_break(reason)) reason = END_SEND_FAILED;
    if (exchange_attempt_failed(x, reason, fault->detail, fault->number) == STEP_GO) exchange_advance(x);
}

static void on_server_writable(struct http_stream *s)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (!exchange_is_with_server(x) || x->request > REQUEST_WRITING || is_left(x, s)) return;
    if (!request_go_on(x) || x->request_ended) return;
    /* What was kept has gone: it is the client that is waited for now. */
    if (x->request == REQUEST_WRITING) exchange_request_is(x, REQUEST_READING);
    http_stream_resume(x->client);
}

static const struct http_stream_events server_events = {
    .on_open = on_open,
    .on_moved = on_moved,
    .on_head = on_response_head,
    .on_body = on_response_body,
    .may_take = exchange_may_take_response,
    .on_trailers = on_response_trailers,
    .on_error = on_server_error,
    .on_writable = on_server_writable,
};

void exchange_listen_to_server(struct exchange *x)
{
    x->attempt.stream->events = &server_events;
    x->attempt.stream->owner = x;
}
