/* A listener's `redirect: https`. */
#include "route/route_conf.h"

#define HTTPS_PORT 443u

static const char *const to_names[] = { "https", NULL };
static const struct conf_type to_type = { .name = "redirect", .names = to_names };

static const struct conf_field fields[] = {
    { "to", CONF_ENUM(struct route_https_conf, to, &to_type), .flags = CONF_REQUIRED, .help = "`https`." },
    { "port", CONF_U32(struct route_https_conf, port), .min = 1, .max = 65535, .preset = "443",
      .help = "Where https is spoken, as clients see it." },
    { 0 },
};

const struct conf_type route_https_type = {
    .name = "listener redirect", .size = sizeof(struct route_https_conf), .fields = fields, .short_form = "to"
};

/* A name, an IPv4 address, or an IPv6 one in brackets: nothing else that an authority may hold by RFC 3986 is the name of a host
 * on the Internet, and what a browser makes of it is not what we do. */
static bool is_host(struct slice host)
{
    bool is_literal = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    for (size_t i = is_literal; i + is_literal < host.len; i++) {
        char c = host.data[i];
        bool is_digit = c >= '0' && c <= '9', is_hex = (c | 32) >= 'a' && (c | 32) <= 'f';
        bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (is_literal ? !is_digit && !is_hex && c != ':' && c != '.'
                       : !is_digit && !is_letter && c != '-' && c != '.' && c != '_')
            return false;
    }
    return host.len > 0 && host.len <= 255;
}

static struct slice without_port(struct slice authority)
{
    for (size_t i = authority.len; i-- > 0;) {
        if (authority.data[i] == ':') return (struct slice){ authority.data, i };
        if (authority.data[i] < '0' || authority.data[i] > '9') break;
    }
    return authority;
}

bool route_https_location(const struct route_https_conf *conf, const struct http_head *head, struct text *out)
{
    struct slice host = without_port(head->authority);
    if (!is_host(host)) return false;
    TEXT_LITERAL(out, "https://");
    text_add_slice(out, host);
    if (conf->port != HTTPS_PORT) text_printf(out, ":%u", conf->port);
    /* OPTIONS * is of the host as a whole. */
    if (head->target.len && head->target.data[0] == '/') text_add_slice(out, head->target);
    return true;
}

uint16_t route_https_status(const struct http_head *head)
{
    return head->method == HTTP_GET || head->method == HTTP_HEAD ? 301 : 308;
}
