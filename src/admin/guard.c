#include "admin/guard.h"

#include <stdio.h>

#include "auth/credentials.h"
#include "base/base64.h"
#include "base/secret_same.h"

#define PASSWORD_MAX 1024

bool guard_find_token(const struct guard *g, struct slice given, struct admin_token *out)
{
    struct admin_token t;
    bool is_found = false;
    for (uint32_t i = 0; g->conf && admin_conf_token(g->conf, i, &t); i++) {
        if (!secret_is_same(slice_of(t.text), given)) continue;
        *out = t;
        is_found = true;
    }
    return is_found;
}

/* The name that Basic has in front of it is anybody's. Some clients leave its padding out. */
static bool find_password(const struct guard *g, struct slice shown, struct admin_token *out)
{
    char decoded[PASSWORD_MAX];
    size_t len;
    const char *colon = base64_decode_pasted(shown, decoded, sizeof(decoded), &len)
                            ? memchr(decoded, ':', len)
                            : NULL;
    bool is_shown = colon && guard_find_token(
                                 g, (struct slice){ colon + 1, (size_t)(decoded + len - colon - 1) }, out);
    explicit_bzero(decoded, sizeof(decoded));
    return is_shown;
}

static bool find_shown(const struct guard *g, struct slice field, struct admin_token *out)
{
    struct slice shown;
    switch (credentials_scheme(field, &shown)) {
    case CREDENTIALS_BEARER: return shown.len && guard_find_token(g, shown, out);
    case CREDENTIALS_BASIC: return find_password(g, shown, out);
    case CREDENTIALS_OTHER: break;
    }
    return false;
}

const char *guard_by_name(enum guard_by by)
{
    static const char *const names[] = {
        [GUARD_BY_NOTHING] = "nothing", [GUARD_BY_TOKEN] = "token", [GUARD_BY_SESSION] = "session"
    };
    return names[by];
}

static void know(struct guard_who *who, enum guard_by by, const struct admin_token *t)
{
    snprintf(who->name, sizeof(who->name), "%s", t->name);
    who->role = (uint8_t)t->role;
    who->by = (uint8_t)by;
}

static uint16_t check_token(const struct guard *g, const struct http_head *head, struct guard_who *who,
                            struct err *err)
{
    struct admin_token t;
    struct slice field = http_field_value(http_head_find(head, HTTP_FIELD_AUTHORIZATION));
    bool has_several = http_head_has_several(head, HTTP_FIELD_AUTHORIZATION);
    if (has_several) {
        err_set(err, "there is more than one Authorization; send one");
    } else if (find_shown(g, field, &t)) {
        know(who, GUARD_BY_TOKEN, &t);
        return 0;
    } else {
        err_set(err, "the token is none of those that `admin:` has in weir's configuration");
    }
    return 401;
}

static bool is_named(const struct http_field *f, struct slice name)
{
    return slice_equal_fold((struct slice){ f->name, f->name_len }, name);
}

/* RFC 6265 5.4: "a=b; c=d". One of another page of this host may be called the same: any that is ours will do. */
static struct session *find_in(struct sessions *s, struct slice cookies, uint64_t now_ms)
{
    static const struct slice prefix = { SESSION_COOKIE "=", sizeof(SESSION_COOKIE) };
    struct session *found = NULL;
    while (cookies.len && !found) {
        const char *end = memchr(cookies.data, ';', cookies.len);
        struct slice one = { cookies.data, end ? (size_t)(end - cookies.data) : cookies.len };
        cookies = end ? (struct slice){ end + 1, cookies.len - one.len - 1 } : SLICE_NONE;
        one = slice_trim(one);
        if (slice_starts_with(one, prefix))
            found = sessions_find(s, (struct slice){ one.data + prefix.len, one.len - prefix.len }, now_ms);
    }
    return found;
}

/* A session without its token is none. */
static void find_session(const struct guard *g, const struct guard_ask *ask, struct guard_who *who)
{
    struct admin_token t;
    const struct session *found = NULL;
    const struct http_head *head = ask->head;
    for (uint32_t i = 0; g->sessions && i < head->field_count && !found; i++)
        if (is_named(&head->fields[i], SLICE("cookie")))
            found = find_in(g->sessions, http_field_value(&head->fields[i]), ask->now_ms);
    if (!found) return;
    who->session = found->number;
    if (admin_conf_find_token(g->conf, found->name, &t)) know(who, GUARD_BY_SESSION, &t);
}

