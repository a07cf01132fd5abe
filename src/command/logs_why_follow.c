/* Faults as they come. nginx writes the lines of a request's errors before its record, into another file: so records are held
 * for a moment, that their lines may be here when they are looked at, and lines that no record follows are told by themselves
 * once they have waited long enough. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "command/logs_why.h"
#include "logs/follow.h"
#include "logs/intake.h"
#include "logs/log_format.h"
#include "net/loop.h"

#define MEMORY_BYTES (64u << 20)
#define TURN_MS 100
/* A record is held for one to two times this. */
#define HOLD_MS 300
/* So many bytes of a file are held; more than that is not. */
#define HOLD_BYTES (4u << 20)
#define PATIENCE_S 10
#define FILES_MAX 64

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

struct watched {
    struct why *why;
    const char *path;
    struct follow *follow;
    bool is_error_log;
    struct log_format format;
    struct list streams; /* of files that are open */
};

struct held {
    char *data; /* HOLD_BYTES, and slack; NULL: nothing was held so far */
    size_t len;
};

/* One open file of a watched path: a rotated one may be read on beside the new one. */
struct stream {
    struct list link;
    struct watched *watched;
    struct intake *intake;
    struct held older, newer;
};

static enum log_field field_of(const void *intake, struct slice name)
{
    return intake_field(intake, name);
}

/* records and lines */

static void on_entry(void *context, struct log_entry *e)
{
    const struct watched *f = context;
    struct filter *filter = f->why->run.job.filter;
    if (f->is_error_log)
        why_take_error_line(f->why, e);
    else if (!filter || filter_takes(filter, e))
        why_take_record(f->why, e);
    else
        why_take_other(f->why, e);
}

static void on_malformed(void *context, struct slice line)
{
    struct watched *f = context;
    (void)line;
    f->why->run.malformed++;
}

static const struct intake_events intake_events = { on_entry, on_malformed };

static void feed(struct stream *s, struct slice piece)
{
    struct why *w = s->watched->why;
    if (!piece.len) return;
    if (!s->watched->is_error_log) {
        if (w->run.job.filter) filter_bind(w->run.job.filter, field_of, s->intake);
        why_find_seats(w, field_of, s->intake);
    }
    intake_feed(s->intake, piece);
}

static void feed_held(struct stream *s, struct held *h)
{
    feed(s, (struct slice){ h->data, h->len });
    h->len = 0;
}

static void hold(struct stream *s, struct slice piece)
{
    struct held *h = &s->newer;
    if (!h->data) h->data = malloc(HOLD_BYTES + INTAKE_SLACK);
    if (!h->data || piece.len > HOLD_BYTES - h->len) { /* rather at once than out of order, or not at all */
        feed_held(s, &s->older);
        feed_held(s, &s->newer);
        feed(s, piece);
        return;
    }
    memcpy(h->data + h->len, piece.data, piece.len);
    h->len += piece.len;
}

static void pass_on(struct watched *f)
{
    for (struct list *at = f->streams.next; at != &f->streams; at = at->next) {
        struct stream *s = container_of(at, struct stream, link);
        struct held fed = s->older;
        feed_held(s, &fed);
        s->older = s->newer;
        s->newer = fed;
    }
}

/* files */

/* What it is, if it was empty when it was looked at; how its lines are to be read. */
static int find_format(struct watched *f, struct slice piece, struct err *err)
{
    struct error_line line;
    const char *newline = memchr(piece.data, '\n', piece.len);
    struct slice first = { piece.data, newline ? (size_t)(newline - piece.data) : piece.len };
    if (!f->is_error_log && error_line_read(first, &line)) {
        f->is_error_log = f->why->has_errors = true;
        return log_format_parse(&f->format, "$error_line", err);
    }
    if (!f->format.is_auto) return 0;
    return log_format_guess(piece, &f->format, f->path, err);
}

static struct stream *stream_of(struct watched *f, struct follow_file *file, struct slice piece)
{
    void **seat = follow_seat(file);
    struct why *w = f->why;
    if (*seat || w->run.job.is_stopped) return *seat;
    struct stream *s = calloc(1, sizeof(*s));
    int result = s ? find_format(f, piece, &w->fault) : err_set(&w->fault, "out of memory");
    const struct line_format *lines = f->format.is_json ? NULL : &f->format.lines;
    if (result == 0) result = intake_new(&s->intake, lines, &intake_events, f, &w->fault);
    if (result < 0) {
        w->run.job.is_stopped = true;
        free(s);
        return NULL;
    }
    s->watched = f;
    list_push_back(&f->streams, &s->link);
    *seat = s;
    return s;
}

static void on_data(void *context, struct follow_file *file, struct slice piece)
{
    struct watched *f = context;
    struct stream *s = stream_of(f, file, piece);
    follow_consumed(file, follow_offset(file));
    if (!s) return;
    if (f->is_error_log)
        feed(s, piece);
    else
        hold(s, piece);
}

static void on_rotated(void *context, struct follow_file *file)
{
    (void)context;
    (void)file;
}

