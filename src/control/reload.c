#include "control/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "control/config_part.h"
#include "control/log_watch.h"
#include "control/maintenance_news.h"
#include "control/refusal.h"
#include "control/reload_history.h"
#include "control/reload_question.h"
#include "proxy/change.h"

/* How often it is looked whether what an older configuration had can go. */
#define RETIRE_LOOK_MS 50u
#define ANSWER_TEXT_MAX ((size_t)16 << 20)
/* Each is a whole configuration in memory. */
#define WAITING_MAX 64u

static void refuse(struct question *q, uint16_t status, struct answer *a, const char *text)
{
    refusal_answer(a, status, text, q->change ? q->change->errors : NULL, q->reload->o.proxy->generation);
    q->reload->refused++;
    if (q->ask.is_unheard) refusal_log(text); /* else who asked is told */
}

/* on the control thread */

/* Numbers that are not kept begin anew with each start: what an editor has from before must not match them. */
static void write_etag(const struct reload *r, char out[48])
{
    const struct proxy *p = r->o.proxy;
    if (r->o.generations)
        snprintf(out, 48, "\"%u\"", p->generation);
    else
        snprintf(out, 48, "\"%u-%llx\"", p->generation, (unsigned long long)p->started_wall_ns);
}

static bool may_go_on(const struct question *q)
{
    char etag[48];
    write_etag(q->reload, etag);
    return refusal_if_match(q->ask.if_match, slice_of(etag));
}

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
    bool is_created = q->change && q->change->is_edit && q->change->result.fate == CONF_EDIT_CREATED;
    answer_json(a, is_created && !o->is_dry ? 201 : 200, &j);
}

static void keep(struct question *q)
{
    struct reload *r = q->reload;
    struct config *before = r->own;
    const struct config *in_force = r->o.config;
    r->own = q->config;
    r->o.config = q->config;
    r->in_force = q->number;
    q->config = NULL;
    r->applied++;
    reload_change_applied(&r->made, &q->change, r->o.generations != NULL);
    maintenance_news_tell(in_force, r->own);
    r->o.on_change(r->o.context, r->own);
    config_free(before);
    loop_arm(r->o.loop, &r->retire_timer, RETIRE_LOOK_MS);
    const struct proxy *p = r->o.proxy;
    q->generation = p->generation;
    q->listener_count = p->listener_count;
    q->pool_count = p->pool_count;
}

static void end(struct question *q)
{
    list_remove(&q->link);
    if (q->generation)
        log_event(LOG_INFO, "reloaded", "generation=%u listeners=%u pools=%u", q->generation,
                  q->listener_count, q->pool_count);
    q->ask.done(q->ask.context, &q->answer);
    question_free(q);
}

/* Who asked may go by the answer: from then on every worker does what the new configuration says. */
static void settle(struct reload *r)
{
    while (!list_is_empty(&r->settling)) {
        struct question *q = container_of(r->settling.next, struct question, link);
        if (!r->is_stopped && !proxy_goes_by(r->o.proxy, q->generation)) return; /* NOLINT */
        end(q);
    }
}

static void on_worker_done(void *reader, const struct mail *m)
{
    (void)reader;
    settle(m->object);
}

/* The file, not what was sent: from it weir starts next. One that was read later than this has said already. */
static void note_file(const struct question *q, bool is_applied)
{
    struct reload *r = q->reload;
    if (q->ask.generation || q->ask.text.data || q->change || q->ask.is_dry || r->is_stopped) return;
    if (q->number < r->file_asked) return;
    r->file_asked = q->number;
    r->is_file_applied = is_applied;
    r->file_at_s = (int64_t)time(NULL);
}

/* It is answered, as soon as every worker goes by what it put in force; at once if that is nothing. */
static void settle_with(struct question *q)
{
    struct reload *r = q->reload;
    if (!q->generation) {
        end(q);
        return;
    }
    list_push_back(&r->settling, &q->link);
    settle(r);
}

/* The answer waits for the file's name: who has it can rely on the next start. */
static void finish(struct question *q)
{
    struct reload *r = q->reload;
    if (q->result < 0) {
        char quoted[ERR_TEXT_MAX + 64];
        generations_remove(r->o.generations, q->next.number);
        log_event(LOG_ERROR, "generation_not_kept", "error=%s",
                  log_quote(q->err.text, quoted, sizeof(quoted)));
        answer_error(&q->answer, 500, &q->err);
    }
    settle_with(q);
}

static void done_publish(struct job *job)
{
    struct question *q = (struct question *)job;
    q->reload->pending--;
    if (!job_has_run(job)) question_publish(job);
    finish(q);
}

