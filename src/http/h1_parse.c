#include "http/h1_parse.h"

#include "http/h1_found.h"
#include "http/h1_scan.h"

#define METHOD_MAX 32
#define EMPTY_LINES_MAX 2

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* How the parse is made. A whole head, the usual case, is parsed in one pass that stores what it finds. Of
 * a head that is not whole only its place is kept (struct h1_progress): further calls go on from there
 * without storing, and when its end is there, all is parsed once more. So no byte is looked at more than
 * twice, give or take.
 *
 * That the result does not depend on the cuts follows from the order in which faults are found. Those of
 * the bytes (scan_*) come first, at the first byte that cannot be, which is found wherever the cuts are.
 * Those of what a line means (h1_found.h: only while storing) are kept back until the head is known to be
 * whole. */

enum part {
    PART_START,   /* at the first line's start, until its second token begins */
    PART_TARGET,  /* within the target */
    PART_VERSION, /* at its first byte */
    PART_REASON,  /* within the reason phrase */
    PART_NAME,    /* within a field's name, or at a line's start */
    PART_COLON,   /* within white space before a response field's colon */
    PART_VALUE,   /* within a field's value */
};

enum kind { KIND_REQUEST, KIND_RESPONSE, KIND_TRAILERS };

struct scan {
    const char *begin, *end; /* at most head_max bytes */
    const char *line, *at;
    uint8_t part, kind;
    const struct h1_limits *limits;
    struct h1_fault *fault;
    /* What storing finds. */
    struct http_field *fields;
    uint32_t count;
    enum http_version version;
    struct slice method, target;
    uint16_t status;
    struct slice reason;
    struct h1_found found;
};

static enum end_reason own_reason(const struct scan *s, enum end_reason reason)
{
    if (s->kind == KIND_TRAILERS) return s->found.is_response ? END_BAD_RESPONSE_BODY : END_BAD_REQUEST_BODY;
    if (!s->found.is_response) return reason;
    return reason == END_HEAD_TOO_LARGE ? END_RESPONSE_HEAD_TOO_LARGE : END_BAD_RESPONSE;
}

__attribute__((cold, noinline)) static enum h1_result bad_as(struct scan *s, const char *at,
                                                             enum end_reason reason, const char *detail)
{
    *s->fault = (struct h1_fault){ own_reason(s, reason), detail, (uint32_t)(at - s->begin) };
    return H1_BAD;
}

static enum h1_result bad(struct scan *s, const char *at, const char *detail)
{
    return bad_as(s, at, END_BAD_REQUEST, detail);
}

static ALWAYS_INLINE enum h1_result more(struct scan *s, const char *line, const char *at, enum part part)
{
    s->line = line;
    s->at = at;
    s->part = (uint8_t)part;
    return H1_MORE;
}

static ALWAYS_INLINE bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static ALWAYS_INLINE void store_field(struct scan *s, const char *name, const char *name_end,
                                      const char *colon, const char *end)
{
    if (s->count == s->limits->field_max) {
        h1_found_keep_back(&s->found, name, END_HEAD_TOO_LARGE, "more fields than the limit");
        return;
    }
    const char *value = colon + 1;
    while (value < end && is_space(*value)) value++;
    while (end > value && is_space(end[-1])) end--;
    struct http_field *f = &s->fields[s->count++];
    uint16_t name_len = (uint16_t)(name_end - name);
    uint32_t id = (uint32_t)http_field_id_of((struct slice){ name, name_len });
    *f = (struct http_field){ .name = name,
                              .value = value,
                              .value_len = (uint32_t)(end - value),
                              .name_len = name_len,
                              .id = (uint8_t)id,
                              .is_dropped = H1_HOP_BY_HOP >> id & 1 };
    if (H1_FOUND_NOTED >> id & 1) h1_found_note(&s->found, f);
}

/* ---- bytes ---- */

/* `at`: the byte that ended a field's value. */
static enum h1_result bad_value(struct scan *s, const char *at)
{
    switch (*at) {
    case '\r': return bad(s, at, "a CR without LF in a field value");
    case '\n': return bad(s, at, "a field line that ends in LF without CR");
    case '\0': return bad(s, at, "a NUL byte in a field value");
    default: return bad(s, at, "a control byte in a field value");
    }
}

