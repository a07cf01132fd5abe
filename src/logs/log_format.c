#include "logs/log_format.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "logs/nginx_conf.h"

/* "escape=json " in front, as in log_format. */
static enum line_escape take_escape(const char **text)
{
    static const char *const words[] = { [LINE_ESCAPE_DEFAULT] = "escape=default ",
                                         [LINE_ESCAPE_JSON] = "escape=json ",
                                         [LINE_ESCAPE_NONE] = "escape=none " };
    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t len = strlen(words[i]);
        if (strncmp(*text, words[i], len) != 0) continue;
        *text += len;
        return (enum line_escape)i;
    }
    return LINE_ESCAPE_DEFAULT;
}

int log_format_parse(struct log_format *out, const char *text, struct err *err)
{
    memset(out, 0, sizeof(*out));
    out->is_json = strcmp(text, "json") == 0;
    out->is_auto = strcmp(text, "auto") == 0;
    if (out->is_json || out->is_auto) return 0;
    if (strcmp(text, "combined") == 0) text = line_format_combined;
    enum line_escape escape = take_escape(&text);
    if (!strchr(text, '$'))
        return err_set(
            err,
            "\"%s\" is no format; write combined, json, auto, or a log_format's text with its $variables",
            text);
    if (escape == LINE_ESCAPE_JSON && (*text == '{' || *text == '[')) {
        out->is_json = true;
        return 0;
    }
    return line_format_compile(&out->lines, slice_of(text), escape, err);
}

/* The format of the access_log of that path, or of all those that a pattern takes. */
static int find_nginx_format(const struct nginx_conf *c, const char *path, const struct nginx_format **out,
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
    int result = find_nginx_format(c, log_path, &f, err);
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
