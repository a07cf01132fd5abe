#include "main/reload.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "main/config_difference.h"
#include "proxy/change.h"

/* How often it is looked whether what an older configuration had can go. */
#define RETIRE_LOOK_MS 50u
#define ANSWER_TEXT_MAX ((size_t)4 << 20)

struct reload {
    struct reloader reloader; /* first */
    struct reload_options o;
    const struct config *started; /* what weir was started with: borrowed for longer than this */
    struct config *own;           /* the one in force, if it came by reload: one reference on its arena */
    struct timer retire_timer;
    uint32_t pending;
    uint64_t applied, refused;
    bool is_stopped;
};

struct question {
    struct job job; /* first */
    struct reload *reload;
    struct reload_ask ask; /* its text is `text` */
    char *text;
    struct config *config;
    const struct config *base; /* in force when it was asked: what the difference is of */
    struct conf_arena *base_arena;
    struct config_difference difference;
    char *faults; /* every mistake, for people; NULL: see err */
    struct err err;
    int result;
};

static void refuse(struct question *q, uint16_t status, struct answer *a, const char *text)
{
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "title");
    json_string(&j, "The configuration is refused; the one before stays in force.");
    json_key(&j, "status");
    json_u64(&j, status);
    json_key(&j, "detail");
    json_string(&j, text);
    json_key(&j, "generation");
    json_u64(&j, q->reload->o.proxy->generation);
    json_object_end(&j);
    answer_json(a, status, &j);
    a->content_type = "application/problem+json";
    q->reload->refused++;
}

/* on the jobs' thread */

static void run(struct job *job)
{
    struct question *q = (struct question *)job;
    const struct reload *r = q->reload;
    if (q->text)
        q->result = config_parse(&q->config, q->ask.is_json ? "request.json" : "request", q->ask.text,
                                 &q->faults);
    else if (r->o.path)
        q->result = config_load(&q->config, r->o.path, &q->faults, &q->err);
    else
        q->result = err_set(&q->err,
                            "weir was started without a configuration file: there is none to read again");
    if (q->result == 0) config_difference_find(&q->difference, q->base, q->config, r->started);
}

/* Another has come into force meanwhile: it is compared with that. */
static void compare_again(struct job *job)
{
    struct question *q = (struct question *)job;
    config_difference_find(&q->difference, q->base, q->config, q->reload->started);
}

/* on the control thread */

static void warn_of_restart(const struct question *q)
{
    const struct shape_list *list = &q->difference.outcome.needs_restart;
    const char *const *names = list->data;
    char memory[128];
    struct text t = text_over(memory, sizeof(memory));
    for (uint32_t i = 0; i < list->count; i++) text_printf(&t, "%s%s", i ? "," : "", names[i]);
    if (list->count)
        log_event(LOG_WARN, "restart_needed", "generation=%u changed=%s", q->reload->o.proxy->generation,
                  text_cstr(&t));
}

/* Before it happens: what goes has its connections still. */
static void say_changes(struct question *q, struct answer *a)
{
    const struct proxy *p = q->reload->o.proxy;
    struct reload_outcome *o = &q->difference.outcome;
    struct json j;
    config_difference_count(&q->difference, p);
    o->is_dry = q->ask.is_dry;
    o->generation = p->generation + !o->is_dry * 1u;
    json_init(&j, ANSWER_TEXT_MAX, true);
    shape_print(&reload_outcome_shape, o, &j);
    answer_json(a, 200, &j);
}

static void keep(struct question *q)
{
    struct reload *r = q->reload;
    struct config *before = r->own;
    r->own = q->config;
    r->o.config = q->config;
    q->config = NULL;
    r->applied++;
    r->o.on_change(r->o.context, r->own);
    config_free(before);
    loop_arm(r->o.loop, &r->retire_timer, RETIRE_LOOK_MS);
    const struct proxy *p = r->o.proxy;
    log_event(LOG_INFO, "reloaded", "generation=%u listeners=%u pools=%u", p->generation, p->listener_count,
              p->pool_count);
}

static void apply(struct question *q, struct answer *a)
{
    struct reload *r = q->reload;
    struct proxy_change change;
    struct err err;
    if (proxy_prepare_change(&change, r->o.proxy, &q->config->proxy, q->config->arena, &err) < 0) {
        refuse(q, 409, a, err.text);
        return;
    }
    say_changes(q, a);
    if (q->ask.is_dry) {
        proxy_discard_change(&change);
        return;
    }
    proxy_commit_change(&change);
    keep(q);
    warn_of_restart(q);
}

static bool post(struct question *q, void (*run_it)(struct job *))
{
    struct reload *r = q->reload;
    q->job.run = run_it;
    config_difference_fini(&q->difference);
    conf_arena_free(q->base_arena);
    q->base = r->o.config;
    q->base_arena = conf_arena_get(q->base->arena);
    if (!jobs_post(r->o.jobs, &q->job)) return false;
    r->pending++;
    return true;
}

