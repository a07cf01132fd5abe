#include "route/egress.h"

#include <stdlib.h>

#define PORT_RANGES_MAX 8u

struct port_range {
    uint16_t first, last;
};

struct entry {
    char name[EGRESS_HOST_MAX + 1]; /* "example.com", ".example.com" for a wildcard; empty: a block */
    struct cidr block;
    struct port_range ports[PORT_RANGES_MAX];
    uint32_t port_count;
};

struct egress_rules {
    uint32_t count;
    struct entry entries[];
};

/* special addresses */

static const char *const special_blocks[] = {
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",    "240.0.0.0/4",
    "::/128",        "::1/128",         "100::/64",       "2001::/23",      "2001:db8::/32",
    "3fff::/20",     "5f00::/16",       "fc00::/7",       "fe80::/10",      "fec0::/10",
    "ff00::/8",
};

static bool is_in(const char *block, const struct ip *ip)
{
    struct cidr cidr;
    struct err err;
    return cidr_parse(slice_of(block), &cidr, &err) == 0 && cidr_contains(&cidr, ip);
}

/* The IPv4 address that an IPv6 one stands for: compatible (RFC 4291), 6to4 (RFC 3056), NAT64 (RFC 6052). */
static bool embedded_v4(const struct ip *ip, struct ip *out)
{
    static const struct ip mapped = { .bytes = { [10] = 0xff, [11] = 0xff } };
    static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
    static const uint8_t none[12];
    const uint8_t *v4 = NULL;
    if (ip_is_v4(ip)) return false;
    if (memcmp(ip->bytes, none, 12) == 0) v4 = ip->bytes + 12;
    if (memcmp(ip->bytes, nat64, 12) == 0) v4 = ip->bytes + 12;
    if (ip->bytes[0] == 0x20 && ip->bytes[1] == 0x02) v4 = ip->bytes + 2;
    if (!v4) return false;
    *out = mapped;
    memcpy(out->bytes + 12, v4, 4);
    return true;
}

bool egress_is_special(const struct ip *ip)
{
    struct ip inner;
    for (unsigned i = 0; i < sizeof(special_blocks) / sizeof(*special_blocks); i++)
        if (is_in(special_blocks[i], ip)) return true;
    /* NAT64's local prefix (RFC 8215) leads wherever its owner says. */
    if (is_in("64:ff9b:1::/48", ip)) return true;
    return embedded_v4(ip, &inner) && egress_is_special(&inner);
}

/* names and ports */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* In lower case, labels of 1 to 63, one dot at the end left out. */
static bool fold_name(struct slice name, char out[EGRESS_HOST_MAX + 1])
{
    size_t label = 0;
    if (name.len && name.data[name.len - 1] == '.') name.len--;
    if (!name.len || name.len > EGRESS_HOST_MAX) return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
        if (c == '.') {
            if (!label) return false;
            label = 0;
        } else if (!is_name_char(out[i]) || ++label > 63) {
            return false;
        }
    }
    out[name.len] = 0;
    return label > 0;
}

static bool parse_port(struct slice text, uint16_t *out)
{
    uint32_t port = 0;
    if (!text.len || text.len > 5) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    *out = (uint16_t)port;
    return port && port <= 65535;
}

/* Splits "host:rest"; an IPv6 address is in brackets, or stands alone. False: a bracket is not closed, or something
 * else than a colon follows it. */
static bool split_port(struct slice text, struct slice *host, struct slice *rest)
{
    *rest = SLICE_NONE;
    *host = text;
    if (text.len && text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.len);
        if (!close) return false;
        *host = (struct slice){ text.data + 1, (size_t)(close - text.data) - 1 };
        *rest = (struct slice){ close + 1, text.len - host->len - 2 };
        return true;
    }
    const char *colon = memchr(text.data, ':', text.len);
    if (!colon || memrchr(text.data, ':', text.len) != colon) return true;
    *host = (struct slice){ text.data, (size_t)(colon - text.data) };
    *rest = (struct slice){ colon, text.len - host->len };
    return true;
}

const char *egress_target_parse(struct slice text, struct slice scheme, struct egress_target *out)
{
    struct slice host, rest;
    bool is_secure = slice_equal_fold(scheme, SLICE("https"));
    *out = (struct egress_target){ .port = is_secure ? EGRESS_PORT_HTTPS : EGRESS_PORT_HTTP,
                                   .is_secure = is_secure };
    if (scheme.len && !is_secure && !slice_equal_fold(scheme, SLICE("http")))
        return "X-Egress-Scheme is neither http nor https";
    if (!text.len) return "it is empty";
    if (!split_port(text, &host, &rest)) return "a bracket is not closed";
    if (rest.len &&
        (rest.data[0] != ':' || !parse_port((struct slice){ rest.data + 1, rest.len - 1 }, &out->port)))
        return "what follows the host is no port";
    bool is_bracketed = text.data[0] == '[';
    if (ip_parse(host, &out->address)) {
        out->is_address = true;
        if (is_bracketed == ip_is_v4(&out->address) || host.len > EGRESS_HOST_MAX)
            return is_bracketed ? "brackets are for IPv6 addresses" : "an IPv6 address stands in brackets";
        memcpy(out->host, host.data, host.len);
        return NULL;
    }
    if (is_bracketed || !fold_name(host, out->host)) return "it is neither a host's name nor an address";
    /* "127.1", "2130706433", "0x7f.1": names to us, addresses to getaddrinfo. */
    const char *last = strrchr(out->host, '.');
    last = last ? last + 1 : out->host;
    if (*last >= '0' && *last <= '9') return "it is neither a host's name nor an address in full";
    return NULL;
}

/* entries */

