#include "record/access_log_conf.h"

#include <assert.h>
#include <string.h>

#include "conf/decode.h"
#include "http/message.h"

static_assert(HTTP_FIELD_COUNT <= UINT8_MAX, "a field's id fits in an operation");

/* Longer words are cut in messages. */
#define WORD_SHOWN 64

#define COMBINED                                                                                         \
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" " \
    "\"$http_user_agent\""

#define JSON_LINE                                                                                        \
    "{\"time\":\"$weir_time\",\"id\":\"$weir_id\",\"request_id\":\"$request_id\",\"client\":\"$remote_"  \
    "addr\",\"user\":\"$remote_user\","                                                                  \
    "\"client_port\":$remote_port,\"listener\":\"$weir_listener\",\"scheme\":\"$scheme\",\"host\":\"$"   \
    "host\","                                                                                            \
    "\"method\":\"$request_method\",\"target\":\"$request_uri\",\"protocol\":\"$server_protocol\","      \
    "\"status\":$status,\"grpc_status\":\"$weir_grpc_status\",\"end\":\"$weir_end\",\"origin\":\"$weir_" \
    "origin\",\"request_time\":$request_time,"                                                           \
    "\"bytes_in\":$request_length,\"bytes_out\":$bytes_sent,\"body_bytes\":$body_bytes_sent,"            \
    "\"route\":\"$weir_route\",\"split\":\"$weir_split\",\"variant\":\"$weir_variant\","                 \
    "\"pool\":\"$weir_pool\",\"server\":\"$weir_server\",\"reason\":\"$weir_"                            \
    "reason\","                                                                                          \
    "\"upstream_addr\":\"$upstream_addr\",\"upstream_status\":\"$upstream_status\","                     \
    "\"upstream_connect_time\":\"$upstream_connect_time\","                                              \
    "\"upstream_header_time\":\"$upstream_header_time\","                                                \
    "\"upstream_response_time\":\"$upstream_response_time\","                                            \
    "\"tls\":\"$ssl_protocol\",\"cipher\":\"$ssl_cipher\",\"server_name\":\"$ssl_server_name\","         \
    "\"client_subject\":\"$ssl_client_s_dn\","                                                           \
    "\"referer\":\"$http_referer\",\"user_agent\":\"$http_user_agent\"}"

static const char *const variable_names[] = {
#define X(id, name) name,
    ACCESS_VARIABLES(X)
#undef X
};
#define VARIABLES (sizeof(variable_names) / sizeof(*variable_names))
#define FIRST_VARIABLE (ACCESS_CODE_COUNT - (int)VARIABLES)

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

static int fail_size(struct err *err)
{
    return err_set(err, "the format is too long: it may have %u bytes and %u variables",
                   ACCESS_FORMAT_TEXT_MAX / 2, ACCESS_FORMAT_OPS_MAX / 2);
}

static struct access_op *op_new(struct access_format *f, enum access_code code)
{
    if (f->op_count == ACCESS_FORMAT_OPS_MAX) return NULL;
    struct access_op *op = &f->ops[f->op_count++];
    *op = (struct access_op){ .code = (uint8_t)code };
    return op;
}

static int add_format_text(struct access_format *f, struct slice s, struct err *err)
{
    if (s.len > sizeof(f->text) - f->text_len) return fail_size(err);
    if (s.len) memcpy(f->text + f->text_len, s.data, s.len);
    f->text_len = (uint16_t)(f->text_len + s.len);
    return 0;
}

/* Literal text is at text[at] already. */
static int add_literal(struct access_format *f, size_t at, size_t len, struct err *err)
{
    if (len == 0) return 0;
    struct access_op *op = op_new(f, ACCESS_LITERAL);
    if (!op) return fail_size(err);
    op->at = (uint16_t)at;
    op->len = (uint16_t)len;
    return 0;
}

/* Of "http_user_agent" the field name "user-agent", as nginx does it. */
static int add_field(struct access_format *f, enum access_code code, struct slice word, struct err *err)
{
    struct access_op *op = op_new(f, code);
    if (!op) return fail_size(err);
    op->at = f->text_len;
    op->len = (uint16_t)word.len;
    if (add_format_text(f, word, err) < 0) return -1;
    char *name = f->text + op->at;
    for (size_t i = 0; i < word.len; i++) name[i] = name[i] == '_' ? '-' : lower(name[i]);
    op->field_id = (uint8_t)http_field_id_of((struct slice){ name, word.len });
    return 0;
}

