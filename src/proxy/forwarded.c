#include "proxy/forwarded.h"

#include "http/h1_scan.h"
#include "http/h1_value.h"

/* A name and a port; what is longer is left out of Forwarded. */
#define HOST_MAX 261u

bool forwarded_is_trusted(const struct route_set *l, const struct ip *peer)
{
    const struct cidr *blocks = l->conf->trust.data;
    for (uint32_t i = 0; i < l->conf->trust.count; i++)
        if (cidr_contains(&blocks[i], peer)) return true;
    return false;
}

/* The last FORWARDED_NODES_MAX of what is added; put in order by settle(). */
struct ring {
    struct slice nodes[FORWARDED_NODES_MAX], protos[FORWARDED_NODES_MAX], hosts[FORWARDED_NODES_MAX];
    uint32_t total;
};

static void add_node(struct ring *r, struct slice node, struct slice proto, struct slice host)
{
    uint32_t at = r->total++ % FORWARDED_NODES_MAX;
    r->nodes[at] = node;
    r->protos[at] = proto;
    r->hosts[at] = host;
}

/* The part of `name` in one element: name=token or name="quoted", RFC 7239 4. Escapes are not undone: nothing that is
 * read here has any. */
static struct slice parameter_of(struct slice element, struct slice name)
{
    while (element.len) {
        size_t end = 0;
        for (bool is_quoted = false; end < element.len && (is_quoted || element.data[end] != ';'); end++)
            if (element.data[end] == '"') is_quoted = !is_quoted;
        struct slice pair = slice_trim((struct slice){ element.data, end });
        if (end < element.len) end++;
        element = (struct slice){ element.data + end, element.len - end };
        if (pair.len <= name.len || pair.data[name.len] != '=' ||
            !slice_equal_fold((struct slice){ pair.data, name.len }, name))
            continue;
        struct slice value = { pair.data + name.len + 1, pair.len - name.len - 1 };
        if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
            value = (struct slice){ value.data + 1, value.len - 2 };
        return value;
    }
    return SLICE_NONE;
}

static void read_x_forwarded_for(const struct http_head *head, struct ring *r)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != HTTP_FIELD_X_FORWARDED_FOR || f->is_dropped) continue;
        struct slice rest = http_field_value(f), node;
        while (h1_next_option(&rest, &node))
            if (node.len) add_node(r, node, SLICE_NONE, SLICE_NONE);
    }
}

static void read_forwarded(const struct http_head *head, struct ring *r)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != HTTP_FIELD_FORWARDED || f->is_dropped) continue;
        struct slice rest = http_field_value(f), element;
        while (slice_next_element(&rest, &element)) {
            struct slice node = parameter_of(element, SLICE("for"));
            add_node(r, node.len ? node : SLICE("unknown"), parameter_of(element, SLICE("proto")),
                     parameter_of(element, SLICE("host")));
        }
    }
}

static bool is_scheme(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (!is_letter && (i == 0 || !(h1_is(c, H1_DIGIT) || c == '+' || c == '-' || c == '.'))) return false;
    }
    return s.len > 0 && s.len <= 16;
}

static bool is_host(struct slice s)
{
    return h1_authority_check(s, false) == H1_AUTHORITY_OK;
}

/* What the peer itself says: the last of all values. */
static struct slice last_value(const struct http_head *head, enum http_field_id id)
{
    struct slice last = SLICE_NONE;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != id || f->is_dropped) continue;
        struct slice rest = http_field_value(f), element;
        while (h1_next_option(&rest, &element))
            if (element.len) last = element;
    }
    return last;
}

/* From the right, as long as those who speak are trusted. Returns the client's place. */
static uint32_t find_client(const struct route_set *l, const struct ring *r, uint32_t kept, struct ip *client)
{
    uint32_t at = kept;
    while (at && forwarded_is_trusted(l, client)) {
        struct ip named;
        at--;
        if (!ip_parse_node(r->nodes[(r->total - kept + at) % FORWARDED_NODES_MAX], &named)) break;
        *client = named;
    }
    return at;
}