/* As the page says where it is: what ends TLS is in front of weir. Who says so wrongly has a cookie that he never gets back. */
static bool is_over_tls(const struct http_head *head)
{
    struct slice origin = http_field_value(http_head_find(head, HTTP_FIELD_ORIGIN));
    return slice_starts_with(origin, SLICE("https://"));
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
    err_set(
        err,
        "the Host \"%.*s\" is not this API's; use %s:%u or localhost:%u, or set a token in `admin:` to allow "
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
    return is_named(f, name) && slice_equal(http_field_value(f), value);
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
        is_foreign |= is_named(f, name) && !is_field(f, name, SLICE("same-origin")) &&
                      !is_field(f, name, SLICE("none"));
    }
    bool is_link = head->method == HTTP_GET && has_field(head, SLICE("Sec-Fetch-Mode"), SLICE("navigate")) &&
                   has_field(head, SLICE("Sec-Fetch-Dest"), SLICE("document"));
    if (!is_foreign || (is_link && !has_effect)) return 0;
    err_set(err,
            "a page of another site led here, which may not use this API; type the address, or use a tool");
    return 403;
}

static bool has_origin(const struct http_head *head)
{
    return http_head_find(head, HTTP_FIELD_ORIGIN) != NULL;
}

/* A cookie comes with whatever a browser sends here: that a page of ours asks must be seen from something else. */
static uint16_t check_page(const struct http_head *head, struct err *err)
{
    bool is_safe = head->method == HTTP_GET || head->method == HTTP_HEAD || head->method == HTTP_OPTIONS;
    if (is_safe || has_origin(head) || http_head_find_name(head, SLICE(GUARD_PAGE_FIELD))) return 0;
    err_set(err,
            "a session of a browser changes something only for weir's own page; send its Origin or the field "
            "X-Weir-Page with it, or a token");
    return 403;
}

static uint16_t check_role(const struct guard *g, const struct guard_ask *ask, const struct guard_who *who,
                           struct err *err)
{
    if (who->role >= ask->needs) return 0;
    const char *needed = admin_role_name(ask->needs);
    if (who->by != GUARD_BY_NOTHING) {
        err_set(
            err,
            "the token \"%s\" has the role %s, and this takes %s; use another token, or give it that role "
            "in `admin: "
            "{tokens}`",
            who->name, admin_role_name((enum admin_role)who->role), needed);
        return 403;
    }
    if (!admin_conf_has_token(g->conf)) {
        if (who->role == ROLE_VIEW)
            err_set(err, "without a token everybody may only look here; this takes a token with the role %s",
                    needed);
        else
            err_set(
                err,
                "the configuration has no token any more, and this address, which weir has until its next "
                "start, is not this machine's alone; give it a token, or restart weir");
        return 403;
    }
    err_set(err,
            "a token with the role %s is needed; send \"Authorization: Bearer TOKEN\", or it as the password "
            "of HTTP Basic",
            needed);
    return 401;
}

static uint16_t identify(const struct guard *g, const struct guard_ask *ask, struct guard_who *who,
                         struct err *err)
{
    bool has_token = g->conf && admin_conf_has_token(g->conf);
    if (has_token && http_head_find(ask->head, HTTP_FIELD_AUTHORIZATION))
        return check_token(g, ask->head, who, err);
    if (has_token) find_session(g, ask, who);
    if (who->by != GUARD_BY_NOTHING) return 0;
    /* Where weir listens stays as it was at the start, while a configuration without tokens may have come since. */
    bool is_here = g->bind.sa.any.sa_family == AF_UNIX || address_is_loopback(&g->bind);
    who->role = (uint8_t)(!is_here ? ROLE_NONE : g->conf ? admin_conf_anonymous(g->conf) : ROLE_ADMIN);
    return who->role == ROLE_NONE ? 0 : check_host(g, ask->head, err);
}

uint16_t guard_check(const struct guard *g, const struct guard_ask *ask, struct guard_who *who,
                     struct err *err)
{
    *who = (struct guard_who){ .is_over_tls = is_over_tls(ask->head) };
    uint16_t status = identify(g, ask, who, err);
    if (!status) status = check_role(g, ask, who, err);
    if (!status) status = check_origin(ask->head, err);
    if (!status) status = check_site(ask->head, ask->has_effect, err);
    return status || who->by != GUARD_BY_SESSION ? status : check_page(ask->head, err);
}

bool guard_is_script(const struct http_head *head)
{
    const struct http_field *mode = http_head_find_name(head, SLICE("sec-fetch-mode"));
    return mode && !slice_equal(http_field_value(mode), SLICE("navigate"));
}
