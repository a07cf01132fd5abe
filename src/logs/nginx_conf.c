#include "logs/nginx_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define WORDS_MAX 64u
#define WORD_MAX 4096u

/* What is read so far, over all files. */
struct reading {
    struct nginx_conf *conf;
    char *directory; /* of the first file: what include paths are relative to */
    uint32_t files, depth;
    size_t bytes;
    struct err *err;
};

/* One file, and the directive that is being put together. */
struct file {
    struct reading *reading;
    const char *path;
    const char *p, *end;
    uint32_t line, word_count;
    size_t used;
    char *words[WORDS_MAX];
    char memory[WORDS_MAX * 64 + 2 * WORD_MAX];
};

static const struct nginx_format combined = {
    .name = (char *)(uintptr_t) "combined",
    .text =
        (char *)(uintptr_t) "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
                            "\"$http_referer\" \"$http_user_agent\"",
};

static int read_file(struct reading *r, const char *path);

static int fault(const struct file *f, const char *what)
{
    return err_set(f->reading->err, "%s:%u: %s", f->path, f->line, what);
}

/* words */

static void skip_blanks_and_comments(struct file *f)
{
    while (f->p < f->end) {
        char c = *f->p;
        if (c == '#')
            while (f->p < f->end && *f->p != '\n') f->p++;
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            f->line += *f->p++ == '\n';
        else
            return;
    }
}

/* As nginx does: \" \' \\ lose the backslash, \t \r \n are what they are elsewhere, others keep it. */
static char unescape(struct file *f, bool *has_backslash)
{
    char c = *f->p++;
    *has_backslash = false;
    switch (c) {
    case '"':
    case '\'':
    case '\\': return c;
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    default: *has_backslash = true; return c;
    }
}

static bool put_char(struct file *f, char c)
{
    if (f->used + 1 >= sizeof(f->memory)) return false;
    f->memory[f->used++] = c;
    return true;
}

static bool ends_word(const struct file *f, char quote)
{
    char c = *f->p;
    if (quote) return c == quote;
    if (c == '{' && f->used && f->memory[f->used - 1] == '$') return false; /* ${name} */
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '{';
}

/* Whether the next word is kept: server_name and others may have thousands. */
static bool is_of_interest(const struct file *f)
{
    const char *name = f->word_count ? f->words[0] : NULL;
    return !name || strcmp(name, "log_format") == 0 || strcmp(name, "access_log") == 0 ||
           strcmp(name, "include") == 0;
}

static int read_conf_word(struct file *f)
{
    char quote = *f->p == '"' || *f->p == '\'' ? *f->p++ : 0;
    size_t used = f->used;
    bool is_kept = is_of_interest(f);
    if (is_kept && f->word_count == WORDS_MAX) return fault(f, "a directive has more than 64 words");
    if (is_kept) f->words[f->word_count++] = f->memory + used;
    while (f->p < f->end && !ends_word(f, quote)) {
        bool has_backslash = false;
        char c = *f->p++;
        f->line += c == '\n';
        if (c == '\\' && f->p < f->end) c = unescape(f, &has_backslash);
        if ((has_backslash && !put_char(f, '\\')) || !put_char(f, c))
            return fault(f, "a directive is too long");
    }
    if (quote && f->p == f->end) return fault(f, "a quote is not closed");
    if (quote) f->p++;
    if (!put_char(f, 0)) return fault(f, "a directive is too long");
    if (!is_kept) f->used = used;
    return 0;
}

/* directives */

static int out_of_memory(const struct file *f)
{
    return fault(f, "out of memory");
}

static int add_format(struct file *f)
{
    struct nginx_conf *c = f->reading->conf;
    uint32_t first = 2;
    struct nginx_format format = { .escape = LINE_ESCAPE_DEFAULT };
    if (f->word_count < 3) return fault(f, "log_format needs a name and a text");
    if (strncmp(f->words[2], "escape=", 7) == 0) {
        const char *escape = f->words[first++] + 7;
        format.escape = strcmp(escape, "json") == 0   ? LINE_ESCAPE_JSON
                        : strcmp(escape, "none") == 0 ? LINE_ESCAPE_NONE
                                                      : LINE_ESCAPE_DEFAULT;
    }
    if (c->format_count == NGINX_CONF_FORMATS_MAX) return fault(f, "there are more than 256 log formats");
    size_t len = 1;
    for (uint32_t i = first; i < f->word_count; i++) len += strlen(f->words[i]);
    format.name = strdup(f->words[1]);
    format.text = calloc(1, len);
    if (!format.name || !format.text) {
        free(format.name);
        free(format.text);
        return out_of_memory(f);
    }
    struct text joined = text_over(format.text, len);
    for (uint32_t i = first; i < f->word_count; i++) text_add_slice(&joined, slice_of(f->words[i]));
    text_cstr(&joined);
    c->formats[c->format_count++] = format;
    return 0;
}

