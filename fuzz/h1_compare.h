/* fuzz/h1_compare.h: what the fuzzers of the HTTP/1 codec have in common. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "h1_oracle.h"
#include "http/h1_body.h"
#include "http/h1_render.h"

#define FUZZ_INPUT_MAX 16384

static const struct h1_limits fuzz_limits = { .head_max = 8192, .field_max = 64 };

#define MUST(condition, ...)                     \
    do {                                         \
        if (!(condition)) {                      \
            fprintf(stderr, "%s: ", #condition); \
            fprintf(stderr, __VA_ARGS__);        \
            fputc('\n', stderr);                 \
            abort();                             \
        }                                        \
    } while (0)

static inline struct slice fuzz_span(const struct oracle *o, struct oracle_span span)
{
    return (struct slice){ o->text + span.begin, span.len };
}

static inline void fuzz_same(const char *what, struct slice ours, struct slice theirs)
{
    MUST(slice_equal(ours, theirs), "%s: ours '%.*s', theirs '%.*s'", what, SLICE_ARGS(ours),
         SLICE_ARGS(theirs));
}

static inline void fuzz_same_fields(const struct oracle *o, size_t from, const struct http_field *fields,
                                    uint32_t count, size_t their_count)
{
    MUST(count == their_count, "%u fields, theirs %zu", count, their_count);
    for (uint32_t i = 0; i < count; i++) {
        fuzz_same("name", (struct slice){ fields[i].name, fields[i].name_len },
                  fuzz_span(o, o->names[from + i]));
        fuzz_same("value", http_field_value(&fields[i]), fuzz_span(o, o->values[from + i]));
    }
}

/* For the oracle: `copy`, which begins with the head that was parsed, with spaces for the tabs behind
 * values. */
static inline void fuzz_untab(char *copy, const char *original, const struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        for (char *p = copy + (f->value + f->value_len - original); *p != '\r'; p++) *p = ' ';
    }
}

/* Likewise, of a response: white space before a colon, which llhttp refuses and weir strips (RFC 9112 5.1), goes
 * behind it. */
static inline void fuzz_unblank(char *copy, const char *original, const struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        char *p = copy + (f->name + f->name_len - original);
        if (*p == ':') continue;
        for (*p++ = ':'; *p != ':'; p++) *p = ' ';
        *p = ' ';
    }
}

typedef void fuzz_render(struct text *out, struct slice bytes, const struct h1_play *play, const void *more);

/* `render` gives the same line however the input is cut: everywhere if it is short, else at places that
 * follow from its bytes. */
static inline void fuzz_cuts(struct slice bytes, struct h1_play play, fuzz_render *render, const void *more)
{
    static char whole_room[1 << 17], cut_room[1 << 17];
    struct text whole = text_over(whole_room, sizeof(whole_room));
    play.first = play.step = bytes.len;
    render(&whole, bytes, &play, more);
    uint32_t mix = (uint32_t)bytes.len;
    for (size_t i = 0; i < bytes.len; i++) mix = mix * 31 + (uint8_t)bytes.data[i];
    size_t tries = bytes.len < 64 ? bytes.len : 8;
    for (size_t i = 0; i < tries; i++) {
        mix = mix * 1664525 + 1013904223;
        play.first = bytes.len < 64 ? i + 1 : (mix >> 8) % bytes.len + 1;
        play.step = i % 4 == 3 ? (mix & 15) + 1 : bytes.len;
        struct text cut = text_over(cut_room, sizeof(cut_room));
        render(&cut, bytes, &play, more);
        MUST(slice_equal(text_slice(&whole), text_slice(&cut)),
             "in pieces of %zu and %zu: '%.*s', whole '%.*s'", play.first, play.step,
             SLICE_ARGS(text_slice(&cut)), SLICE_ARGS(text_slice(&whole)));
    }
}

static inline void fuzz_render_head(struct text *out, struct slice bytes, const struct h1_play *play,
                                    const void *more)
{
    (void)more;
    h1_render_head(out, bytes, play);
}

struct fuzz_message {
    const struct http_head *head;
    const struct h1_framing *framing;
};

