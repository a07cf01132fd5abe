#include "http/h1_body.h"

#include "base/bug.h"
#include "http/h1_scan.h"

#define SIZE_LINE_MAX 4096 /* a chunk-size line with its extensions */
#define SIZE_DIGITS_MAX 16

/* Where a chunk extension stands: *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112
 * 7.1.1. Kept in `digits`, whose job is done by then. */
enum extension {
    EXTENSION_BLANK, /* behind the size or a value, in white space that must lead to ";" */
    EXTENSION_BEGIN,
    EXTENSION_NAME,
    EXTENSION_NAME_BLANK,
    EXTENSION_VALUE_BEGIN,
    EXTENSION_VALUE,
    EXTENSION_QUOTED,
    EXTENSION_ESCAPED,
    EXTENSION_QUOTED_END
};

void h1_body_init(struct h1_body *b, const struct http_head *head, const struct h1_framing *framing,
                  bool is_response)
{
    *b = (struct h1_body){ .is_response = is_response, .state = H1_BODY_DONE };
    switch (head->body) {
    case HTTP_BODY_NONE: return;
    case HTTP_BODY_LENGTH:
        /* The parser refuses both at once: whoever goes by the length reads a chunk's rest as the next message. */
        if (bug_if(H1_BODY, framing->is_chunked)) {
            b->state = H1_BODY_CHUNK_SIZE;
            return;
        }
        b->remaining = head->content_length;
        if (b->remaining) b->state = H1_BODY_LENGTH;
        return;
    case HTTP_BODY_UNKNOWN: b->state = framing->is_chunked ? H1_BODY_CHUNK_SIZE : H1_BODY_UNTIL_CLOSE; return;
    }
}

static bool bad(const struct h1_body *b, size_t offset, const char *detail, struct h1_fault *fault)
{
    *fault = (struct h1_fault){ .reason = b->is_response ? END_BAD_RESPONSE_BODY : END_BAD_REQUEST_BODY,
                                .detail = detail,
                                .offset = (uint32_t)offset };
    return false;
}

/* The value of a hexadecimal digit; 16 if it is none. */
static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10 : 16;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *bad_size_byte(const struct h1_body *b, char c)
{
    if (!b->digits)
        return c == '\r' || c == '\n' ? "an empty line where a chunk size should be"
                                      : "a chunk size that is not hexadecimal";
    switch (c) {
    case '\n': return "a chunk-size line that ends in LF without CR";
    default: return "something other than a hexadecimal digit in a chunk size";
    }
}

/* One byte of the size, or what ends it. */
static bool on_size(struct h1_body *b, char c, size_t at, struct h1_fault *fault)
{
    unsigned digit = hex_digit(c);
    if (digit < 16) {
        if (b->digits == SIZE_DIGITS_MAX) return bad(b, at, "a chunk size of more than 16 digits", fault);
        if (b->remaining > (uint64_t)INT64_MAX >> 4) return bad(b, at, "a chunk size of 2^63 or more", fault);
        b->remaining = b->remaining << 4 | digit;
        b->digits++;
        return true;
    }
    if (!b->digits || (c != '\r' && c != ';' && !is_blank(c))) return bad(b, at, bad_size_byte(b, c), fault);
    b->digits = c == ';' ? EXTENSION_BEGIN : EXTENSION_BLANK;
    b->state = c == '\r' ? H1_BODY_CHUNK_SIZE_LF : H1_BODY_CHUNK_EXTENSION;
    return true;
}

static bool may_end_extension(enum extension at)
{
    return at == EXTENSION_NAME || at == EXTENSION_VALUE || at == EXTENSION_QUOTED_END;
}