static int add_log(struct file *f)
{
    struct nginx_conf *c = f->reading->conf;
    if (f->word_count < 2 || strcmp(f->words[1], "off") == 0) return 0;
    if (c->log_count == NGINX_CONF_LOGS_MAX) return fault(f, "there are more than 4096 access logs");
    bool has_format = f->word_count > 2 && !strchr(f->words[2], '=') && strcmp(f->words[2], "gzip") != 0;
    struct nginx_log log = { strdup(f->words[1]), strdup(has_format ? f->words[2] : "combined") };
    if (!log.path || !log.format) {
        free(log.path);
        free(log.format);
        return out_of_memory(f);
    }
    c->logs[c->log_count++] = log;
    return 0;
}

static int include(struct file *f)
{
    struct reading *r = f->reading;
    char pattern[2 * WORD_MAX];
    glob_t found;
    if (f->word_count != 2) return fault(f, "include needs one path");
    bool is_absolute = f->words[1][0] == '/';
    int len = snprintf(pattern, sizeof(pattern), "%s%s%s", is_absolute ? "" : r->directory,
                       is_absolute ? "" : "/", f->words[1]);
    if (len < 0 || (size_t)len >= sizeof(pattern)) return fault(f, "the path is too long");
    if (r->depth == NGINX_CONF_DEPTH_MAX) return fault(f, "files include each other deeper than 16");
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOMATCH) {
        /* A pattern may find nothing; a name must be there. */
        return strpbrk(pattern, "*?[") ? 0
                                       : err_set(r->err, "%s:%u: there is no %s", f->path, f->line, pattern);
    }
    if (result) return fault(f, "the files to include cannot be listed");
    r->depth++;
    result = 0;
    for (size_t i = 0; i < found.gl_pathc && result == 0; i++) result = read_file(r, found.gl_pathv[i]);
    r->depth--;
    globfree(&found);
    return result;
}

static int end_directive(struct file *f)
{
    int result = 0;
    if (!f->word_count) return 0;
    if (strcmp(f->words[0], "log_format") == 0) result = add_format(f);
    if (strcmp(f->words[0], "access_log") == 0) result = add_log(f);
    if (strcmp(f->words[0], "include") == 0) result = include(f);
    f->word_count = 0;
    f->used = 0;
    return result;
}

/* To the quote that ends a string of Lua. */
static void skip_lua_string(struct file *f)
{
    char quote = *f->p++;
    while (f->p < f->end && *f->p != quote) f->p += *f->p == '\\' && f->p + 1 < f->end ? 2 : 1;
}

/* To the brace that ends the block. */
static void skip_lua(struct file *f)
{
    for (uint32_t depth = 1; f->p < f->end && depth; f->p++) {
        if (*f->p == '"' || *f->p == '\'') skip_lua_string(f);
        if (f->p >= f->end) return;
        if (*f->p == '-' && f->p + 1 < f->end && f->p[1] == '-')
            while (f->p + 1 < f->end && *f->p != '\n') f->p++;
        depth += *f->p == '{';
        depth -= *f->p == '}';
        f->line += *f->p == '\n';
    }
}

/* A block's own words are of no interest: its directives follow. Lua is no directives. */
static void begin_block(struct file *f)
{
    static const char lua[] = "_by_lua_block";
    size_t len = f->word_count ? strlen(f->words[0]) : 0;
    bool is_lua = len > sizeof(lua) && strcmp(f->words[0] + len - (sizeof(lua) - 1), lua) == 0;
    f->word_count = 0;
    f->used = 0;
    if (is_lua) skip_lua(f);
}

