#include "base/address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define V4_PREFIX_BITS 96

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* inet_pton() on text that is not terminated; what is longer than any address is none. */
static bool parse_bytes(int family, struct slice text, void *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (!text.len || text.len >= sizeof(copy) || memchr(text.data, 0, text.len)) return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    return inet_pton(family, copy, out) == 1;
}

/* A decimal number without sign or leading zeros; false if it is none or over `max`. */
static bool parse_decimal(struct slice text, uint32_t max, uint32_t *out)
{
    uint32_t value = 0;
    if (!text.len || text.len > 5 || (text.len > 1 && text.data[0] == '0')) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *out = value;
    return value <= max;
}

static int parse_unix(struct slice text, struct address *out, struct err *err)
{
    struct slice path = { text.data + 5, text.len - 5 };
    if (!path.len || path.data[0] != '/' || memchr(path.data, 0, path.len))
        return err_set(err, "\"%.*s\" has no absolute path; write unix:/run/name.sock", SLICE_ARGS(text));
    if (path.len >= sizeof(out->sa.un.sun_path))
        return err_set(err, "the path of a unix socket may have %zu bytes, this one has %zu",
                       sizeof(out->sa.un.sun_path) - 1, path.len);
    out->sa.un.sun_family = AF_UNIX;
    memcpy(out->sa.un.sun_path, path.data, path.len);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return 0;
}

static void set_v4(struct address *out, in_addr_t host, uint32_t port)
{
    out->sa.in4.sin_family = AF_INET;
    out->sa.in4.sin_addr.s_addr = host;
    out->sa.in4.sin_port = htons((uint16_t)port);
    out->len = sizeof(out->sa.in4);
}

static void set_v6(struct address *out, const struct in6_addr *host, uint32_t port)
{
    out->sa.in6.sin6_family = AF_INET6;
    out->sa.in6.sin6_addr = *host;
    out->sa.in6.sin6_port = htons((uint16_t)port);
    out->len = sizeof(out->sa.in6);
}

/* What is written where an address should be, and would be one elsewhere. */
static int refuse_host(struct slice text, struct slice host, bool any_host, struct err *err)
{
    bool is_name = host.len > 0, has_letter = false;
    for (size_t i = 0; is_name && i < host.len; i++) {
        char c = host.data[i], low = (char)(c | 32);
        bool is_letter = low >= 'a' && low <= 'z';
        has_letter |= is_letter;
        is_name = is_letter || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  (c == '.' && i && host.data[i - 1] != '.');
    }
    if (is_name && has_letter)
        return err_set(
            err,
            "\"%.*s\" has a name for a host, which only a pool's servers may have; write the address that "
            "it stands for, like 10.0.0.1:80",
            SLICE_ARGS(text));
    return err_set(err, "\"%.*s\" is not an address; write one like 10.0.0.1:80, [::1]:80%s or unix:/path",
                   SLICE_ARGS(text), any_host ? ", :80" : "");
}

static int refuse_url(struct slice text, struct err *err)
{
    const char *host = (const char *)memmem(text.data, text.len, "://", 3) + 3;
    struct slice rest = { host, (size_t)(text.data + text.len - host) };
    while (rest.len && rest.data[rest.len - 1] == '/') rest.len--;
    return err_set(err, "\"%.*s\" is a URL; write the address alone, like %.*s", SLICE_ARGS(text),
                   rest.len ? (int)rest.len : 11, rest.len ? rest.data : "10.0.0.1:80");
}

static int set_host(struct slice text, struct slice host, bool any_host, uint32_t port, struct address *out,
                    struct err *err)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (!host.len) {
        if (!any_host)
            return err_set(err, "\"%.*s\" has no host; write one before the colon, like 10.0.0.1%.*s",
                           SLICE_ARGS(text), SLICE_ARGS(text));
        set_v6(out, &in6addr_any, port);
    } else if (slice_equal_fold(host, SLICE("localhost"))) {
        set_v4(out, htonl(INADDR_LOOPBACK), port);
    } else if (host.data[0] == '[' && host.data[host.len - 1] == ']' &&
               parse_bytes(AF_INET6, (struct slice){ host.data + 1, host.len - 2 }, &v6)) {
        set_v6(out, &v6, port);
    } else if (parse_bytes(AF_INET, host, &v4)) {
        set_v4(out, v4.s_addr, port);
    } else {
        return refuse_host(text, host, any_host, err);
    }
    return 0;
}

