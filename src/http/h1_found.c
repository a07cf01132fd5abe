#include "http/h1_found.h"

/* Each is looked for among all fields: the product is bounded. */
#define OPTIONS_MAX 32

__attribute__((cold)) void h1_found_keep_back(struct h1_found *found, const char *at, enum end_reason reason,
                                              const char *detail)
{
    if (found->detail) return;
    found->at = at;
    found->reason = reason;
    found->detail = detail;
}

static void keep_back(struct h1_found *found, const char *at, const char *detail)
{
    h1_found_keep_back(found, at, END_BAD_REQUEST, detail);
}

static void note_option(struct h1_found *found, struct slice option)
{
    switch (http_field_id_of(option)) {
    case HTTP_FIELD_UPGRADE: found->asks_upgrade = true; return;
    case HTTP_FIELD_KEEP_ALIVE: found->keeps = true; return;
    case HTTP_FIELD_TRANSFER_ENCODING:
        /* There are servers that name it, and it is never passed on anyway. */
        if (!found->is_response) keep_back(found, option.data, "Connection names Transfer-Encoding");
        return;
    case HTTP_FIELD_CONTENT_LENGTH: keep_back(found, option.data, "Connection names Content-Length"); return;
    case HTTP_FIELD_HOST: keep_back(found, option.data, "Connection names Host"); return;
    default: break;
    }
    if (slice_equal_fold(option, SLICE("close")))
        found->closes = true;
    else
        found->names_fields = true;
}

static void note_options(struct h1_found *found, const struct http_field *f)
{
    struct slice rest = http_field_value(f), option;
    while (h1_next_option(&rest, &option)) {
        if (!option.len) continue;
        if (++found->option_count > OPTIONS_MAX) {
            keep_back(found, option.data, "Connection has more than 32 options");
            return;
        }
        note_option(found, option);
    }
}

static void note_length(struct h1_found *found, const struct http_field *f)
{
    if (found->length)
        keep_back(found, f->name, "more than one Content-Length");
    else if (!h1_length_read(http_field_value(f), &found->content_length))
        keep_back(found, f->value, "a Content-Length that is not one number below 2^63");
    found->length = f;
}

static void note_host(struct h1_found *found, const struct http_field *f)
{
    static const char *const details[H1_AUTHORITY_COUNT] = {
        [H1_AUTHORITY_NO_HOST] = "a Host with a port but no name",
        [H1_AUTHORITY_USERINFO] = "a Host with user information",
        [H1_AUTHORITY_BAD_BYTE] = "a byte in Host that no host name has",
        [H1_AUTHORITY_BAD_IPV6] = "a Host in brackets that is not an IPv6 address",
        [H1_AUTHORITY_BAD_PORT] = "a Host whose port is not a number up to 65535",
    };
    if (found->host) keep_back(found, f->name, "more than one Host");
    found->host = f;
    if (!f->value_len) return; /* RFC 9112 3.2: of a target without authority */
    enum h1_authority got = h1_authority_check(http_field_value(f), false);
    if (got != H1_AUTHORITY_OK) keep_back(found, f->value, details[got]);
}

static void note_expect(struct h1_found *found, const struct http_field *f)
{
    if (!slice_equal_fold(http_field_value(f), SLICE("100-continue")))
        h1_found_keep_back(found, f->value, END_EXPECTATION_FAILED, "an expectation other than 100-continue");
    found->expect = f;
}

static void note_te(struct h1_found *found, const struct http_field *f)
{
    struct slice rest = http_field_value(f), coding;
    while (h1_next_option(&rest, &coding))
        if (slice_equal_fold(coding, SLICE("trailers"))) found->accepts_trailers = true;
}

/* RFC 9110 6.5.1: other fields that must not come late are dropped, but these are there to deceive. */
static void note_trailer(struct h1_found *found, const struct http_field *f)
{
    if (f->id == HTTP_FIELD_CONTENT_LENGTH) keep_back(found, f->name, "Content-Length in a trailer section");
    if (f->id == HTTP_FIELD_TRANSFER_ENCODING)
        keep_back(found, f->name, "Transfer-Encoding in a trailer section");
}

static void note_head_field(struct h1_found *found, const struct http_field *f)
{
    switch ((enum http_field_id)f->id) {
    case HTTP_FIELD_HOST:
        if (!found->is_response) note_host(found, f);
        return;
    case HTTP_FIELD_CONTENT_LENGTH: note_length(found, f); return;
    case HTTP_FIELD_TRANSFER_ENCODING:
        if (!found->encoding) found->encoding = f;
        h1_codings_add(&found->codings, http_field_value(f));
        return;
    case HTTP_FIELD_CONNECTION: note_options(found, f); return;
    case HTTP_FIELD_UPGRADE:
        if (found->upgrade) found->has_upgrades = true;
        found->upgrade = f;
        return;
    case HTTP_FIELD_EXPECT:
        if (!found->is_response) note_expect(found, f);
        return;
    case HTTP_FIELD_TE:
        if (!found->is_response) note_te(found, f);
        return;
    case HTTP_FIELD_KEEP_ALIVE:
        if (found->is_response) h1_keep_alive_read(http_field_value(f), &found->framing);
        return;
    default: return;
    }
}

void h1_found_note(struct h1_found *found, const struct http_field *f)
{
    if (found->is_trailer)
        note_trailer(found, f);
    else
        note_head_field(found, f);
}

static void drop_named(const struct http_head *head, struct slice option)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_field *f = &head->fields[i];
        if (slice_equal_fold((struct slice){ f->name, f->name_len }, option)) f->is_dropped = true;
    }
}

static void drop_all_named(const struct http_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != HTTP_FIELD_CONNECTION) continue;
        struct slice rest = http_field_value(&head->fields[i]), option;
        while (h1_next_option(&rest, &option)) {
            if (option.len) drop_named(head, option);
        }
    }
}

const char *h1_found_frame(const struct h1_found *found, struct http_head *head, struct h1_framing *framing)
{
    bool is_1_1 = head->version == HTTP_VERSION_1_1;
    *framing = found->framing;
    framing->is_persistent = !found->closes && (is_1_1 || found->keeps);
    head->content_length = found->content_length;
    /* To be ignored in 1.0 (RFC 9110 7.8). */
    head->upgrade = is_1_1 && found->asks_upgrade && !found->has_upgrades ? http_field_value(found->upgrade)
                                                                          : SLICE_NONE;
    head->accepts_trailers = is_1_1 && found->accepts_trailers;
    head->body = found->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    if (found->names_fields) drop_all_named(head);
    if (!found->encoding) return NULL;
    if (found->length) return "Content-Length together with Transfer-Encoding";
    if (!is_1_1) return "Transfer-Encoding in an HTTP/1.0 message";
    if (found->codings.is_malformed) return "a Transfer-Encoding that cannot be parsed";
    if (found->codings.is_repeated) return "a Transfer-Encoding in which something follows chunked";
    if (!found->codings.is_final_chunked) return "a Transfer-Encoding that does not end in chunked";
    framing->is_chunked = true;
    head->body = HTTP_BODY_UNKNOWN;
    return NULL;
}
