#include "self/profiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/mailbox.h"
#include "profile/flame.h"
#include "profile/folded.h"
#include "profile/pprof.h"
#include "profile/profile_history.h"
#include "profile/sampled_profile.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "self/trace.h"

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
struct profiler_question {
    struct profiler *profiler;
    struct profiler_request what;
    struct sampler_window windows[2];
    uint32_t window_count, done_count; /* done_count: the sampler's thread */
    _Atomic bool is_given_up;
    struct finding found;
};

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

/* making the answer: on the sampler's thread */

static int write_text(const struct profile *p, enum profiler_form form, struct finding *out, struct err *err)
{
    char *bytes = NULL;
    size_t len = 0;
    int result = 0;
    FILE *f = open_memstream(&bytes, &len);
    if (!f) return err_set(err, "out of memory for a profile");
    if (form == PROFILER_FOLDED) {
        folded_write(p, 1, f);
    } else {
        struct flame_options o = { .title = "weir", .type = 1 };
        result = flame_write(p, NULL, &o, f, err);
    }
    if (fclose(f) != 0) result = err_set(err, "out of memory for a profile");
    if (result < 0) {
        free(bytes);
        return -1;
    }
    out->bytes = bytes;
    out->len = len;
    return 0;
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

static int make_finding(struct profiler_question *q, struct err *err)
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
    const struct profile *whole = sum ? sum : made[0];
    if (result == 0)
        result = q->what.form == PROFILER_PPROF ? pprof_write(whole, &q->found.bytes, &q->found.len, err)
                                                : write_text(whole, q->what.form, &q->found, err);
    profile_free(made[0]);
    profile_free(made[1]);
    profile_free(sum);
    return result;
}

static void deliver(void *reader, const struct mail *m)
{
    (void)reader;
    struct profiler_question *q = m->object;
    q->profiler->windows--;
    if (!q->is_given_up) q->what.asker.tell(&q->what.asker, &q->found);
    free(q->found.bytes);
    free(q);
}

static void on_done(struct sampler_window *w)
{
    struct profiler_question *q = w->context;
    struct err err;
    if (++q->done_count < q->window_count) return;
    if (!q->is_given_up && make_finding(q, &err) < 0) q->found.fault = err;
    for (uint32_t i = 0; i < q->window_count; i++) sampler_window_fini(&q->windows[i]);
    struct mail m = { .deliver = deliver, .object = q };
    while (!mailbox_post(q->profiler->control, &m)) {
        if (!atomic_load(&q->profiler->is_stopping)) {
            sched_yield(); /* the control thread empties its box */
            continue;
        }
        free(q->found.bytes);
        free(q);
        return;
    }
}

/* asking */

static void add_window(struct profiler_question *q, enum perf_kind kind)
{
    q->windows[q->window_count++] = (struct sampler_window){
        .kind = kind, .hz = q->what.hz, .duration_ms = q->what.duration_ms, .done = on_done, .context = q
    };
}

struct profiler_question *profiler_ask(struct profiler *p, const struct profiler_request *what, bool *is_busy,
                                       struct err *err)
{
    *is_busy = true;
    if (p->windows == WINDOWS_MAX) {
        err_set(err, "%u profiles are being taken; try again when one of them is over", WINDOWS_MAX);
        return NULL;
    }
    struct profiler_question *q = calloc(1, sizeof(*q));
    if (!q) {
        err_set(err, "there is no memory for a profile; try again");
        return NULL;
    }
    *is_busy = false;
    q->profiler = p;
    q->what = *what;
    if (what->is_wall) add_window(q, PERF_ON_CPU);
    add_window(q, what->is_wall ? PERF_OFF_CPU : what->kind);
    for (uint32_t i = 0; i < q->window_count; i++) {
        if (sampler_ask(p->sampler, &q->windows[i], err) == 0) continue;
        if (i == 0) {
            free(q);
            return NULL;
        }
        /* The one before is going on and will say that it is done. */
        q->windows[i].fault = *err;
        q->window_count = i;
        break;
    }
    p->windows++;
    return q;
}

void profiler_give_up(void *question)
{
    struct profiler_question *q = question;
    q->is_given_up = true;
    for (uint32_t i = 0; i < q->window_count; i++) q->windows[i].is_given_up = true;
}

/* keeping: a window after the other, on the sampler's thread */

static int keep_profiles(struct profiler *p, uint32_t hz, struct err *err);

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
    if (!*err.text && (atomic_load(&p->is_stopping) || keep_profiles(p, w->hz, &err) == 0)) return;
    char text[2 * ERR_TEXT_MAX];
    log_event(LOG_WARN, "profiles_not_kept", "reason=%s", log_quote(err.text, text, sizeof(text)));
}

static int keep_profiles(struct profiler *p, uint32_t hz, struct err *err)
{
    p->kept = (struct sampler_window){
        .kind = PERF_ON_CPU, .hz = hz, .duration_ms = KEPT_MS, .done = on_kept, .context = p
    };
    return sampler_ask(p->sampler, &p->kept, err);
}

static void on_trace_end(void *keeper)
{
    struct profiler *p = keeper;
    p->trace = NULL;
}

struct trace *profiler_trace(struct profiler *p, const struct trace_options *what, bool *is_busy)
{
    struct trace_options o = *what;
    *is_busy = p->trace != NULL;
    if (p->trace) return NULL;
    o.proxy = p->proxy;
    o.control = p->control;
    o.on_end = on_trace_end;
    o.keeper = p;
    return p->trace = trace_start(&o);
}

int profiler_keep(struct profiler *p, const struct profiler_conf *conf, struct err *err)
{
    if (!conf->is_continuous) return 0;
    p->history = profile_history_new();
    if (!p->history) return err_set(err, "out of memory for the profiles of the last hour");
    return keep_profiles(p, conf->hz, err);
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