int address_parse(struct slice text, bool any_host, struct address *out, struct err *err)
{
    struct in6_addr v6;
    uint32_t port;
    memset(out, 0, sizeof(*out));
    if (slice_starts_with(text, SLICE("unix:"))) return parse_unix(text, out, err);
    if (text.len && memmem(text.data, text.len, "://", 3)) return refuse_url(text, err);
    const char *colon = text.len ? memrchr(text.data, ':', text.len) : NULL;
    if (parse_bytes(AF_INET6, text, &v6))
        return err_set(err, "\"%.*s\" has no port; write [address]:port, like [::1]:80", SLICE_ARGS(text));
    if (!colon && parse_decimal(text, 65535, &port))
        return any_host ? err_set(err,
                                  "\"%.*s\" has no host; write \":%.*s\" for every address of this host, or "
                                  "one, like 127.0.0.1:%.*s",
                                  SLICE_ARGS(text), SLICE_ARGS(text), SLICE_ARGS(text))
                        : err_set(err, "\"%.*s\" has no host; write one before it, like 10.0.0.1:%.*s",
                                  SLICE_ARGS(text), SLICE_ARGS(text));
    if (!colon || (text.data[0] == '[' && text.data[text.len - 1] == ']'))
        return err_set(err, "\"%.*s\" has no port; write host:port, like 10.0.0.1:80", SLICE_ARGS(text));
    struct slice host = { text.data, (size_t)(colon - text.data) };
    struct slice digits = { colon + 1, text.len - host.len - 1 };
    const char *space = digits.len ? memchr(digits.data, ' ', digits.len) : NULL;
    if (space && space > digits.data)
        return err_set(err,
                       "\"%.*s\" has more than an address; write what follows \"%.*s\" as keys of its own",
                       SLICE_ARGS(text), (int)(space - text.data), text.data);
    if (!parse_decimal(digits, 65535, &port) || (port == 0 && !any_host))
        return err_set(err, "\"%.*s\" is not a port; ports go from %d to 65535", SLICE_ARGS(digits),
                       any_host ? 0 : 1);
    return set_host(text, host, any_host, port, out, err);
}

/* The other end of a dual-stack socket is IPv4 in IPv6's clothes; people want to see it as what it is. */
static bool is_mapped(const struct address *a)
{
    return a->sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->sa.in6.sin6_addr);
}

const char *address_print(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    if (a->sa.any.sa_family == AF_UNIX) {
        size_t start = offsetof(struct sockaddr_un, sun_path);
        size_t len = a->len > start ? strnlen(a->sa.un.sun_path, a->len - start) : 0;
        snprintf(out, ADDRESS_TEXT_MAX, "unix:%.*s", (int)len, a->sa.un.sun_path);
    } else if (a->sa.any.sa_family == AF_INET || is_mapped(a)) {
        struct ip ip = address_ip(a);
        snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", ip_print(&ip, host), address_port(a));
    } else if (a->sa.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->sa.in6.sin6_addr, host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, address_port(a));
    } else {
        snprintf(out, ADDRESS_TEXT_MAX, "-");
    }
    return out;
}

uint16_t address_port(const struct address *a)
{
    if (a->sa.any.sa_family == AF_INET) return ntohs(a->sa.in4.sin_port);
    if (a->sa.any.sa_family == AF_INET6) return ntohs(a->sa.in6.sin6_port);
    return 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
    if (a->sa.any.sa_family != b->sa.any.sa_family) return false;
    switch (a->sa.any.sa_family) {
    case AF_INET:
        return a->sa.in4.sin_port == b->sa.in4.sin_port &&
               a->sa.in4.sin_addr.s_addr == b->sa.in4.sin_addr.s_addr;
    case AF_INET6:
        return a->sa.in6.sin6_port == b->sa.in6.sin6_port &&
               a->sa.in6.sin6_scope_id == b->sa.in6.sin6_scope_id &&
               memcmp(&a->sa.in6.sin6_addr, &b->sa.in6.sin6_addr, sizeof(struct in6_addr)) == 0;
    default: return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
    }
}

bool address_is_loopback(const struct address *a)
{
    struct ip ip = address_ip(a);
    if (ip_is_v4(&ip)) return ip.bytes[12] == 127;
    return memcmp(&ip, &in6addr_loopback, sizeof(ip)) == 0;
}

static struct ip mapped(const void *v4)
{
    struct ip ip;
    memcpy(ip.bytes, v4_prefix, sizeof(v4_prefix));
    memcpy(ip.bytes + sizeof(v4_prefix), v4, 4);
    return ip;
}

struct ip address_ip(const struct address *a)
{
    struct ip ip;
    if (a->sa.any.sa_family == AF_INET) return mapped(&a->sa.in4.sin_addr);
    const struct in6_addr *from = a->sa.any.sa_family == AF_INET6 ? &a->sa.in6.sin6_addr : &in6addr_loopback;
    memcpy(ip.bytes, from, sizeof(ip.bytes));
    return ip;
}

struct address address_from_ip(const struct ip *ip, uint16_t port)
{
    struct address a = { 0 };
    in_addr_t v4;
    struct in6_addr v6;
    memcpy(&v4, ip->bytes + sizeof(v4_prefix), sizeof(v4));
    memcpy(&v6, ip->bytes, sizeof(v6));
    if (ip_is_v4(ip))
        set_v4(&a, v4, port);
    else
        set_v6(&a, &v6, port);
    return a;
}

