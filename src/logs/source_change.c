#include "logs/source_change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/compare.h"
#include "logs/source_parts.h"

struct source_change {
    const struct source_conf *conf;
    const struct logs_conf *logs;
    struct log_format *format;
    struct rule *rules[LOG_RULES_MAX]; /* made for it */
    uint32_t goes_on[LOG_RULES_MAX];   /* instead: the place of the one that is kept; LOG_RULES_MAX: none */
    bool is_told_anew[LOG_RULES_MAX];  /* of one that is kept: it does something else from now on */
    struct upstream_watch *upstreams;  /* for one that had none */
    int reserved_fd;                   /* as of the source */
    bool is_elsewhere;                 /* what is read is another */
    bool is_beside;                    /* but in the same folder: files may be the same */
    struct places places;              /* between begin and end */
    bool has_places;
    char names[ROTATION_NAME_MAX + 1]; /* that they are of */
    char state_path[PATH_MAX];
};

/* the rules */

static bool is_same_act(const struct rule_conf *a, const struct rule_conf *b)
{
    return !conf_differing(&rule_conf_type, a, b);
}

static int make_rules(struct source_change *c, const struct source_conf *was, const struct logs_conf *were,
                      struct err *err)
{
    const struct rule_conf *olds = were->rules.data, *rules = c->logs->rules.data;
    uint32_t from[LOG_RULES_MAX];
    rules_pair(were, c->logs, from);
    for (uint32_t i = 0; i < c->logs->rules.count; i++) {
        const struct rule_conf *old = from[i] < LOG_RULES_MAX ? &olds[from[i]] : NULL;
        bool is_kept = old && rule_conf_looks_at(old, was) && strcmp(old->when, rules[i].when) == 0;
        if (is_kept && rule_conf_looks_at(&rules[i], c->conf)) {
            c->goes_on[i] = from[i];
            c->is_told_anew[i] = !is_same_act(old, &rules[i]);
        } else if (source_compile_rule(c->conf, &rules[i], &c->rules[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Those that nobody takes over stay behind in the change. */
static void swap_rules(struct source *s, struct source_change *c)
{
    struct rule *olds[LOG_RULES_MAX];
    memcpy(olds, s->rules, sizeof(olds));
    for (uint32_t i = 0; i < LOG_RULES_MAX; i++) {
        uint32_t at = c->goes_on[i];
        s->rules[i] = at < LOG_RULES_MAX ? olds[at] : c->rules[i];
        if (at < LOG_RULES_MAX) olds[at] = NULL;
        if (s->rules[i] && c->is_told_anew[i]) rule_tell_anew(s->rules[i]);
    }
    memcpy(c->rules, olds, sizeof(olds));
}

/* where it is read */

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_address(const struct address *a, const struct address *b)
{
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

static bool is_file(const struct source_conf *c)
{
    return c->path && strcmp(c->path, "-") != 0;
}

/* With the slash; 0: no file. */
static size_t folder_len(const struct source_conf *c)
{
    const char *slash = is_file(c) ? strrchr(c->path, '/') : NULL;
    return slash ? (size_t)(slash - c->path) + 1 : 0;
}

static bool is_same_folder(const struct source_conf *a, const struct source_conf *b)
{
    size_t len = folder_len(a);
    return len && len == folder_len(b) && memcmp(a->path, b->path, len) == 0;
}

int source_check_folder(const struct source_conf *conf, struct err *err)
{
    char folder[PATH_MAX];
    struct stat st;
    size_t len = folder_len(conf);
    if (!len || len >= sizeof(folder)) return 0;
    snprintf(folder, sizeof(folder), "%.*s", (int)(len > 1 ? len - 1 : len), conf->path);
    if (stat(folder, &st) < 0)
        return err_set(
            err, "log source \"%s\": path: there is no folder %.300s (%s); make it, or correct the path",
            conf->name, folder, strerror(errno));
    if (S_ISDIR(st.st_mode)) return 0;
    return err_set(err, "log source \"%s\": path: %.300s is no folder; correct the path", conf->name, folder);
}

/* One that a source of the configuration in force has is free when it is needed. */
static bool is_had(const struct logs_conf *logs, const struct address *a)
{
    const struct source_conf *sources = logs->sources.data;
    for (uint32_t i = 0; i < logs->sources.count; i++)
        if (is_same_address(&sources[i].syslog, a)) return true;
    return false;
}

bool source_needs_address(const struct source_conf *conf, const struct logs_conf *were)
{
    return conf->syslog.len && !is_had(were, &conf->syslog);
}

/* beforehand */

static int fill(struct source_change *c, const struct source_conf *was, const struct logs_conf *were,
                struct err *err)
{
    if (c->is_elsewhere && source_check_folder(c->conf, err) < 0) return -1;
    int result = source_make_format(c->conf, &c->format, err);
    if (result == 0) result = make_rules(c, was, were, err);
    if (result == 0) result = source_find_state(c->conf, c->logs, c->state_path, err);
    if (result == 0 && c->conf->health && !was->health && !(c->upstreams = calloc(1, sizeof(*c->upstreams))))
        result = err_set(err, "out of memory");
    return result < 0 ? err_prefix(err, "log source \"%s\"", c->conf->name) : 0;
}

int source_change_new(struct source_change **out, const struct source_conf *was, const struct logs_conf *were,
                      const struct source_conf *conf, const struct logs_conf *logs, struct err *err)
{
    struct source_change *c = calloc(1, sizeof(*c));
    if (!c) return err_set(err, "out of memory for a log's source");
    c->conf = conf;
    c->logs = logs;
    c->reserved_fd = -1;
    for (uint32_t i = 0; i < LOG_RULES_MAX; i++) c->goes_on[i] = LOG_RULES_MAX;
    c->is_elsewhere = !is_same_text(was->path, conf->path) || !is_same_address(&was->syslog, &conf->syslog);
    c->is_beside = is_same_folder(was, conf);
    if (fill(c, was, were, err) < 0) {
        source_change_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

int source_change_reserve(struct source_change *c, struct err *err)
{
    c->reserved_fd = source_input_bind(&c->conf->syslog, err);
    return c->reserved_fd < 0 ? err_prefix(err, "log source \"%s\"", c->conf->name) : 0;
}

void source_change_free(struct source_change *c)
{
    if (!c) return;
    if (c->reserved_fd >= 0) source_input_unbind(&c->conf->syslog, c->reserved_fd);
    for (uint32_t i = 0; i < LOG_RULES_MAX; i++) rule_free(c->rules[i]);
    places_fini(&c->places);
    free(c->format);
    free(c->upstreams);
    free(c);
}

/* the change */

static bool is_same_format(const struct log_format *a, const struct log_format *b)
{
    const struct line_format *x = &a->lines, *y = &b->lines;
    if (a->is_json || b->is_json) return a->is_json == b->is_json;
    return x->escape == y->escape && x->step_count == y->step_count && x->head_len == y->head_len &&
           x->text_len == y->text_len && memcmp(x->text, y->text, x->text_len) == 0 &&
           memcmp(x->steps, y->steps, x->step_count * sizeof(*x->steps)) == 0;
}

static void use_names(struct source_change *c, const char *names)
{
    snprintf(c->names, sizeof(c->names), "%s", names);
    c->places.names = c->names;
}

void source_change_begin(struct source *s, struct source_change *c)
{
    struct err err;
    if (!c->is_elsewhere) return;
    if (s->follow && c->is_beside) {
        const char *names = follow_looked_for(s->follow);
        c->has_places = names && follow_places(s->follow, &c->places, &err) == 0;
        if (c->has_places)
            use_names(c, names);
        else if (names)
            source_say_fault(s, "log_not_read", err.text);
    }
    source_end_reading(s);
}

/* What is half read of files is read again, in the new format. Datagrams are whole; of standard input the cut record is lost. */
static int use_format(struct source *s, struct source_change *c, struct err *err)
{
    struct log_format *before = s->format;
    if (is_same_format(before, c->format)) return 0;
    if (s->follow) follow_read_again(s->follow); /* lets go of its readers, which look at the old format */
    s->format = c->format;
    c->format = before;
    memset(s->fault, 0, sizeof(s->fault));
    if (!s->input) return 0;
    struct intake *old = s->input_intake;
    if (source_new_intake(s, &s->input_intake, err) < 0) {
        s->input_intake = old;
        source_end_reading(s);
        return -1;
    }
    source_input_use(s->input, s->input_intake);
    intake_free(old);
    return 0;
}

static void use_upstreams(struct source *s, struct source_change *c)
{
    struct upstream_watch *before = s->upstreams;
    if (!s->conf->health == !c->conf->health) return;
    s->upstreams = c->upstreams;
    c->upstreams = before;
}

int source_change_end(struct source *s, struct source_change *c, struct err *err)
{
    bool is_saved_elsewhere = strcmp(s->state_path, c->state_path) != 0;
    swap_rules(s, c);
    use_upstreams(s, c);
    s->conf = c->conf;
    s->logs = c->logs;
    if (c->reserved_fd >= 0) { /* else it may have one of its own, which is of the same address */
        s->reserved_fd = c->reserved_fd;
        c->reserved_fd = -1;
    }
    memcpy(s->state_path, c->state_path, sizeof(s->state_path));
    if (is_saved_elsewhere || c->is_elsewhere) s->saved_records = UINT64_MAX; /* soon, whatever comes */
    source_make_state(s);
    if (use_format(s, c, err) < 0) return err_prefix(err, "log source \"%s\"", s->conf->name);
    if (s->follow || s->input) return 0;
    return source_begin_reading(s, c->has_places ? &c->places : NULL, err);
}