static int bad_entry(struct slice entry, const char *why, struct err *err)
{
    return err_set(err, "\"%.*s\" %s; write one like api.example.com:443, *.example.com or 10.1.0.0/16:8080",
                   SLICE_ARGS(entry), why);
}

static int parse_ports(struct slice text, struct entry *out, struct slice entry, struct err *err)
{
    struct slice part;
    if (!text.len) {
        out->ports[0] = (struct port_range){ EGRESS_PORT_HTTP, EGRESS_PORT_HTTP };
        out->ports[1] = (struct port_range){ EGRESS_PORT_HTTPS, EGRESS_PORT_HTTPS };
        out->port_count = 2;
        return 0;
    }
    if (text.data[0] != ':') return bad_entry(entry, "has something else than a port at its end", err);
    text = (struct slice){ text.data + 1, text.len - 1 };
    while (slice_next_element(&text, &part)) {
        struct port_range r;
        if (out->port_count == PORT_RANGES_MAX)
            return bad_entry(entry, "has more than 8 ranges of ports", err);
        const char *dash = memchr(part.data, '-', part.len);
        struct slice first = dash ? (struct slice){ part.data, (size_t)(dash - part.data) } : part;
        struct slice last = dash ? (struct slice){ dash + 1, part.len - first.len - 1 } : part;
        if (!parse_port(first, &r.first) || !parse_port(last, &r.last) || r.first > r.last)
            return bad_entry(entry, "has no ports from 1 to 65535 behind its colon", err);
        out->ports[out->port_count++] = r;
    }
    return out->port_count ? 0 : bad_entry(entry, "has no port behind its colon", err);
}

/* "10.1.0.0/16", "[2001:db8::]/32", "192.0.2.7", each with ports. */
static bool split_block(struct slice entry, char block[64], struct slice *ports)
{
    struct slice host, rest;
    if (!split_port(entry, &host, &rest)) return false;
    struct ip ip;
    size_t bits = 0;
    const char *slash = memchr(host.data, '/', host.len);
    struct slice address = slash ? (struct slice){ host.data, (size_t)(slash - host.data) } : host;
    if (!ip_parse(address, &ip) || host.len >= 48) return false;
    memcpy(block, host.data, host.len);
    block[host.len] = 0;
    *ports = rest;
    if (rest.len && rest.data[0] == '/') { /* behind the bracket */
        while (bits < rest.len && rest.data[bits] != ':') bits++;
        if (host.len + bits >= 60) return false;
        memcpy(block + host.len, rest.data, bits);
        block[host.len + bits] = 0;
        *ports = (struct slice){ rest.data + bits, rest.len - bits };
    }
    return true;
}

static int parse_entry(struct slice text, struct entry *out, struct err *err)
{
    char block[64];
    struct slice name, ports;
    *out = (struct entry){ 0 };
    if (split_block(text, block, &ports)) {
        if (cidr_parse(slice_of(block), &out->block, err) < 0) return -1;
        return parse_ports(ports, out, text, err);
    }
    if (!split_port(text, &name, &ports)) return bad_entry(text, "has a bracket that is not closed", err);
    bool is_wildcard = slice_starts_with(name, SLICE("*."));
    if (is_wildcard) name = (struct slice){ name.data + 2, name.len - 2 };
    char *to = out->name + is_wildcard;
    if (name.len + is_wildcard > EGRESS_HOST_MAX || !fold_name(name, to))
        return bad_entry(text, "is neither a name nor an address block", err);
    if (is_wildcard) out->name[0] = '.';
    return parse_ports(ports, out, text, err);
}

int egress_check_entry(struct slice text, struct err *err)
{
    struct entry *e = malloc(sizeof(*e));
    if (!e) return err_set(err, "out of memory");
    int result = parse_entry(text, e, err);
    free(e);
    return result;
}

int egress_rules_new(struct egress_rules **out, const char *const *allow, uint32_t count, struct err *err)
{
    struct egress_rules *r = calloc(1, sizeof(*r) + count * sizeof(struct entry));
    if (!r) return err_set(err, "out of memory for what egress allows");
    for (; r->count < count; r->count++) {
        if (parse_entry(slice_of(allow[r->count]), &r->entries[r->count], err) == 0) continue;
        free(r);
        return -1;
    }
    *out = r;
    return 0;
}

void egress_rules_free(struct egress_rules *r)
{
    free(r);
}

/* asking */

static bool has_port(const struct entry *e, uint16_t port)
{
    for (uint32_t i = 0; i < e->port_count; i++)
        if (port >= e->ports[i].first && port <= e->ports[i].last) return true;
    return false;
}

static bool has_name(const struct entry *e, const char *host)
{
    size_t len = strlen(host), own = strlen(e->name);
    if (!own) return false;
    if (e->name[0] != '.') return strcmp(e->name, host) == 0;
    return len > own && strcmp(host + len - own, e->name) == 0;
}

static bool has_address(const struct entry *e, const struct ip *ip)
{
    return !e->name[0] && cidr_contains(&e->block, ip);
}

bool egress_allows_target(const struct egress_rules *r, const struct egress_target *t)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct entry *e = &r->entries[i];
        if (!has_port(e, t->port)) continue;
        if (t->is_address ? has_address(e, &t->address) : has_name(e, t->host)) return true;
    }
    return false;
}

bool egress_allows_address(const struct egress_rules *r, const struct egress_target *t, const struct ip *ip)
{
    if (!egress_is_special(ip)) return egress_allows_target(r, t);
    bool is_named = false;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct entry *e = &r->entries[i];
        is_named |= has_port(e, t->port) && has_address(e, ip);
    }
    return is_named && egress_allows_target(r, t);
}