static void on_truncated(void *context, struct follow_file *file)
{
    struct stream *s = *follow_seat(file);
    (void)context;
    if (!s) return;
    feed_held(s, &s->older);
    feed_held(s, &s->newer);
    intake_reset(s->intake);
}

static void on_gone(void *context, struct follow_file *file, bool is_final)
{
    struct stream *s = *follow_seat(file);
    (void)context;
    if (!s) return;
    feed_held(s, &s->older);
    feed_held(s, &s->newer);
    if (is_final) intake_end(s->intake);
    intake_free(s->intake);
    list_remove(&s->link);
    free(s->older.data);
    free(s->newer.data);
    free(s);
}

static const struct follow_events follow_events = { on_data, on_rotated, on_truncated, on_gone };

static int open_one(struct watched *f, struct loop *l, struct err *err)
{
    const struct logs_options *o = &f->why->options;
    const struct follow_options options = { .is_from_end = true };
    const char *text = f->is_error_log ? "$error_line" : o->log_format ? o->log_format : "auto";
    int result = o->nginx_conf && !f->is_error_log
                     ? log_format_of_nginx(&f->format, o->nginx_conf, f->path, err)
                     : log_format_parse(&f->format, text, err);
    if (result < 0 && !o->nginx_conf) err_prefix(err, "--log-format");
    if (result == 0) result = follow_open(&f->follow, l, f->path, &options, &follow_events, f, NULL, err);
    return result;
}

/* the whole */

/* Lines of which no record came, and whose request, if it goes on, will have one that tells of itself. */
static void tell_old_lines(struct why *w)
{
    int64_t now_s = (int64_t)time(NULL) + w->zone_s;
    if (now_s > PATIENCE_S) fault_join_leave_before(w->join, (uint64_t)(now_s - PATIENCE_S));
}

static void turn(struct why *w, struct watched *files, int count, struct loop *l)
{
    uint64_t passed_ms = loop_now_ms(l);
    while (!is_interrupted && !w->run.job.is_stopped && !ferror(stdout)) {
        loop_turn(l, TURN_MS);
        if (loop_now_ms(l) - passed_ms < HOLD_MS) continue;
        passed_ms = loop_now_ms(l);
        for (int i = 0; i < count; i++) pass_on(&files[i]);
        tell_old_lines(w);
    }
}

static int compile(struct why *w, struct err *err)
{
    const char *where = w->options.where;
    if (!where) return 0;
    int result = filter_compile(&w->run.job.filter, slice_of(where), err);
    if (result == 0) result = filter_compile(&w->line_filter, slice_of(where), err);
    if (result < 0) err_prefix(err, "--where");
    if (result == 0) filter_bind(w->line_filter, why_field_of_line, NULL);
    return result;
}

static void find_zone(struct why *w)
{
    time_t now = time(NULL);
    struct tm tm;
    w->zone_s = localtime_r(&now, &tm) ? (int)tm.tm_gmtoff : 0;
}

static int follow_all(struct why *w, struct watched *files, struct loop *l, struct err *err)
{
    const struct logs_options *o = &w->options;
    int count = 0, result = compile(w, err);
    for (int i = 0; i < o->file_count + (int)o->error_log_count && result == 0; i++, count++) {
        bool is_error_log = i >= o->file_count;
        files[count] = (struct watched){ .why = w,
                                         .path = is_error_log ? o->error_logs[i - o->file_count]
                                                              : o->files[i],
                                         .is_error_log = is_error_log };
        list_init(&files[count].streams);
        if (is_error_log) w->has_errors = true;
        result = strcmp(files[count].path, "-") == 0
                     ? err_set(err, "standard input does not grow as a file does; --follow needs files")
                     : open_one(&files[count], l, err);
    }
    if (result == 0) {
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        turn(w, files, count, l);
    }
    for (int i = 0; i < count; i++) follow_close(files[i].follow);
    return result;
}

int why_follow(struct why *w)
{
    struct budget budget = { .limit = MEMORY_BYTES };
    struct err err = { "" };
    struct loop loop;
    int wanted = w->options.file_count + (int)w->options.error_log_count;
    struct watched *files = calloc(FILES_MAX, sizeof(*files));
    int code = EX_OK;
    if (wanted > FILES_MAX) {
        code = EX_USAGE;
        (void)err_set(&err, "%d files are more than the %d that are followed at a time", wanted, FILES_MAX);
    } else if (!files || loop_init(&loop, &budget, &err) < 0) {
        code = EX_OSERR;
    } else {
        find_zone(w);
        if (follow_all(w, files, &loop, &err) < 0) code = EX_USAGE;
        fault_join_end(w->join);
        loop_fini(&loop);
    }
    if (code == EX_OK && *w->fault.text) {
        err = w->fault;
        code = EX_DATAERR;
    }
    if (code != EX_OK) fprintf(stderr, "weir logs: %s\n", *err.text ? err.text : "out of memory");
    filter_free(w->run.job.filter);
    filter_free(w->line_filter);
    free(files);
    return code;
}