/* The state behind `c`; -1 if it cannot be there. */
static int next_extension(enum extension at, char c)
{
    bool is_token = h1_is(c, H1_TOKEN);
    switch (at) {
    case EXTENSION_BLANK:
        if (is_blank(c)) return (int)at;
        is_token = false;
        break;
    case EXTENSION_BEGIN:
        if (is_blank(c)) return (int)at;
        return is_token ? EXTENSION_NAME : -1;
    case EXTENSION_NAME:
    case EXTENSION_NAME_BLANK:
        if (c == '=') return EXTENSION_VALUE_BEGIN;
        if (is_blank(c)) return EXTENSION_NAME_BLANK;
        if (at == EXTENSION_NAME_BLANK) is_token = false;
        break;
    case EXTENSION_VALUE_BEGIN:
        if (is_blank(c)) return (int)at;
        if (c == '"') return EXTENSION_QUOTED;
        return is_token ? EXTENSION_VALUE : -1;
    case EXTENSION_VALUE:
        if (is_blank(c)) return EXTENSION_BLANK;
        break;
    case EXTENSION_QUOTED:
        if (c == '"') return EXTENSION_QUOTED_END;
        if (c == '\\') return EXTENSION_ESCAPED;
        return h1_is(c, H1_VALUE) ? EXTENSION_QUOTED : -1;
    case EXTENSION_ESCAPED: return h1_is(c, H1_VALUE) ? EXTENSION_QUOTED : -1;
    case EXTENSION_QUOTED_END:
        if (is_blank(c)) return EXTENSION_BLANK;
        is_token = false;
        break;
    }
    if (c == ';') return EXTENSION_BEGIN;
    return is_token ? (int)at : -1;
}

static const char *bad_extension_byte(enum extension at, char c)
{
    if (c == '\n') return "a chunk extension that ends in LF without CR";
    if (at == EXTENSION_BLANK) return "white space behind a chunk size or extension that no \";\" follows";
    return "a byte that no chunk extension may have there";
}

static bool on_extension(struct h1_body *b, char c, size_t at, struct h1_fault *fault)
{
    enum extension here = b->digits;
    if (c == '\r' && may_end_extension(here)) {
        b->state = H1_BODY_CHUNK_SIZE_LF;
        return true;
    }
    int next = next_extension(here, c);
    if (next < 0) return bad(b, at, bad_extension_byte(here, c), fault);
    b->digits = (uint8_t)next;
    return true;
}

static bool on_size_lf(struct h1_body *b, char c, size_t at, struct h1_fault *fault)
{
    if (c != '\n') return bad(b, at, "a CR without LF in a chunk-size line", fault);
    b->state = b->remaining ? H1_BODY_CHUNK_DATA : H1_BODY_TRAILERS;
    b->line_bytes = 0;
    b->digits = 0;
    return true;
}

/* One byte of what stands between chunks. */
static bool on_framing(struct h1_body *b, char c, size_t at, struct h1_fault *fault)
{
    switch ((enum h1_body_state)b->state) {
    case H1_BODY_CHUNK_CR:
        if (c != '\r')
            return bad(b, at, "more bytes in a chunk than its size says, or no CRLF behind it", fault);
        b->state = H1_BODY_CHUNK_LF;
        return true;
    case H1_BODY_CHUNK_LF:
        if (c != '\n') return bad(b, at, "a CR without LF behind a chunk", fault);
        b->state = H1_BODY_CHUNK_SIZE;
        return true;
    default: break;
    }
    if (b->line_bytes++ == SIZE_LINE_MAX)
        return bad(b, at, "a chunk-size line of more than 4096 bytes", fault);
    if (b->state == H1_BODY_CHUNK_SIZE) return on_size(b, c, at, fault);
    if (b->state == H1_BODY_CHUNK_EXTENSION) return on_extension(b, c, at, fault);
    if (bug_if(H1_BODY, b->state != H1_BODY_CHUNK_SIZE_LF)) return bad(b, at, NULL, fault);
    return on_size_lf(b, c, at, fault);
}

/* Fields that decide on framing, routing, trust or what the content is must not come late (RFC 9110
 * 6.5.1). */
bool h1_body_may_trail(struct slice name)
{
    static const char *const names[] = {
        "age",
        "authentication-info",
        "cache-control",
        "content-encoding",
        "content-range",
        "cookie",
        "expires",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authentication-info",
        "range",
        "retry-after",
        "set-cookie",
        "vary",
        "warning",
        "www-authenticate",
    };
    switch (http_field_id_of(name)) {
    case HTTP_FIELD_OTHER: break;
    case HTTP_FIELD_ACCEPT:
    case HTTP_FIELD_ORIGIN:
    case HTTP_FIELD_REFERER:
    case HTTP_FIELD_SERVER:
    case HTTP_FIELD_USER_AGENT: return true;
    default: return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_equal_fold(name, slice_of(names[i]))) return false;
    return true;
}

