#include <stdlib.h>
#include <string.h>

#include "health/probe_kind.h"
#include "tls/conn.h"

#define HEAD_FIELDS 128
#define INTERIM_MAX 16

static const struct h1_limits limits = { .head_max = PROBE_HEAD_MAX, .field_max = HEAD_FIELDS };

static const struct check_http_conf *conf_of(const struct probe *p)
{
    return p->target.conf->http;
}

static void write_request(const struct probe *p, struct text *out)
{
    const struct check_http_conf *c = conf_of(p);
    const struct check_header *headers = c->headers.data;
    text_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", http_method_name(check_method(c)), c->path,
                c->host ? c->host : p->target.host);
    bool has_agent = false;
    for (uint32_t i = 0; i < c->headers.count; i++) {
        text_printf(out, "%s: %s\r\n", headers[i].name, headers[i].value);
        if (slice_equal_fold(slice_of(headers[i].name), SLICE("User-Agent"))) has_agent = true;
    }
    if (!has_agent) TEXT_LITERAL(out, "User-Agent: weir-check\r\n");
    if (check_method(c) == HTTP_POST) TEXT_LITERAL(out, "Content-Length: 0\r\n");
    TEXT_LITERAL(out, "Connection: close\r\n\r\n");
}

static enum probe_step on_sent(struct probe *p)
{
    (void)p;
    return PROBE_GOES_ON;
}

static void say_awaited(const struct probe *p, struct text *out)
{
    text_printf(out, "answer to %s %.40s", http_method_name(check_method(conf_of(p))), conf_of(p)->path);
}

static enum probe_step lacks_text(struct probe *p, const char *where)
{
    return probe_says(p, "the answer's body does not have \"%.60s\"%s", conf_of(p)->body, where);
}

/* Its framing is taken off: a text that is cut by chunks is whole. */
static enum probe_step look_at_body(struct probe *p, struct slice bytes)
{
    while (bytes.len) {
        struct http_field trailers[HEAD_FIELDS];
        struct slice data = SLICE_NONE;
        struct h1_fault fault;
        uint32_t used = 0, trailer_count = 0;
        enum h1_body_event event = h1_body_step(&p->body, bytes, &limits, &used, &data, trailers,
                                                &trailer_count, &fault);
        if (event == H1_BODY_EVENT_BAD) return probe_says(p, "the answer's body is broken: %s", fault.detail);
        if (event == H1_BODY_EVENT_DATA) {
            if (data.len > p->body_left) data.len = p->body_left;
            p->body_left -= data.len;
            if (text_search_feed(&p->search, data)) return PROBE_IS_GOOD;
            if (!p->body_left) return lacks_text(p, " in as much of it as is looked at");
        }
        if (event == H1_BODY_EVENT_MORE || event == H1_BODY_EVENT_END) break;
        bytes.data += used;
        bytes.len -= used;
    }
    if (h1_body_is_done(&p->body) || p->body.state == H1_BODY_TRAILERS) return lacks_text(p, "");
    return PROBE_GOES_ON;
}

static enum probe_step judge_head(struct probe *p, const struct http_head *head,
                                  const struct h1_framing *framing)
{
    const struct check_http_conf *c = conf_of(p);
    p->status = head->status;
    if (!check_expects(c, head->status))
        return probe_says(p, "%s %.60s was answered with status %u", http_method_name(check_method(c)),
                          c->path, head->status);
    if (!c->body) return PROBE_IS_GOOD;
    p->has_head = true;
    p->body_left = c->body_bytes;
    text_search_init(&p->search, slice_of(c->body));
    h1_body_init(&p->body, head, framing, true);
    return h1_body_is_done(&p->body) ? lacks_text(p, ", it is empty") : PROBE_GOES_ON;
}

static enum probe_step head_is_too_large(struct probe *p)
{
    return probe_says(p, "the answer's head is over %u KiB or %u fields", PROBE_HEAD_MAX >> 10, HEAD_FIELDS);
}

/* One head, perhaps an interim one (RFC 9110 15.2), which is passed over. */
static enum probe_step read_head(struct probe *p, bool *is_more)
{
    struct http_field fields[HEAD_FIELDS];
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t len = 0;
    *is_more = false;
    switch (h1_parse_response(&p->progress, (struct slice){ p->head, p->head_len }, check_method(conf_of(p)),
                              &limits, fields, &head, &framing, &len, &fault)) {
    case H1_MORE: return PROBE_GOES_ON;
    case H1_BAD:
        if (fault.reason == END_RESPONSE_HEAD_TOO_LARGE) return head_is_too_large(p);
        return probe_says(p, "the answer is not correct HTTP: %s", fault.detail);
    default: break;
    }
    bool is_interim = head.status < 200 && head.status != 101;
    enum probe_step step = is_interim ? PROBE_GOES_ON : judge_head(p, &head, &framing);
    if (is_interim && ++p->interim_count > INTERIM_MAX)
        return probe_says(p, "more than %d interim answers came, and no final one", INTERIM_MAX);
    p->head_len -= len;
    memmove(p->head, p->head + len, p->head_len);
    p->progress = (struct h1_progress){ 0 };
    *is_more = true;
    return step;
}

static enum probe_step on_bytes(struct probe *p, struct slice bytes)
{
    if (!p->head && !(p->head = malloc(PROBE_HEAD_MAX)))
        return probe_says(p, "weir has no memory to read the answer");
    while (!p->has_head && bytes.len) {
        uint32_t room = PROBE_HEAD_MAX - p->head_len;
        if (!room) return head_is_too_large(p);
        uint32_t taken = bytes.len < room ? (uint32_t)bytes.len : room;
        memcpy(p->head + p->head_len, bytes.data, taken);
        p->head_len += taken;
        bytes.data += taken;
        bytes.len -= taken;
        bool is_more = true;
        while (is_more && !p->has_head) {
            enum probe_step step = read_head(p, &is_more);
            if (step != PROBE_GOES_ON) return step;
        }
        if (!p->has_head) continue;
        enum probe_step step = look_at_body(p, (struct slice){ p->head, p->head_len });
        if (step != PROBE_GOES_ON) return step;
    }
    return look_at_body(p, bytes);
}

static enum probe_step on_close(struct probe *p)
{
    if (!p->received) return probe_says(p, "the server closed without an answer");
    if (!p->has_head) return probe_says(p, "the server closed within the answer's head");
    if (h1_body_may_end(&p->body)) return lacks_text(p, "");
    return probe_says(p, "the server closed within the answer's body");
}

const struct probe_kind probe_http_kind = { .alpn = TLS_CONN_HTTP_1_1,
                                            .write = write_request,
                                            .sent = on_sent,
                                            .on_bytes = on_bytes,
                                            .on_close = on_close,
                                            .awaited = say_awaited };
