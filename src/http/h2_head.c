#include "http/h2_head.h"

#include <string.h>

#include "http/h1_body.h"
#include "http/h1_found.h"
#include "http/h1_scan.h"

#define METHOD_MAX 32u
/* Beyond the limit for a head this much may be heard of before nobody goes on listening: references to a table make a
 * kilobyte of every byte. */
#define HEARD_FACTOR 4u

static void note_fault(struct h2_head *h, enum end_reason reason, const char *detail)
{
    if (h->fault) return;
    h->fault = reason;
    h->detail = detail;
}

/* Of a head, of trailers. */
static const struct {
    enum end_reason bad[2], large[2];
} faults[] = {
    [false] = { { END_BAD_REQUEST, END_BAD_REQUEST_BODY }, { END_HEAD_TOO_LARGE, END_BAD_REQUEST_BODY } },
    [true] = { { END_BAD_RESPONSE, END_BAD_RESPONSE_BODY },
               { END_RESPONSE_HEAD_TOO_LARGE, END_BAD_RESPONSE_BODY } },
};

static void malformed(struct h2_head *h, const char *detail)
{
    note_fault(h, faults[h->is_response].bad[h->is_trailers], detail);
}

static void too_large(struct h2_head *h, const char *detail)
{
    note_fault(h, faults[h->is_response].large[h->is_trailers], detail);
}

static bool is_all(struct slice s, enum h1_class class)
{
    return h1_skip_bytes(s.data, s.data + s.len, class) == s.data + s.len;
}

/* RFC 9113 8.2.1, and no control byte beside those: what HTTP/1 refuses does not come in this way. */
static const char *check_value(struct slice value)
{
    const char *end = value.data + value.len;
    if (value.len && h1_skip_value(value.data, end) != end) return "a control byte in a field value";
    if (slice_trim(value).len != value.len) return "a field value with white space around it";
    return NULL;
}

static const char *check_name(struct slice name)
{
    if (!name.len) return "a field without a name";
    if (name.len > UINT16_MAX) return "a field name of more than 65535 bytes";
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] >= 'A' && name.data[i] <= 'Z') return "a field name in upper case";
        if (!h1_is(name.data[i], H1_TOKEN)) return "a byte that no field name may have";
    }
    return NULL;
}

static void set_pseudo(struct h2_head *h, struct slice *to, struct slice value)
{
    if (to->data) malformed(h, "a pseudo-field that comes twice");
    *to = text_put(&h->text, value);
}

static void add_pseudo(struct h2_head *h, struct slice name, struct slice value)
{
    if (h->is_trailers) {
        malformed(h, "a pseudo-field among trailers");
    } else if (h->has_fields) {
        malformed(h, "a pseudo-field behind other fields");
    } else if (h->is_response) {
        if (slice_equal(name, SLICE(":status")))
            set_pseudo(h, &h->status, value);
        else
            malformed(h, "a pseudo-field that a response does not have");
    } else if (slice_equal(name, SLICE(":method"))) {
        set_pseudo(h, &h->method, value);
    } else if (slice_equal(name, SLICE(":scheme"))) {
        set_pseudo(h, &h->scheme, value);
    } else if (slice_equal(name, SLICE(":path"))) {
        set_pseudo(h, &h->path, value);
    } else if (slice_equal(name, SLICE(":authority"))) {
        set_pseudo(h, &h->authority, value);
        h->has_authority = true;
    } else if (h->allows_tunnels && slice_equal(name, SLICE(":protocol"))) {
        set_pseudo(h, &h->protocol, value);
    } else {
        malformed(h, "a pseudo-field that a request does not have");
    }
}

static void note_length(struct h2_head *h, struct slice value)
{
    if (h->has_length)
        malformed(h, "more than one content-length");
    else if (!h1_length_read(value, &h->content_length))
        malformed(h, "a content-length that is not one number below 2^63");
    h->has_length = true;
}

