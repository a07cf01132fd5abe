#include "admin/guard.h"

#include <stdio.h>

#define PASSWORD_MAX 1024

bool guard_is_token(const char *token, struct slice given)
{
    size_t len = strlen(token);
    volatile unsigned difference = len != given.len;
    for (size_t i = 0; i < given.len; i++)
        difference |= (unsigned char)given.data[i] ^ (unsigned char)token[i % len];
    return difference == 0;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

/* RFC 4648 4. -1 if it is none or does not fit. */
static int base64_decode(struct slice text, char *out, size_t out_size)
{
    size_t len = 0;
    unsigned bits = 0;
    uint32_t value = 0;
    while (text.len && text.data[text.len - 1] == '=') text.len--;
    if (text.len % 4 == 1) return -1;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) return -1;
        value = (value << 6 | (uint32_t)digit) & 0xffffff;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        if (len == out_size) return -1;
        out[len++] = (char)(value >> bits & 0xff);
    }
    return (int)len;
}

/* The credentials behind `scheme`, or nothing if it is another. */
static struct slice credentials(struct slice field, struct slice scheme)
{
    if (field.len <= scheme.len || field.data[scheme.len] != ' ' ||
        !slice_equal_fold((struct slice){ field.data, scheme.len }, scheme))
        return SLICE_NONE;
    return slice_trim((struct slice){ field.data + scheme.len, field.len - scheme.len });
}

static bool has_token(const struct guard *g, struct slice field)
{
    struct slice bearer = credentials(field, SLICE("Bearer"));
    if (bearer.len) return guard_is_token(g->token, bearer);
    char decoded[PASSWORD_MAX];
    int len = base64_decode(credentials(field, SLICE("Basic")), decoded, sizeof(decoded));
    const char *colon = len > 0 ? memchr(decoded, ':', (size_t)len) : NULL;
    bool is_shown = colon && guard_is_token(g->token,
                                            (struct slice){ colon + 1, (size_t)(decoded + len - colon - 1) });
    explicit_bzero(decoded, sizeof(decoded));
    return is_shown;
}

static uint16_t check_token(const struct guard *g, const struct http_head *head, struct err *err)
{
    struct slice field = http_field_value(http_head_find(head, HTTP_FIELD_AUTHORIZATION));
    bool has_several = http_head_has_several(head, HTTP_FIELD_AUTHORIZATION);
    if (field.len && !has_several && has_token(g, field)) return 0;
    if (has_several)
        err_set(err, "there is more than one Authorization; send one");
    else if (field.len)
        err_set(err, "the token is not the one that admin: {token} has in weir's configuration");
    else
        err_set(
            err,
            "a token is needed; send \"Authorization: Bearer TOKEN\", or it as the password of HTTP Basic");
    return 401;
}

static bool is_host(struct slice authority, const char *host, unsigned port)
{
    char text[ADDRESS_TEXT_MAX + 8];
    int len = snprintf(text, sizeof(text), "%s:%u", host, port);
    if (slice_equal_fold(authority, (struct slice){ text, (size_t)len })) return true;
    return port == 80 && slice_equal_fold(authority, slice_of(host));
}

static uint16_t check_host(const struct guard *g, const struct http_head *head, struct err *err)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };
    char bind[ADDRESS_TEXT_MAX];
    if (g->bind.sa.any.sa_family == AF_UNIX) return 0;
    /* Every browser sends Host; an HTTP/1.0 request without one is a tool's. */
    if (head->version == HTTP_VERSION_1_0 && !head->authority.len) return 0;
    unsigned port = address_port(&g->bind);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (is_host(head->authority, names[i], port)) return 0;
    address_print(&g->bind, bind);
    if (slice_equal_fold(head->authority, slice_of(bind))) return 0;
    *strrchr(bind, ':') = 0;
    if (is_host(head->authority, bind, port)) return 0;
    int shown = head->authority.len < 100 ? (int)head->authority.len : 100;
    err_set(err,
            "the Host \"%.*s\" is not this API's; use %s:%u or localhost:%u, or set admin: {token} to allow "
            "other names",
            shown, head->authority.data, bind, port, port);
    return 403;
}

/* A page's origin is its scheme and authority (RFC 6454 7); ours is what the request was sent to. The
 * scheme is left aside: TLS may end in front of weir. */
static uint16_t check_origin(const struct http_head *head, struct err *err)
{
    const struct http_field *f = http_head_find(head, HTTP_FIELD_ORIGIN);
    if (!f) return 0;
    if (http_head_has_several(head, HTTP_FIELD_ORIGIN)) {
        err_set(err, "there is more than one Origin, and a request has one");
        return 403;
    }
    struct slice origin = http_field_value(f);
    struct slice rest = origin;
    if (slice_starts_with(rest, SLICE("http://"))) rest.data += 7, rest.len -= 7;
    if (slice_starts_with(rest, SLICE("https://"))) rest.data += 8, rest.len -= 8;
    if (rest.len < origin.len && slice_equal_fold(rest, head->authority)) return 0;
    int shown = origin.len < 100 ? (int)origin.len : 100;
    err_set(err, "a page of \"%.*s\" may not use this API; only pages that it serves itself may", shown,
            origin.data);
    return 403;
}

static bool is_field(const struct http_field *f, struct slice name, struct slice value)
{
    return slice_equal_fold((struct slice){ f->name, f->name_len }, name) &&
           slice_equal(http_field_value(f), value);
}

static bool has_field(const struct http_head *head, struct slice name, struct slice value)
{
    for (uint32_t i = 0; i < head->field_count; i++)
        if (is_field(&head->fields[i], name, value)) return true;
    return false;
}

/* Whose page made the browser ask, as far as it says so (W3C, Fetch Metadata Request Headers 2.4): "cross-site",
 * "same-site" (another port or name of ours is not we), "same-origin", or "none", which is its user. */
static uint16_t check_site(const struct http_head *head, bool has_effect, struct err *err)
{
    static const struct slice name = { "Sec-Fetch-Site", 14 };
    bool is_foreign = false;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        is_foreign |= slice_equal_fold((struct slice){ f->name, f->name_len }, name) &&
                      !is_field(f, name, SLICE("same-origin")) && !is_field(f, name, SLICE("none"));
    }
    bool is_link = head->method == HTTP_GET && has_field(head, SLICE("Sec-Fetch-Mode"), SLICE("navigate")) &&
                   has_field(head, SLICE("Sec-Fetch-Dest"), SLICE("document"));
    if (!is_foreign || (is_link && !has_effect)) return 0;
    err_set(err,
            "a page of another site led here, which may not use this API; type the address, or use a tool");
    return 403;
}

uint16_t guard_check(const struct guard *g, const struct http_head *head, bool has_effect, struct err *err)
{
    uint16_t status = g->token ? check_token(g, head, err) : check_host(g, head, err);
    if (!status) status = check_origin(head, err);
    return status ? status : check_site(head, has_effect, err);
}
