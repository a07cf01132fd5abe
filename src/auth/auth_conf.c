#include "auth/auth_conf.h"

#include "auth/jwk.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/decoding.h"
#include "http/h1_scan.h"
#include "http/message.h"
#include "tls/memory.h"

#define NAMES_MAX 1000

/* names of fields */

static bool is_token(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!h1_is(*c, H1_TOKEN)) return false;
    return *name != 0;
}

static bool begins(const char *name, struct slice prefix)
{
    struct slice s = slice_of(name);
    return s.len >= prefix.len && slice_equal_fold((struct slice){ name, prefix.len }, prefix);
}

static void check_field(struct conf_decode *d, const struct conf_node *node, const char *key,
                        const char *name)
{
    bool is_taken = http_field_id_of(slice_of(name)) != HTTP_FIELD_OTHER ||
                    begins(name, SLICE("x-client-cert-")) || begins(name, SLICE("x-egress-"));
    if (!is_token(name))
        conf_decode_fault(d, node, key, "", "\"%s\" cannot be the name of a header", name);
    else if (is_taken || begins(name, SLICE("cookie")) || begins(name, SLICE("set-cookie")))
        conf_decode_fault(d, node, key, "write a name of its own, like X-User",
                          "%s says something else already", name);
}

void auth_conf_each_field(const struct auth_conf *auth, void (*each)(void *context, const char *name),
                          void *context)
{
    if (!auth_that_asks(auth)) return;
    if (auth->header[0]) each(context, auth->header);
    const struct auth_claim_conf *claims = auth->jwt ? auth->jwt->claims.data : NULL;
    for (uint32_t i = 0; claims && i < auth->jwt->claims.count; i++) each(context, claims[i].field);
    const char *const *copy = auth->forward ? auth->forward->copy.data : NULL;
    for (uint32_t i = 0; copy && i < auth->forward->copy.count; i++) each(context, copy[i]);
    if (auth->forward && auth->forward->user) each(context, auth->forward->user);
}

/* files */

static void drop_file(void *file)
{
    auth_file_free(file);
}

static struct auth_file *open_file(struct conf_decode *d, const struct conf_node *node,
                                   const struct auth_file_kind *kind, const char *path)
{
    struct err err;
    if (!path) return NULL; /* that is told already */
    uint64_t failures = tls_memory_failures();
    struct auth_file *file = auth_file_new(kind, path, &err);
    if (!file && tls_memory_failures() != failures)
        conf_decode_set_short(d);
    else if (!file)
        conf_decode_fault(d, node, kind->name, "", "%s", err.text);
    return file && conf_arena_own(d->arena, file, drop_file) ? file : NULL;
}

/* basic */

static void check_basic(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct auth_basic_conf *b = object;
    b->file = open_file(d, node, &auth_file_users, b->users);
}

static const struct conf_field basic_fields[] = {
    { "users", CONF_STRING(struct auth_basic_conf, users), .min = 1, .max = 4095, .flags = CONF_REQUIRED,
      .help =
          "A file in htpasswd's format, `name:hash` a line, with hashes of bcrypt (`htpasswd -B`), yescrypt "
          "or SHA-512 (`mkpasswd`). It is watched, and replaced while weir runs." },
    { "keep", CONF_MSEC(struct auth_basic_conf, keep_ms), .max = 3600000, .preset = "1m",
      .flags = CONF_MAY_BE_OFF,
      .help =
          "For how long a password that was right is taken again without the work of its hash, as long as "
          "the file has the same hash for that user." },
    { 0 },
};
static const struct conf_type basic_type = { .name = "basic authentication",
                                             .size = sizeof(struct auth_basic_conf),
                                             .fields = basic_fields,
                                             .short_form = "users",
                                             .check = check_basic };

/* jwt */

static const struct conf_field claim_fields[] = {
    { "field", CONF_STRING(struct auth_claim_conf, field), .min = 1, .max = 64, .flags = CONF_REQUIRED,
      .help = "The header in which servers get it." },
    { 0 },
};
static const struct conf_type claim_type = {
    .name = "claim", .size = sizeof(struct auth_claim_conf), .fields = claim_fields, .short_form = "field"
};

static const struct conf_field require_fields[] = {
    { "value", CONF_STRING(struct auth_require_conf, value), .min = 1, .max = 1024, .flags = CONF_REQUIRED,
      .help = "What it must be, or have among its values." },
    { 0 },
};
static const struct conf_type require_type = { .name = "required claim",
                                               .size = sizeof(struct auth_require_conf),
                                               .fields = require_fields,
                                               .short_form = "value" };

/* In the order of enum jwk_algorithm. */
static const char *const algorithm_names[] = {
#define X(id, name, kind, digest) name,
    JWK_ALGORITHMS(X)
#undef X
        NULL
};
static const struct conf_type algorithm_type = { .name = "algorithm of signatures",
                                                 .size = sizeof(uint32_t),
                                                 .names = algorithm_names };

