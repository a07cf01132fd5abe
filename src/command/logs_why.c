#include "command/logs_why.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "logs/fault_message.h"
#include "logs/unpack.h"

#define HEAD_BYTES (16u << 10)

static void add_case(struct why *w, const struct fault_case *c)
{
    if (fault_tally_add(&w->tally, c, &w->fault) < 0) w->run.job.is_stopped = true;
}

/* error logs */

static uint64_t utc_of(const struct why *w, uint64_t local_s)
{
    int64_t s = (int64_t)local_s - w->zone_s;
    return s > 0 ? (uint64_t)s : 0;
}

static bool is_in_time(const struct why *w, uint64_t time_s)
{
    return time_s >= w->options.from_s && (!w->options.to_s || time_s <= w->options.to_s);
}

enum log_field why_field_of_line(const void *context, struct slice name)
{
    static const struct line_format none;
    (void)context;
    return line_format_field(&none, name);
}

/* As an access log would have it, as far as the error log knows. */
static void entry_of_line(const struct why *w, const struct error_line *line, struct log_entry *out)
{
    *out = (struct log_entry){ 0 };
    out->values[LOG_CLIENT] = line->client;
    out->values[LOG_REQUEST] = line->request;
    out->values[LOG_HOST] = line->host;
    out->values[LOG_REFERER] = line->referer;
    if (line->upstream.data) out->values[LOG_UPSTREAM] = error_line_server(line->upstream);
    entry_derive(out);
    out->time_s = utc_of(w, line->local_s);
}

static void count_line(struct why *w, const struct error_line *line, enum fault_kind kind, struct slice text)
{
    struct log_entry e;
    entry_of_line(w, line, &e);
    const struct fault_case c = { .kind = kind,
                                  .evidence = FAULT_BIT(ERROR_LOG),
                                  .time_s = e.time_s,
                                  .server = e.values[LOG_UPSTREAM],
                                  .path = e.path,
                                  .client = line->client,
                                  .line = text };
    add_case(w, &c);
    if (!w->options.is_following) return;
    why_tell_line(w, kind, e.time_s, text);
    why_say(w);
}

/* No record came for it. */
static void on_left(void *context, const struct fault_waiting *waiting, struct slice text)
{
    struct why *w = context;
    struct error_line line = { .local_s = waiting->local_s };
    if (!waiting->is_asked_for) return;
    if (text.len && !error_line_read(text, &line)) return;
    count_line(w, &line, waiting->kind, text);
}

void why_take_error_line(void *context, const struct log_entry *e)
{
    struct why *w = context;
    struct error_line line;
    struct log_entry as_entry;
    if (!error_line_read(e->line, &line)) {
        w->error_strange++;
        return;
    }
    w->error_lines++;
    enum fault_kind kind = fault_of_message(&line);
    if (kind == FAULT_NONE) return;
    entry_of_line(w, &line, &as_entry);
    struct filter *filter = w->line_filter;
    bool is_asked_for = is_in_time(w, as_entry.time_s) && (!filter || filter_takes(filter, &as_entry));
    if (line.client.data)
        fault_join_add(w->join, &line, kind, is_asked_for, e->line);
    else if (is_asked_for)
        count_line(w, &line, kind, e->line);
}

static void on_error_malformed(void *context, struct slice line)
{
    struct why *w = context;
    (void)line;
    w->error_strange++;
}

static int read_error_logs(struct why *w, struct err *err)
{
    struct log_format *format = calloc(1, sizeof(*format));
    struct logs_job job = { .format = format,
                            .to_s = UINT64_MAX,
                            .on_entry = why_take_error_line,
                            .on_malformed = on_error_malformed,
                            .context = w };
    if (!format || log_format_parse(format, "$error_line", err) < 0) {
        free(format);
        return EX_OSERR;
    }
    w->line_filter = w->run.job.filter; /* which is bound to records once they are read */
    if (w->line_filter) filter_bind(w->line_filter, why_field_of_line, NULL);
    for (uint32_t i = 0; i < w->options.error_log_count; i++) {
        if (logs_file_read(&job, w->options.error_logs[i], err) == 0) continue;
        w->run.unread++;
        fprintf(stderr, "weir logs: %s\n", err->text);
        err->text[0] = 0;
    }
    w->run.job.bytes += job.bytes;
    free(format);
    return EX_OK;
}

/* which file is what, and from when */

struct first_record {
    uint64_t time_s;
    int zone_s;
    bool has_zone;
    struct logs_job *job;
};

static void on_first(void *context, const struct log_entry *e)
{
    struct first_record *first = context;
    first->time_s = e->time_s;
    first->has_zone = entry_zone_s(e, &first->zone_s);
    first->job->is_stopped = true;
}

