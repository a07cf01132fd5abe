#include "http/h1_value.h"

#include <arpa/inet.h>

#include "http/h1_scan.h"

static bool is_hex(char c)
{
    return h1_is(c, H1_DIGIT) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool is_port(const char *p, const char *end)
{
    if (end - p > 5) return false;
    uint32_t port = 0;
    for (; p < end; p++) {
        if (!h1_is(*p, H1_DIGIT)) return false;
        port = port * 10 + (uint32_t)(*p - '0');
    }
    return port <= 65535;
}

static enum h1_authority check_port(const char *p, const char *end, bool needs_port)
{
    if (p == end) return needs_port ? H1_AUTHORITY_NO_PORT : H1_AUTHORITY_OK;
    if (*p != ':') return *p == '@' ? H1_AUTHORITY_USERINFO : H1_AUTHORITY_BAD_BYTE;
    if (p + 1 == end && needs_port) return H1_AUTHORITY_NO_PORT;
    if (is_port(p + 1, end)) return H1_AUTHORITY_OK;
    /* "user:word@host" looks like a port until the "@". */
    return memchr(p, '@', (size_t)(end - p)) ? H1_AUTHORITY_USERINFO : H1_AUTHORITY_BAD_PORT;
}

static enum h1_authority check_ipv6(const char *p, const char *end, bool needs_port)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *close = memchr(p, ']', (size_t)(end - p));
    if (!close || close - (p + 1) >= (ptrdiff_t)sizeof(text)) return H1_AUTHORITY_BAD_IPV6;
    size_t len = (size_t)(close - (p + 1));
    memcpy(text, p + 1, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &address) != 1) return H1_AUTHORITY_BAD_IPV6;
    return check_port(close + 1, end, needs_port);
}

enum h1_authority h1_authority_check(struct slice authority, bool needs_port)
{
    if (!authority.len) return H1_AUTHORITY_NO_HOST;
    const char *p = authority.data, *end = p + authority.len;
    if (*p == '[') return check_ipv6(p, end, needs_port);
    for (;;) {
        p = h1_skip_bytes(p, end, H1_HOST);
        if (p == end || *p != '%') break;
        if (end - p < 3 || !is_hex(p[1]) || !is_hex(p[2])) return H1_AUTHORITY_BAD_BYTE;
        p += 3;
    }
    if (p == authority.data && *p == ':') return H1_AUTHORITY_NO_HOST;
    return check_port(p, end, needs_port);
}

static const char *const authority_details[H1_AUTHORITY_COUNT] = {
    [H1_AUTHORITY_NO_HOST] = "a request target without a host",
    [H1_AUTHORITY_USERINFO] = "a request target with user information",
    [H1_AUTHORITY_BAD_BYTE] = "a byte in the request target's host that no host name has",
    [H1_AUTHORITY_BAD_IPV6] = "a request target whose host in brackets is not an IPv6 address",
    [H1_AUTHORITY_BAD_PORT] = "a request target whose port is not a number up to 65535",
    [H1_AUTHORITY_NO_PORT] = "a CONNECT target without a port",
};

static const char *set_authority(struct http_head *head, struct slice authority)
{
    head->authority = authority;
    return authority_details[h1_authority_check(authority, head->method == HTTP_CONNECT)];
}

/* RFC 9112 3.2.2. NULL, or what is wrong. */
static const char *split_absolute(struct http_head *head, struct slice target)
{
    size_t scheme_len = target.len > 4 && (target.data[4] | 0x20) == 's' ? 5 : 4;
    struct slice separator = SLICE("://");
    if (target.len < scheme_len + separator.len ||
        !slice_equal_fold((struct slice){ target.data, scheme_len }, (struct slice){ "https", scheme_len }) ||
        memcmp(target.data + scheme_len, separator.data, separator.len) != 0)
        return "a request target that is neither a path nor an http:// or https:// URI";
    head->scheme = (struct slice){ target.data, scheme_len };
    const char *p = target.data + scheme_len + separator.len, *end = target.data + target.len;
    const char *path = p;
    while (path < end && *path != '/' && *path != '?') path++;
    head->target = (struct slice){ path, (size_t)(end - path) };
    if (path == end) head->target = head->method == HTTP_OPTIONS ? SLICE("*") : SLICE("/"); /* 3.2.4 */
    return set_authority(head, (struct slice){ p, (size_t)(path - p) });
}

