#include "logs/log_format.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "logs/nginx_conf.h"

/* Formats that are tried, in turn, on a file whose format nobody told: those that Debian's and nginx's own packages
 * ship, and the common one with the two times behind. */
static const char *const guesses[] = {
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
    "\"$http_user_agent\" \"$http_x_forwarded_for\" $request_time $upstream_response_time",
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
    "\"$http_user_agent\" $request_time $upstream_response_time",
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
    "\"$http_user_agent\" $request_time",
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
    "\"$http_user_agent\" \"$http_x_forwarded_for\"",
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
    "\"$http_user_agent\"",
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent",
};

int log_format_parse(struct log_format *out, const char *text, struct err *err)
{
    memset(out, 0, sizeof(*out));
    out->is_json = strcmp(text, "json") == 0;
    out->is_auto = strcmp(text, "auto") == 0;
    if (out->is_json || out->is_auto) return 0;
    if (strcmp(text, "combined") == 0) text = line_format_combined;
    if (!strchr(text, '$'))
        return err_set(
            err,
            "\"%s\" is no format; write combined, json, auto, or a log_format's text with its $variables",
            text);
    return line_format_compile(&out->lines, slice_of(text), LINE_ESCAPE_DEFAULT, err);
}

/* The format of the access_log of that path, or of all those that a pattern takes. */
static int find(const struct nginx_conf *c, const char *path, const struct nginx_format **out,
                struct err *err)
{
    char *real = realpath(path, NULL);
    *out = nginx_conf_format_of_log(c, slice_of(real ? real : path));
    if (!*out) *out = nginx_conf_format_of_log(c, slice_of(path));
    free(real);
    for (uint32_t i = 0; !strpbrk(path, "*?[") ? false : i < c->log_count; i++) {
        if (fnmatch(path, c->logs[i].path, FNM_PATHNAME) != 0) continue;
        const struct nginx_format *f = nginx_conf_format(c, slice_of(c->logs[i].format));
        if (*out && f && *out != f) {
            err_set(err, "logs that %s takes have formats %s and %s; give each a source of its own", path,
                    (*out)->name, f->name);
            return -1;
        }
        if (f) *out = f;
    }
    if (*out) return 0;
    err_set(err, "it has no access_log %s; give the format itself", path);
    return -1;
}

int log_format_of_nginx(struct log_format *out, const char *nginx_conf, const char *log_path, struct err *err)
{
    struct nginx_conf *c = NULL;
    memset(out, 0, sizeof(*out));
    if (nginx_conf_read(&c, nginx_conf, err) < 0) return -1;
    const struct nginx_format *f = NULL;
    int result = find(c, log_path, &f, err);
    if (result < 0)
        err_prefix(err, "%s", nginx_conf);
    else if (f->escape == LINE_ESCAPE_JSON && (f->text[0] == '{' || f->text[0] == '['))
        out->is_json = true;
    else
        result = line_format_compile(&out->lines, slice_of(f->text), f->escape, err);
    if (f && result < 0) err_prefix(err, "%s: log_format %s", nginx_conf, f->name);
    nginx_conf_free(c);
    return result;
}

/* By the first line: what is JSON begins with a bracket or a brace. */
int log_format_guess(struct slice first, struct log_format *out, const char *path, struct err *err)
{
    while (first.data && first.len && strchr(" \t\r\n", *first.data) && *first.data)
        first.data++, first.len--;
    memset(out, 0, sizeof(*out));
    if (!first.data || !first.len) return log_format_parse(out, "combined", err);
    if (*first.data == '{' || *first.data == '[') {
        out->is_json = true;
        return 0;
    }
    const char *newline = memchr(first.data, '\n', first.len);
    struct slice line = { first.data, newline ? (size_t)(newline - first.data) : first.len };
    for (unsigned i = 0; i < sizeof(guesses) / sizeof(*guesses); i++) {
        struct line_clock clock = { 0 };
        struct log_entry entry = { 0 };
        if (line_format_compile(&out->lines, slice_of(guesses[i]), LINE_ESCAPE_DEFAULT, err) < 0) return -1;
        if (line_format_read(&out->lines, line, &clock, &entry) && entry.status && entry.time_s) return 0;
    }
    return err_set(
        err,
        "%s: its first line is of no format that is known here: \"%.*s\"; give it with --format or "
        "--nginx-conf",
        path, (int)(line.len < 120 ? line.len : 120), line.data);
}