static void note_field(struct h2_head *h, struct http_field *f)
{
    struct slice value = http_field_value(f);
    switch ((enum http_field_id)f->id) {
    case HTTP_FIELD_CONNECTION:
    case HTTP_FIELD_KEEP_ALIVE:
    case HTTP_FIELD_PROXY_CONNECTION:
    case HTTP_FIELD_TRANSFER_ENCODING:
    case HTTP_FIELD_UPGRADE:
        malformed(h, "a field of a connection's, which HTTP/2 does not have");
        return; /* 8.2.2 */
    case HTTP_FIELD_TE:
        f->is_dropped = true; /* hop by hop */
        if (h->is_response) return;
        if (!slice_equal_fold(value, SLICE("trailers"))) malformed(h, "a te other than trailers");
        h->accepts_trailers = true;
        return;
    case HTTP_FIELD_CONTENT_LENGTH: note_length(h, value); return;
    case HTTP_FIELD_HOST:
        if (h->is_response) return;
        if (h->host) malformed(h, "more than one host");
        h->host = f;
        return;
    case HTTP_FIELD_EXPECT:
        if (h->is_response) return;
        if (!slice_equal_fold(value, SLICE("100-continue")))
            note_fault(h, END_EXPECTATION_FAILED, "an expectation other than 100-continue");
        h->has_expect = true;
        return;
    default: return;
    }
}

/* RFC 9110 6.5.1, as in HTTP/1. */
static void note_trailer(struct h2_head *h, struct http_field *f)
{
    if (f->id == HTTP_FIELD_CONTENT_LENGTH || f->id == HTTP_FIELD_TRANSFER_ENCODING)
        malformed(h, "framing among trailers");
    else if (H1_HOP_BY_HOP >> f->id & 1)
        malformed(h, "a field of a connection's among trailers");
    f->is_dropped = !h1_body_may_trail((struct slice){ f->name, f->name_len });
}

static void add_field(struct h2_head *h, struct slice name, struct slice value)
{
    h->has_fields = true;
    const char *detail = check_name(name);
    if (detail) {
        malformed(h, detail);
        return;
    }
    if (h->count == h->limits->field_max) {
        too_large(h, "more fields than the limit");
        return;
    }
    struct http_field *f = &h->fields[h->count++];
    *f = (struct http_field){ .name = text_put(&h->text, name).data,
                              .name_len = (uint16_t)name.len,
                              .value = text_put(&h->text, value).data,
                              .value_len = (uint32_t)value.len,
                              .id = (uint8_t)http_field_id_of(name) };
    h->cookies += slice_equal(name, SLICE("cookie"));
    if (slice_equal(name, SLICE("priority"))) h->priority = http_field_value(f);
    if (h->is_trailers)
        note_trailer(h, f);
    else
        note_field(h, f);
}

bool h2_head_add(void *context, struct slice name, struct slice value)
{
    struct h2_head *h = context;
    h->heard += name.len + value.len + 32; /* as RFC 7541 4.1 counts: an empty one costs, too */
    if (h->heard > (uint64_t)h->limits->head_max * HEARD_FACTOR) return false;
    h->size += name.len + value.len + 4;
    if (h->size > h->limits->head_max) too_large(h, "the head is over the limit");
    if (h->fault) return true; /* heard for the table's sake (4.3), and not kept */
    const char *detail = check_value(value);
    if (detail)
        malformed(h, detail);
    else if (name.len && name.data[0] == ':')
        add_pseudo(h, name, value);
    else
        add_field(h, name, value);
    return true;
}