const char *h1_target_set(struct http_head *head, struct slice target)
{
    head->target = target;
    if (head->method == HTTP_CONNECT) return set_authority(head, target);
    if (target.data[0] == '/') return NULL;
    if (!slice_equal(target, SLICE("*"))) return split_absolute(head, target);
    return head->method == HTTP_OPTIONS ? NULL : "a request target of * with a method other than OPTIONS";
}

bool h1_length_read(struct slice value, uint64_t *length)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!h1_is(value.data[i], H1_DIGIT)) return false;
        uint64_t digit = (uint64_t)(value.data[i] - '0');
        if (n > (INT64_MAX - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *length = n;
    return value.len > 0;
}

bool h1_next_option(struct slice *rest, struct slice *option)
{
    if (!rest->data) return false;
    const char *comma = rest->len ? memchr(rest->data, ',', rest->len) : NULL;
    size_t len = comma ? (size_t)(comma - rest->data) : rest->len;
    *option = slice_trim((struct slice){ rest->data, len });
    *rest = comma ? (struct slice){ comma + 1, rest->len - len - 1 } : SLICE_NONE;
    return true;
}

/* token *( OWS ";" OWS token "=" token ): parameters in quotes are of no known coding and not worth the
 * trouble. */
static bool is_coding(struct slice coding)
{
    const char *p = coding.data, *end = p + coding.len;
    const char *start = p;
    p = h1_skip_bytes(p, end, H1_TOKEN);
    if (p == start) return false;
    while (p < end) {
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        if (p == end || *p++ != ';') return false;
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        start = p;
        p = h1_skip_bytes(p, end, H1_TOKEN);
        if (p == start || p == end || *p++ != '=') return false;
        start = p;
        p = h1_skip_bytes(p, end, H1_TOKEN);
        if (p == start) return false;
    }
    return true;
}

void h1_codings_add(struct h1_codings *codings, struct slice value)
{
    struct slice coding;
    while (h1_next_option(&value, &coding)) {
        if (codings->is_final_chunked) codings->is_repeated = true;
        codings->is_final_chunked = slice_equal_fold(coding, SLICE("chunked"));
        if (codings->is_final_chunked) continue;
        codings->has_others = true;
        bool is_dressed_up = coding.len > 7 && slice_is_same_fold(coding.data, "chunked", 7) &&
                             !h1_is(coding.data[7], H1_TOKEN); /* chunked has no parameters (RFC 9112 7.1) */
        if (is_dressed_up || !is_coding(coding)) codings->is_malformed = true;
    }
}

/* "name=digits", nine at most. */
static bool read_parameter(struct slice parameter, struct slice name, uint32_t *number)
{
    if (parameter.len <= name.len || parameter.data[name.len] != '=') return false;
    if (!slice_equal_fold((struct slice){ parameter.data, name.len }, name)) return false;
    uint64_t n;
    struct slice digits = { parameter.data + name.len + 1, parameter.len - name.len - 1 };
    if (digits.len > 9 || !h1_length_read(digits, &n)) return false;
    *number = (uint32_t)n;
    return true;
}

void h1_keep_alive_read(struct slice value, struct h1_framing *framing)
{
    struct slice parameter;
    while (h1_next_option(&value, &parameter)) {
        if (!read_parameter(parameter, SLICE("timeout"), &framing->keep_alive_s))
            read_parameter(parameter, SLICE("max"), &framing->keep_alive_max);
    }
}