/* True if `word` begins with `prefix` and goes on; `word` becomes the rest. */
static bool cut_prefix(struct slice *word, struct slice prefix)
{
    if (word->len <= prefix.len || !slice_is_same_fold(word->data, prefix.data, prefix.len)) return false;
    *word = (struct slice){ word->data + prefix.len, word->len - prefix.len };
    return true;
}

static int add_variable(struct access_format *f, struct slice word, struct err *err)
{
    struct slice field = word;
    for (size_t i = 0; i < VARIABLES; i++) {
        if (!slice_equal_fold(word, slice_of(variable_names[i]))) continue;
        return op_new(f, (enum access_code)(FIRST_VARIABLE + (int)i)) ? 0 : fail_size(err);
    }
    if (cut_prefix(&field, SLICE("http_"))) return add_field(f, ACCESS_REQUEST_FIELD, field, err);
    if (cut_prefix(&field, SLICE("sent_http_"))) return add_field(f, ACCESS_RESPONSE_FIELD, field, err);
    const char *near = conf_nearest(word, variable_names, VARIABLES);
    int shown = word.len < WORD_SHOWN ? (int)word.len : WORD_SHOWN;
    if (near)
        return err_set(err, "unknown variable \"$%.*s\"; did you mean \"$%s\"?", shown, word.data, near);
    return err_set(err, "unknown variable \"$%.*s\"; a header's value is $http_NAME or $sent_http_NAME",
                   shown, word.data);
}

/* Takes "name" or "{name}" off `rest`, which follows a dollar sign. */
static int take_word(struct slice *rest, struct slice *word, struct err *err)
{
    bool has_brace = rest->len > 0 && *rest->data == '{';
    const char *start = rest->data + has_brace, *end = rest->data + rest->len, *p = start;
    while (p < end && is_word_char(*p)) p++;
    *word = (struct slice){ start, (size_t)(p - start) };
    if (has_brace && (p == end || *p != '}'))
        return err_set(err, "\"${%.*s\" lacks its closing brace",
                       (int)(word->len < WORD_SHOWN ? word->len : WORD_SHOWN), word->data);
    if (word->len == 0)
        return err_set(err, "a \"$\" must be followed by a variable's name, as in $remote_addr");
    p += has_brace;
    *rest = (struct slice){ p, (size_t)(end - p) };
    return 0;
}

/* `at`, `len`: the template, in text[]. */
static int compile_template(struct access_format *f, size_t at, size_t len, struct err *err)
{
    struct slice rest = { f->text + at, len };
    while (rest.len) {
        const char *dollar = memchr(rest.data, '$', rest.len);
        size_t literal_len = dollar ? (size_t)(dollar - rest.data) : rest.len;
        if (add_literal(f, (size_t)(rest.data - f->text), literal_len, err) < 0) return -1;
        if (!dollar) break;
        rest = (struct slice){ dollar + 1, rest.len - literal_len - 1 };
        struct slice word;
        if (take_word(&rest, &word, err) < 0 || add_variable(f, word, err) < 0) return -1;
    }
    return 0;
}

static int fail_unknown(struct slice source, struct err *err)
{
    static const char *const names[] = { "combined", "json" };
    const char *near = conf_nearest(source, names, sizeof(names) / sizeof(*names));
    int shown = source.len < WORD_SHOWN ? (int)source.len : WORD_SHOWN;
    if (near) return err_set(err, "unknown format \"%.*s\"; did you mean \"%s\"?", shown, source.data, near);
    return err_set(
        err, "unknown format \"%.*s\": it is combined, json, or a template with variables such as $status",
        shown, source.data);
}