/* 8.2.3: one field for who speaks HTTP/1, at the place of the first. */
static void join_cookies(struct h2_head *h)
{
    if (h->cookies < 2) return;
    struct http_field *first = NULL;
    size_t begin = h->text.len;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        struct http_field *f = &h->fields[i];
        bool is_cookie = slice_equal((struct slice){ f->name, f->name_len }, SLICE("cookie"));
        if (is_cookie) {
            if (first) TEXT_LITERAL(&h->text, "; ");
            text_add(&h->text, f->value, f->value_len);
        }
        if (is_cookie && first) continue;
        if (h->host == f) h->host = &h->fields[kept];
        h->fields[kept] = *f;
        if (is_cookie) first = &h->fields[kept];
        kept++;
    }
    if (!first) return;
    first->value = h->text.data + begin;
    first->value_len = (uint32_t)(h->text.len - begin);
    h->count = kept;
}

static const char *set_method(struct h2_head *h, struct http_head *out)
{
    if (!h->method.len) return "a request without :method";
    if (h->method.len > METHOD_MAX || !is_all(h->method, H1_TOKEN)) return "a :method that is no method";
    out->method_text = h->method;
    out->method = http_method_of(h->method);
    return NULL;
}

/* 8.3.1: both, if both are there, say the same. */
static const char *set_authority(struct h2_head *h, struct http_head *out)
{
    struct slice host = http_field_value(h->host);
    if (h->host && h->has_authority && !slice_equal_fold(host, h->authority))
        return "a host other than :authority";
    out->authority = h->has_authority ? h->authority : host;
    bool is_target = out->method == HTTP_CONNECT && !h->protocol.data;
    if (h1_authority_check(out->authority, is_target) != H1_AUTHORITY_OK)
        return out->authority.len ? "an :authority that is no host" : "a request without :authority and host";
    return NULL;
}

static const char *set_target(struct h2_head *h, struct http_head *out)
{
    if (h->protocol.data && out->method != HTTP_CONNECT) return "a :protocol without CONNECT";
    if (out->method == HTTP_CONNECT && !h->protocol.data) { /* 8.5 */
        if (h->path.data || h->scheme.data) return "a CONNECT with :scheme or :path";
        out->target = out->authority;
        return NULL;
    }
    if (!slice_equal(h->scheme, SLICE("https")) && !slice_equal(h->scheme, SLICE("http")))
        return h->scheme.data ? "a :scheme other than http and https" : "a request without :scheme";
    if (!h->path.len) return "a request without :path";
    if (!is_all(h->path, H1_TARGET)) return "a byte in :path that no path may have";
    bool is_star = out->method == HTTP_OPTIONS && slice_equal(h->path, SLICE("*"));
    if (h->path.data[0] != '/' && !is_star) return "a :path that is none";
    out->target = h->path;
    return NULL;
}

/* Whoever looks for the field finds it, as in HTTP/1. */
static void say_host(struct h2_head *h, const struct http_head *out)
{
    if (h->host) return;
    h->fields[h->count++] = (struct http_field){ .name = "host",
                                                 .name_len = 4,
                                                 .value = out->authority.data,
                                                 .value_len = (uint32_t)out->authority.len,
                                                 .id = HTTP_FIELD_HOST };
}

