#include "admin/admin_conf.h"

#include <string.h>

#include "conf/decode.h"

/* A token of several is one that nobody guesses. */
#define TOKEN_BYTES_MIN 16
#define TOKEN_BYTES_MAX 256

enum { ANONYMOUS_AUTO, ANONYMOUS_NONE, ANONYMOUS_VIEW };

static const char *const role_names[] = { "view", "operate", "admin", NULL };
static const struct conf_type role_type = { .name = "role", .names = role_names };
static const char *const anonymous_names[] = {
    [ANONYMOUS_AUTO] = "auto", [ANONYMOUS_NONE] = "none", [ANONYMOUS_VIEW] = "view", NULL
};
static const struct conf_type anonymous_type = { .name = "anonymous", .names = anonymous_names };

const char *admin_role_name(enum admin_role role)
{
    return role == ROLE_NONE ? "none" : role_names[role - ROLE_VIEW];
}

/* The token goes into a header field: only bytes that every client can put there. */
static bool is_sendable(const char *token)
{
    for (; *token; token++)
        if (*token <= ' ' || *token >= 127) return false;
    return true;
}

static void check_sendable(struct conf_decode *d, const struct conf_node *node, const char *token)
{
    if (token && !is_sendable(token))
        conf_decode_fault(d, node, "token", "use letters, digits and punctuation of ASCII",
                          "the token has spaces, control bytes or letters that a header field cannot carry");
}

static void check_token(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct admin_token_conf *t = object;
    check_sendable(d, node, t->token);
    for (const char *c = t->name; c && *c; c++) {
        bool is_plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (is_plain || strchr("-_.@", *c)) continue;
        conf_decode_fault(d, node, "name", "use letters, digits and - _ . @",
                          "the name of a token goes into logs and lists");
        return;
    }
}

static const struct conf_field token_fields[] = {
    { "name", CONF_STRING(struct admin_token_conf, name), .min = 1, .max = 64,
      .help = "Who has it: a person or a program, as the audit trail calls it." },
    { "role", CONF_ENUM(struct admin_token_conf, role, &role_type), .flags = CONF_REQUIRED,
      .help = "`view` looks at everything but secrets; `operate` also drains servers, sets weights, ends "
              "denials, notes "
              "events, takes profiles, and has the file and certificates read again; `admin` also puts "
              "another configuration "
              "or binary in force, and so can do all that weir's user can." },
    { "token", CONF_STRING(struct admin_token_conf, token), .min = TOKEN_BYTES_MIN, .max = TOKEN_BYTES_MAX,
      .flags = CONF_REQUIRED | CONF_SECRET,
      .help = "The token itself, or file:/run/secrets/name, which each reload reads again." },
    { 0 },
};

static const struct conf_type token_type = {
    .name = "token", .size = sizeof(struct admin_token_conf), .fields = token_fields, .check = check_token
};

static const struct conf_field admin_fields[] = {
    { "bind", CONF_CUSTOM(struct admin_conf, bind, &conf_bind_address_type), .preset = "127.0.0.1:9091",
      .help = "Where the API, the metrics and the health checks answer: an address, or unix:/path." },
    { "token", CONF_STRING(struct admin_conf, token), .min = 1, .max = TOKEN_BYTES_MAX, .flags = CONF_SECRET,
      .help = "What a client must show, as a Bearer token or as the password of HTTP Basic; its role is "
              "`admin`. One token is "
              "required unless bind is a loopback address or a unix socket." },
    { "tokens", CONF_NAMED(struct admin_conf, tokens, &token_type), .max = ADMIN_TOKENS_MAX,
      .help = "Tokens with names and roles, for people and programs that need not be able to do "
              "everything." },
    { "anonymous", CONF_ENUM(struct admin_conf, anonymous, &anonymous_type), .preset = "auto",
      .help = "What somebody may do who shows no token, at a loopback address or a unix socket: `none`, or "
              "`view` to leave "
              "looking open to this machine. `auto` is none where there is a token, and everything where "
              "there is not." },
    { "history", CONF_BYTES(struct admin_conf, history_bytes), .max = 16ull << 30, .preset = "64MiB",
      .help = "How much memory the history of traffic may take, which the dashboard shows: of each listener, "
              "route, pool and server that has any, each second for 5 minutes, each ten seconds for an hour, "
              "each "
              "minute for a day. One that is busy all day takes up to 33 KiB; where this is not enough, the "
              "oldest "
              "of servers goes first. 0 keeps none." },
    { 0 },
};