static void question_free(struct question *q)
{
    config_free(q->config);
    config_difference_fini(&q->difference);
    conf_arena_free(q->base_arena);
    if (q->text) explicit_bzero(q->text, q->ask.text.len);
    free(q->text);
    free(q->faults);
    free(q);
}

static void done(struct job *job)
{
    struct question *q = (struct question *)job;
    struct reload *r = q->reload;
    struct answer a = { 0 };
    r->pending--;
    bool is_stopping = !job_has_run(job) || r->is_stopped;
    if (!is_stopping && q->result == 0 && q->base != r->o.config && post(q, compare_again)) return;
    if (is_stopping)
        answer_problem(&a, 503, "weir is stopping.");
    else if (q->result == 0 && q->base != r->o.config)
        answer_problem(&a, 503, "Too much is being worked on; try again.");
    else if (q->result < 0)
        refuse(q, 400, &a, q->faults ? q->faults : q->err.text);
    else
        apply(q, &a);
    q->ask.done(q->ask.context, &a);
    question_free(q);
}

static bool ask(struct reloader *reloader, const struct reload_ask *what)
{
    struct reload *r = (struct reload *)reloader;
    struct question *q = calloc(1, sizeof(*q));
    if (!q || r->is_stopped) {
        free(q);
        return false;
    }
    q->job.done = done;
    q->reload = r;
    q->ask = *what;
    if (what->text.data && (q->text = malloc(what->text.len + 1))) {
        memcpy(q->text, what->text.data, what->text.len);
        q->ask.text.data = q->text;
    }
    if ((!what->text.data || q->text) && post(q, run)) return true;
    question_free(q);
    return false;
}

static void show(struct reloader *reloader, struct answer *out)
{
    const struct reload *r = (const struct reload *)reloader;
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    conf_encode(&config_type, r->o.config, &j);
    answer_json(out, 200, &j);
}

/* A refusal is told line by line, as `weir check` prints it. */
static void on_signal_done(void *context, struct answer *a)
{
    char quoted[8192];
    (void)context;
    if (a->status != 200)
        log_event(LOG_ERROR, "reload_failed", "answer=%s",
                  log_quote(a->body ? a->body : "", quoted, sizeof(quoted)));
    answer_fini(a);
}

void reload_by_signal(struct reload *r)
{
    struct reload_ask what = { .done = on_signal_done };
    if (!r->o.path)
        log_event(LOG_WARN, "reload_impossible", "reason=\"weir runs without a configuration file\"");
    else if (!ask(&r->reloader, &what))
        log_event(LOG_WARN, "reload_impossible", "reason=\"too much is being worked on, or weir stops\"");
}

static void on_retire_look(struct timer *t)
{
    struct reload *r = container_of(t, struct reload, retire_timer);
    retire_look(r->o.proxy);
    if (r->o.proxy->retirement.count) loop_arm(r->o.loop, t, RETIRE_LOOK_MS);
}

/* metrics */

static double read_generation(void *context)
{
    return ((const struct reload *)context)->o.proxy->generation;
}

static double read_retiring(void *context)
{
    return ((const struct reload *)context)->o.proxy->retirement.count;
}

static double read_applied(void *context)
{
    return (double)((const struct reload *)context)->applied;
}

static double read_refused(void *context)
{
    return (double)((const struct reload *)context)->refused;
}

static void add_metrics(struct reload *r)
{
    struct metric_registry *m = r->o.proxy->metrics;
    metric_gauge_fn(m, "weir_config_generation", "Which configuration is in force, counted from the start.",
                    NULL, 0, read_generation, r);
    metric_gauge_fn(m, "weir_config_retiring",
                    "Older configurations, listeners, pools and servers that are still in use.", NULL, 0,
                    read_retiring, r);
    const char *help = "Configurations that were taken while weir runs, or refused.";
    struct metric_label label = { "result", "applied" };
    metric_counter_fn(m, "weir_reloads_total", help, &label, 1, read_applied, r);
    label.value = "refused";
    metric_counter_fn(m, "weir_reloads_total", help, &label, 1, read_refused, r);
}

int reload_new(struct reload **out, const struct reload_options *o, struct err *err)
{
    struct reload *r = calloc(1, sizeof(*r));
    if (!r) return err_set(err, "out of memory at start");
    r->reloader = (struct reloader){ ask, show };
    r->o = *o;
    r->started = o->config;
    timer_init(&r->retire_timer, on_retire_look);
    add_metrics(r);
    *out = r;
    return 0;
}

void reload_stop(struct reload *r)
{
    if (!r) return;
    r->is_stopped = true;
    loop_disarm(r->o.loop, &r->retire_timer);
}

void reload_free(struct reload *r)
{
    if (!r) return;
    config_free(r->own);
    free(r);
}

struct reloader *reload_reloader(struct reload *r)
{
    return &r->reloader;
}