int access_format_compile(struct slice source, struct access_format *out, struct err *err)
{
    *out = (struct access_format){ 0 };
    if (source.len > ACCESS_FORMAT_TEXT_MAX / 2) return fail_size(err);
    for (size_t i = 0; i < source.len; i++)
        if ((unsigned char)source.data[i] < ' ' || source.data[i] == 0x7f)
            return err_set(err, "a format is one line of text, without control characters");
    if (add_format_text(out, source, err) < 0) return -1;
    out->source_len = out->text_len;
    size_t at = 0;
    if (slice_equal(source, SLICE("combined"))) {
        at = out->text_len;
        if (add_format_text(out, SLICE(COMBINED), err) < 0) return -1;
    } else if (slice_equal(source, SLICE("json"))) {
        at = out->text_len;
        out->escape = ACCESS_ESCAPE_JSON;
        if (add_format_text(out, SLICE(JSON_LINE), err) < 0) return -1;
    } else if (source.len == 0 || !memchr(source.data, '$', source.len)) {
        return fail_unknown(source, err);
    } else if (slice_starts_with(source, SLICE("escape=json "))) {
        at = sizeof("escape=json ") - 1;
        out->escape = ACCESS_ESCAPE_JSON;
    }
    return compile_template(out, at, out->text_len - at, err);
}

int access_format_compile_own(struct slice source, struct access_format *out, struct err *err)
{
    *out = (struct access_format){ 0 };
    if (add_format_text(out, source, err) < 0) return -1;
    out->source_len = out->text_len;
    return compile_template(out, 0, out->text_len, err);
}

static int parse_format(struct slice text, void *out, struct err *err)
{
    return access_format_compile(text, out, err);
}

static void print_format(const void *value, struct text *out)
{
    const struct access_format *f = value;
    text_add(out, f->text, f->source_len);
}

const struct conf_type access_format_type = {
    .name = "access log format",
    .size = sizeof(struct access_format),
    .parse = parse_format,
    .print = print_format,
    .pattern_help = "combined, json, or '$remote_addr \"$request\" $status'",
};

static const struct conf_field access_log_fields[] = {
    { "path", CONF_STRING(struct access_log_conf, path), .min = 1, .max = 4095,
      .help = "The file that lines are added to; `-` is standard output." },
    { "syslog", CONF_OPTIONAL(struct access_log_conf, syslog, &syslog_conf_type),
      .help = "Or a syslog server, which gets each line as a message of RFC 5424." },
    { "journald", CONF_OPTIONAL(struct access_log_conf, journald, &journald_conf_type),
      .help =
          "Or systemd's journal, with fields such as WEIR_STATUS and WEIR_ID beside the line; `{}` is the "
          "system's own." },
    { "format", CONF_CUSTOM(struct access_log_conf, format, &access_format_type), .preset = "combined",
      .help =
          "`combined`, `json`, or a template in nginx's variable names and weir's own; one that begins with "
          "`escape=json ` is escaped for JSON." },
    { "buffer", CONF_BYTES(struct access_log_conf, buffer_bytes), .min = 64 << 10, .max = 64 << 20,
      .preset = "1MiB",
      .help = "How much each worker may hold back; lines over it are dropped and counted." },
    { 0 },
};

/* `access_log: journald` would otherwise be a file of that name where weir was started. */
static void check_access_log(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct access_log_conf *c = object;
    int targets = (c->path != NULL) + (c->syslog != NULL) + (c->journald != NULL);
    if (targets != 1)
        conf_decode_fault(d, node, NULL, "write path: FILE, syslog: ADDRESS, or journald: {}",
                          targets ? "lines go to one place" : "it is not said where lines go");
    if (c->path && strcmp(c->path, "journald") == 0)
        conf_decode_fault(d, node, "path", "write {journald: {}}; a file of this name would be ./journald",
                          "\"journald\" is no path");
    if (c->path && (strcmp(c->path, "syslog") == 0 || strncmp(c->path, "unix:", 5) == 0))
        conf_decode_fault(d, node, "path",
                          "write {syslog: unix:/dev/log}; a file of this name is given with ./",
                          "\"%.64s\" is no path", c->path);
}

const struct conf_type access_log_conf_type = {
    .name = "access log",
    .size = sizeof(struct access_log_conf),
    .fields = access_log_fields,
    .short_form = "path",
    .check = check_access_log,
};
