#include "coding/compress_conf.h"

#include "conf/decode.h"
#include "http/h1_scan.h"

#define TYPES_MAX 256

/* In the order of enum coding. */
static const char *const algorithm_names[] = { "gzip", "br", "zstd", NULL };
static const struct conf_type algorithm_type = { .name = "algorithm", .names = algorithm_names };

static const struct conf_field level_fields[] = {
    { "gzip", CONF_U32(struct compress_levels, gzip), .min = 1, .max = 9, .preset = "5", .help = "Of gzip." },
    { "br", CONF_U32(struct compress_levels, br), .min = 1, .max = 8, .preset = "5",
      .help = "Of br (Brotli); those above 8 take too long for what is made while somebody waits." },
    { "zstd", CONF_U32(struct compress_levels, zstd), .min = 1, .max = 9, .preset = "5", .help = "Of zstd." },
    { 0 },
};
static const struct conf_type levels_type = { .name = "compression levels",
                                              .size = sizeof(struct compress_levels),
                                              .fields = level_fields };

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!h1_is(s.data[i], H1_TOKEN)) return false;
    return s.len > 0;
}

/* The two halves of "text/css"; false if it has no slash. */
static bool halve(struct slice type, struct slice *major, struct slice *minor)
{
    const char *slash = type.len ? memchr(type.data, '/', type.len) : NULL;
    if (!slash) return false;
    *major = (struct slice){ type.data, (size_t)(slash - type.data) };
    *minor = (struct slice){ slash + 1, type.len - major->len - 1 };
    return true;
}

/* "*+json" */
static bool is_suffix(struct slice pattern)
{
    return pattern.len > 2 && pattern.data[0] == '*' && pattern.data[1] == '+';
}

static bool is_pattern(struct slice pattern)
{
    struct slice major, minor;
    if (is_suffix(pattern)) return is_token((struct slice){ pattern.data + 2, pattern.len - 2 });
    /* "*" is a token's byte, but a type "*" + "/" + "css" is none. */
    if (!halve(pattern, &major, &minor) || memchr(major.data, '*', major.len)) return false;
    return is_token(major) && is_token(minor) && (minor.len == 1 || !memchr(minor.data, '*', minor.len));
}

static bool is_taken(struct slice pattern, struct slice type)
{
    if (is_suffix(pattern)) {
        struct slice suffix = { pattern.data + 1, pattern.len - 1 };
        return type.len > suffix.len &&
               slice_equal_fold((struct slice){ type.data + type.len - suffix.len, suffix.len }, suffix);
    }
    if (pattern.data[pattern.len - 1] == '*') {
        struct slice before = { pattern.data, pattern.len - 1 };
        return type.len > before.len && slice_equal_fold((struct slice){ type.data, before.len }, before);
    }
    return slice_equal_fold(pattern, type);
}

bool compress_takes_type(const struct compress_conf *conf, struct slice content_type)
{
    const char *const *types = conf->types.data;
    const char *end = content_type.len ? memchr(content_type.data, ';', content_type.len) : NULL;
    if (end) content_type.len = (size_t)(end - content_type.data);
    content_type = slice_trim(content_type);
    for (uint32_t i = 0; i < conf->types.count; i++)
        if (is_taken(slice_of(types[i]), content_type)) return true;
    return false;
}

uint8_t compress_level(const struct compress_conf *conf, enum coding c)
{
    if (c == CODING_GZIP) return (uint8_t)conf->levels.gzip;
    return (uint8_t)(c == CODING_BR ? conf->levels.br : conf->levels.zstd);
}

static void check(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct compress_conf *c = object;
    const uint32_t *algorithms = c->algorithms.data;
    const char *const *types = c->types.data;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < c->algorithms.count; i++) {
        if (seen >> algorithms[i] & 1)
            conf_decode_fault(d, node, "algorithms", "leave it out of one", "\"%s\" is there twice",
                              algorithm_names[algorithms[i]]);
        seen |= 1u << algorithms[i];
    }
    for (uint32_t i = 0; i < c->types.count; i++)
        if (!is_pattern(slice_of(types[i])))
            conf_decode_fault(d, node, "types", "write text/css, text/* or *+json",
                              "\"%s\" is no media type, and no pattern of some", types[i]);
}

static const struct conf_field fields[] = {
    { "enabled", CONF_BOOL(struct compress_conf, enabled), .preset = "true",
      .help = "`false` for a route whose responses are to pass as they are though its listener's are "
              "compressed." },
    { "algorithms", CONF_LIST(struct compress_conf, algorithms, &algorithm_type), .min = 1, .max = 3,
      .preset = "[zstd, br, gzip]",
      .help = "Which may be used. The client's Accept-Encoding chooses; of those that it likes alike the "
              "first here." },
    { "types", CONF_STRINGS(struct compress_conf, types), .min = 1, .max = TYPES_MAX,
      .preset = "[text/*, application/json, application/javascript, application/xml, application/x-ndjson, "
                "application/wasm, image/svg+xml, font/ttf, font/otf, application/vnd.ms-fontobject, *+json, "
                "*+xml]",
      .help = "Media types of responses, `text/css`, `text/*`, `*+json`. Pictures, films, archives and most "
              "fonts are compressed already." },
    { "least", CONF_BYTES(struct compress_conf, least_bytes), .min = 1, .max = 1 << 30, .preset = "1KiB",
      .help = "Responses that are known to be shorter pass as they are." },
    { "levels", CONF_OBJECT(struct compress_conf, levels, &levels_type),
      .help = "How hard each algorithm tries: more is smaller and slower." },
    { "secret", CONF_BOOL(struct compress_conf, secret), .preset = "false",
      .help =
          "Also responses that seem to be for one client alone: to a request with Cookie, Authorization or "
          "a client certificate unless `Cache-Control: public` is on them, or with Set-Cookie or "
          "`Cache-Control: private` or `no-store`. Their length can tell what is in them to whoever sees it "
          "and has a say in a part of them (BREACH)." },
    { 0 },
};

const struct conf_type compress_conf_type = { .name = "compress",
                                              .size = sizeof(struct compress_conf),
                                              .fields = fields,
                                              .short_form = "enabled",
                                              .short_list = "algorithms",
                                              .check = check };
