#include "control/split_watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/log.h"
#include "conf/decode.h"
#include "logs/checkpoint.h"
#include "net/jobs.h"
#include "net/loop.h"
#include "proxy/site.h"
#include "proxy/split_steering.h"

#define FILE_NAME "split-guards.json"
#define FILE_BYTES_MAX (1u << 20)
/* Each guard is looked at once a second, but no look comes sooner than this after the last: a look takes a millisecond or two. */
#define ROUND_MS 1000u
#define BETWEEN_MS 100u

struct series {
    struct series *next;
    const char *split; /* in the process's names */
    struct split_watch *watch;
    uint64_t moves[SPLIT_GUARD_ROLLBACK + 1];
};

/* The whole file, on its way to disk. */
struct writing {
    struct job job; /* first */
    struct split_watch *watch;
    int folder;
    char *text;
    size_t len;
    bool has_failed;
    struct err err;
};

struct split_watch {
    struct proxy *proxy;
    struct loop *loop;
    struct jobs *jobs;
    struct timer timer;
    struct series *series;
    int folder;       /* -1: nothing is kept */
    uint32_t place;   /* of the split that is looked at next */
    uint64_t written; /* hash of what is on disk, or on its way there; 0: nothing is, or it failed */
    bool is_writing, is_stopped;
    bool is_failing;      /* said once */
    pthread_mutex_t file; /* held while it is written */
    bool
        has_left; /* by `file`: it may be another process's, and no job that is on its way writes it any more */
};

/* metrics */

static double read_move(void *moves)
{
    return (double)*(const uint64_t *)moves;
}

static double read_weight(void *series)
{
    const struct series *of = series;
    const struct split *s = site_split_by_name(of->watch->proxy->site, of->split);
    const struct split_guard *g = s ? split_guard_of(s) : NULL;
    return g ? (double)g->weight / SPLIT_PLACES : 0;
}

static void add_meters(struct series *s, struct metric_registry *m)
{
    static const struct {
        enum split_guard_move move;
        const char *name;
    } moves[] = { { SPLIT_GUARD_STEP, "step" },
                  { SPLIT_GUARD_HOLD, "hold" },
                  { SPLIT_GUARD_ROLLBACK, "rollback" } };
    struct metric_label labels[] = { { "split", s->split }, { "move", "" } };
    for (unsigned i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
        labels[1].value = moves[i].name;
        metric_counter_fn(m, "weir_split_guard_moves_total", "What guards of splits did.", labels, 2,
                          read_move, &s->moves[moves[i].move]);
    }
    metric_gauge_fn(m, "weir_split_guard_weight_ratio",
                    "The share of units that a guarded variant has, 0 to 1.", labels, 1, read_weight, s);
}

/* Those of a name stay; names are bounded by what configurations have. NULL: no memory. */
static struct series *series_of(struct split_watch *w, const char *split)
{
    for (struct series *s = w->series; s; s = s->next)
        if (s->split == split) return s;
    struct series *s = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->split = split;
    s->watch = w;
    s->next = w->series;
    w->series = s;
    add_meters(s, w->proxy->metrics);
    return s;
}

/* what is kept */

struct kept_split {
    const char *name, *dealing, *state, *why;
    uint32_t weight;
};

static const struct conf_field kept_fields[] = {
    { "name", CONF_STRING(struct kept_split, name), .max = 64, .help = "The split." },
    { "dealing", CONF_STRING(struct kept_split, dealing), .max = 32, .flags = CONF_REQUIRED,
      .help = "What the configuration had of it." },
    { "state", CONF_STRING(struct kept_split, state), .max = 32, .flags = CONF_REQUIRED,
      .help = "What its guard was at." },
    { "weight", CONF_U32(struct kept_split, weight), .max = SPLIT_PLACES, .flags = CONF_REQUIRED,
      .help = "Of the guarded variant." },
    { "why", CONF_STRING(struct kept_split, why), .max = SPLIT_GUARD_WHY_MAX, .help = "The reason." },
    { 0 },
};
static const struct conf_type kept_type = { .name = "split",
                                            .size = sizeof(struct kept_split),
                                            .fields = kept_fields };

struct kept {
    struct conf_items splits;
};
static const struct conf_field all_fields[] = {
    { "splits", CONF_MAP(struct kept, splits, &kept_type), .help = "All that have guards." },
    { 0 },
};
static const struct conf_type all_type = { .name = "guards",
                                           .size = sizeof(struct kept),
                                           .fields = all_fields };

static uint32_t count_guards(const struct site *site)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < site->split_count; i++) count += site->splits[i].conf->guard != NULL;
    return count;
}

