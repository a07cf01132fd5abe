#include "http/h1_render.h"

#include <stdlib.h>

static void add_fields(struct text *out, const struct http_field *fields, uint32_t count)
{
    TEXT_LITERAL(out, " |");
    for (uint32_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (i) TEXT_LITERAL(out, ", ");
        if (f->is_dropped) TEXT_LITERAL(out, "-");
        text_add(out, f->name, f->name_len);
        TEXT_LITERAL(out, ": ");
        text_add(out, f->value, f->value_len);
        if (f->id != http_field_id_of((struct slice){ f->name, f->name_len })) TEXT_LITERAL(out, " WRONG ID");
    }
}

static void add_slice(struct text *out, const char *label, struct slice s)
{
    if (!s.len) return;
    text_add_slice(out, slice_of(label));
    text_add_slice(out, s);
}

static void add_fault(struct text *out, const struct h1_fault *fault, uint64_t before)
{
    text_printf(out, "BAD %llu %s: %s", (unsigned long long)(before + fault->offset),
                end_reason_info(fault->reason)->name, fault->detail);
}

static void add_head(struct text *out, const struct http_head *head, const struct h1_framing *framing,
                     bool is_response)
{
    if (is_response) {
        text_printf(out, "%u", head->status);
        add_slice(out, " reason=", head->reason);
    } else {
        text_add_slice(out, head->method_text);
        if (head->method != http_method_of(head->method_text)) TEXT_LITERAL(out, " WRONG METHOD");
        add_slice(out, " ", head->target);
        add_slice(out, " scheme=", head->scheme);
        add_slice(out, " host=", head->authority);
    }
    if (head->version == HTTP_VERSION_1_0) TEXT_LITERAL(out, " 1.0");
    if (head->body == HTTP_BODY_LENGTH || head->content_length)
        text_printf(out, " length=%llu", (unsigned long long)head->content_length);
    if (head->body == HTTP_BODY_UNKNOWN)
        text_add_slice(out, slice_of(framing->is_chunked ? " chunked" : " until-close"));
    if (is_response && head->body == HTTP_BODY_NONE) TEXT_LITERAL(out, " bodiless");
    text_add_slice(out, slice_of(framing->is_persistent ? " keep" : " close"));
    if (framing->keep_alive_s) text_printf(out, " timeout=%u", framing->keep_alive_s);
    if (framing->keep_alive_max != UINT32_MAX) text_printf(out, " max=%u", framing->keep_alive_max);
    if (head->expects_continue) TEXT_LITERAL(out, " continue");
    add_slice(out, " upgrade=", head->upgrade);
    add_fields(out, head->fields, head->field_count);
}

static size_t next_piece(const struct h1_play *play, size_t done, size_t len)
{
    size_t next = done ? done + play->step : play->first;
    return next < len ? next : len;
}

static char *copy_of(struct slice bytes)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);
    if (!copy) abort();
    if (bytes.len) memcpy(copy, bytes.data, bytes.len);
    return copy;
}

/* Unlike a connection's, these bytes move for every call, and the fields' array has no room to spare. */
static enum h1_result parse(struct text *out, struct h1_progress *progress, struct slice bytes,
                            const struct h1_play *play)
{
    struct http_field *fields = calloc(play->limits->field_max ? play->limits->field_max : 1,
                                       sizeof(*fields));
    char *copy = copy_of(bytes);
    struct slice here = { copy, bytes.len };
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault = { 0 };
    uint32_t head_len = 0;
    if (!fields) abort();
    enum h1_result got = play->is_response ? h1_parse_response(progress, here, play->to, play->limits, fields,
                                                               &head, &framing, &head_len, &fault)
                                           : h1_parse_request(progress, here, play->limits, fields, &head,
                                                              &framing, &head_len, &fault);
    if (got == H1_DONE) add_head(out, &head, &framing, play->is_response);
    if (got == H1_DONE) text_printf(out, " @%u", head_len);
    if (got == H1_BAD) add_fault(out, &fault, 0);
    free(copy);
    free(fields);
    return got;
}

void h1_render_head(struct text *out, struct slice bytes, const struct h1_play *play)
{
    struct h1_progress progress = { 0 };
    size_t len = 0;
    do {
        len = next_piece(play, len, bytes.len);
        if (parse(out, &progress, (struct slice){ bytes.data, len }, play) != H1_MORE) return;
        /* All that came is looked at, but for a first line's first two tokens and a CR whose LF is not
         * here. */
        if (len > progress.scanned + 40) TEXT_LITERAL(out, "LEFT BEHIND ");
    } while (len < bytes.len);
    TEXT_LITERAL(out, "MORE");
}

struct body_pass {
    struct h1_body body;
    struct text payload, trailers;
    struct h1_fault fault;
    uint64_t used;
};

/* False when nothing more can come of it. */
static bool pass_over(struct body_pass *p, struct slice bytes, const struct h1_limits *limits,
                      struct http_field *fields, enum h1_body_event *event)
{
    for (;;) {
        uint32_t used = 0, count = 0;
        struct slice data = SLICE_NONE;
        char *copy = copy_of(bytes);
        *event = h1_body_step(&p->body, (struct slice){ copy, bytes.len }, limits, &used, &data, fields,
                              &count, &p->fault);
        if (*event == H1_BODY_EVENT_DATA) text_add_slice(&p->payload, data);
        if (*event == H1_BODY_EVENT_TRAILERS) add_fields(&p->trailers, fields, count);
        free(copy);
        if (*event == H1_BODY_EVENT_BAD) return false;
        p->used += used;
        bytes = (struct slice){ bytes.data + used, bytes.len - used };
        if (*event == H1_BODY_EVENT_END) return false;
        if (*event == H1_BODY_EVENT_MORE) return true;
    }
}

void h1_render_body(struct text *out, struct slice bytes, const struct http_head *head,
                    const struct h1_framing *framing, const struct h1_play *play)
{
    struct http_field *fields = calloc(play->limits->field_max ? play->limits->field_max : 1,
                                       sizeof(*fields));
    char *room = malloc(2 * (bytes.len + 1) + 16 * 1024);
    if (!room || !fields) abort();
    struct body_pass p = { .payload = text_over(room, bytes.len + 1),
                           .trailers = text_over(room + bytes.len + 1, bytes.len + 16 * 1024) };
    h1_body_init(&p.body, head, framing, play->is_response);
    enum h1_body_event event = H1_BODY_EVENT_MORE;
    size_t len = 0;
    do {
        len = next_piece(play, len, bytes.len);
        struct slice here = { bytes.data + p.used, len - (size_t)p.used };
        if (!pass_over(&p, here, play->limits, fields, &event)) break;
    } while (len < bytes.len);
    TEXT_LITERAL(out, "[");
    text_add_slice(out, text_slice(&p.payload));
    TEXT_LITERAL(out, "] ");
    if (event == H1_BODY_EVENT_BAD)
        add_fault(out, &p.fault, p.used);
    else if (event == H1_BODY_EVENT_END)
        text_printf(out, "END %llu", (unsigned long long)p.used);
    else
        text_add_slice(out, slice_of(h1_body_may_end(&p.body) ? "MAY END" : "MORE"));
    text_add_slice(out, text_slice(&p.trailers));
    free(room);
    free(fields);
}
