#include "admin/profiler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/trace.h"
#include "base/log.h"
#include "net/mailbox.h"
#include "profile/flame.h"
#include "profile/folded.h"
#include "profile/pprof.h"
#include "profile/profile_history.h"
#include "profile/sampled_profile.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"

/* What an answer may take beyond its window: names are looked up and the profile is packed. */
#define NAMING_MS 30000u
#define WINDOWS_MAX 16u
#define KEPT_MS 10000u

struct profiler {
    struct sampler *sampler;
    struct proxy *proxy;
    struct mailbox *control;
    uint32_t windows; /* going on; the control thread's */
    _Atomic bool is_stopping;
    struct profile_history *history; /* owned; NULL: none is kept */
    struct trace *trace;             /* owned; NULL: none is being taken */
    struct sampler_window kept;      /* the window that will be kept */
};

/* One question: one window, or two of which the sum is asked for. */
struct question {
    struct profiler *profiler;
    struct profiler_request what;
    struct call_ticket ticket;
    struct sampler_window windows[2];
    uint32_t window_count, done_count; /* done_count: the sampler's thread */
    _Atomic bool is_gone;              /* nobody wants the answer */
    struct answer answer;
};

void profiler_fault(struct answer *out, uint16_t status, const char *format, ...)
{
    char text[ERR_TEXT_MAX + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    answer_text(out, status, text);
    out->content_type = "text/plain; charset=utf-8";
    out->is_pprof = true;
}

/* names */

static const struct activity *activity_of(void *context, uint32_t thread)
{
    const struct proxy *p = context;
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i] && atomic_load(&p->workers[i]->thread_id) == thread)
            return atomic_load(&p->workers[i]->activity);
    return NULL;
}

static struct slice name_of(void *context, uint32_t id)
{
    const struct proxy *p = context;
    return slice_of(names_of(&p->names, id));
}

static struct slice phase_of(void *context, uint32_t phase)
{
    (void)context;
    if (!phase) return SLICE("loop");
    return phase <= EXCHANGE_DONE + 1u ? slice_of(exchange_state_name((enum exchange_state)(phase - 1)))
                                       : SLICE_NONE;
}

static bool is_lock(struct slice function)
{
    static const char *const names[] = { "pthread_mutex_lock",    "__pthread_mutex_lock",
                                         "pthread_rwlock_rdlock", "___pthread_mutex_lock",
                                         "pthread_rwlock_wrlock", "__lll_lock_wait",
                                         "pthread_spin_lock",     "__lll_lock_wait_private" };
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (slice_equal(function, slice_of(names[i]))) return true;
    return false;
}

/* What has gone wrong, as whoever asks reads it: Go's tools, or one of ours. */
static void refuse(const struct profiler_request *what, struct answer *out, uint16_t status,
                   const struct err *err)
{
    if (what->form == PROFILER_FLAME)
        answer_error(out, status, err);
    else
        profiler_fault(out, status, "%s\n", err->text);
}

/* making the answer: on the sampler's thread */

static int write_profile(const struct profile *p, enum profiler_form form, struct answer *out,
                         struct err *err)
{
    char *body = NULL;
    size_t len = 0;
    if (form == PROFILER_PPROF) {
        if (pprof_write(p, &body, &len, err) < 0) return -1;
        answer_body(out, "application/octet-stream", body, len);
        return 0;
    }
    FILE *f = open_memstream(&body, &len);
    int result = 0;
    if (!f) return err_set(err, "out of memory for a profile");
    if (form == PROFILER_FOLDED) {
        folded_write(p, 1, f);
    } else {
        struct flame_options o = { .title = "weir", .type = 1 };
        result = flame_write(p, NULL, &o, f, err);
    }
    if (fclose(f) != 0) result = err_set(err, "out of memory for a profile");
    if (result == 0)
        answer_body(out, form == PROFILER_FOLDED ? "text/plain; charset=utf-8" : "text/html; charset=utf-8",
                    body, len);
    else
        free(body);
    return result;
}

/* On and off the CPU in one: {samples, wall}. */
static struct profile *add_up(struct profile *on, struct profile *off)
{
    static const struct profile_type wall[] = { { "samples", "count" }, { "wall", "nanoseconds" } };
    struct profile *sum = profile_new(wall, 2);
    if (!sum) return NULL;
    sum->time_ns = on->time_ns;
    sum->duration_ns = on->duration_ns;
    sum->preset_type = 1;
    profile_merge(sum, on, 1);
    profile_merge(sum, off, 1);
    return sum;
}

static int make_answer(struct question *q, struct err *err)
{
    struct profile *made[2] = { NULL, NULL }, *sum = NULL;
    struct sampled_profile_options o = { .name_of = name_of,
                                         .phase_of = phase_of,
                                         .context = q->profiler->proxy,
                                         .is_wanted = q->what.is_lock ? is_lock : NULL };
    int result = 0;
    for (uint32_t i = 0; i < q->window_count && result == 0; i++) {
        if (*q->windows[i].fault.text) {
            *err = q->windows[i].fault;
            result = -1;
        } else {
            result = sampled_profile_make(&made[i], &q->windows[i], &o, err);
        }
    }
    if (result == 0 && q->window_count == 2 && !(sum = add_up(made[0], made[1])))
        result = err_set(err, "out of memory for a profile");
    if (result == 0) result = write_profile(sum ? sum : made[0], q->what.form, &q->answer, err);
    profile_free(made[0]);
    profile_free(made[1]);
    profile_free(sum);
    return result;
}

