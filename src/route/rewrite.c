#include "route/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "conf/decode.h"
#include "route/route_table.h"

/* The highest group that `to` names; 0: none but all of it. */
static uint32_t highest_group(const char *to)
{
    uint32_t highest = 0;
    for (; *to; to++) {
        if (*to != '$') continue;
        to++;
        if (*to >= '0' && *to <= '9' && (uint32_t)(*to - '0') > highest) highest = (uint32_t)(*to - '0');
        if (!*to) break;
    }
    return highest;
}

static void check_groups(struct conf_decode *d, const struct conf_node *node, const struct rewrite_conf *r)
{
    int code;
    PCRE2_SIZE offset;
    uint32_t count = 0;
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)r->regex, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_BACKSLASH_C,
                                      &code, &offset, NULL);
    if (!regex) return;
    pcre2_pattern_info(regex, PCRE2_INFO_CAPTURECOUNT, &count);
    pcre2_code_free(regex);
    if (highest_group(r->to) > count)
        conf_decode_fault(d, node, "to", "write $$ for a dollar", "`to` names $%u, but `regex` has %u groups",
                          highest_group(r->to), count);
}

/* nginx's rewrite takes the rest for arguments. */
static void note_query(struct conf_decode *d, const struct conf_node *node, const char *key, const char *text)
{
    if (text && strchr(text, '?'))
        conf_decode_note(
            d, node, key, "leave it out: the request's own query stays as it is",
            "a ? in `%s` is a character of the path, which goes out as %%3F, and begins no query", key);
}

static void check_rewrite(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct rewrite_conf *r = object;
    struct err err;
    if (r->regex && (r->strip_prefix || r->add_prefix))
        conf_decode_fault(d, node, "regex", "keep one of them",
                          "a rewrite has either prefixes or an expression");
    else if (!r->regex && !r->strip_prefix && !r->add_prefix)
        conf_decode_fault(d, node, NULL, "add strip_prefix, add_prefix, or regex and to",
                          "the rewrite says nothing");
    if (!r->regex != !r->to)
        conf_decode_fault(d, node, r->regex ? "regex" : "to", "give both",
                          "`regex` and `to` belong together");
    if (r->regex && route_check_regex(r->regex, &err) < 0)
        conf_decode_fault(d, node, "regex", "", "%s", err.text);
    else if (r->regex && r->to)
        check_groups(d, node, r);
    note_query(d, node, "to", r->to);
    note_query(d, node, "add_prefix", r->add_prefix);
    if (r->add_prefix && r->add_prefix[0] != '/')
        conf_decode_fault(d, node, "add_prefix", "begin it with a slash", "\"%s\" cannot begin a path",
                          r->add_prefix);
}

static const struct conf_field fields[] = {
    { "strip_prefix", CONF_STRING(struct rewrite_conf, strip_prefix), .min = 1, .max = 4096,
      .help = "Taken off where the path begins with it." },
    { "add_prefix", CONF_STRING(struct rewrite_conf, add_prefix), .min = 1, .max = 4096,
      .help = "Put before what is left." },
    { "regex", CONF_STRING(struct rewrite_conf, regex), .min = 1, .max = 4096,
      .help = "A Perl-compatible expression; its first match in the path becomes `to`." },
    { "to", CONF_STRING(struct rewrite_conf, to), .max = 4096,
      .help = "What the match becomes: `$1` to `$9` are its groups, `$0` all of it, `$$` a dollar." },
    { 0 },
};

const struct conf_type rewrite_conf_type = {
    .name = "rewrite", .size = sizeof(struct rewrite_conf), .fields = fields, .check = check_rewrite
};

struct rewrite {
    const struct rewrite_conf *conf;
    pcre2_code *regex; /* NULL: prefixes */
};

int rewrite_new(struct rewrite **out, const struct rewrite_conf *conf, struct err *err)
{
    int code;
    PCRE2_SIZE offset;
    if (conf->regex && route_check_regex(conf->regex, err) < 0) return -1;
    struct rewrite *r = calloc(1, sizeof(*r));
    if (r && conf->regex)
        r->regex = pcre2_compile((PCRE2_SPTR)conf->regex, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_BACKSLASH_C,
                                 &code, &offset, NULL);
    if (!r || (conf->regex && !r->regex)) {
        free(r);
        return err_set(err, "out of memory for a rewrite");
    }
    if (r->regex) pcre2_jit_compile(r->regex, PCRE2_JIT_COMPLETE);
    r->conf = conf;
    *out = r;
    return 0;
}

void rewrite_free(struct rewrite *r)
{
    if (!r) return;
    pcre2_code_free(r->regex);
    free(r);
}