/* Forwarded's own proto and host: of the client's element, or of those behind it. */
static void take_parameters(const struct ring *r, uint32_t kept, uint32_t from, struct forwarded *out)
{
    for (uint32_t i = from; i < kept; i++) {
        uint32_t at = (r->total - kept + i) % FORWARDED_NODES_MAX;
        if (!out->proto.len && is_scheme(r->protos[at])) out->proto = r->protos[at];
        if (!out->host.len && is_host(r->hosts[at])) out->host = r->hosts[at];
    }
}

void forwarded_read(const struct route_set *l, const struct ip *peer, bool is_secure,
                    const struct http_head *head, struct forwarded *out)
{
    out->count = 0;
    out->is_by_forwarded = false;
    out->client = *peer;
    out->proto = out->host = SLICE_NONE;
    if (forwarded_is_trusted(l, peer)) {
        struct ring r;
        r.total = 0;
        read_x_forwarded_for(head, &r);
        out->is_by_forwarded = r.total == 0;
        if (out->is_by_forwarded) read_forwarded(head, &r);
        uint32_t kept = r.total < FORWARDED_NODES_MAX ? r.total : FORWARDED_NODES_MAX;
        uint32_t from = find_client(l, &r, kept, &out->client);
        struct slice proto = last_value(head, HTTP_FIELD_X_FORWARDED_PROTO);
        struct slice host = last_value(head, HTTP_FIELD_X_FORWARDED_HOST);
        if (is_scheme(proto)) out->proto = proto;
        if (is_host(host)) out->host = host;
        if (out->is_by_forwarded) take_parameters(&r, kept, from, out);
        for (uint32_t i = 0; i < kept; i++)
            out->nodes[out->count++] = r.nodes[(r.total - kept + i) % FORWARDED_NODES_MAX];
    }
    if (!out->proto.len) out->proto = is_secure ? SLICE("https") : SLICE("http");
    if (!out->host.len) out->host = head->authority;
}

size_t forwarded_room(const struct forwarded *f)
{
    /* for="[…]" and a comma; what both ends say besides. */
    size_t room = 2 * (f->proto.len + HOST_MAX + 32);
    for (uint32_t i = 0; i < f->count; i++) room += f->nodes[i].len + INET6_ADDRSTRLEN + 16;
    return room + INET6_ADDRSTRLEN + 16;
}

/* What is no address is "unknown" (RFC 7239 6.2), so that nothing of it is taken for more. */
static void add_element(struct text *t, const struct ip *ip)
{
    char text[INET6_ADDRSTRLEN];
    bool is_v6 = ip && !ip_is_v4(ip);
    TEXT_LITERAL(t, "for=");
    if (is_v6) TEXT_LITERAL(t, "\"[");
    text_add_slice(t, ip ? slice_of(ip_print(ip, text)) : SLICE("unknown"));
    if (is_v6) TEXT_LITERAL(t, "]\"");
}

/* Said at both ends: some read the first element, some the last. */
static void add_how(const struct forwarded *f, struct text *t)
{
    if (f->host.len && f->host.len <= HOST_MAX) {
        TEXT_LITERAL(t, ";host=\"");
        text_add_slice(t, f->host);
        TEXT_LITERAL(t, "\"");
    }
    TEXT_LITERAL(t, ";proto=");
    text_add_slice(t, f->proto);
}

void forwarded_print(const struct forwarded *f, const struct ip *peer, struct text *x_forwarded_for,
                     struct text *forwarded)
{
    char text[INET6_ADDRSTRLEN];
    for (uint32_t i = 0; i < f->count; i++) {
        struct ip ip;
        bool is_address = ip_parse_node(f->nodes[i], &ip);
        add_element(forwarded, is_address ? &ip : NULL);
        if (i == 0) add_how(f, forwarded);
        TEXT_LITERAL(forwarded, ", ");
        if (!f->is_by_forwarded)
            text_add_slice(x_forwarded_for, f->nodes[i]);
        else
            text_add_slice(x_forwarded_for, is_address ? slice_of(ip_print(&ip, text)) : SLICE("unknown"));
        TEXT_LITERAL(x_forwarded_for, ", ");
    }
    add_element(forwarded, peer);
    add_how(f, forwarded);
    text_add_slice(x_forwarded_for, slice_of(ip_print(peer, text)));
}