/* `at`: the byte that ended a field's name, or would begin it. */
static enum h1_result bad_name(struct scan *s, const char *line, const char *at)
{
    if (at == line) {
        switch (*at) {
        case ' ':
        case '\t': return bad(s, at, "a line that begins with white space (obs-fold is not accepted)");
        case ':': return bad(s, at, "a field without a name");
        case '\n': return bad(s, at, "an empty line that ends in LF without CR");
        default: break;
        }
    }
    switch (*at) {
    case ' ':
    case '\t': return bad(s, at, "white space in a field name or before its colon");
    case '\r':
    case '\n': return bad(s, at, "a field line without a colon");
    default: return bad(s, at, "a byte that no field name may have");
    }
}

static ALWAYS_INLINE enum h1_result scan_fields(struct scan *s, bool is_storing)
{
    const char *line = s->line, *p = s->at, *end = s->end;
    const char *colon = p, *name_end = p;
    if (!is_storing && s->part == PART_VALUE) goto value;
    if (!is_storing && s->part == PART_COLON) goto blanks;
    for (;;) {
        if (p == line && p < end && *p == '\r') {
            if (end - p == 1) return more(s, line, p, PART_NAME);
            if (p[1] != '\n') return bad(s, p, "a CR without LF at the start of a line");
            s->at = p + 2;
            return H1_DONE;
        }
        p = h1_skip_token(p, end);
        if (p - line > UINT16_MAX) return bad(s, line + UINT16_MAX, "a field name of more than 65535 bytes");
        if (p == end) return more(s, line, p, PART_NAME);
        name_end = p;
        if (__builtin_expect(*p != ':' || p == line, 0)) {
            /* To be stripped from responses, and to be refused in requests (RFC 9112 5.1). */
            if (!s->found.is_response || p == line || !is_space(*p)) return bad_name(s, line, p);
        blanks:
            while (p < end && is_space(*p)) p++;
            if (p == end) return more(s, line, p, PART_COLON);
            if (*p != ':') return bad(s, p, "white space in a field name");
        }
        colon = p++;
    value:
        p = h1_skip_value(p, end);
        if (p == end) return more(s, line, p, PART_VALUE);
        if (*p != '\r') return bad_value(s, p);
        if (end - p == 1) return more(s, line, p, PART_VALUE);
        if (p[1] != '\n') return bad_value(s, p);
        if (is_storing) store_field(s, line, name_end, colon, p);
        p += 2;
        line = p;
    }
}

/* How many of `pattern`'s bytes ("0" stands for any digit) begin `p`. */
static size_t match(const char *p, const char *end, const char *pattern)
{
    size_t n = 0;
    for (; pattern[n] && p + n < end; n++) {
        if (pattern[n] == '0' ? !h1_is(p[n], H1_DIGIT) : p[n] != pattern[n]) break;
    }
    return n;
}

static enum h1_result bad_method(struct scan *s, const char *line, const char *at)
{
    if (at - line == METHOD_MAX && h1_is(*at, H1_TOKEN)) return bad(s, at, "a method of more than 32 bytes");
    if (at == line) {
        if (*at == 0x16) return bad(s, at, "a TLS handshake, but this listener speaks plain HTTP");
        if (*at == '\n') return bad(s, at, "an LF without CR before the request line");
        if (*at == ' ') return bad(s, at, "a space before the method");
    }
    if (*at == '\r' || *at == '\n') return bad(s, at, "a request line that is nothing but a method");
    return bad(s, at, "a byte that no method may have");
}

static enum h1_result bad_target(struct scan *s, const char *at)
{
    switch (*at) {
    case '\r':
    case '\n': return bad(s, at, "a request line without an HTTP version");
    case '#': return bad(s, at, "a fragment (#) in the request target");
    default: break;
    }
    if ((uint8_t)*at >= 0x80)
        return bad(s, at, "a byte above 0x7f in the request target: it must be percent-encoded");
    return bad(s, at, "a control byte in the request target");
}

/* `at`: the byte at fault of what should be a version and begins at `p`. */
static enum h1_result bad_version(struct scan *s, const char *line, const char *p, const char *at)
{
    if (p - line > 6 && memcmp(line, "PROXY ", 6) == 0)
        return bad(s, at, "a PROXY protocol line, which this listener does not expect");
    if (at > p) return bad(s, at, "an HTTP version that is not HTTP/ and two digits");
    if (*at == '\r' || *at == '\n') return bad(s, at, "nothing but a space where the HTTP version should be");
    return bad(s, at, "something other than an HTTP version behind the request target");
}

