#include <math.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "self/leak_watch.h"

#define ANSWER_MS 30000u

struct kind_answer {
    const char *kind, *verdict;
    double live, lost, per_hour, p;
};

static const struct shape_field kind_fields[] = {
    SHAPE_ROW(kind_answer, kind, STRING, "What is counted."),
    SHAPE_ROW(kind_answer, verdict, STRING,
              "lost: some are counted that nothing leads to; leak: it grows by itself; with_load: it grew as "
              "the load did; "
              "stayed: it rose and rises no more; steady; unknown: not long enough looked at."),
    SHAPE_ROW(kind_answer, live, NUMBER, "How many there are now.", .may_be_null = true),
    SHAPE_ROW(kind_answer, lost, NUMBER, "How many of them nothing leads to; null: that cannot be told.",
              .may_be_null = true),
    SHAPE_ROW(kind_answer, per_hour, NUMBER, "How much it grows in an hour at the same load.",
              .may_be_null = true),
    SHAPE_ROW(kind_answer, p, NUMBER, "How likely chance alone makes such a trend.", .may_be_null = true),
    { 0 },
};
static const struct shape kind_shape = { "LeakKind", sizeof(struct kind_answer), kind_fields };

struct site_answer {
    uint64_t grown_bytes;
    const char *stack;
};

static const struct shape_field site_fields[] = {
    SHAPE_ROW(site_answer, grown_bytes, COUNT, "By how much what it took and has not given back has grown."),
    SHAPE_ROW(site_answer, stack, STRING, "Who took it: the caller of malloc() first."),
    { 0 },
};
static const struct shape site_shape = { "HeapSite", sizeof(struct site_answer), site_fields };

struct leaks_answer {
    struct shape_list leaks; /* const char * */
    uint64_t audits;
    double span_seconds, requests_per_second;
    struct shape_list kinds, heap_sites;
};

static const struct shape_field leaks_fields[] = {
    SHAPE_ROW(leaks_answer, leaks, LIST, "What leaks; empty: nothing that is known of."),
    SHAPE_ROW(leaks_answer, audits, COUNT, "How often it was looked at that is still remembered."),
    SHAPE_ROW(leaks_answer, span_seconds, NUMBER, "From the first of these to the last."),
    SHAPE_ROW(leaks_answer, requests_per_second, NUMBER, "The load at the last."),
    SHAPE_ROW(leaks_answer, kinds, LIST, "Each kind of thing that could leak.", .of = &kind_shape),
    SHAPE_ROW(leaks_answer, heap_sites, LIST,
              "Who holds more memory than at the start, or an hour ago: sampled, 1 MiB and more.",
              .of = &site_shape),
    { 0 },
};
const struct shape leaks_shape = { "Leaks", sizeof(struct leaks_answer), leaks_fields };

static struct kind_answer kind_of(unsigned kind, const struct leak_finding *f)
{
    bool is_known = f->growth.verdict != GROWTH_UNKNOWN;
    bool is_lost = f->is_leak && kind < LEAK_WALKED;
    return (struct kind_answer){ leak_kind_names[kind],
                                 is_lost ? "lost" : growth_verdict_names[f->growth.verdict],
                                 f->live,
                                 f->lost,
                                 is_known ? f->growth.slope_per_s * 3600 : NAN,
                                 is_known ? f->growth.p : NAN };
}

static void answer_report(struct answer *out, const struct leak_report *r)
{
    struct kind_answer kinds[LEAK_KINDS];
    struct site_answer sites[LEAK_SITES_MAX];
    const char *leaks[LEAK_KINDS];
    struct leaks_answer a = { .audits = r->audits,
                              .span_seconds = r->span_s,
                              .requests_per_second = r->load,
                              .leaks = { leaks, 0 },
                              .kinds = { kinds, LEAK_KINDS },
                              .heap_sites = { sites, r->site_count } };
    for (unsigned i = 0; i < LEAK_KINDS; i++) {
        if (r->findings[i].is_leak) leaks[a.leaks.count++] = leak_kind_names[i];
        kinds[i] = kind_of(i, &r->findings[i]);
    }
    for (uint32_t i = 0; i < r->site_count; i++)
        sites[i] = (struct site_answer){ r->sites[i].grown_bytes, r->sites[i].stack };
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&leaks_shape, &a, &j);
    answer_json(out, 200, &j);
}

static void tell_leaks(const struct leak_asker *to, const struct leak_report *r)
{
    struct answer a = { 0 };
    if (r)
        answer_report(&a, r);
    else
        answer_problem(&a, 503, "weir is stopping.");
    call_answer((struct call_ticket){ to->context, to->id }, &a);
}

void leaks_show(const struct admin_request *rq, struct answer *out)
{
    if (!rq->leaks) {
        answer_problem(out, 503, "This weir does not look for leaks.");
        return;
    }
    struct call_ticket t = call_wait(rq, ANSWER_MS, NULL, NULL);
    const struct leak_asker who = { .tell = tell_leaks, .context = t.env, .id = t.id };
    if (leak_watch_ask(rq->leaks, &who)) return;
    call_wait(rq, 0, NULL, NULL);
    answer_problem(out, 503, "Too many ask at once; try again.");
}