static enum h1_body_event step_trailers(struct h1_body *b, struct slice bytes, const struct h1_limits *limits,
                                        uint32_t *used, struct http_field *trailers, uint32_t *count,
                                        struct h1_fault *fault)
{
    *count = 0;
    switch (h1_parse_trailers(&b->trailer_progress, bytes, b->is_response, limits, trailers, count, used,
                              fault)) {
    case H1_MORE: return H1_BODY_EVENT_MORE;
    case H1_BAD: return H1_BODY_EVENT_BAD;
    case H1_DONE: break;
    }
    if (bug_if(H1_BODY, *count > limits->field_max)) return H1_BODY_EVENT_BAD;
    for (uint32_t i = 0; i < *count; i++) {
        if (!h1_body_may_trail((struct slice){ trailers[i].name, trailers[i].name_len }))
            trailers[i].is_dropped = true;
    }
    b->state = H1_BODY_DONE;
    return *count ? H1_BODY_EVENT_TRAILERS : H1_BODY_EVENT_END;
}

/* The state behind the last byte of a run of payload. */
static void end_run(struct h1_body *b)
{
    b->state = b->state == H1_BODY_LENGTH ? H1_BODY_DONE : H1_BODY_CHUNK_CR;
}

enum h1_body_event h1_body_step(struct h1_body *b, struct slice bytes, const struct h1_limits *limits,
                                uint32_t *used, struct slice *data, struct http_field *trailers,
                                uint32_t *trailer_count, struct h1_fault *fault)
{
    size_t at = 0;
    *used = 0;
    while (b->state != H1_BODY_DONE && at < bytes.len) {
        uint64_t run = h1_body_run(b);
        struct slice rest = { bytes.data + at, bytes.len - at };
        if (run) {
            if (rest.len > run) rest.len = (size_t)run;
            *data = rest;
            *used = (uint32_t)(at + rest.len);
            h1_body_skip(b, rest.len);
            return H1_BODY_EVENT_DATA;
        }
        if (b->state == H1_BODY_TRAILERS) {
            enum h1_body_event event = step_trailers(b, rest, limits, used, trailers, trailer_count, fault);
            if (event == H1_BODY_EVENT_BAD) fault->offset += (uint32_t)at;
            *used += (uint32_t)at;
            return event;
        }
        if (!on_framing(b, bytes.data[at], at, fault)) {
            *used = (uint32_t)at;
            return H1_BODY_EVENT_BAD;
        }
        at++;
    }
    *used = (uint32_t)at;
    return b->state == H1_BODY_DONE ? H1_BODY_EVENT_END : H1_BODY_EVENT_MORE;
}

void h1_body_untake(struct h1_body *b, uint64_t len)
{
    if (!len || b->state == H1_BODY_UNTIL_CLOSE) return;
    if (b->state == H1_BODY_DONE) b->state = H1_BODY_LENGTH;
    if (b->state == H1_BODY_CHUNK_CR) b->state = H1_BODY_CHUNK_DATA;
    if (bug_if(H1_BODY, b->state != H1_BODY_LENGTH && b->state != H1_BODY_CHUNK_DATA)) return;
    b->remaining += len;
}

uint64_t h1_body_run(const struct h1_body *b)
{
    switch ((enum h1_body_state)b->state) {
    case H1_BODY_LENGTH:
    case H1_BODY_CHUNK_DATA: return b->remaining;
    case H1_BODY_UNTIL_CLOSE: return UINT64_MAX;
    default: return 0;
    }
}

void h1_body_skip(struct h1_body *b, uint64_t len)
{
    if (bug_if(H1_BODY, len > h1_body_run(b))) len = h1_body_run(b);
    if (!len || b->state == H1_BODY_UNTIL_CLOSE) return;
    b->remaining -= len;
    if (!b->remaining) end_run(b);
}

bool h1_body_may_end(const struct h1_body *b)
{
    return b->state == H1_BODY_DONE || b->state == H1_BODY_UNTIL_CLOSE;
}