static void print_dealing(const struct split *s, char out[24])
{
    snprintf(out, 24, "%016llx", (unsigned long long)s->book->dealing);
}

static void take_up(struct split_watch *w, const struct kept_split *kept)
{
    struct split *s = site_split_by_name(w->proxy->site, kept->name);
    enum split_guard_state state;
    char dealing[24];
    if (!s || !s->conf->guard || !split_guard_state_by_name(slice_of(kept->state), &state)) return;
    print_dealing(s, dealing);
    if (strcmp(dealing, kept->dealing) != 0 || kept->weight > split_steer_room(s)) return;
    struct split_guard *g = &s->book->guard;
    split_guard_restore(g, s->conf->guard, state, kept->weight, loop_now_ms(w->loop));
    if (kept->why) snprintf(g->why, sizeof(g->why), "%s", kept->why);
    split_deal(s);
}

static void take_up_all(struct split_watch *w, struct slice text)
{
    struct kept kept = { { NULL, 0 } };
    struct conf_tree tree;
    struct conf_arena *arena = conf_arena_new();
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (arena && faults) {
        int result = conf_read_json(&tree, FILE_NAME, text, faults);
        if (result == 0) result = conf_decode(&tree, &all_type, &kept, arena, faults);
        const struct kept_split *splits = kept.splits.data;
        for (uint32_t i = 0; result == 0 && i < kept.splits.count; i++) take_up(w, &splits[i]);
        if (result < 0)
            log_event(LOG_WARN, "split_guards_unreadable",
                      "file=" FILE_NAME " remedy=\"their ramps begin anew; remove the file\"");
        conf_tree_free(&tree);
    }
    free(faults);
    conf_arena_free(arena);
}

/* A folder that is open, as part of a path. */
static void file_path(int folder, char out[64])
{
    snprintf(out, 64, "/proc/self/fd/%d/" FILE_NAME, folder);
}

static void read_kept(struct split_watch *w, int folder)
{
    char path[64], *text = NULL, quoted[ERR_TEXT_MAX + 64];
    size_t len = 0;
    struct err err;
    if (folder < 0) return;
    file_path(folder, path);
    if (checkpoint_read(path, FILE_BYTES_MAX, &text, &len, &err) < 0)
        log_event(LOG_WARN, "split_guards_unreadable", "file=" FILE_NAME " error=%s",
                  log_quote(err.text, quoted, sizeof(quoted)));
    else if (text)
        take_up_all(w, (struct slice){ text, len });
    free(text);
}

static void print_split(const struct split *s, struct json *j)
{
    const struct split_guard *g = split_guard_of(s);
    char dealing[24];
    if (!g) return;
    print_dealing(s, dealing);
    json_key(j, s->name);
    json_object(j);
    json_key(j, "dealing");
    json_string(j, dealing);
    json_key(j, "state");
    json_string(j, split_guard_state_name(g->state));
    json_key(j, "weight");
    json_u64(j, g->weight);
    if (*g->why) {
        json_key(j, "why");
        json_string(j, g->why);
    }
    json_object_end(j);
}

/* NULL: no memory, or too long. */
static char *print_all(const struct split_watch *w, size_t *len)
{
    const struct site *site = w->proxy->site;
    struct json j;
    json_init(&j, FILE_BYTES_MAX, true);
    json_object(&j);
    json_key(&j, "splits");
    json_object(&j);
    for (uint32_t i = 0; i < site->split_count; i++) print_split(&site->splits[i], &j);
    json_object_end(&j);
    json_object_end(&j);
    char *text = json_take(&j, len);
    json_fini(&j);
    return text;
}

static void write_file(struct writing *x)
{
    char path[64];
    file_path(x->folder, path);
    x->has_failed = checkpoint_write(path, (struct slice){ x->text, x->len }, &x->err) < 0;
}

static void run(struct job *job)
{
    struct writing *x = (struct writing *)job;
    pthread_mutex_lock(&x->watch->file);
    if (!x->watch->has_left) write_file(x);
    pthread_mutex_unlock(&x->watch->file);
}

static void writing_free(struct writing *x)
{
    if (x->folder >= 0) close(x->folder);
    free(x->text);
    free(x);
}

/* What failed is written at the next look, whether it is another by then or not. */
static void finish(struct writing *x)
{
    struct split_watch *w = x->watch;
    char quoted[ERR_TEXT_MAX + 64];
    if (x->has_failed) w->written = 0;
    if (x->has_failed && !w->is_failing)
        log_event(LOG_ERROR, "split_guards_not_kept", "file=" FILE_NAME " error=%s",
                  log_quote(x->err.text, quoted, sizeof(quoted)));
    w->is_failing = x->has_failed;
    writing_free(x);
}

