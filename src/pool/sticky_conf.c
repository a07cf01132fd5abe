#include "pool/sticky_conf.h"

#include <ctype.h>
#include <string.h>

#include "conf/decode.h"

/* RFC 9110 5.6.2; RFC 6265 4.1.1 has cookies named by tokens. */
static bool is_token(const char *text)
{
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text)) return false;
    return true;
}

/* RFC 6265 4.1.1: no control characters, no semicolon. */
static bool is_path(const char *text)
{
    if (*text != '/') return false;
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == ';') return false;
    return true;
}

static bool is_domain(const char *text)
{
    if (!isalnum((unsigned char)*text)) return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '-' && *text != '.') return false;
    return true;
}

static void check_secrets(struct conf_decode *d, const struct conf_node *node, const struct sticky_conf *s)
{
    const char *const *secrets = s->secrets.data;
    for (uint32_t i = 0; i < s->secrets.count; i++)
        if (strlen(secrets[i]) < STICKY_SECRET_MIN)
            conf_decode_fault(d, node, "secrets", "make one with: openssl rand -base64 24",
                              "secret %u has %zu bytes, and could be guessed: it needs %d or more", i + 1,
                              strlen(secrets[i]), STICKY_SECRET_MIN);
}

/* RFC 6265bis 4.1.3: browsers drop cookies of these names that do not keep what the prefix promises. */
static void check_prefix(struct conf_decode *d, const struct conf_node *node, const struct sticky_conf *s)
{
    bool is_host = strncasecmp(s->cookie, "__Host-", 7) == 0;
    if (!is_host && strncasecmp(s->cookie, "__Secure-", 9) != 0) return;
    if (!s->is_secure)
        conf_decode_fault(d, node, "cookie", "add secure: true, or call it otherwise",
                          "browsers take a cookie called \"%s\" only with Secure", s->cookie);
    if (is_host && (s->domain || strcmp(s->path, "/") != 0))
        conf_decode_fault(d, node, "cookie", "remove path and domain, or call it otherwise",
                          "browsers take a cookie called \"%s\" only for path / and without a domain",
                          s->cookie);
}

static void check(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct sticky_conf *s = object;
    check_secrets(d, node, s);
    if (!is_token(s->cookie))
        conf_decode_fault(d, node, "cookie", "use letters, digits, - and _",
                          "\"%s\" cannot be a cookie's name", s->cookie);
    if (!is_path(s->path))
        conf_decode_fault(d, node, "path", "begin it with a slash, and leave out \";\"",
                          "\"%s\" cannot be a cookie's path", s->path);
    if (s->domain && !is_domain(s->domain))
        conf_decode_fault(d, node, "domain", "write it like example.com, without a leading dot",
                          "\"%s\" cannot be a cookie's domain", s->domain);
    if (s->same_site == STICKY_NONE && !s->is_secure)
        conf_decode_fault(d, node, "same_site", "add secure: true, or use lax",
                          "browsers take a cookie with SameSite=None only with Secure");
    check_prefix(d, node, s);
}

/* In the order of enum sticky_same_site. */
static const char *const same_site_names[] = { "lax", "strict", "none", NULL };
static const struct conf_type same_site_type = { .name = "same site",
                                                 .size = sizeof(uint32_t),
                                                 .names = same_site_names };

#define AGE_MAX_MS (INT64_C(400) * 24 * 3600 * 1000) /* browsers keep none for longer (RFC 6265bis 5.5) */

static const struct conf_field fields[] = {
    { "cookie", CONF_STRING(struct sticky_conf, cookie), .min = 1, .max = 64, .preset = "weir",
      .help = "The cookie's name. Pools that answer for the same host need different ones." },
    { "secrets", CONF_STRINGS(struct sticky_conf, secrets), .min = 1, .max = STICKY_SECRETS_MAX,
      .flags = CONF_REQUIRED | CONF_SECRET | CONF_OR_ONE,
      .help = "Texts of at least 16 bytes that nobody else knows. The first signs new cookies, all are "
              "accepted." },
    { "max_age", CONF_MSEC(struct sticky_conf, max_age_ms), .min = 1000, .max = AGE_MAX_MS, .preset = "off",
      .flags = CONF_MAY_BE_OFF, .help = "How long the browser keeps the cookie; off is until it is closed." },
    { "drain", CONF_MSEC(struct sticky_conf, drain_ms), .max = 24 * 3600 * 1000, .preset = "10m",
      .flags = CONF_MAY_BE_OFF,
      .help = "How long a server in `drain` goes on answering the clients that have its cookie." },
    { "path", CONF_STRING(struct sticky_conf, path), .min = 1, .max = 255, .preset = "/",
      .help = "The cookie's Path." },
    { "domain", CONF_STRING(struct sticky_conf, domain), .min = 1, .max = 253,
      .help = "The cookie's Domain; the request's host alone without it." },
    { "same_site", CONF_ENUM(struct sticky_conf, same_site, &same_site_type), .preset = "lax",
      .help = "The cookie's SameSite." },
    { "secure", CONF_BOOL(struct sticky_conf, is_secure), .preset = "false",
      .help = "The cookie is sent over TLS only." },
    { 0 },
};

const struct conf_type sticky_conf_type = {
    .name = "sticky", .size = sizeof(struct sticky_conf), .fields = fields, .check = check
};