static void keep_file(struct question *q)
{
    struct reload *r = q->reload;
    q->next.number = r->o.proxy->generation;
    q->has_gone = generations_add(r->o.generations, &q->next, &q->gone);
    q->job.run = question_publish;
    q->job.done = done_publish;
    if (jobs_post(r->o.jobs, &q->job)) {
        r->pending++;
        return;
    }
    question_publish(&q->job); /* rather a turn that takes long than a configuration that is lost */
    finish(q);
}

/* False: nothing has changed. */
static bool apply(struct question *q)
{
    struct reload *r = q->reload;
    struct proxy_change change;
    struct err err;
    if (proxy_prepare_change(&change, r->o.proxy, &q->config->proxy, q->config->arena, &err) < 0) {
        refuse(q, 409, &q->answer, err.text);
        return false;
    }
    if (watch_change_reserve(q->logs, &err) < 0) {
        proxy_discard_change(&change);
        refuse(q, 409, &q->answer, err.text);
        return false;
    }
    say_changes(q, &q->answer);
    /* Who is told that it failed must not find it in force. */
    bool is_said = q->answer.status < 300;
    if (!is_said) r->refused++;
    if (q->ask.is_dry || !is_said) {
        proxy_discard_change(&change);
        return false;
    }
    if (log_watch_commit(r->o.logs, q->logs, q->config->arena, &err) < 0) {
        proxy_discard_change(&change);
        refuse(q, 503, &q->answer, err.text);
        return false;
    }
    q->logs = NULL;
    const struct mail when_done = { .deliver = on_worker_done, .object = r };
    proxy_commit_change(&change, &when_done);
    keep(q);
    warn_of_restart(q);
    return true;
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

/* Whether it comes into force; else q->answer says why not. */
static bool is_answered(struct question *q)
{
    const struct reload *r = q->reload;
    struct answer *a = &q->answer;
    if (!job_has_run(&q->job) || r->is_stopped)
        answer_problem(a, 503, "weir is stopping.");
    else if (!may_go_on(q))
        answer_problem(a, 412,
                       "Another configuration is in force, generation %u; look at it before you change it.",
                       r->o.proxy->generation);
    else if (q->result < 0)
        refuse(q, q->status, a, q->faults ? q->faults : q->err.text);
    else if (!q->ask.is_dry && !q->change && q->number < r->in_force) /* it has waited for names */
        refuse(q, 409, a, "a configuration that was asked for later is in force already");
    return a->status != 0;
}

static void go_on(struct question *q);

static void on_names(struct discovery_wait *w)
{
    struct question *q = container_of(w, struct question, names);
    q->reload->pending--;
    q->reload->waiting--;
    go_on(q);
}

/* False: it goes on when the names in it that are new have been asked for. */
static bool knows_names(struct question *q)
{
    struct reload *r = q->reload;
    if (q->has_waited || q->ask.is_dry) return true;
    q->has_waited = true;
    q->names.done = on_names;
    if (discovery_await(r->o.discovery, &q->names, q->config)) return true;
    r->pending++;
    r->waiting++;
    return false;
}

static void go_on(struct question *q)
{
    struct reload *r = q->reload;
    bool has_answer = is_answered(q);
    if (!has_answer && q->base != r->o.config) {
        if (!q->change && post(q, question_compare_again)) return;
        answer_problem(&q->answer, 503, "%s",
                       q->change ? "Another configuration has come into force meanwhile; try again."
                                 : "Too much is being worked on; try again.");
        has_answer = true;
    }
    if (!has_answer && !knows_names(q)) return;
    bool is_applied = !has_answer && apply(q);
    if (q->answer.status != 412 && q->answer.status != 503) note_file(q, is_applied);
    if (is_applied) {
        write_etag(r, q->answer.etag);
        if (r->o.generations) {
            keep_file(q);
            return;
        }
    }
    settle_with(q);
}

static void done(struct job *job)
{
    struct question *q = (struct question *)job;
    q->reload->pending--;
    go_on(q);
}

static int may_ask(const struct reload *r, struct err *err)
{
    if (r->is_stopped) return err_set(err, "weir is stopping.");
    if (r->waiting >= WAITING_MAX)
        return err_set(err, "%u configurations wait for the names in them; try again.", r->waiting);
    if (!r->is_held) return 0;
    return err_set(err,
                   "A new process is being started to take over (an upgrade), and would not know of another "
                   "configuration; ask again when that is decided, in at most %llu s (timeouts: upgrade).",
                   (unsigned long long)(r->o.config->proxy.timeouts.upgrade_ms + 999) / 1000);
}

static int ask(struct reloader *reloader, const struct reload_ask *what, struct err *err)
{
    struct reload *r = (struct reload *)reloader;
    if (may_ask(r, err) < 0) return -1;
    struct question *q = calloc(1, sizeof(*q));
    if (!q) return err_set(err, "There is no memory to read a configuration; try again.");
    list_init(&q->link);
    q->number = ++r->asked;
    q->job.done = done;
    q->reload = r;
    int result = question_take(q, what, err);
    if (result == 0 && !post(q, question_run))
        result = err_set(err, "Too much is being worked on; try again.");
    if (result < 0) question_free(q);
    return result;
}

static void show(struct reloader *reloader, struct answer *out)
{
    const struct reload *r = (const struct reload *)reloader;
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_raw(&j, r->o.config->shown);
    answer_json(out, 200, &j);
    write_etag(r, out->etag);
}

static void list(struct reloader *reloader, struct answer *out)
{
    const struct reload *r = (const struct reload *)reloader;
    reload_history_list(r->o.generations, r->o.proxy->generation, out);
}

static bool look(struct reloader *reloader, const struct reload_look *asked)
{
    const struct reload *r = (const struct reload *)reloader;
    return !r->is_stopped && reload_history_look(r->o.jobs, r->o.generations, asked);
}

static bool look_at(struct reloader *reloader, const struct reload_part *asked)
{
    const struct reload *r = (const struct reload *)reloader;
    char etag[48];
    write_etag(r, etag);
    return !r->is_stopped && config_part_look(r->o.jobs, r->o.config, etag, asked);
}

static void on_retire_look(struct timer *t)
{
    struct reload *r = container_of(t, struct reload, retire_timer);
    settle(r);
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

static double read_file_applied(void *context)
{
    return ((const struct reload *)context)->is_file_applied;
}

static double read_file_time(void *context)
{
    return (double)((const struct reload *)context)->file_at_s;
}

static double read_number(void *number)
{
    return (double)*(const uint64_t *)number;
}

static void add_metrics(struct reload *r)
{
    struct metric_registry *m = r->o.proxy->metrics;
    metric_gauge_fn(m, "weir_config_generation", "Which configuration is in force, counted from the start.",
                    NULL, 0, read_generation, r);
    metric_gauge_fn(m, "weir_config_retiring",
                    "Older configurations, listeners, pools and servers that are still in use.", NULL, 0,
                    read_retiring, r);
    metric_gauge_fn(m, "weir_reload_applied",
                    "1: the configuration's file came into force when it was last read, at the start or at a "
                    "reload; 0: it was refused.",
                    NULL, 0, read_file_applied, r);
    metric_gauge_fn(m, "weir_reload_timestamp_seconds", "When that was, in seconds since 1970.", NULL, 0,
                    read_file_time, r);
    const char *help = "Configurations that were taken while weir runs, or refused.";
    struct metric_label label = { "result", "applied" };
    metric_counter_fn(m, "weir_reloads_total", help, &label, 1, read_number, &r->applied);
    label.value = "refused";
    metric_counter_fn(m, "weir_reloads_total", help, &label, 1, read_number, &r->refused);
}

int reload_new(struct reload **out, const struct reload_options *o, struct err *err)
{
    struct reload *r = calloc(1, sizeof(*r));
    if (!r) return err_set(err, "out of memory at start");
    r->reloader = (struct reloader){ ask, show, list, look, look_at };
    r->o = *o;
    r->started = o->config;
    r->is_file_applied = true;
    r->file_at_s = (int64_t)time(NULL);
    timer_init(&r->retire_timer, on_retire_look);
    list_init(&r->settling);
    add_metrics(r);
    maintenance_news_tell(NULL, o->config);
    *out = r;
    return 0;
}

bool reload_is_busy(const struct reload *r)
{
    return r->pending || !list_is_empty(&r->settling);
}

void reload_hold(struct reload *r, bool is_held)
{
    r->is_held = is_held;
}

void reload_look_after_retired(struct reload *r)
{
    if (!timer_is_armed(&r->retire_timer)) loop_arm(r->o.loop, &r->retire_timer, RETIRE_LOOK_MS);
}

void reload_stop(struct reload *r)
{
    if (!r) return;
    r->is_stopped = true;
    settle(r);
}

void reload_leave(struct reload *r)
{
    if (!r) return;
    reload_stop(r);
    loop_disarm(r->o.loop, &r->retire_timer);
}

void reload_free(struct reload *r)
{
    if (!r) return;
    config_free(r->own);
    reload_change_free(r->made);
    free(r);
}

struct reloader *reload_reloader(struct reload *r)
{
    return &r->reloader;
}