static bool begins_as(struct slice text, struct slice begin)
{
    return text.len >= begin.len && slice_is_same_fold(text.data, begin.data, begin.len);
}

/* Nothing is fetched here: that takes as long as somebody else likes. */
static struct auth_file *open_url(struct conf_decode *d, const struct conf_node *node, const char *url,
                                  const char *ca)
{
    const char *host = url + sizeof("https://") - 1;
    bool is_good = *host && *host != '/' && *host != ':';
    for (const char *c = host; *c; c++) is_good &= h1_is(*c, H1_TARGET) && *c != '@' && *c != '#';
    if (!is_good)
        conf_decode_fault(d, node, "keys", "write it like https://login.example.com/.well-known/jwks.json",
                          "this is no address of keys; one has no name and password");
    struct auth_file *file = is_good ? auth_file_of_url(url, ca) : NULL;
    if (is_good && !file) conf_decode_set_short(d);
    return file && conf_arena_own(d->arena, file, drop_file) ? file : NULL;
}

static void check_jwt(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct auth_jwt_conf *j = object;
    const struct auth_claim_conf *claims = j->claims.data;
    for (uint32_t i = 0; i < j->claims.count; i++)
        if (claims[i].field) check_field(d, conf_node_get(node, "claims"), claims[i].name, claims[i].field);
    struct slice keys = slice_of(j->keys);
    bool is_url = begins_as(keys, SLICE("https://"));
    if (j->ca && !is_url)
        conf_decode_fault(d, node, "ca", "leave it out",
                          "it verifies who publishes keys, and these are a file's");
    if (is_url)
        j->file = open_url(d, node, j->keys, j->ca);
    else if (begins_as(keys, SLICE("http://")))
        conf_decode_fault(d, node, "keys", "write https://", "keys that come in the clear may be anybody's");
    else
        j->file = open_file(d, node, &auth_file_keys, j->keys);
}

static const struct conf_field jwt_fields[] = {
    { "keys", CONF_STRING(struct auth_jwt_conf, keys), .min = 1, .max = 4095, .flags = CONF_REQUIRED,
      .help =
          "The keys that tokens are verified by: a file with a JSON Web Key Set, or with public keys in PEM, "
          "which is watched and replaced while weir runs; or the address where they are published, "
          "`https://login.example.com/.well-known/jwks.json`, which is asked again and again." },
    { "ca", CONF_STRING(struct auth_jwt_conf, ca), .min = 1, .max = 4095,
      .help = "A PEM file with what that address is verified by, in place of what the host trusts: for a "
              "private CA." },
    { "algorithms", CONF_LIST(struct auth_jwt_conf, algorithms, &algorithm_type), .max = 16,
      .help = "Which signatures are taken; all that fit the kind of a key if absent. `none` is never." },
    { "issuer", CONF_STRING(struct auth_jwt_conf, issuer), .min = 1, .max = 1024,
      .help = "What `iss` must be; anything if absent." },
    { "audience", CONF_STRINGS(struct auth_jwt_conf, audience), .max = 16, .flags = CONF_OR_ONE,
      .help = "For whom tokens are: `aud` must name one of them; `*` takes any. Without it only tokens that "
              "name none are taken (RFC 7519 4.1.3)." },
    { "leeway", CONF_MSEC(struct auth_jwt_conf, leeway_ms), .max = 600000, .preset = "30s",
      .flags = CONF_MAY_BE_OFF, .help = "How far clocks may differ, for `exp`, `nbf` and `iat`." },
    { "unlimited", CONF_BOOL(struct auth_jwt_conf, may_last), .preset = "false",
      .help = "Whether a token without `exp`, which is good for ever, is taken." },
    { "user", CONF_STRING(struct auth_jwt_conf, user), .min = 1, .max = 64, .preset = "sub",
      .help = "The claim that says who it is." },
    { "claims", CONF_MAP(struct auth_jwt_conf, claims, &claim_type), .max = AUTH_CLAIMS_MAX,
      .help =
          "Claims that servers get, each in a header: `{email: X-Email}`. Lists are joined with commas." },
    { "require", CONF_MAP(struct auth_jwt_conf, require, &require_type), .max = AUTH_CLAIMS_MAX,
      .help = "What claims must be, or have in their list or among their words: `{scope: admin}`. A token "
              "without is answered with 403." },
    { 0 },
};
static const struct conf_type jwt_type = { .name = "JWT authentication",
                                           .size = sizeof(struct auth_jwt_conf),
                                           .fields = jwt_fields,
                                           .short_form = "keys",
                                           .check = check_jwt };

/* forward */

