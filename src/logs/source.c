#define XXH_INLINE_ALL
#include <xxhash.h>

#include "logs/source.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "conf/decode.h"
#include "logs/checkpoint.h"
#include "logs/follow.h"
#include "logs/intake.h"
#include "logs/log_format.h"
#include "logs/source_input.h"

/* Checkpoints: not more often than this, and never more than a hundredth of the time. */
#define SAVE_MIN_NS (5 * NS_PER_S)
#define SAVE_SHARE 100u
#define STATE_FILE_MAX (96u << 20)
#define SUMMARY_NS NS_PER_S
#define MISMATCH_LINES 100u /* that are no records, before any that is */

static const char magic[] = "weir log state 1\n";

struct source {
    const struct source_conf *conf;
    const struct logs_conf *logs;
    struct loop *loop;
    const struct source_events *events;
    void *context;
    struct log_format format;
    struct follow *follow;      /* files, or */
    struct source_input *input; /* syslog, standard input, whose records are put together in */
    struct intake *input_intake;
    struct places places; /* of the checkpoint, until reading starts */
    struct tally *tally;
    struct rule *rules[LOG_RULES_MAX]; /* NULL: not for this source */
    struct upstream_watch *upstreams;  /* NULL: nobody asks */
    uint64_t judge_ns;
    struct list taps;
    struct source_figures figures;
    uint64_t records, errors, malformed, now_s;
    uint64_t said_records, said_errors, said_malformed, said_ns; /* in the last summary */
    uint64_t saved_ns, next_save_ns;
    uint64_t saved_records; /* and malformed lines, when it was saved last */
    char state_path[PATH_MAX];
    char fault[ERR_TEXT_MAX];
};

static void say_fault(struct source *s, const char *event, const char *text)
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
        say_fault(s, "log_format_mismatch",
                  "no line so far is a record of this format; set the source's `format:` to json, to nginx's "
                  "log_format or "
                  "to {nginx_conf: /etc/nginx/nginx.conf}");
}

static const struct intake_events intake_events = { on_entry, on_malformed };

