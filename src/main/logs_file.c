#include "main/logs_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logs/nginx_conf.h"
#include "logs/time_search.h"
#include "logs/unpack.h"

#define PIECE_BYTES (256u << 10)
#define PROGRESS_BYTES (64u << 20)

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

int logs_format_parse(struct logs_format *out, const char *text, struct err *err)
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

int logs_format_of_nginx(struct logs_format *out, const char *nginx_conf, const char *log_path,
                         struct err *err)
{
    struct nginx_conf *c = NULL;
    memset(out, 0, sizeof(*out));
    if (nginx_conf_read(&c, nginx_conf, err) < 0) return -1;
    char *real = realpath(log_path, NULL);
    const struct nginx_format *f = nginx_conf_format_of_log(c, slice_of(real ? real : log_path));
    if (!f) f = nginx_conf_format_of_log(c, slice_of(log_path));
    free(real);
    int result = 0;
    if (!f)
        result = err_set(err, "%s has no access_log %s; give the format with --format", nginx_conf, log_path);
    else if (f->escape == LINE_ESCAPE_JSON && (f->text[0] == '{' || f->text[0] == '['))
        out->is_json = true;
    else
        result = line_format_compile(&out->lines, slice_of(f->text), f->escape, err);
    if (f && result < 0) err_prefix(err, "%s: log_format %s", nginx_conf, f->name);
    nginx_conf_free(c);
    return result;
}

/* reading */

struct reading {
    struct logs_job *job;
    struct intake *intake;
};

static enum log_field field_of(const void *intake, struct slice name)
{
    return intake_field(intake, name);
}

static void on_entry(void *context, struct log_entry *e)
{
    struct reading *r = context;
    struct logs_job *job = r->job;
    if (job->is_stopped || e->time_s < job->from_s || e->time_s > job->to_s) return;
    if (job->filter && !filter_takes(job->filter, e)) return;
    job->on_entry(job->context, e);
}

static void on_malformed(void *context, struct slice line)
{
    struct reading *r = context;
    r->job->on_malformed(r->job->context, line);
}

static const struct intake_events events = { on_entry, on_malformed };

/* By the first line: what is JSON begins with a bracket or a brace. */
static int guess(struct slice first, struct logs_format *out, const char *path, struct err *err)
{
    while (first.data && first.len && strchr(" \t\r\n", *first.data) && *first.data)
        first.data++, first.len--;
    memset(out, 0, sizeof(*out));
    if (!first.data || !first.len) return logs_format_parse(out, "combined", err);
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

static int start(struct reading *r, struct slice piece, struct logs_format *format, const char *path,
                 struct err *err)
{
    *format = *r->job->format;
    if (format->is_auto && guess(piece, format, path, err) < 0) return -1;
    if (intake_new(&r->intake, format->is_json ? NULL : &format->lines, &events, r, err) < 0) return -1;
    return 0;
}

static int open_file(const char *path, uint64_t *size, struct err *err)
{
    struct stat st;
    int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(err, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
        close(fd);
        return err_set(err, "%s is a directory", path);
    }
    *size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return fd;
}

static int feed_all(struct reading *r, struct unpack *u, char *memory, const char *path, uint64_t size,
                    struct err *err)
{
    struct logs_job *job = r->job;
    struct logs_format *format = malloc(sizeof(*format));
    uint64_t said = job->bytes;
    size_t got = 0;
    int result = 0;
    if (!format) return err_set(err, "out of memory");
    while (result == 0 && !job->is_stopped) {
        if ((result = unpack_read(u, memory, PIECE_BYTES, &got, err)) < 0 || !got) break;
        struct slice piece = { memory, got };
        if (!r->intake && (result = start(r, piece, format, path, err)) < 0) break;
        if (job->filter) filter_bind(job->filter, field_of, r->intake);
        intake_feed(r->intake, piece);
        job->bytes += got;
        if (job->on_progress && job->bytes - said >= PROGRESS_BYTES) {
            job->on_progress(job->context, unpack_consumed(u), size);
            said = job->bytes;
        }
    }
    if (r->intake) intake_end(r->intake);
    intake_free(r->intake);
    free(format);
    return result;
}

int logs_file_read(struct logs_job *job, const char *path, struct err *err)
{
    uint64_t size = 0;
    struct reading r = { .job = job };
    struct unpack *u = NULL;
    int fd = open_file(path, &size, err);
    if (fd < 0) return -1;
    char *memory = malloc(PIECE_BYTES + INTAKE_SLACK);
    int result = memory ? unpack_new(&u, fd, path, err) : err_set(err, "out of memory");
    if (result == 0) result = feed_all(&r, u, memory, path, size, err);
    unpack_free(u);
    free(memory);
    close(fd);
    return result;
}