static bool means_content(enum http_method method)
{
    return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

static const char *set_body(struct h2_head *h, bool ends, struct http_head *out)
{
    if (ends && h->has_length && h->content_length) return "a content-length, and no content"; /* 8.1.1 */
    out->content_length = h->content_length;
    out->body = HTTP_BODY_UNKNOWN;
    /* HTTP/1 servers want to hear of no content where some is usual (RFC 9110 8.6). */
    if (h->has_length || (ends && means_content(out->method)))
        out->body = HTTP_BODY_LENGTH;
    else if (ends)
        out->body = HTTP_BODY_NONE;
    out->expects_continue = h->has_expect && !ends;
    return NULL;
}

/* RFC 8441 5: for whoever looks at it, what it would be in HTTP/1 (RFC 6455 4.1). */
static const char *set_tunnel(struct h2_head *h, struct http_head *out)
{
    if (!h->protocol.data) return NULL;
    if (!slice_equal_fold(h->protocol, SLICE("websocket"))) {
        note_fault(h, END_UPGRADE_NOT_SUPPORTED, "a :protocol other than websocket");
        return NULL;
    }
    if (h->has_length && h->content_length) return "a content-length of a tunnel";
    out->method = HTTP_GET;
    out->method_text = SLICE("GET");
    out->upgrade = SLICE("websocket");
    out->body = HTTP_BODY_NONE;
    out->content_length = 0;
    out->expects_continue = false;
    return NULL;
}

enum end_reason h2_head_finish(struct h2_head *h, bool ends, struct http_head *out)
{
    *out = (struct http_head){ .version = HTTP_VERSION_2, .accepts_trailers = h->accepts_trailers };
    if (!h->fault) {
        const char *detail = set_method(h, out);
        if (!detail) detail = set_authority(h, out);
        if (!detail) detail = set_target(h, out);
        if (!detail) detail = set_body(h, ends, out);
        if (!detail) detail = set_tunnel(h, out);
        if (detail) malformed(h, detail);
    }
    if (h->fault) return h->fault;
    join_cookies(h);
    say_host(h, out);
    if (h->text.is_cut) note_fault(h, END_HEAD_TOO_LARGE, "the head is over the limit");
    out->fields = h->fields;
    out->field_count = h->count;
    return h->fault;
}

/* responses */

static const char *set_status(struct h2_head *h, bool ends, struct http_head *out)
{
    struct slice s = h->status;
    if (!s.data) return "a response without :status";
    if (s.len != 3 || s.data[0] < '1' || s.data[0] > '9') return "a :status that is no status";
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return "a :status that is no status";
        out->status = (uint16_t)(out->status * 10 + (s.data[i] - '0'));
    }
    if (out->status == 101) return "a 101, which HTTP/2 does not have"; /* 8.6 */
    if (out->status < 200 && ends) return "an interim response that ends the stream";
    return NULL;
}

/* RFC 9110 6.4.1, RFC 9113 8.1.1. */
static const char *set_response_body(struct h2_head *h, bool ends, enum http_method asked,
                                     struct http_head *out)
{
    bool is_bodiless = asked == HTTP_HEAD || out->status < 200 || out->status == 204 || out->status == 304;
    if (is_bodiless) return NULL;
    if (ends && h->has_length && h->content_length) return "a content-length, and no content";
    out->content_length = h->content_length;
    if (h->has_length)
        out->body = HTTP_BODY_LENGTH;
    else if (!ends)
        out->body = HTTP_BODY_UNKNOWN;
    return NULL;
}

enum end_reason h2_head_finish_response(struct h2_head *h, bool ends, enum http_method asked,
                                        struct http_head *out)
{
    *out = (struct http_head){ .version = HTTP_VERSION_2, .body = HTTP_BODY_NONE };
    const char *detail = h->fault ? NULL : set_status(h, ends, out);
    if (!h->fault && !detail) detail = set_response_body(h, ends, asked, out);
    if (detail) malformed(h, detail);
    if (h->text.is_cut) too_large(h, "the head is over the limit");
    const char *reason = http_status_text(out->status);
    out->reason = (struct slice){ reason, strlen(reason) };
    out->fields = h->fields;
    out->field_count = h->count;
    return h->fault;
}

/* out */

/* What HTTP/2 says otherwise, or does not have (8.2.2). */
static bool is_passing_on(const struct http_field *f)
{
    if (f->is_dropped) return false;
    switch ((enum http_field_id)f->id) {
    case HTTP_FIELD_HOST:
    case HTTP_FIELD_CONTENT_LENGTH: return false;
    default: return !(H1_HOP_BY_HOP >> f->id & 1);
    }
}

static size_t room_of(const struct http_field *fields, uint32_t count)
{
    size_t size = count * sizeof(nghttp2_nv);
    for (uint32_t i = 0; i < count; i++) size += fields[i].name_len;
    return size;
}

#define NUMBERS_ROOM 32u /* the status and a length */
#define OWN_FIELDS 7u    /* pseudo-fields, the length, te */