/* `p`: where the version begins. */
static enum h1_result scan_version_slowly(struct scan *s, const char *line, const char *p)
{
    const char *end = s->end;
    size_t good = match(p, end, "HTTP/0.0");
    if (good < 8) {
        if (p + good == end) return more(s, line, p, PART_VERSION);
        return bad_version(s, line, p, p + good);
    }
    if (p[5] == '2' && p - line == 6 && memcmp(line, "PRI * ", 6) == 0)
        return bad_as(s, p, END_VERSION_NOT_SUPPORTED, "HTTP/2 with prior knowledge is not spoken here");
    if (p[5] != '1' || p[7] > '1')
        return bad_as(s, p, END_VERSION_NOT_SUPPORTED, "a version other than HTTP/1.0 and HTTP/1.1");
    s->version = p[7] == '1' ? HTTP_VERSION_1_1 : HTTP_VERSION_1_0;
    p += 8;
    if (p < end && *p == '\n') return bad(s, p, "a request line that ends in LF without CR");
    if (p < end && *p != '\r') return bad(s, p, "something behind the HTTP version");
    if (end - p < 2) return more(s, line, p - 8, PART_VERSION);
    if (p[1] != '\n') return bad(s, p, "a CR without LF in the request line");
    s->at = p + 2;
    return H1_DONE;
}

static ALWAYS_INLINE enum h1_result scan_version(struct scan *s, const char *line, const char *p)
{
    if (s->end - p >= 10 && memcmp(p, "HTTP/1.1\r\n", 10) == 0) {
        s->version = HTTP_VERSION_1_1;
        s->at = p + 10;
        return H1_DONE;
    }
    return scan_version_slowly(s, line, p);
}

static enum h1_result scan_empty_lines(struct scan *s)
{
    const char *p = s->line, *end = s->end;
    for (; p < end && *p == '\r'; p += 2) {
        if (p - s->begin >= 2 * EMPTY_LINES_MAX)
            return bad(s, p, "more than two empty lines before the request");
        if (end - p == 1) return more(s, p, p, PART_START);
        if (p[1] != '\n') return bad(s, p, "a CR without LF before the request line");
    }
    if (p == end) return more(s, p, p, PART_START);
    s->line = p;
    return H1_DONE;
}

static ALWAYS_INLINE enum h1_result scan_request_line(struct scan *s)
{
    const char *p = s->at, *end = s->end;
    if (s->part == PART_VERSION) return scan_version(s, s->line, p);
    if (s->part == PART_START) {
        enum h1_result begun = scan_empty_lines(s);
        if (begun != H1_DONE) return begun;
        p = s->line;
        const char *stop = end - p > METHOD_MAX ? p + METHOD_MAX : end;
        p = h1_skip_bytes(p, stop, H1_TOKEN);
        if (p == end) return more(s, s->line, s->line, PART_START);
        if (*p != ' ' || p == s->line) return bad_method(s, s->line, p);
        s->method = (struct slice){ s->line, (size_t)(p - s->line) };
        if (++p == end) return more(s, s->line, s->line, PART_START);
        if (*p == ' ') return bad(s, p, "more than one space before the request target");
        s->target.data = p;
    }
    p = h1_skip_target(p, end);
    if (p == end) return more(s, s->line, p, PART_TARGET);
    if (*p != ' ') return bad_target(s, p);
    if (s->target.data) s->target.len = (size_t)(p - s->target.data);
    return scan_version(s, s->line, p + 1);
}

static enum h1_result bad_status_line(struct scan *s, const char *line, size_t good)
{
    if (line[good] == '\n') return bad(s, line + good, "a status line that ends in LF without CR");
    return bad(s, line + good,
               good < 8 ? "something that is not HTTP/1 where a status line should be"
                        : "a status line without a status of three digits");
}