bool admin_conf_has_token(const struct admin_conf *c)
{
    return c->token || c->tokens.count;
}

enum admin_role admin_conf_anonymous(const struct admin_conf *c)
{
    if (c->anonymous == ANONYMOUS_VIEW) return ROLE_VIEW;
    return c->anonymous == ANONYMOUS_NONE || admin_conf_has_token(c) ? ROLE_NONE : ROLE_ADMIN;
}

bool admin_conf_token(const struct admin_conf *c, uint32_t number, struct admin_token *out)
{
    if (c->token && !number) {
        *out = (struct admin_token){ ADMIN_TOKEN_NAME, c->token, ROLE_ADMIN };
        return true;
    }
    if (c->token) number--;
    if (number >= c->tokens.count) return false;
    const struct admin_token_conf *t = (const struct admin_token_conf *)c->tokens.data + number;
    *out = (struct admin_token){ t->name, t->token, (enum admin_role)(t->role + ROLE_VIEW) };
    return true;
}

bool admin_conf_find_token(const struct admin_conf *c, const char *name, struct admin_token *out)
{
    for (uint32_t i = 0; admin_conf_token(c, i, out); i++)
        if (strcmp(out->name, name) == 0) return true;
    return false;
}

/* Who shows a token must be told from all others by it, and by its name. */
static void check_pairs(struct conf_decode *d, const struct conf_node *node, const struct admin_conf *c)
{
    struct admin_token one, other;
    for (uint32_t i = 0; admin_conf_token(c, i, &one); i++) {
        for (uint32_t k = i + 1; admin_conf_token(c, k, &other); k++) {
            if (!one.text || !other.text) continue; /* which is a fault already */
            if (strcmp(one.text, other.text) == 0)
                conf_decode_fault(d, node, "tokens", "give each a token of its own",
                                  "\"%s\" and \"%s\" are the same token, and could not be told apart",
                                  one.name, other.name);
            if (strcmp(one.name, other.name) == 0)
                conf_decode_fault(d, node, "tokens", "take another name",
                                  "\"%s\" is what the token of `token:` is called", one.name);
        }
    }
}

static void check_admin(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct admin_conf *c = object;
    char text[ADDRESS_TEXT_MAX];
    bool is_public = c->bind.len && !address_is_loopback(&c->bind);
    if (is_public && !admin_conf_has_token(c))
        conf_decode_fault(d, node, "bind", "set a token, or bind to 127.0.0.1, [::1] or a unix socket",
                          "the admin API at %s would be open to everybody who can reach that address",
                          address_print(&c->bind, text));
    else if (is_public && c->anonymous == ANONYMOUS_VIEW)
        conf_decode_fault(
            d, node, "anonymous",
            "give who looks a token with the role view, or bind to 127.0.0.1, [::1] or a unix socket",
            "everybody who can reach %s could look at the admin API", address_print(&c->bind, text));
    if (c->anonymous == ANONYMOUS_NONE && !admin_conf_has_token(c))
        conf_decode_fault(d, node, "anonymous", "add one to `tokens:`",
                          "without a token nobody could use the admin API");
    check_sendable(d, node, c->token);
    check_pairs(d, node, c);
}

const struct conf_type admin_conf_type = {
    .name = "admin",
    .size = sizeof(struct admin_conf),
    .fields = admin_fields,
    .short_form = "bind",
    .check = check_admin,
};