bool ip_parse(struct slice text, struct ip *out)
{
    struct in_addr v4;
    if (parse_bytes(AF_INET6, text, out->bytes)) return true;
    if (!parse_bytes(AF_INET, text, &v4)) return false;
    *out = mapped(&v4);
    return true;
}

bool ip_parse_node(struct slice text, struct ip *out)
{
    bool is_bracketed = text.len && text.data[0] == '[';
    const char *end = text.len ? memchr(text.data, is_bracketed ? ']' : ':', text.len) : NULL;
    if (!end) return !is_bracketed && ip_parse(text, out);
    struct slice host = { text.data + is_bracketed, (size_t)(end - text.data) - is_bracketed };
    struct slice rest = { end + is_bracketed, text.len - (size_t)(end - text.data) - is_bracketed };
    struct slice port = { rest.data + 1, rest.len ? rest.len - 1 : 0 };
    uint32_t number;
    bool has_port = rest.len && rest.data[0] == ':' && parse_decimal(port, 65535, &number);
    if (!is_bracketed && !has_port) return ip_parse(text, out); /* of more than one colon: IPv6 as it is */
    if (rest.len && !has_port) return false;
    struct in_addr v4;
    if (is_bracketed) return parse_bytes(AF_INET6, host, out->bytes);
    if (!parse_bytes(AF_INET, host, &v4)) return ip_parse(text, out);
    *out = mapped(&v4);
    return true;
}

/* Every request has one printed: inet_ntop() goes through snprintf(). */
static void print_v4(const uint8_t bytes[4], char *out)
{
    for (int i = 0; i < 4; i++) {
        unsigned value = bytes[i];
        if (i) *out++ = '.';
        if (value >= 100) *out++ = (char)('0' + value / 100);
        if (value >= 10) *out++ = (char)('0' + value / 10 % 10);
        *out++ = (char)('0' + value % 10);
    }
    *out = 0;
}

const char *ip_print(const struct ip *ip, char out[INET6_ADDRSTRLEN])
{
    if (ip_is_v4(ip))
        print_v4(ip->bytes + sizeof(v4_prefix), out);
    else
        inet_ntop(AF_INET6, ip->bytes, out, INET6_ADDRSTRLEN);
    return out;
}

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

struct ip ip_client(const struct ip *ip)
{
    struct ip client = *ip;
    if (!ip_is_v4(ip)) memset(client.bytes + 8, 0, 8);
    return client;
}

/* `ip` with everything after the first `bits` cleared. */
static struct ip network_of(const struct ip *ip, uint32_t bits)
{
    struct ip network = *ip;
    for (uint32_t i = 0; i < sizeof(network.bytes); i++) {
        uint32_t kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8) network.bytes[i] &= (uint8_t)(0xff00u >> kept);
    }
    return network;
}

int cidr_parse(struct slice text, struct cidr *out, struct err *err)
{
    const char *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
    struct slice host = { text.data, slash ? (size_t)(slash - text.data) : text.len };
    uint32_t bits = 128;
    if (!ip_parse(host, &out->ip))
        return err_set(err, "\"%.*s\" is not an address block; write one like 10.0.0.0/8 or 2001:db8::/32",
                       SLICE_ARGS(text));
    bool is_dotted = !memchr(host.data, ':', host.len);
    if (slash) {
        uint32_t max = is_dotted ? 32 : 128;
        struct slice digits = { slash + 1, text.len - host.len - 1 };
        if (!parse_decimal(digits, max, &bits))
            return err_set(
                err, "what follows the slash of \"%.*s\" is no prefix length; it goes from 0 to %" PRIu32,
                SLICE_ARGS(text), max);
        if (is_dotted) bits += V4_PREFIX_BITS;
    }
    struct ip network = network_of(&out->ip, bits);
    if (memcmp(&network, &out->ip, sizeof(network)) != 0) {
        char name[INET6_ADDRSTRLEN];
        return err_set(err, "%.*s names a host within its network; write %s/%" PRIu32 " for the network",
                       SLICE_ARGS(text), ip_print(&network, name), is_dotted ? bits - V4_PREFIX_BITS : bits);
    }
    out->bits = (uint8_t)bits;
    return 0;
}

bool cidr_contains(const struct cidr *block, const struct ip *ip)
{
    uint32_t whole = block->bits / 8, rest = block->bits % 8;
    /* ::/0 is all IPv6 and no IPv4. */
    if (block->bits < V4_PREFIX_BITS && ip_is_v4(ip)) return false;
    if (memcmp(block->ip.bytes, ip->bytes, whole) != 0) return false;
    return !rest || ((block->ip.bytes[whole] ^ ip->bytes[whole]) & (uint8_t)(0xff00u >> rest)) == 0;
}
