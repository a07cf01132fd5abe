#include "main/reload.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/decode.h"
#include "proxy/change.h"

/* How often it is looked whether what an older configuration had can go. */
#define RETIRE_LOOK_MS 50u
#define ANSWER_TEXT_MAX ((size_t)4 << 20)

/* Read once, at the start. */
static const char *const frozen[] = { "admin",   "access_log", "logs",     "core",
                                      "profile", "limits",     "resolver", "workers" };

struct reload {
    struct reloader reloader; /* first */
    struct reload_options o;
    struct config *own; /* the one in force, if it came by reload: one reference on its arena */
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
    const char *name = q->ask.is_json ? "request.json" : "request";
    if (q->text)
        q->result = config_parse(&q->config, name, q->ask.text, &q->faults);
    else
        q->result = config_load(&q->config, q->reload->o.path, &q->faults, &q->err);
}

/* on the control thread */

static const struct conf_field *field_named(const char *name)
{
    for (const struct conf_field *f = config_type.fields; f->name; f++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

static bool is_same(const struct config *a, const struct config *b, const struct conf_field *f)
{
    const struct conf_field fields[2] = { *f, { 0 } };
    const struct conf_type type = { .name = "part", .size = sizeof(struct config), .fields = fields };
    struct json before, after;
    json_init(&before, ANSWER_TEXT_MAX, false);
    json_init(&after, ANSWER_TEXT_MAX, false);
    conf_encode(&type, a, &before);
    conf_encode(&type, b, &after);
    bool is_same = !before.is_failed && !after.is_failed && before.len == after.len &&
                   memcmp(before.data, after.data, before.len) == 0;
    json_fini(&before);
    json_fini(&after);
    return is_same;
}

/* Secrets are left out of what is compared there. */
static bool is_same_token(const struct config *a, const struct config *b)
{
    const char *one = a->admin ? a->admin->token : NULL, *other = b->admin ? b->admin->token : NULL;
    return one && other ? strcmp(one, other) == 0 : one == other;
}

/* Which parts need another start, as a list of their names. */
static uint32_t find_frozen(const struct config *a, const struct config *b,
                            const char *out[sizeof(frozen) / sizeof(*frozen)])
{
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof(frozen) / sizeof(*frozen); i++) {
        bool is_token = strcmp(frozen[i], "admin") == 0 && !is_same_token(a, b);
        if (is_token || !is_same(a, b, field_named(frozen[i]))) out[count++] = frozen[i];
    }
    return count;
}

static void say_changes(struct question *q, struct answer *a)
{
    struct reload *r = q->reload;
    const struct proxy *p = r->o.proxy;
    const char *needs_restart[sizeof(frozen) / sizeof(*frozen)];
    uint32_t count = find_frozen(r->o.config, q->config, needs_restart);
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "generation");
    json_u64(&j, p->generation + !q->ask.is_dry * 1u);
    json_key(&j, "dry_run");
    json_bool(&j, q->ask.is_dry);
    json_key(&j, "needs_restart");
    json_array(&j);
    char list[128];
    struct text t = text_over(list, sizeof(list));
    for (uint32_t i = 0; i < count; i++) {
        json_string(&j, needs_restart[i]);
        text_printf(&t, "%s%s", i ? "," : "", needs_restart[i]);
    }
    json_array_end(&j);
    json_object_end(&j);
    answer_json(a, 200, &j);
    if (q->ask.is_dry) return;
    if (count)
        log_event(LOG_WARN, "restart_needed", "generation=%u changed=%s", p->generation + 1, text_cstr(&t));
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
}

static void done(struct job *job)
{
    struct question *q = (struct question *)job;
    struct answer a = { 0 };
    q->reload->pending--;
    if (!job_has_run(job) || q->reload->is_stopped)
        answer_problem(&a, 503, "weir is stopping.");
    else if (q->result < 0)
        refuse(q, 400, &a, q->faults ? q->faults : q->err.text);
    else
        apply(q, &a);
    q->ask.done(q->ask.context, &a);
    config_free(q->config);
    if (q->text) explicit_bzero(q->text, q->ask.text.len);
    free(q->text);
    free(q->faults);
    free(q);
}

static bool ask(struct reloader *reloader, const struct reload_ask *what)
{
    struct reload *r = (struct reload *)reloader;
    struct question *q = calloc(1, sizeof(*q));
    if (!q || r->is_stopped) {
        free(q);
        return false;
    }
    q->job.run = run;
    q->job.done = done;
    q->reload = r;
    q->ask = *what;
    if (what->text.data && (q->text = malloc(what->text.len + 1))) {
        memcpy(q->text, what->text.data, what->text.len);
        q->ask.text.data = q->text;
    }
    bool is_possible = q->text || (!what->text.data && r->o.path);
    if (!is_possible || !jobs_post(r->o.jobs, &q->job)) {
        free(q->text);
        free(q);
        return false;
    }
    r->pending++;
    return true;
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
