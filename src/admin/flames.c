#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/pprof.h"
#include "admin/routes.h"
#include "base/clock.h"
#include "base/number.h"
#include "net/jobs.h"
#include "profile/flame.h"
#include "profile/profile_history.h"

#define WAIT_MS 30000u
#define MINUTE_NS (60 * NS_PER_S)
#define DAY_S 86400

const struct admin_query flame_query[] = {
    { "seconds", "number", "How long it is watched from now on, up to 600; 10 without it." },
    { "hz", "integer", "Samples in a second of CPU time, 1 to 10000; 99 without it." },
    { "at", "string",
      "Instead of now: the minute that began then, 14:03, of the last hour (`profile: {continuous: "
      "true}`)." },
    { "diff", "string", "Compared with that minute." },
    { 0 },
};

/* "14:03" in the machine's time: the last time that it was so. */
static bool parse_minute(struct slice text, uint64_t *out_ns)
{
    uint64_t hour, minute;
    const char *colon = text.len ? memchr(text.data, ':', text.len) : NULL;
    if (!colon) return false;
    struct slice before = { text.data, (size_t)(colon - text.data) };
    struct slice behind = { colon + 1, text.len - before.len - 1 };
    if (!number_u64(before, &hour) || !number_u64(behind, &minute) || hour > 23 || minute > 59) return false;
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    struct tm tm;
    localtime_r(&now, &tm);
    tm.tm_hour = (int)hour;
    tm.tm_min = (int)minute;
    tm.tm_sec = 0;
    time_t at = mktime(&tm);
    if (at > now) at -= DAY_S;
    *out_ns = (uint64_t)at * NS_PER_S;
    return true;
}

struct flame_question {
    struct job job; /* first */
    struct profile_history *history;
    uint64_t at_ns, diff_ns; /* diff_ns 0: none */
    struct call_ticket ticket;
    struct answer answer;
};

/* "2026-03-12 14:03:07, 60 s of it": windows of ten seconds begin when they begin. */
static void print_stretch(const struct profile *p, char out[64])
{
    char begun[32];
    time_t s = (time_t)(p->time_ns / NS_PER_S);
    struct tm tm;
    strftime(begun, sizeof(begun), "%Y-%m-%d %H:%M:%S", localtime_r(&s, &tm));
    snprintf(out, 64, "%s, %.0f s", begun, (double)p->duration_ns / 1e9);
}

static int write_page(const struct profile *p, const struct profile *base, struct answer *out,
                      struct err *err)
{
    char *body = NULL, texts[2][64], subtitle[192];
    size_t len = 0;
    print_stretch(p, texts[0]);
    if (base) print_stretch(base, texts[1]);
    snprintf(subtitle, sizeof(subtitle), base ? "%s, compared with %s" : "%s", texts[0], texts[1]);
    struct flame_options o = { .title = "weir", .subtitle = subtitle, .type = 1 };
    FILE *f = open_memstream(&body, &len);
    if (!f) return err_set(err, "out of memory for the page");
    int result = flame_write(p, base, &o, f, err);
    if (fclose(f) != 0) result = err_set(err, "out of memory for the page");
    if (result == 0)
        answer_body(out, "text/html; charset=utf-8", body, len);
    else
        free(body);
    return result;
}

static void make_past_flame(struct job *job)
{
    struct flame_question *q = (struct flame_question *)job;
    struct profile *p = NULL, *base = NULL;
    struct err err;
    int result = profile_history_load(q->history, q->at_ns, q->at_ns + MINUTE_NS, &p, &err);
    if (result == 0 && q->diff_ns)
        result = profile_history_load(q->history, q->diff_ns, q->diff_ns + MINUTE_NS, &base, &err);
    /* What is looked at is the later one; what it is compared with, the other. */
    if (result == 0 && base && base->time_ns > p->time_ns) {
        struct profile *later = base;
        base = p;
        p = later;
    }
    if (result < 0 || write_page(p, base, &q->answer, &err) < 0) answer_error(&q->answer, 404, &err);
    profile_free(p);
    profile_free(base);
}

static void on_flame_made(struct job *job)
{
    struct flame_question *q = (struct flame_question *)job;
    if (!q->answer.status) answer_problem(&q->answer, 503, "weir is stopping.");
    call_answer(q->ticket, &q->answer);
    free(q);
}

static void show_past(const struct admin_request *rq, struct answer *out)
{
    struct profile_history *history = profiler_history(rq->profiler);
    uint64_t at_ns = 0, diff_ns = 0;
    if (!parse_minute(rq->query[2], &at_ns) || (rq->query[3].data && !parse_minute(rq->query[3], &diff_ns))) {
        answer_problem(out, 400, "at and diff are minutes of a day, such as 14:03.");
        return;
    }
    if (!history) {
        answer_problem(out, 404,
                       "No profiles are kept; set `profile: {continuous: true}` in the configuration.");
        return;
    }
    struct flame_question *q = calloc(1, sizeof(*q));
    if (q) {
        q->job.run = make_past_flame;
        q->job.done = on_flame_made;
        q->history = history;
        q->at_ns = at_ns;
        q->diff_ns = diff_ns;
        if (jobs_post(rq->jobs, &q->job)) {
            q->ticket = call_wait(rq, WAIT_MS, NULL, NULL);
            return;
        }
        free(q);
    }
    answer_problem(out, 503, "Too much is being worked on, or there is no memory for more; try again.");
}

static void tell_flame(const struct asker *to, struct finding *f)
{
    struct answer a = { 0 };
    if (f->bytes)
        answer_body(&a, "text/html; charset=utf-8", f->bytes, f->len);
    else
        answer_error(&a, 500, &f->fault);
    f->bytes = NULL;
    call_answer((struct call_ticket){ to->context, to->id }, &a);
}

void flame_show(const struct admin_request *rq, struct answer *out)
{
    struct profiler_request what = {
        .kind = PERF_ON_CPU, .hz = 99, .duration_ms = 10000, .form = PROFILER_FLAME
    };
    if (!rq->profiler || !rq->jobs) {
        answer_problem(out, 503, "This weir has no profiler.");
    } else if (rq->query[2].data) {
        show_past(rq, out);
    } else if (rq->query[3].data) {
        answer_problem(out, 400, "diff needs at: which minute is to be compared?");
    } else if (pprof_read_window(rq, 10, &what, out)) {
        struct call_ticket t = call_wait(rq, 0, NULL, NULL);
        what.asker = (struct asker){ tell_flame, t.env, t.id };
        pprof_ask(rq, &what, answer_error, out);
    }
}