static ALWAYS_INLINE enum h1_result scan_status_line(struct scan *s)
{
    const char *p = s->at, *line = s->line, *end = s->end;
    if (s->part == PART_START) {
        size_t good = match(line, end, "HTTP/0.0 000");
        if (line + good == end) return more(s, line, line, PART_START);
        if (good < 12) return bad_status_line(s, line, good);
        if (line[5] != '1' || line[7] > '1')
            return bad(s, line + 5, "a response of a version other than HTTP/1.0 and 1.1");
        if (line[9] == '0') return bad(s, line + 9, "a status below 100");
        s->version = line[7] == '1' ? HTTP_VERSION_1_1 : HTTP_VERSION_1_0;
        s->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
        p = line + 12;
        /* The space must be sent even before an empty reason (RFC 9112 4), but many leave it out. */
        if (*p == ' ')
            p++;
        else if (*p != '\r')
            return bad_status_line(s, line, 12);
        s->reason.data = p;
    }
    p = h1_skip_value(p, end);
    if (p == end || (*p == '\r' && end - p == 1)) return more(s, line, p, PART_REASON);
    if (*p == '\n') return bad(s, p, "a status line that ends in LF without CR");
    if (*p != '\r' || p[1] != '\n') return bad(s, p, "a control byte in the status line");
    if (s->reason.data) s->reason.len = (size_t)(p - s->reason.data);
    s->at = p + 2;
    return H1_DONE;
}

static ALWAYS_INLINE enum h1_result scan_head(struct scan *s, enum kind kind, bool is_storing)
{
    if (kind != KIND_TRAILERS && s->part < PART_NAME) {
        enum h1_result first = kind == KIND_REQUEST ? scan_request_line(s) : scan_status_line(s);
        if (first != H1_DONE) return first;
        s->line = s->at;
        s->part = PART_NAME;
    }
    return scan_fields(s, is_storing);
}

static enum h1_result too_large(struct scan *s)
{
    if (s->kind == KIND_TRAILERS) return bad(s, s->end, "a trailer section longer than the limit for a head");
    if (s->kind == KIND_REQUEST && (s->part == PART_TARGET || s->part == PART_VERSION))
        return bad_as(s, s->end, END_TARGET_TOO_LONG, "a request line longer than the limit for a head");
    return bad_as(s, s->end, END_HEAD_TOO_LARGE, "a head longer than the limit");
}

/* Member by member: as one assignment it would cost a tenth of the parse. */
static ALWAYS_INLINE void begin(struct scan *s, struct slice bytes, const struct h1_limits *limits,
                                struct http_field *fields, struct h1_fault *fault)
{
    s->begin = s->line = s->at = bytes.data;
    s->end = bytes.data + (bytes.len < limits->head_max ? bytes.len : limits->head_max);
    s->limits = limits;
    s->fault = fault;
    s->fields = fields;
    s->count = 0;
    s->version = HTTP_VERSION_1_1;
    s->method = s->target = s->reason = SLICE_NONE;
    s->status = 0;
}

/* Goes on from where the last call stopped; if that leads to the end, all is parsed again to store it. */
__attribute__((noinline)) static enum h1_result resume(struct scan *s, const struct h1_progress *progress)
{
    s->line = s->begin + progress->line_start;
    s->at = s->begin + progress->scanned;
    s->part = progress->part;
    enum h1_result result = scan_head(s, s->kind, false);
    if (result != H1_DONE) return result;
    s->line = s->at = s->begin;
    s->part = s->kind == KIND_TRAILERS ? PART_NAME : PART_START;
    return scan_head(s, s->kind, true);
}

/* `s` has begun. */
static ALWAYS_INLINE enum h1_result run(struct scan *s, struct h1_progress *progress, enum kind kind,
                                        bool is_response)
{
    s->kind = (uint8_t)kind;
    s->found = (struct h1_found){ .is_response = is_response,
                                  .is_trailer = kind == KIND_TRAILERS,
                                  .framing.keep_alive_max = UINT32_MAX };
    s->part = kind == KIND_TRAILERS ? PART_NAME : PART_START;
    enum h1_result result = progress->scanned ? resume(s, progress) : scan_head(s, kind, true);
    if (result == H1_MORE) {
        if ((uint32_t)(s->end - s->begin) == s->limits->head_max) return too_large(s);
        progress->line_start = (uint32_t)(s->line - s->begin);
        progress->scanned = (uint32_t)(s->at - s->begin);
        progress->part = s->part;
    } else if (result == H1_DONE && s->found.detail) {
        return bad_as(s, s->found.at, s->found.reason, s->found.detail);
    }
    return result;
}