static void check_forward(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct auth_forward_conf *f = object;
    const char *const *copy = f->copy.data;
    for (uint32_t i = 0; i < f->copy.count; i++) check_field(d, node, "copy", copy[i]);
    if (f->user) check_field(d, node, "user", f->user);
    for (const char *c = f->path; c && *c; c++) {
        if (h1_is(*c, H1_TARGET) && f->path[0] == '/') continue;
        conf_decode_fault(d, node, "path", "begin it with /", "\"%.64s\" is no path", f->path);
        break;
    }
}

static const struct conf_type pools_type = { .name = "pools" };

static const struct conf_field forward_fields[] = {
    { "pool", CONF_REF(struct auth_forward_conf, pool, &pools_type), .flags = CONF_REQUIRED,
      .help = "Where the service is that decides." },
    { "path", CONF_STRING(struct auth_forward_conf, path), .min = 1, .max = 1024, .preset = "/",
      .help =
          "What it is asked for, by GET, with the fields of the request, and with X-Forwarded-Method, -Uri, "
          "-Host, -Proto and -For." },
    { "copy", CONF_STRINGS(struct auth_forward_conf, copy), .max = AUTH_COPY_MAX,
      .help = "Fields of its answer that servers get; what clients send of these names never passes." },
    { "user", CONF_STRING(struct auth_forward_conf, user), .min = 1, .max = 64,
      .help = "The field of its answer that says who it is; what clients send of that name never passes." },
    { "timeout", CONF_MSEC(struct auth_forward_conf, timeout_ms), .min = 1, .max = 60000, .preset = "5s",
      .help = "How long the answer may take; then nobody passes." },
    { 0 },
};
static const struct conf_type forward_type = { .name = "forward authentication",
                                               .size = sizeof(struct auth_forward_conf),
                                               .fields = forward_fields,
                                               .short_form = "pool",
                                               .check = check_forward };

/* all */

static void check_auth(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct auth_conf *a = object;
    bool has_way = a->basic || a->jwt || a->forward;
    if (a->asks == AUTH_ASKS_NOBODY && has_way)
        conf_decode_fault(d, node, "asks", "leave one out", "nobody is asked, and yet it says how");
    else if (a->asks == AUTH_ASKS_EVERYBODY && !has_way)
        conf_decode_fault(d, node, NULL, "add `basic:`, `jwt:` or `forward:`, or write `auth: none`",
                          "it does not say what who may pass has to show");
    if (a->forward && (a->basic || a->jwt))
        conf_decode_fault(d, node, "forward", "leave one out",
                          "either weir decides by what is shown, or a service does");
    if (a->header[0]) check_field(d, node, "header", a->header);
    for (const char *c = a->realm; *c; c++) {
        if (h1_is(*c, H1_VALUE) && *c != '"' && *c != '\\') continue;
        conf_decode_fault(d, node, "realm", "",
                          "a realm has neither quotes, backslashes nor control characters");
        break;
    }
}

/* In the order of enum auth_asks. */
static const char *const asks_names[] = { "everybody", "none", NULL };
static const struct conf_type asks_type = { .name = "who is asked",
                                            .size = sizeof(uint32_t),
                                            .names = asks_names };

static const struct conf_field auth_fields[] = {
    { "asks", CONF_ENUM(struct auth_conf, asks, &asks_type), .preset = "everybody",
      .help = "`auth: none` asks nobody, where a listener asks: for a health endpoint." },
    { "basic", CONF_OPTIONAL(struct auth_conf, basic, &basic_type),
      .help = "A name and a password (RFC 7617); the file of users will do." },
    { "jwt", CONF_OPTIONAL(struct auth_conf, jwt, &jwt_type),
      .help = "A signed token (RFC 7519, 6750); the file of keys will do. Beside `basic` either is taken." },
    { "forward", CONF_OPTIONAL(struct auth_conf, forward, &forward_type),
      .help = "A service decides, which is asked about each request: 2xx lets it pass; 401, 403 and "
              "redirects go to "
              "the client; anything else is no answer. Its pool will do." },
    { "realm", CONF_STRING(struct auth_conf, realm), .min = 1, .max = 128, .preset = "restricted",
      .help = "What those who are asked are told that it is for." },
    { "header", CONF_STRING(struct auth_conf, header), .max = 64, .preset = "X-User",
      .help =
          "The header in which servers get who it is; what clients send of that name never passes, on the "
          "whole listener. Empty: none." },
    { "allow", CONF_STRINGS(struct auth_conf, allow), .max = NAMES_MAX,
      .help = "Who may pass of those who are known; others are answered with 403. All if absent." },
    { "pass", CONF_BOOL(struct auth_conf, passes), .preset = "false",
      .help = "Whether Authorization goes on to servers. What was for weir is nothing for their logs." },
    { 0 },
};

const struct conf_type auth_conf_type = { .name = "authentication",
                                          .size = sizeof(struct auth_conf),
                                          .fields = auth_fields,
                                          .short_form = "asks",
                                          .check = check_auth };