static void deliver(void *reader, const struct mail *m)
{
    (void)reader;
    struct question *q = m->object;
    q->profiler->windows--;
    call_answer(q->ticket, &q->answer);
    free(q);
}

static void on_done(struct sampler_window *w)
{
    struct question *q = w->context;
    struct err err;
    if (++q->done_count < q->window_count) return;
    if (!q->is_gone && make_answer(q, &err) < 0) refuse(&q->what, &q->answer, 500, &err);
    for (uint32_t i = 0; i < q->window_count; i++) sampler_window_fini(&q->windows[i]);
    struct mail m = { .deliver = deliver, .object = q };
    while (!mailbox_post(q->profiler->control, &m)) {
        if (!atomic_load(&q->profiler->is_stopping)) {
            sched_yield(); /* the control thread empties its box */
            continue;
        }
        answer_fini(&q->answer);
        free(q);
        return;
    }
}

/* asking */

static void on_gone(void *context)
{
    struct question *q = context;
    q->is_gone = true;
    for (uint32_t i = 0; i < q->window_count; i++) q->windows[i].is_given_up = true;
}

static void add_window(struct question *q, enum perf_kind kind)
{
    q->windows[q->window_count++] = (struct sampler_window){
        .kind = kind, .hz = q->what.hz, .duration_ms = q->what.duration_ms, .done = on_done, .context = q
    };
}

void profiler_ask(struct profiler *p, const struct admin_request *rq, const struct profiler_request *what,
                  struct answer *out)
{
    struct err err;
    if (p->windows == WINDOWS_MAX) {
        err_set(&err, "%u profiles are being taken; try again when one of them is over", WINDOWS_MAX);
        refuse(what, out, 503, &err);
        return;
    }
    struct question *q = calloc(1, sizeof(*q));
    if (!q) {
        err_set(&err, "there is no memory for a profile; try again");
        refuse(what, out, 503, &err);
        return;
    }
    q->profiler = p;
    q->what = *what;
    if (what->is_wall) add_window(q, PERF_ON_CPU);
    add_window(q, what->is_wall ? PERF_OFF_CPU : what->kind);
    q->ticket = call_wait(rq, what->duration_ms + NAMING_MS, on_gone, q);
    for (uint32_t i = 0; i < q->window_count; i++) {
        if (sampler_ask(p->sampler, &q->windows[i], &err) == 0) continue;
        /* The one before is going on and will say that it is done. */
        q->windows[i].fault = err;
        if (i == 0) {
            call_wait(rq, 0, NULL, NULL);
            free(q);
            refuse(what, out, 500, &err);
            return;
        }
        q->window_count = i;
        break;
    }
    p->windows++;
}

/* keeping: a window after the other, on the sampler's thread */

static int keep(struct profiler *p, uint32_t hz, struct err *err);

static void on_kept(struct sampler_window *w)
{
    struct profiler *p = w->context;
    struct sampled_profile_options o = { .name_of = name_of, .phase_of = phase_of, .context = p->proxy };
    struct profile *made = NULL;
    struct err err = w->fault;
    if (!*err.text && sampled_profile_make(&made, w, &o, &err) == 0) {
        profile_history_add(p->history, made);
        profile_free(made);
        err.text[0] = 0;
    }
    sampler_window_fini(w);
    if (!*err.text && (atomic_load(&p->is_stopping) || keep(p, w->hz, &err) == 0)) return;
    char text[2 * ERR_TEXT_MAX];
    log_event(LOG_WARN, "profiles_not_kept", "reason=%s", log_quote(err.text, text, sizeof(text)));
}

static int keep(struct profiler *p, uint32_t hz, struct err *err)
{
    p->kept = (struct sampler_window){
        .kind = PERF_ON_CPU, .hz = hz, .duration_ms = KEPT_MS, .done = on_kept, .context = p
    };
    return sampler_ask(p->sampler, &p->kept, err);
}

struct trace *profiler_trace(const struct profiler *p)
{
    return p->trace;
}

void profiler_set_trace(struct profiler *p, struct trace *t)
{
    p->trace = t;
}

struct mailbox *profiler_mailbox(const struct profiler *p)
{
    return p->control;
}

int profiler_keep(struct profiler *p, const struct profiler_conf *conf, struct err *err)
{
    if (!conf->is_continuous) return 0;
    p->history = profile_history_new();
    if (!p->history) return err_set(err, "out of memory for the profiles of the last hour");
    return keep(p, conf->hz, err);
}

struct profile_history *profiler_history(struct profiler *p)
{
    return p->history;
}

/* beginning and end */

int profiler_new(struct profiler **out, struct proxy *proxy, struct mailbox *control, struct err *err)
{
    struct profiler *p = calloc(1, sizeof(*p));
    if (!p) return err_set(err, "out of memory for the profiler");
    p->proxy = proxy;
    p->control = control;
    struct sampler_options o = { .activity_of = activity_of, .context = proxy };
    if (sampler_new(&p->sampler, &o, err) < 0) {
        free(p);
        return -1;
    }
    *out = p;
    return 0;
}

void profiler_stop(struct profiler *p)
{
    if (!p) return;
    atomic_store(&p->is_stopping, true);
    trace_stop(p->trace);
    sampler_free(p->sampler);
    p->sampler = NULL;
}

void profiler_free(struct profiler *p)
{
    if (!p) return;
    profiler_stop(p);
    profile_history_free(p->history);
    trace_free(p->trace);
    free(p);
}