static void pass_malformed(void *context, struct slice line)
{
    (void)context;
    (void)line;
}

static bool is_error_log(const char *path)
{
    struct unpack *u = NULL;
    struct error_line line;
    struct err err;
    size_t len = 0;
    int fd = strcmp(path, "-") == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    char *head = fd < 0 ? NULL : malloc(HEAD_BYTES);
    bool is_it = false;
    if (head && unpack_new(&u, fd, path, &err) == 0 && unpack_read(u, head, HEAD_BYTES, &len, &err) == 0) {
        const char *newline = memchr(head, '\n', len);
        is_it = error_line_read((struct slice){ head, newline ? (size_t)(newline - head) : len }, &line);
    }
    unpack_free(u);
    free(head);
    if (fd >= 0) close(fd);
    return is_it;
}

/* When it begins; files that cannot be read are told later, when they are read. */
static uint64_t begins_at(struct why *w, const char *path, bool *has_zone)
{
    struct err err;
    struct logs_job job = {
        .format = &w->run.format, .to_s = UINT64_MAX, .on_entry = on_first, .on_malformed = pass_malformed
    };
    struct first_record first = { .job = &job };
    job.context = &first;
    if (strcmp(path, "-") == 0) return UINT64_MAX;
    if (w->options.nginx_conf && log_format_of_nginx(&w->run.format, w->options.nginx_conf, path, &err) < 0)
        return UINT64_MAX;
    if (logs_file_read(&job, path, &err) < 0) return UINT64_MAX;
    if (first.has_zone && !*has_zone) w->zone_s = first.zone_s;
    *has_zone |= first.has_zone;
    return first.time_s;
}

/* Rotated files are named newest first: the oldest are read first, so that lines wait for as short a time as may be. */
static void order_files(struct why *w)
{
    uint64_t begins[256];
    bool has_zone = false;
    int count = w->options.file_count;
    for (int i = 0; i < count && i < 256; i++) {
        char *path = w->options.files[i];
        uint64_t at = begins_at(w, path, &has_zone);
        int to = i;
        for (; to && begins[to - 1] > at; to--) {
            begins[to] = begins[to - 1];
            w->options.files[to] = w->options.files[to - 1];
        }
        begins[to] = at;
        w->options.files[to] = path;
    }
    if (has_zone) return;
    time_t now = time(NULL);
    struct tm tm;
    w->zone_s = localtime_r(&now, &tm) ? (int)tm.tm_gmtoff : 0;
}

static void part_files(struct why *w)
{
    struct logs_options *o = &w->options;
    int kept = 0;
    for (int i = 0; i < o->file_count; i++) {
        if (o->error_log_count < LOGS_ERROR_LOGS_MAX && is_error_log(o->files[i]))
            o->error_logs[o->error_log_count++] = o->files[i];
        else
            o->files[kept++] = o->files[i];
    }
    o->file_count = kept;
    w->has_errors = o->error_log_count > 0;
}

static int before(struct logs_run *r, struct err *err)
{
    struct why *w = (struct why *)r;
    part_files(w);
    order_files(w);
    return read_error_logs(w, err);
}

/* records */

void why_find_seats(void *context, enum log_field (*field_of)(const void *reader, struct slice name),
                    const void *reader)
{
    struct why *w = context;
    fault_seats_find(&w->seats, field_of, reader);
}

static uint32_t take_lines(struct why *w, const struct log_entry *e, const struct fault_tries *tries,
                           struct fault_waiting lines[FAULT_JOIN_TAKEN_MAX])
{
    int zone_s = w->zone_s;
    struct fault_record_time when = { .took_s = UINT64_MAX };
    uint64_t connection;
    if (!fault_join_count(w->join)) return 0;
    if (!entry_zone_s(e, &zone_s)) zone_s = w->zone_s;
    when.local_s = (uint64_t)((int64_t)e->time_s + zone_s);
    if (e->request_us != UINT64_MAX) when.took_s = e->request_us / 1000000 + 1;
    if (w->seats.connection < LOG_FIELD_MAX && entry_u64(e->values[w->seats.connection], &connection))
        when.connection = connection;
    return fault_join_take(w->join, e, &when, tries->count, lines);
}

static void count_cache(struct why *w, const struct log_entry *e)
{
    static const struct slice states[] = { { "HIT", 3 }, { "MISS", 4 }, { "STALE", 5 }, { "EXPIRED", 7 } };
    if (w->seats.cache >= LOG_FIELD_MAX) return;
    for (unsigned i = 0; i < 4; i++) w->caches[i] += slice_equal(e->values[w->seats.cache], states[i]);
}

