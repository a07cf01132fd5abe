#include "logs/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "logs/source_parts.h"

#define SUMMARY_NS NS_PER_S
#define MISMATCH_LINES 100u /* that are no records, before any that is */

void source_say_fault(struct source *s, const char *event, const char *text)
{
    char quoted[ERR_TEXT_MAX + 64];
    snprintf(s->fault, sizeof(s->fault), "%s", text);
    log_event(LOG_WARN, event, "source=%s error=%s", s->conf->name, log_quote(text, quoted, sizeof(quoted)));
}

/* records */

static void on_entry(void *context, struct log_entry *e)
{
    struct source *s = context;
    struct rule_hit hit;
    const struct rule_conf *rules = s->logs->rules.data;
    s->records++;
    s->errors += e->status >= 500;
    tally_add(s->tally, e, s->now_s);
    for (uint32_t i = 0; i < s->logs->rules.count; i++)
        if (s->rules[i] && rule_count(s->rules[i], e, s->now_s, rules[i].act.for_ms / 1000, &hit))
            s->events->on_hit(s->context, s, i, &hit);
    if (s->upstreams && e->values[LOG_UPSTREAM].data) upstream_watch_count(s->upstreams, e);
    for (struct list *at = s->taps.next; at != &s->taps; at = at->next)
        tap_offer(container_of(at, struct tap, link), e);
}

static void on_malformed(void *context, struct slice bytes)
{
    struct source *s = context;
    s->malformed++;
    tally_add_malformed(s->tally, bytes);
    if (!s->records && s->malformed == MISMATCH_LINES)
        source_say_fault(
            s, "log_format_mismatch",
            "no line so far is a record of this format; set the source's `format:` to json, to nginx's "
            "log_format or "
            "to {nginx_conf: /etc/nginx/nginx.conf}");
}

static const struct intake_events intake_events = { on_entry, on_malformed };

int source_new_intake(struct source *s, struct intake **out, struct err *err)
{
    return intake_new(out, s->format->is_json ? NULL : &s->format->lines, &intake_events, s, err);
}

static enum log_field field_of(const void *intake, struct slice name)
{
    return intake_field(intake, name);
}

/* Each file's reader has seats of its own for what its records name. */
static void bind_names(struct source *s, const struct intake *in)
{
    s->now_s = loop_wall_ns(s->loop) / NS_PER_S;
    for (uint32_t i = 0; i < s->logs->rules.count; i++)
        if (s->rules[i]) rule_bind(s->rules[i], field_of, in);
    for (struct list *at = s->taps.next; at != &s->taps; at = at->next) {
        struct tap *t = container_of(at, struct tap, link);
        if (t->filter) filter_bind(t->filter, field_of, in);
    }
}

static void before_feed(void *context, struct intake *in)
{
    bind_names(context, in);
}

/* files */

static void on_data(void *context, struct follow_file *file, struct slice piece)
{
    struct source *s = context;
    struct intake **seat = (struct intake **)follow_seat(file);
    struct err err;
    if (!*seat && source_new_intake(s, seat, &err) < 0) {
        source_say_fault(s, "log_not_read", err.text); /* the place stays where it is: a restart reads it */
        return;
    }
    bind_names(s, *seat);
    intake_feed(*seat, piece);
    follow_consumed(file, follow_offset(file) - intake_pending(*seat));
}

static void on_rotated(void *context, struct follow_file *file)
{
    (void)context, (void)file;
}

static void on_truncated(void *context, struct follow_file *file)
{
    (void)context;
    struct intake **seat = (struct intake **)follow_seat(file);
    if (*seat) intake_reset(*seat);
}

static void on_gone(void *context, struct follow_file *file, bool is_final)
{
    struct source *s = context;
    struct intake **seat = (struct intake **)follow_seat(file);
    if (!*seat) return;
    if (is_final) {
        bind_names(s, *seat);
        intake_end(*seat);
        follow_consumed(file, follow_offset(file));
    }
    intake_free(*seat);
    *seat = NULL;
}

static const struct follow_events follow_events = { on_data, on_rotated, on_truncated, on_gone };

/* opening and closing */

int source_find_format(const struct source_conf *conf, struct log_format *out, struct err *err)
{
    const struct source_format_conf *f = &conf->format;
    if (f->nginx_conf) return log_format_of_nginx(out, f->nginx_conf, conf->path, err);
    return log_format_parse(out, f->text, err);
}

int source_make_format(const struct source_conf *conf, struct log_format **out, struct err *err)
{
    struct log_format *format = calloc(1, sizeof(*format));
    if (!format) return err_set(err, "out of memory for a log's format");
    if (source_find_format(conf, format, err) < 0) {
        free(format);
        return -1;
    }
    *out = format;
    return 0;
}