/* What no path can hold is percent-encoded (RFC 3986 2.1); a question mark or a number sign would end it. */
static void add_byte(struct text *out, char c)
{
    if (http_path_may_hold(c)) {
        text_add_char(out, c);
        return;
    }
    static const char digits[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;
    text_add(out, (const char[]){ '%', digits[byte >> 4], digits[byte & 15] }, 3);
}

static void add_bytes(struct text *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) add_byte(out, s.data[i]);
}

static void add_groups(struct text *out, const char *to, struct slice path, const PCRE2_SIZE *ends,
                       uint32_t count)
{
    for (const char *p = to; *p; p++) {
        if (*p != '$' || !p[1]) {
            add_byte(out, *p);
            continue;
        }
        p++;
        bool is_braced = *p == '{' && p[1] >= '0' && p[1] <= '9' && p[2] == '}';
        char digit = is_braced ? p[1] : *p;
        if (is_braced) p += 2;
        uint32_t group = (uint32_t)(digit - '0');
        if (*p == '$') {
            add_byte(out, '$');
        } else if (digit < '0' || digit > '9') {
            add_byte(out, '$');
            add_byte(out, *p);
        } else if (group < count && ends[2 * group] != PCRE2_UNSET) {
            add_bytes(out,
                      (struct slice){ path.data + ends[2 * group], ends[2 * group + 1] - ends[2 * group] });
        }
    }
}

static bool replace(const struct rewrite *r, struct route_scratch *scratch, struct slice path,
                    struct text *out)
{
    const PCRE2_SIZE *ends;
    int count = route_scratch_match(scratch, r->regex, path, &ends);
    /* One that gave up is not passed over: its route may rely on what it takes away. */
    if (count < 0 && count != PCRE2_ERROR_NOMATCH) out->is_cut = true;
    if (count < 0) return out->is_cut;
    /* Nor one whose match ends before it begins, as older PCRE2 lets \\K say within a lookahead. */
    if (bug_if(ROUTE, ends[0] > ends[1] || ends[1] > path.len)) out->is_cut = true;
    if (out->is_cut) return true;
    add_bytes(out, (struct slice){ path.data, ends[0] });
    add_groups(out, r->conf->to, path, ends, (uint32_t)count);
    add_bytes(out, (struct slice){ path.data + ends[1], path.len - ends[1] });
    return true;
}

static bool change_prefix(const struct rewrite_conf *conf, struct slice path, struct text *out)
{
    struct slice strip = slice_of(conf->strip_prefix), added = slice_of(conf->add_prefix);
    bool begins = strip.len && slice_starts_with(path, strip);
    if (!begins && !added.len) return false;
    if (begins) path = (struct slice){ path.data + strip.len, path.len - strip.len };
    add_bytes(out, added);
    /* One slash where they meet. */
    bool has_slash = out->len && out->data[out->len - 1] == '/';
    if (has_slash && path.len && path.data[0] == '/') path = (struct slice){ path.data + 1, path.len - 1 };
    text_add_slice(out, path);
    return true;
}

/* A path that leads out of the place where the rule puts it is not resolved but refused: nobody meant that. */
static bool settle(const struct http_path_rules *rules, struct text *path)
{
    struct http_path_rules strict = *rules;
    strict.refuses_dots = true;
    return http_path_settle(&strict, path->data, &path->len) == HTTP_PATH_OK;
}

enum rewrite_result rewrite_target(const struct rewrite *r, struct route_scratch *scratch,
                                   const struct http_path_rules *rules, struct slice target, struct text *out)
{
    if (!target.len || target.data[0] != '/') return REWRITE_SAME;
    const char *mark = memchr(target.data, '?', target.len);
    struct slice path = { target.data, mark ? (size_t)(mark - target.data) : target.len };
    struct slice query = { target.data + path.len, target.len - path.len };
    struct text made = *out;
    /* A path begins with a slash whatever the rewriting makes of it; settling merges two. */
    text_add_char(&made, '/');
    if (!(r->regex ? replace(r, scratch, path, &made) : change_prefix(r->conf, path, &made)))
        return REWRITE_SAME;
    if (made.len > 1 && made.data[1] == '/') {
        made.data++;
        made.cap--;
        made.len--;
    }
    if (made.is_cut) return REWRITE_TOO_LONG;
    if (!settle(rules, &made)) return REWRITE_BAD_PATH;
    text_add_slice(&made, query);
    if (made.is_cut) return REWRITE_TOO_LONG;
    *out = made;
    return REWRITE_DONE;
}

bool rewrite_needs_scratch(const struct rewrite *r)
{
    return r->regex != NULL;
}