static inline void fuzz_render_body(struct text *out, struct slice bytes, const struct h1_play *play,
                                    const void *more)
{
    const struct fuzz_message *message = more;
    h1_render_body(out, bytes, message->head, message->framing, play);
}

/* llhttp 8.1 refuses three chunk extensions that RFC 9112 7.1.1 allows: one that follows a value which is a
 * token ("1;a=b;c": it then reads the name as a chunk size), a quoted-pair, and bad white space. */
static inline bool fuzz_is_beyond_oracle(struct slice bytes, size_t at, const struct http_head *head,
                                         const struct h1_framing *framing)
{
    struct http_field trailers[64];
    struct h1_fault fault;
    struct h1_body body;
    bool is_quoted = false, has_value = false;
    h1_body_init(&body, head, framing, false);
    for (char last = 0; at < bytes.len && body.state < H1_BODY_TRAILERS; last = bytes.data[at++]) {
        uint32_t used, count;
        struct slice data;
        bool is_extension = body.state == H1_BODY_CHUNK_EXTENSION;
        bool is_line = is_extension || body.state == H1_BODY_CHUNK_SIZE;
        char c = bytes.data[at];
        if (h1_body_step(&body, (struct slice){ &c, 1 }, &fuzz_limits, &used, &data, trailers, &count,
                         &fault) == H1_BODY_EVENT_BAD)
            return false;
        if (is_line && !is_quoted && (c == ' ' || c == '\t')) return true;
        if (!is_extension) {
            is_quoted = has_value = false;
            continue;
        }
        if (c == '\\' || (c == ';' && !is_quoted && has_value && last != '"')) return true;
        if (c == '"') is_quoted = !is_quoted;
        if (c == '=' && !is_quoted) has_value = true;
        if (c == ';' && !is_quoted) has_value = false;
    }
    return false;
}

/* The body behind a head, decoded at once and compared with the oracle's. */
static inline void fuzz_same_body(const struct oracle *o, struct slice bytes, size_t head_len,
                                  const struct http_head *head, const struct h1_framing *framing,
                                  bool is_response)
{
    static char payload_room[FUZZ_INPUT_MAX + 1];
    struct text payload = text_over(payload_room, sizeof(payload_room));
    struct http_field trailers[64];
    uint32_t trailer_count = 0;
    struct h1_fault fault;
    struct h1_body body;
    h1_body_init(&body, head, framing, is_response);
    size_t at = head_len;
    enum h1_body_event event;
    do {
        uint32_t used = 0, count = 0;
        struct slice data = SLICE_NONE;
        struct slice rest = { bytes.data + at, bytes.len - at };
        event = h1_body_step(&body, rest, &fuzz_limits, &used, &data, trailers, &count, &fault);
        if (event == H1_BODY_EVENT_DATA) text_add_slice(&payload, data);
        if (event == H1_BODY_EVENT_TRAILERS) trailer_count = count;
        at += used;
    } while (event == H1_BODY_EVENT_DATA || event == H1_BODY_EVENT_TRAILERS);
    if (event == H1_BODY_EVENT_BAD) return;
    if (framing->is_chunked && fuzz_is_beyond_oracle(bytes, head_len, head, framing)) return;
    for (uint32_t i = 0; i < trailer_count; i++)
        if (is_response && trailers[i].name[trailers[i].name_len] != ':') return; /* see fuzz_unblank() */
    if (o->fault) {
        /* What is not whole may still turn out bad: in a trailer section it is looked at last. */
        MUST(event == H1_BODY_EVENT_MORE && body.state == H1_BODY_TRAILERS, "a body that llhttp refuses: %s",
             o->fault);
        return;
    }
    fuzz_same("body", text_slice(&payload), fuzz_span(o, o->body));
    MUST(o->is_complete == (event == H1_BODY_EVENT_END), "ends differ: event %d, theirs %d", event,
         o->is_complete);
    if (event != H1_BODY_EVENT_END) return;
    MUST(at == o->used, "the message ends at %zu, theirs at %zu", at, o->used);
    fuzz_same_fields(o, o->head_field_count, trailers, trailer_count, o->field_count - o->head_field_count);
}