size_t h2_head_fields_room(const struct http_send *send)
{
    return room_of(send->head->fields, send->head->field_count) + room_of(send->extra, send->extra_count) +
           OWN_FIELDS * sizeof(nghttp2_nv) + NUMBERS_ROOM;
}

size_t h2_trailers_room(const struct http_field *fields, uint32_t count)
{
    return room_of(fields, count);
}

/* RFC 8441 5: the stream says as much. */
static bool is_handshakes(const struct http_field *f)
{
    return slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("sec-websocket-key"));
}

/* Their names in lower case, which HTTP/2 wants; at `text`, which moves. */
static size_t put_fields(nghttp2_nv *to, const struct http_field *fields, uint32_t count, bool is_tunnel,
                         char **text)
{
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (!is_passing_on(f) || (is_tunnel && is_handshakes(f))) continue;
        char *name = *text;
        for (uint32_t k = 0; k < f->name_len; k++) {
            char c = f->name[k];
            name[k] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        *text += f->name_len;
        to[n++] = h2_field((struct slice){ name, f->name_len }, http_field_value(f),
                           f->id == HTTP_FIELD_X_REQUEST_ID);
    }
    return n;
}

/* At `text`, which moves. */
static nghttp2_nv put_length(const struct http_send *send, char **text)
{
    struct text length = text_over(*text, NUMBERS_ROOM - 4);
    text_add_u64(&length, send->content_length);
    *text += length.len;
    return h2_field(SLICE("content-length"), text_slice(&length), false);
}

size_t h2_head_put(const struct http_send *send, char *memory)
{
    nghttp2_nv *to = (nghttp2_nv *)(void *)memory;
    size_t fields = OWN_FIELDS + send->head->field_count + send->extra_count, n = 0;
    char *at = memory + fields * sizeof(*to);
    struct text status = text_over(at, 4);
    text_add_u64(&status, send->head->status);
    at += 4;
    to[n++] = h2_field(SLICE(":status"), text_slice(&status), false);
    if (send->body == HTTP_BODY_LENGTH && send->head->status >= 200) to[n++] = put_length(send, &at);
    n += put_fields(to + n, send->head->fields, send->head->field_count, false, &at);
    n += put_fields(to + n, send->extra, send->extra_count, false, &at);
    return n;
}

size_t h2_head_put_request(const struct http_send *send, struct slice scheme, char *memory)
{
    nghttp2_nv *to = (nghttp2_nv *)(void *)memory;
    const struct http_head *head = send->head;
    char *at = memory + (OWN_FIELDS + head->field_count + send->extra_count) * sizeof(*to);
    size_t n = 0;
    bool is_tunnel = send->upgrade.len > 0; /* RFC 8441 4 */
    to[n++] = h2_field(SLICE(":method"), is_tunnel ? SLICE("CONNECT") : head->method_text, false);
    if (is_tunnel) to[n++] = h2_field(SLICE(":protocol"), send->upgrade, false);
    to[n++] = h2_field(SLICE(":scheme"), scheme, false);
    to[n++] = h2_field(SLICE(":authority"), send->authority, false);
    to[n++] = h2_field(SLICE(":path"), send->target.len ? send->target : head->target, false);
    if (send->body == HTTP_BODY_LENGTH && !is_tunnel) to[n++] = put_length(send, &at);
    if (head->accepts_trailers) to[n++] = h2_field(SLICE("te"), SLICE("trailers"), false);
    n += put_fields(to + n, head->fields, head->field_count, is_tunnel, &at);
    n += put_fields(to + n, send->extra, send->extra_count, is_tunnel, &at);
    return n;
}

size_t h2_trailers_put(const struct http_field *fields, uint32_t count, char *memory)
{
    char *at = memory + count * sizeof(nghttp2_nv);
    return put_fields((nghttp2_nv *)(void *)memory, fields, count, false, &at);
}