int source_compile_rule(const struct source_conf *conf, const struct rule_conf *rule, struct rule **out,
                        struct err *err)
{
    if (!rule_conf_looks_at(rule, conf)) return 0;
    return rule_compile(out, slice_of(rule->when), err);
}

static int fill(struct source *s, struct err *err)
{
    const struct rule_conf *rules = s->logs->rules.data;
    if (source_make_format(s->conf, &s->format, err) < 0) return -1;
    for (uint32_t i = 0; i < s->logs->rules.count; i++)
        if (source_compile_rule(s->conf, &rules[i], &s->rules[i], err) < 0) return -1;
    if (s->conf->health && !(s->upstreams = calloc(1, sizeof(*s->upstreams))))
        return err_set(err, "out of memory");
    if (tally_new(&s->tally, true, err) < 0) return -1;
    return source_find_state(s->conf, s->logs, s->state_path, err);
}

int source_open(struct source **out, const struct source_conf *conf, const struct logs_conf *logs,
                struct loop *l, const struct source_events *events, void *context, struct err *err)
{
    struct source *s = calloc(1, sizeof(*s));
    if (!s) return err_set(err, "out of memory for a log's source");
    s->conf = conf;
    s->logs = logs;
    s->loop = l;
    s->events = events;
    s->context = context;
    s->reserved_fd = -1;
    list_init(&s->taps);
    if (fill(s, err) < 0) {
        err_prefix(err, "log source \"%s\"", conf->name);
        source_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

int source_reserve(struct source *s, struct err *err)
{
    if (!s->conf->syslog.len) return 0;
    s->reserved_fd = source_input_bind(&s->conf->syslog, err);
    return s->reserved_fd < 0 ? err_prefix(err, "log source \"%s\"", s->conf->name) : 0;
}

static int start_input(struct source *s, struct err *err)
{
    const struct address *address = s->conf->syslog.len ? &s->conf->syslog : NULL;
    int fd = s->reserved_fd;
    s->reserved_fd = -1;
    if (source_new_intake(s, &s->input_intake, err) < 0) {
        if (fd >= 0) source_input_unbind(address, fd);
        return -1;
    }
    if (source_input_open(&s->input, s->loop, address, fd, s->input_intake, err) < 0) {
        intake_free(s->input_intake); /* the next try makes its own */
        s->input_intake = NULL;
        return -1;
    }
    source_input_before_feed(s->input, before_feed, s);
    return 0;
}

int source_begin_reading(struct source *s, const struct places *places, struct err *err)
{
    struct follow_options options = { .is_from_end = s->conf->from == SOURCE_FROM_END };
    s->now_s = loop_wall_ns(s->loop) / NS_PER_S;
    int result = !s->conf->path || strcmp(s->conf->path, "-") == 0
                     ? start_input(s, err)
                     : follow_open(&s->follow, s->loop, s->conf->path, &options, &follow_events, s, places,
                                   err);
    return result < 0 ? err_prefix(err, "log source \"%s\"", s->conf->name) : 0;
}

static void release_address(struct source *s)
{
    if (s->reserved_fd >= 0) source_input_unbind(&s->conf->syslog, s->reserved_fd);
    s->reserved_fd = -1;
}

void source_end_reading(struct source *s)
{
    struct source_past *past = &s->past;
    release_address(s);
    if (s->follow) {
        const struct follow_counts *c = follow_counts(s->follow);
        past->bytes += c->bytes;
        past->rotated += c->rotated;
        past->truncated += c->truncated;
        past->failed += c->failed;
    }
    if (s->input) {
        struct source_input_counts c = source_input_counts(s->input);
        past->bytes += c.bytes;
        past->foreign += c.foreign;
        past->dropped += c.dropped;
    }
    follow_close(s->follow);
    source_input_close(s->input);
    intake_free(s->input_intake);
    s->follow = NULL;
    s->input = NULL;
    s->input_intake = NULL;
}

int source_start(struct source *s, struct err *err)
{
    s->judge_ns = s->said_ns = s->loop->now_ns;
    source_saves_from_now(s);
    source_make_state(s);
    if (source_load(s, err) < 0) return err_prefix(err, "log source \"%s\"", s->conf->name);
    int result = source_begin_reading(s, s->places.items || s->places.floor_ns ? &s->places : NULL, err);
    places_fini(&s->places);
    return result;
}

void source_stop(struct source *s)
{
    if (s->follow || s->input) source_save(s);
    source_end_reading(s);
}

void source_close(struct source *s)
{
    if (!s) return;
    release_address(s);
    intake_free(s->input_intake);
    while (!list_is_empty(&s->taps)) {
        struct tap *t = container_of(s->taps.next, struct tap, link);
        list_remove(&t->link);
        tap_free(t);
    }
    for (uint32_t i = 0; i < LOG_RULES_MAX; i++) rule_free(s->rules[i]);
    places_fini(&s->places);
    tally_free(s->tally);
    free(s->upstreams);
    free(s->format);
    free(s);
}

/* looking */

const struct source_conf *source_conf(const struct source *s)
{
    return s->conf;
}

const struct rule_conf *source_rule_conf(const struct source *s, uint32_t rule)
{
    return (const struct rule_conf *)s->logs->rules.data + rule;
}

struct tally *source_tally(struct source *s)
{
    return s->tally;
}

struct source_figures *source_figures(struct source *s)
{
    return &s->figures;
}

struct list *source_taps(struct source *s)
{
    return &s->taps;
}

const char *source_fault(const struct source *s)
{
    return s->fault;
}

static void set(_Atomic uint64_t *figure, uint64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

static void show_figures(struct source *s)
{
    struct source_figures *f = &s->figures;
    const struct source_past *past = &s->past;
    set(&f->records, s->records);
    set(&f->errors, s->errors);
    set(&f->malformed, s->malformed);
    uint64_t undecided = 0;
    for (uint32_t i = 0; i < s->logs->rules.count; i++)
        if (s->rules[i]) undecided += rule_gave_up(s->rules[i]);
    set(&f->undecided, undecided);
    if (s->follow) {
        const struct follow_counts *c = follow_counts(s->follow);
        set(&f->bytes, past->bytes + c->bytes);
        set(&f->rotated, past->rotated + c->rotated);
        set(&f->truncated, past->truncated + c->truncated);
        set(&f->failed, past->failed + c->failed);
        set(&f->open_files, follow_open_count(s->follow));
        set(&f->lag_bytes, follow_lag_bytes(s->follow));
        set(&f->lag_ms, follow_lag_ms(s->follow));
    } else if (s->input) {
        struct source_input_counts c = source_input_counts(s->input);
        set(&f->bytes, past->bytes + c.bytes);
        set(&f->foreign, past->foreign + c.foreign);
        set(&f->dropped, past->dropped + c.dropped);
        set(&f->open_files, !c.is_ended);
        set(&f->lag_bytes, 0);
        set(&f->lag_ms, 0);
    }
}

static void add_number(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_u64(j, value);
}

static void say_summary(struct source *s, struct tap *t)
{
    struct json j;
    json_init(&j, 4096, false);
    json_object(&j);
    add_number(&j, "records", s->records - s->said_records);
    add_number(&j, "errors", s->errors - s->said_errors);
    add_number(&j, "malformed", s->malformed - s->said_malformed);
    add_number(&j, "lag_bytes", atomic_load(&s->figures.lag_bytes));
    add_number(&j, "missed", t->missed);
    json_object_end(&j);
    tap_say(t, "summary", (struct slice){ j.data, j.len });
    json_fini(&j);
    t->taken = 0;
}

static void say_summaries(struct source *s)
{
    if (s->loop->now_ns - s->said_ns < SUMMARY_NS) return;
    for (struct list *at = s->taps.next; at != &s->taps; at = at->next)
        say_summary(s, container_of(at, struct tap, link));
    s->said_ns = s->loop->now_ns;
    s->said_records = s->records;
    s->said_errors = s->errors;
    s->said_malformed = s->malformed;
}

static void judge_upstreams(struct source *s)
{
    const struct source_health_conf *h = s->conf->health;
    if (!s->upstreams || s->loop->now_ns - s->judge_ns < h->over_ms * NS_PER_MS) return;
    struct upstream_limits limits = { h->attempts, h->errors_percent, h->latency_ms };
    struct upstream_verdict *verdicts = calloc(UPSTREAM_WATCH_MAX, sizeof(*verdicts));
    uint32_t count = verdicts ? upstream_watch_judge(s->upstreams, &limits, verdicts) : 0;
    for (uint32_t i = 0; i < count; i++) s->events->on_verdict(s->context, s, &verdicts[i]);
    free(verdicts);
    s->judge_ns = s->loop->now_ns;
}

/* What goes wrong with files is said when it is another thing than before. */
static void say_follow_fault(struct source *s)
{
    const char *fault = s->follow ? follow_fault(s->follow) : "";
    if (*fault && strncmp(fault, s->fault, sizeof(s->fault) - 1) != 0)
        source_say_fault(s, "log_not_read", fault);
}

void source_tick(struct source *s)
{
    s->now_s = loop_wall_ns(s->loop) / NS_PER_S;
    say_follow_fault(s);
    show_figures(s);
    say_summaries(s);
    judge_upstreams(s);
    source_save_if_due(s);
}