/* ---- what a whole head means ---- */

/* What h1_found_frame() does not set; one by one as in begin(). */
static ALWAYS_INLINE void set_head(const struct scan *s, struct http_head *head)
{
    head->version = s->version;
    head->fields = s->fields;
    head->field_count = s->count;
    head->expects_continue = false;
    head->method = HTTP_OTHER;
    head->method_text = s->method;
    head->target = head->authority = head->scheme = SLICE_NONE;
    head->status = s->status;
    head->reason = s->reason;
}

static enum h1_result finish_request(struct scan *s, struct http_head *head, struct h1_framing *framing)
{
    set_head(s, head);
    head->method = http_method_of(s->method);
    head->authority = http_field_value(s->found.host);
    const char *wrong = h1_target_set(head, s->target);
    if (wrong) return bad(s, s->target.data, wrong);
    if (!s->found.host && s->version == HTTP_VERSION_1_1)
        return bad(s, s->begin, "an HTTP/1.1 request without Host");
    wrong = h1_found_frame(&s->found, head, framing);
    if (wrong) return bad(s, s->found.encoding->name, wrong);
    if (s->found.codings.has_others)
        return bad_as(s, s->found.encoding->value, END_CODING_NOT_SUPPORTED,
                      "a transfer coding other than chunked");
    /* To be ignored in 1.0 (RFC 9110 10.1.1), and there is nothing to wait for where there is no body. */
    head->expects_continue = s->found.expect && s->version == HTTP_VERSION_1_1 &&
                             head->body != HTTP_BODY_NONE;
    return H1_DONE;
}

static enum h1_result finish_response(struct scan *s, enum http_method to, struct http_head *head,
                                      struct h1_framing *framing)
{
    set_head(s, head);
    const char *wrong = h1_found_frame(&s->found, head, framing);
    if (!wrong && s->found.codings.has_others) wrong = "a response in a transfer coding other than chunked";
    if (wrong) return bad(s, s->found.encoding->name, wrong);
    bool is_bodiless = to == HTTP_HEAD || s->status < 200 || s->status == 204 || s->status == 304 ||
                       (to == HTTP_CONNECT && s->status < 300);
    if (is_bodiless) {
        head->body = HTTP_BODY_NONE;
        framing->is_chunked = false;
    } else if (head->body == HTTP_BODY_NONE) {
        head->body = HTTP_BODY_UNKNOWN;
        framing->is_persistent = false;
    }
    return H1_DONE;
}

enum h1_result h1_parse_request(struct h1_progress *progress, struct slice bytes,
                                const struct h1_limits *limits, struct http_field *fields,
                                struct http_head *head, struct h1_framing *framing, uint32_t *head_len,
                                struct h1_fault *fault)
{
    if (!bytes.len) return H1_MORE;
    struct scan s;
    begin(&s, bytes, limits, fields, fault);
    enum h1_result result = run(&s, progress, KIND_REQUEST, false);
    if (result != H1_DONE) return result;
    *head_len = (uint32_t)(s.at - s.begin);
    return finish_request(&s, head, framing);
}

enum h1_result h1_parse_response(struct h1_progress *progress, struct slice bytes, enum http_method to,
                                 const struct h1_limits *limits, struct http_field *fields,
                                 struct http_head *head, struct h1_framing *framing, uint32_t *head_len,
                                 struct h1_fault *fault)
{
    if (!bytes.len) return H1_MORE;
    struct scan s;
    begin(&s, bytes, limits, fields, fault);
    enum h1_result result = run(&s, progress, KIND_RESPONSE, true);
    if (result != H1_DONE) return result;
    *head_len = (uint32_t)(s.at - s.begin);
    return finish_response(&s, to, head, framing);
}

enum h1_result h1_parse_trailers(struct h1_progress *progress, struct slice bytes, bool is_response,
                                 const struct h1_limits *limits, struct http_field *fields, uint32_t *count,
                                 uint32_t *len, struct h1_fault *fault)
{
    if (!bytes.len) return H1_MORE;
    struct scan s;
    begin(&s, bytes, limits, fields, fault);
    enum h1_result result = run(&s, progress, KIND_TRAILERS, is_response);
    if (result != H1_DONE) return result;
    *len = (uint32_t)(s.at - s.begin);
    *count = s.count;
    return H1_DONE;
}