/* Attempts that failed and did not decide. */
static void count_attempts(struct why *w, const struct fault_case *like, const struct fault_waiting *lines,
                           uint32_t count, int decisive)
{
    for (uint32_t i = 0; i < count; i++) {
        struct error_line line = { 0 };
        struct fault_case c = *like;
        struct slice text = fault_join_text(w->join, &lines[i]);
        if (fault_info(lines[i].kind)->weight != FAULT_TRY) continue;
        if ((int)i == decisive && lines[i].kind == like->kind) continue;
        c.kind = lines[i].kind;
        c.is_attempt = true;
        c.evidence = FAULT_BIT(ERROR_LOG);
        c.wants = 0;
        c.line = text;
        if (text.len && error_line_read(text, &line)) c.server = error_line_server(line.upstream);
        add_case(w, &c);
    }
}

void why_take_record(void *context, const struct log_entry *e)
{
    struct why *w = context;
    struct fault_tries tries;
    struct fault_verdict v;
    struct fault_waiting lines[FAULT_JOIN_TAKEN_MAX];
    uint64_t slow_ms = w->options.slow_ms ? w->options.slow_ms : WHY_SLOW_MS;
    const struct fault_asked asked = { slow_ms * 1000, w->has_errors };
    w->tally.records++;
    count_cache(w, e);
    fault_read_tries(e, &tries);
    fault_of_record(e, &tries, &w->seats, &asked, &v);
    uint32_t count = take_lines(w, e, &tries, lines);
    const struct fault_answer answer = { e->status, tries.count == 1 && tries.tries[0].status &&
                                                        tries.tries[0].status < 400 };
    int decisive = fault_verdict_join(&v, answer, lines, count);
    bool is_told = w->options.is_following ? v.kind != FAULT_NONE
                                           : w->options.where && w->taken++ < WHY_STORIES_MAX;
    if (is_told) why_tell(w, e, &tries, &v, lines, count);
    if (w->options.is_following) why_say(w);
    if (v.kind == FAULT_NONE) return;
    struct fault_case c = { .kind = v.kind,
                            .evidence = v.evidence,
                            .wants = v.wants,
                            .time_s = e->time_s,
                            .server = v.server,
                            .path = e->path,
                            .client = e->values[LOG_CLIENT],
                            .record = e->line };
    if (decisive >= 0) {
        struct error_line line = { 0 };
        c.line = fault_join_text(w->join, &lines[decisive]);
        if (c.line.len && error_line_read(c.line, &line) && line.upstream.data)
            c.server = error_line_server(line.upstream);
    }
    w->tally.with_fault += fault_info(v.kind)->weight != FAULT_NOTE;
    add_case(w, &c);
    count_attempts(w, &c, lines, count, decisive);
}

/* Not asked for, and its lines are not either. */
void why_take_other(void *context, const struct log_entry *e)
{
    struct why *w = context;
    struct fault_tries tries;
    struct fault_waiting lines[FAULT_JOIN_TAKEN_MAX];
    if (!fault_join_count(w->join)) return;
    fault_read_tries(e, &tries);
    take_lines(w, e, &tries, lines);
}

static void why_free(struct why *w)
{
    fault_tally_fini(&w->tally);
    fault_join_free(w->join);
    for (uint32_t i = 0; i < w->story_count; i++) free(w->stories[i].text);
    free(w);
}

static int run(struct why *w)
{
    w->run.job.on_entry = why_take_record;
    w->run.job.on_other = why_take_other;
    w->run.job.on_names = why_find_seats;
    w->run.before = before;
    int code = logs_run_job(&w->options, &w->run);
    fault_join_end(w->join);
    if (code == EX_OK && *w->fault.text) {
        fprintf(stderr, "weir logs: %s\n", w->fault.text);
        return EX_OSERR;
    }
    if (w->error_strange && !w->options.is_quiet)
        fprintf(stderr, "weir logs: lines that are none of an error log, and left out: %llu\n",
                (unsigned long long)w->error_strange);
    if (fault_join_displaced(w->join))
        fprintf(
            stderr,
            "weir logs: %llu lines of the error log gave way before their records came, and are counted by "
            "themselves; --since and --until look at less\n",
            (unsigned long long)fault_join_displaced(w->join));
    if (code == EX_OK) code = w->options.output == LOGS_JSON ? why_print_json(w) : why_print_text(w);
    return logs_run_end(&w->run, code);
}

int logs_why(const struct logs_options *o)
{
    struct err err;
    struct why *w = calloc(1, sizeof(*w));
    if (!w || fault_join_new(&w->join, FAULT_JOIN_LINES, on_left, w, &err) < 0) {
        fprintf(stderr, "weir logs: %s\n", w ? err.text : "out of memory");
        free(w);
        return EX_OSERR;
    }
    w->options = *o;
    int code = o->is_following ? why_follow(w) : run(w);
    why_free(w);
    return code;
}
