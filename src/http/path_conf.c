#include "http/path.h"

#include "conf/decode.h"

static const char *const form_names[] = { "canonical", "as_sent", NULL };
static const struct conf_type form_type = { .name = "form of paths", .names = form_names };

static const char *const slash_names[] = { "refuse", "keep", "decode", NULL };
static const struct conf_type slash_type = { .name = "encoded slash", .names = slash_names };

static const struct conf_field fields[] = {
    { "form", CONF_ENUM(struct http_path_rules, form, &form_type), .preset = "canonical",
      .help =
          "`canonical`: routes, gates, splits, keys, rewriting, the log and the server see one path, with "
          "unreserved characters decoded, dot segments resolved and empty segments merged. `as_sent`: "
          "they all see the bytes as they came, nothing below counts, and `/x/../admin/` is not "
          "`/admin/` to a route." },
    { "encoded_slash", CONF_ENUM(struct http_path_rules, encoded_slash, &slash_type), .preset = "refuse",
      .help =
          "`%2F`: answered with 400, kept (then it is no slash to a route, whatever it is to the server), or "
          "taken for the slash that it stands for." },
    { "keep_backslash", CONF_BOOL(struct http_path_rules, keeps_backslash), .preset = "false",
      .help = "`%5C`, and a backslash itself, is passed on as `%5C`; else it is answered with 400." },
    { "keep_nul", CONF_BOOL(struct http_path_rules, keeps_nul), .preset = "false",
      .help = "`%00` is passed on; else it is answered with 400." },
    { "keep_empty_segments", CONF_BOOL(struct http_path_rules, keeps_empty), .preset = "false",
      .help = "`//` stays; else it is one slash." },
    { "stay_at_root", CONF_BOOL(struct http_path_rules, stays_at_root), .preset = "false",
      .help = "`..` at the root leads nowhere (RFC 3986 5.2.4); else it is answered with 400." },
    { "refuse_dot_segments", CONF_BOOL(struct http_path_rules, refuses_dots), .preset = "false",
      .help = "`.` and `..` are answered with 400; else they are resolved." },
    { "refuse_parameters", CONF_BOOL(struct http_path_rules, refuses_parameters), .preset = "false",
      .help = "A semicolon is answered with 400; else it is a character like others. For servers that read "
              "`/admin;x=1/` as `/admin/`, as those for Java do." },
    { 0 },
};

const struct conf_type http_path_rules_type = { .name = "paths",
                                                .size = sizeof(struct http_path_rules),
                                                .fields = fields };

/* Longer paths are not configured, and what is put behind has no more than two. */
#define CHECKED_MAX 4096u

static bool is_same(const struct http_path_rules *rules, const char *path, const char *behind)
{
    char whole[CHECKED_MAX + 8], memory[3 * sizeof(whole)];
    struct text asked = text_over(whole, sizeof(whole)), t = text_over(memory, sizeof(memory));
    struct slice put;
    text_add_slice(&asked, slice_of(path));
    text_add_slice(&asked, slice_of(behind));
    return http_path_put(rules, text_slice(&asked), &t, &put) == HTTP_PATH_OK &&
           slice_equal(put, text_slice(&asked));
}

int http_path_check(const struct http_path_rules *rules, const char *path, bool is_prefix, struct err *err)
{
    /* A prefix may end within a name or an escape. */
    if (is_same(rules, path, "")) return 0;
    if (is_prefix && (is_same(rules, path, "x") || is_same(rules, path, "20") || is_same(rules, path, "0")))
        return 0;
    char memory[3 * CHECKED_MAX + 8];
    struct text t = text_over(memory, sizeof(memory));
    struct slice put;
    enum http_path_fault fault = http_path_put(rules, slice_of(path), &t, &put);
    if (fault != HTTP_PATH_OK)
        return err_set(err, "no request has it: %s, and is refused", http_path_fault_text(fault));
    return err_set(err, "no request has it: paths are compared in their canonical form, which is \"%.*s\"",
                   SLICE_ARGS(put));
}
