#include "route/cors_conf.h"

#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/decoding.h"
#include "http/h1_scan.h"

/* A number of seconds. */
#define AGE_BYTES ((size_t)24)
#define NAMES_MAX 64

/* An origin, "https://app.example.com:8443" (RFC 6454 6.2); the host may begin with "*.". NULL if it is one, else what is
 * wrong. */
static const char *origin_fault(const char *text)
{
    const char *host = strstr(text, "://");
    if (strcmp(text, "*") == 0) return NULL;
    if (strcmp(text, "null") == 0) return "any page can have the origin null, whosever it is";
    if (!host || host == text) return "an origin begins with its scheme";
    host += 3;
    if (strncmp(host, "*.", 2) == 0) host += 2;
    if (!*host) return "an origin has a host";
    for (const char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'Z') return "browsers write origins in small letters";
    for (const char *c = host; *c; c++) {
        if (*c == '/' || *c == '?' || *c == '#')
            return "an origin ends with its host and port, before the path";
        if (*c == '*') return "the only wildcard is in front of a host, like https://*.example.com";
        if (!h1_is(*c, H1_HOST) && *c != ':' && *c != '[' && *c != ']')
            return "an origin has no such character";
    }
    return NULL;
}

static void check_origins(struct conf_decode *d, const struct conf_node *node, struct cors_conf *c)
{
    const char *const *origins = c->origins.data;
    for (uint32_t i = 0; i < c->origins.count; i++) {
        const char *fault = origin_fault(origins[i]);
        c->is_any |= strcmp(origins[i], "*") == 0;
        if (fault)
            conf_decode_fault(d, node, "origins", "write one like https://app.example.com",
                              "\"%s\" is no origin: %s", origins[i], fault);
    }
    if (c->is_any && c->credentials)
        conf_decode_fault(d, node, "origins", "name the origins that are meant, or leave `credentials` out",
                          "with credentials any page could read what the client alone may see");
}

static void check_tokens(struct conf_decode *d, const struct conf_node *node, const char *key,
                         const struct conf_items *names)
{
    const char *const *name = names->data;
    for (uint32_t i = 0; i < names->count; i++) {
        const char *c = name[i];
        while (h1_is(*c, H1_TOKEN)) c++;
        if (*c || !*name[i])
            conf_decode_fault(d, node, key, "", "\"%s\" cannot be the name of a %s", name[i],
                              strcmp(key, "methods") == 0 ? "method" : "header");
    }
}

/* "a, b" */
static struct slice join(struct conf_arena *arena, const struct conf_items *names)
{
    const char *const *name = names->data;
    size_t size = 1;
    for (uint32_t i = 0; i < names->count; i++) size += strlen(name[i]) + 2;
    char *memory = conf_arena_alloc(arena, size);
    struct text t = text_over(memory, memory ? size : 0);
    for (uint32_t i = 0; i < names->count; i++) {
        if (i) TEXT_LITERAL(&t, ", ");
        text_add_slice(&t, slice_of(name[i]));
    }
    return text_slice(&t);
}

static void check_cors(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct cors_conf *c = object;
    check_origins(d, node, c);
    check_tokens(d, node, "methods", &c->methods);
    check_tokens(d, node, "headers", &c->headers);
    check_tokens(d, node, "expose", &c->expose);
    c->methods_text = join(d->arena, &c->methods);
    c->headers_text = join(d->arena, &c->headers);
    c->expose_text = join(d->arena, &c->expose);
    char *memory = conf_arena_alloc(d->arena, AGE_BYTES);
    struct text age = text_over(memory, memory ? AGE_BYTES : 0);
    text_add_u64(&age, c->max_age_ms / 1000);
    c->max_age_text = text_slice(&age);
}

static const struct conf_field fields[] = {
    { "origins", CONF_STRINGS(struct cors_conf, origins), .min = 1, .max = 1000,
      .flags = CONF_REQUIRED | CONF_OR_ONE,
      .help =
          "Whose pages may read answers: `https://app.example.com`, `https://*.example.com` for every name "
          "below it, `*` for all." },
    { "methods", CONF_STRINGS(struct cors_conf, methods), .min = 1, .max = NAMES_MAX,
      .preset = "[GET, HEAD, POST, PUT, PATCH, DELETE]", .help = "The methods that they may use." },
    { "headers", CONF_STRINGS(struct cors_conf, headers), .max = NAMES_MAX,
      .help = "The request's header fields that they may set; any if absent." },
    { "expose", CONF_STRINGS(struct cors_conf, expose), .max = NAMES_MAX,
      .help = "The response's header fields that they may read beyond the usual ones." },
    { "credentials", CONF_BOOL(struct cors_conf, credentials), .preset = "false",
      .help = "Whether they may come with the client's cookies and certificates; then origins are to be "
              "named." },
    { "max_age", CONF_MSEC(struct cors_conf, max_age_ms), .max = 24LL * 3600 * 1000, .preset = "10m",
      .help = "How long a browser need not ask again before it sends a request." },
    { 0 },
};

const struct conf_type cors_type = { .name = "CORS",
                                     .size = sizeof(struct cors_conf),
                                     .fields = fields,
                                     .short_form = "origins",
                                     .short_list = "origins",
                                     .check = check_cors };

/* Whether it is a name below that of a pattern with a wildcard: of at least one label more. */
static bool is_below(struct slice origin, const char *pattern)
{
    const char *star = strstr(pattern, "://*.");
    if (!star) return false;
    struct slice scheme = { pattern, (size_t)(star - pattern) + 3 }, end = slice_of(star + 4);
    if (origin.len <= scheme.len + end.len || !slice_starts_with(origin, scheme)) return false;
    struct slice last = { origin.data + origin.len - end.len, end.len };
    struct slice label = { origin.data + scheme.len, origin.len - scheme.len - end.len };
    for (size_t i = 0; i < label.len; i++)
        if (label.data[i] != '.' && !h1_is(label.data[i], H1_TOKEN)) return false;
    return slice_equal(last, end);
}

bool cors_allows(const struct cors_conf *conf, struct slice origin)
{
    const char *const *origins = conf->origins.data;
    if (!origin.len) return false;
    for (uint32_t i = 0; i < conf->origins.count; i++)
        if (strcmp(origins[i], "*") == 0 || slice_equal(origin, slice_of(origins[i])) ||
            is_below(origin, origins[i]))
            return true;
    return false;
}