static int new_intake(struct source *s, struct intake **out, struct err *err)
{
    return intake_new(out, s->format.is_json ? NULL : &s->format.lines, &intake_events, s, err);
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
    if (!*seat && new_intake(s, seat, &err) < 0) {
        say_fault(s, "log_not_read", err.text); /* the place stays where it is: a restart reads it */
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

/* checkpoints: places and what was counted up to them, in one file */

static void put_places(struct source *s, struct state_out *out)
{
    struct places places = { 0 };
    struct err err;
    struct json j;
    json_init(&j, STATE_FILE_MAX, false);
    if (s->follow && follow_places(s->follow, &places, &err) < 0) {
        say_fault(s, "log_state_not_saved", err.text);
        out->is_failed = true;
    }
    places_print(&places, &j);
    if (j.is_failed) out->is_failed = true;
    state_put_slice(out, (struct slice){ j.data, j.is_failed ? 0 : j.len });
    json_fini(&j);
    places_fini(&places);
}

static void save(struct source *s)
{
    struct state_out out = { 0 };
    struct err err = { "out of memory" };
    uint64_t began_ns = clock_now_ns();
    if (!*s->state_path) return;
    state_put_slice(&out, SLICE(magic));
    put_places(s, &out);
    tally_save(s->tally, &out);
    uint64_t hash = out.is_failed ? 0 : XXH3_64bits(out.data, out.len);
    for (unsigned i = 0; i < 8; i++) state_put_u64(&out, (hash >> (8 * i)) & 0x7f);
    struct slice bytes = { (const char *)out.data, out.len };
    if (out.is_failed || checkpoint_write(s->state_path, bytes, &err) < 0) {
        say_fault(s, "log_state_not_saved", err.text);
        atomic_fetch_add(&s->figures.save_failures, 1);
    } else {
        atomic_fetch_add(&s->figures.saves, 1);
        s->saved_records = s->records + s->malformed;
    }
    state_out_fini(&out);
    s->saved_ns = clock_now_ns();
    uint64_t pause_ns = (s->saved_ns - began_ns) * SAVE_SHARE;
    s->next_save_ns = s->saved_ns + (pause_ns > SAVE_MIN_NS ? pause_ns : SAVE_MIN_NS);
}

static int parse_places(struct source *s, struct slice text, struct err *err)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return err_set(err, "out of memory");
    int result = conf_read_json(&tree, "places", text, faults);
    result = result < 0 ? err_set(err, "its places are no JSON") : places_parse(tree.root, &s->places, err);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

/* The last eight bytes are the rest's hash, seven bits in each. */
static bool is_whole(const char *data, size_t len)
{
    if (len < 8) return false;
    uint64_t hash = XXH3_64bits(data, len - 8);
    for (unsigned i = 0; i < 8; i++)
        if ((uint8_t)data[len - 8 + i] != ((hash >> (8 * i)) & 0x7f)) return false;
    return true;
}

static int load_state(struct source *s, const char *data, size_t len, struct err *err)
{
    if (!is_whole(data, len)) return err_set(err, "it is damaged");
    struct state_in in = { (const uint8_t *)data, (const uint8_t *)data + len - 8, false };
    if (!slice_equal(state_get_slice(&in, sizeof(magic)), SLICE(magic)))
        return err_set(err, "it was written by another version of weir");
    if (parse_places(s, state_get_slice(&in, STATE_FILE_MAX), err) < 0) return -1;
    return tally_load(s->tally, &in, err);
}

/* What cannot be read is kept for whoever wants to know, and reading begins as without it. */
static int put_aside(struct source *s, const struct err *why, struct err *err)
{
    char aside[PATH_MAX + 8];
    struct err said;
    snprintf(aside, sizeof(aside), "%s.bad", s->state_path);
    if (rename(s->state_path, aside) < 0)
        err_set(&said, "%s: %s; it cannot be put aside either (%s), and counting begins anew", s->state_path,
                why->text, strerror(errno));
    else
        err_set(&said, "%s: %s; it is called .bad now, and counting begins anew", s->state_path, why->text);
    say_fault(s, "log_state_refused", said.text);
    places_fini(&s->places);
    tally_free(s->tally);
    s->tally = NULL;
    return tally_new(&s->tally, true, err);
}

static int load(struct source *s, struct err *err)
{
    char *data = NULL;
    size_t len = 0;
    struct err why;
    if (!*s->state_path) return 0;
    /* Statistics never keep traffic from starting, whatever is the matter with what was kept of them. */
    int result = checkpoint_read(s->state_path, STATE_FILE_MAX, &data, &len, &why);
    if (result == 0 && data) result = load_state(s, data, len, &why);
    free(data);
    return result < 0 ? put_aside(s, &why, err) : 0;
}

static int find_state(struct source *s, struct err *err)
{
    if (!s->logs->state) return 0;
    if (mkdir(s->logs->state, 0700) < 0 && errno != EEXIST)
        return err_set(err, "cannot make %s: %s", s->logs->state, strerror(errno));
    int len = snprintf(s->state_path, PATH_MAX, "%s/%s.logs", s->logs->state, s->conf->name);
    return len < PATH_MAX ? 0 : err_set(err, "%s is too long a path", s->logs->state);
}

/* opening and closing */

int source_find_format(const struct source_conf *conf, struct log_format *out, struct err *err)
{
    const struct source_format_conf *f = &conf->format;
    if (f->nginx_conf) return log_format_of_nginx(out, f->nginx_conf, conf->path, err);
    return log_format_parse(out, f->text, err);
}

static int compile_rules(struct source *s, struct err *err)
{
    const struct rule_conf *rules = s->logs->rules.data;
    for (uint32_t i = 0; i < s->logs->rules.count; i++) {
        if (rules[i].source && strcmp(rules[i].source, s->conf->name) != 0) continue;
        if (rule_compile(&s->rules[i], slice_of(rules[i].when), err) < 0) return -1;
    }
    return 0;
}

static int fill(struct source *s, struct err *err)
{
    if (source_find_format(s->conf, &s->format, err) < 0 || compile_rules(s, err) < 0) return -1;
    if (s->conf->health && !(s->upstreams = calloc(1, sizeof(*s->upstreams))))
        return err_set(err, "out of memory");
    return tally_new(&s->tally, true, err) < 0 ? -1 : find_state(s, err);
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
    list_init(&s->taps);
    if (fill(s, err) < 0) {
        err_prefix(err, "log source \"%s\"", conf->name);
        *s->state_path = 0;
        source_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

static int start_input(struct source *s, struct err *err)
{
    const struct address *address = s->conf->syslog.len ? &s->conf->syslog : NULL;
    if (new_intake(s, &s->input_intake, err) < 0 ||
        source_input_open(&s->input, s->loop, address, s->input_intake, err) < 0)
        return -1;
    source_input_before_feed(s->input, before_feed, s);
    return 0;
}

int source_start(struct source *s, struct err *err)
{
    struct follow_options options = { .is_from_end = s->conf->from == SOURCE_FROM_END };
    uint64_t now_ns = s->loop->now_ns;
    int result;
    s->now_s = loop_wall_ns(s->loop) / NS_PER_S;
    s->judge_ns = s->said_ns = now_ns;
    s->next_save_ns = clock_now_ns() + SAVE_MIN_NS;
    if (load(s, err) < 0) return err_prefix(err, "log source \"%s\"", s->conf->name);
    if (!s->conf->path || strcmp(s->conf->path, "-") == 0)
        result = start_input(s, err);
    else
        result = follow_open(&s->follow, s->loop, s->conf->path, &options, &follow_events, s,
                             s->places.items || s->places.floor_ns ? &s->places : NULL, err);
    places_fini(&s->places);
    return result < 0 ? err_prefix(err, "log source \"%s\"", s->conf->name) : 0;
}

void source_stop(struct source *s)
{
    if (s->follow || s->input) save(s);
    follow_close(s->follow);
    source_input_close(s->input);
    s->follow = NULL;
    s->input = NULL;
}

void source_close(struct source *s)
{
    if (!s) return;
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
    free(s);
}

/* looking */

const struct source_conf *source_conf(const struct source *s)
{
    return s->conf;
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
    set(&f->records, s->records);
    set(&f->errors, s->errors);
    set(&f->malformed, s->malformed);
    uint64_t undecided = 0;
    for (uint32_t i = 0; i < s->logs->rules.count; i++)
        if (s->rules[i]) undecided += rule_gave_up(s->rules[i]);
    set(&f->undecided, undecided);
    if (s->follow) {
        const struct follow_counts *c = follow_counts(s->follow);
        set(&f->bytes, c->bytes);
        set(&f->rotated, c->rotated);
        set(&f->truncated, c->truncated);
        set(&f->failed, c->failed);
        set(&f->open_files, follow_open_count(s->follow));
        set(&f->lag_bytes, follow_lag_bytes(s->follow));
        set(&f->lag_ms, follow_lag_ms(s->follow));
    } else if (s->input) {
        struct source_input_counts c = source_input_counts(s->input);
        set(&f->bytes, c.bytes);
        set(&f->foreign, c.foreign);
        set(&f->dropped, c.dropped);
        set(&f->open_files, !c.is_ended);
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
    if (*fault && strncmp(fault, s->fault, sizeof(s->fault) - 1) != 0) say_fault(s, "log_not_read", fault);
}

void source_tick(struct source *s)
{
    s->now_s = loop_wall_ns(s->loop) / NS_PER_S;
    say_follow_fault(s);
    show_figures(s);
    say_summaries(s);
    judge_upstreams(s);
    if (clock_now_ns() >= s->next_save_ns && s->saved_records != s->records + s->malformed) save(s);
}