static void on_written(struct job *job)
{
    struct writing *x = (struct writing *)job;
    if (!job_has_run(job)) run(job);
    x->watch->is_writing = false;
    finish(x);
}

/* NULL: no memory. */
static struct writing *writing_new(struct split_watch *w)
{
    struct writing *x = calloc(1, sizeof(*x));
    if (!x) return NULL;
    x->watch = w;
    x->job.run = run;
    x->job.done = on_written;
    x->folder = -1;
    x->text = print_all(w, &x->len);
    if (x->text) return x;
    writing_free(x);
    return NULL;
}

/* NULL: nothing is kept, it is there already, or there is no memory. The folder is opened anew, without the lock that is on it:
 * this may take longer than the process has it. */
static struct writing *begin_writing(struct split_watch *w)
{
    if (w->folder < 0 || (!w->written && !w->is_failing && !count_guards(w->proxy->site))) return NULL;
    struct writing *x = writing_new(w);
    if (!x) return NULL;
    uint64_t hash = XXH3_64bits(x->text, x->len);
    if (hash != w->written) x->folder = openat(w->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x->folder < 0) {
        writing_free(x);
        return NULL;
    }
    w->written = hash;
    return x;
}

static void keep(struct split_watch *w)
{
    struct writing *x = w->is_writing ? NULL : begin_writing(w);
    if (!x) return;
    w->is_writing = jobs_post(w->jobs, &x->job);
    if (w->is_writing) return;
    write_file(x); /* rather a turn that takes long than a rollback that is forgotten */
    finish(x);
}

/* What is being written is waited for, what is on its way is not written any more, and the latest is, on this thread. */
static void keep_last(struct split_watch *w)
{
    pthread_mutex_lock(&w->file);
    w->has_left = true;
    pthread_mutex_unlock(&w->file);
    if (w->is_writing) w->written = 0; /* nobody knows yet */
    struct writing *x = begin_writing(w);
    if (!x) return;
    write_file(x);
    finish(x);
}

/* looking */

static void follow_all(struct split_watch *w)
{
    struct site *site = w->proxy->site;
    for (uint32_t i = 0; i < site->split_count; i++) {
        struct split *s = &site->splits[i];
        (void)split_steer_follow(s, loop_now_ms(w->loop));
        if (split_guard_of(s)) (void)series_of(w, s->name);
    }
}

static void look_at_next(struct split_watch *w)
{
    struct site *site = w->proxy->site;
    for (uint32_t i = 0; i < site->split_count; i++) {
        struct split *s = &site->splits[w->place++ % site->split_count];
        if (!s->conf->guard) continue;
        enum split_guard_move move = split_steer_look(s, loop_now_ms(w->loop));
        struct series *series = move == SPLIT_GUARD_STAY ? NULL : series_of(w, s->name);
        if (series) series->moves[move]++;
        return;
    }
}

static void arm(struct split_watch *w)
{
    uint32_t guards = count_guards(w->proxy->site);
    if (w->is_stopped || !guards) return;
    uint32_t wait_ms = ROUND_MS / guards;
    loop_arm(w->loop, &w->timer, wait_ms > BETWEEN_MS ? wait_ms : BETWEEN_MS);
}

static void on_timer(struct timer *t)
{
    struct split_watch *w = container_of(t, struct split_watch, timer);
    look_at_next(w);
    keep(w);
    arm(w);
}

int split_watch_new(struct split_watch **out, struct proxy *proxy, struct loop *loop, struct jobs *jobs,
                    int folder, struct err *err)
{
    struct split_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory for what watches splits");
    w->proxy = proxy;
    w->loop = loop;
    w->jobs = jobs;
    w->folder = -1;
    timer_init(&w->timer, on_timer);
    pthread_mutex_init(&w->file, NULL);
    read_kept(w, folder);
    follow_all(w);
    arm(w);
    *out = w;
    return 0;
}

void split_watch_own(struct split_watch *w, int folder, bool is_new)
{
    if (is_new) read_kept(w, folder);
    w->folder = folder;
    keep(w);
}

void split_watch_follow(struct split_watch *w)
{
    follow_all(w);
    keep(w);
    if (!timer_is_armed(&w->timer)) arm(w);
}

void split_watch_stop(struct split_watch *w)
{
    if (!w) return;
    keep_last(w);
    w->is_stopped = true;
    w->folder = -1;
    loop_disarm(w->loop, &w->timer);
}

void split_watch_free(struct split_watch *w)
{
    if (!w) return;
    loop_disarm(w->loop, &w->timer);
    while (w->series) {
        struct series *s = w->series;
        w->series = s->next;
        free(s);
    }
    pthread_mutex_destroy(&w->file);
    free(w);
}