static int read_directives(struct file *f)
{
    for (skip_blanks_and_comments(f); f->p < f->end; skip_blanks_and_comments(f)) {
        char c = *f->p;
        if (c == ';' || c == '{' || c == '}') {
            f->p++;
            if (c == '{') begin_block(f);
            if (end_directive(f) < 0) return -1;
        } else if (read_conf_word(f) < 0) {
            return -1;
        }
    }
    return f->word_count ? fault(f, "a directive is not ended with \";\"") : 0;
}

/* files */

/* The whole of it, at most `max` bytes and one more; NULL: out of memory. */
static char *read_stream(FILE *file, size_t max, size_t *len)
{
    size_t cap = 16384;
    char *text = malloc(cap);
    *len = 0;
    while (text) {
        *len += fread(text + *len, 1, cap - *len, file);
        if (*len < cap || *len > max) return text;
        char *larger = realloc(text, cap *= 2);
        if (!larger) free(text);
        text = larger;
    }
    return NULL;
}

/* A pipe or a terminal would be waited for. */
static FILE *open_regular(const char *path, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool is_regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    FILE *file = is_regular ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !is_regular)
        err_set(err, "cannot read %s: it is no file", path);
    else if (!file)
        err_set(err, "cannot open %s: %s", path, strerror(errno));
    if (fd >= 0 && !file) close(fd);
    return file;
}

static int load_file(struct reading *r, const char *path, char **text, size_t *len)
{
    FILE *file = open_regular(path, r->err);
    if (!file) return -1;
    size_t room = NGINX_CONF_BYTES_MAX - r->bytes;
    *text = read_stream(file, room, len);
    bool has_failed = !*text || ferror(file) || *len > room;
    fclose(file);
    if (!has_failed) {
        r->bytes += *len;
        return 0;
    }
    free(*text);
    *text = NULL;
    err_set(r->err, "cannot read %s: all files together have over %u bytes", path, NGINX_CONF_BYTES_MAX);
    return -1;
}

static int read_file(struct reading *r, const char *path)
{
    char *text = NULL;
    size_t len = 0;
    if (++r->files > NGINX_CONF_FILES_MAX)
        return err_set(r->err, "%s: more than %u files are included", path, NGINX_CONF_FILES_MAX);
    if (load_file(r, path, &text, &len) < 0) return -1;
    struct file *f = calloc(1, sizeof(*f));
    int result = -1;
    if (f) {
        *f = (struct file){ .reading = r, .path = path, .p = text, .end = text + len, .line = 1 };
        result = read_directives(f);
    } else {
        err_set(r->err, "out of memory for %s", path);
    }
    free(f);
    free(text);
    return result;
}

int nginx_conf_read(struct nginx_conf **out, const char *path, struct err *err)
{
    struct nginx_conf *c = calloc(1, sizeof(*c));
    struct reading r = { .conf = c, .err = err };
    const char *slash = strrchr(path, '/');
    r.directory = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    if (c) c->formats = calloc(NGINX_CONF_FORMATS_MAX, sizeof(*c->formats));
    if (c) c->logs = calloc(NGINX_CONF_LOGS_MAX, sizeof(*c->logs));
    int result = -1;
    if (!c || !c->formats || !c->logs || !r.directory)
        err_set(err, "out of memory for %s", path);
    else
        result = read_file(&r, path);
    free(r.directory);
    if (result == 0)
        *out = c;
    else
        nginx_conf_free(c);
    return result;
}

void nginx_conf_free(struct nginx_conf *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->format_count; i++) {
        free(c->formats[i].name);
        free(c->formats[i].text);
    }
    for (uint32_t i = 0; i < c->log_count; i++) {
        free(c->logs[i].path);
        free(c->logs[i].format);
    }
    free(c->formats);
    free(c->logs);
    free(c);
}

const struct nginx_format *nginx_conf_format(const struct nginx_conf *c, struct slice name)
{
    for (uint32_t i = 0; i < c->format_count; i++)
        if (slice_equal(slice_of(c->formats[i].name), name)) return &c->formats[i];
    return slice_equal(name, SLICE("combined")) ? &combined : NULL;
}

const struct nginx_format *nginx_conf_format_of_log(const struct nginx_conf *c, struct slice path)
{
    for (uint32_t i = 0; i < c->log_count; i++)
        if (slice_equal(slice_of(c->logs[i].path), path))
            return nginx_conf_format(c, slice_of(c->logs[i].format));
    return NULL;
}
