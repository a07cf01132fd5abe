#include "self/invariants.h"

#include <stdio.h>

#include "admin/call.h"
#include "admin/routes.h"

#define ANSWER_MS 10000u
#define SAYS_MAX 512u

struct sum_answer {
    const char *name, *counted_as, *found_as, *verdict, *says;
    uint64_t objects;
    double counted, found;
    uint64_t broken, unclear;
};

static const struct shape_field sum_fields[] = {
    SHAPE_ROW(sum_answer, name, STRING, "Which sum it is."),
    SHAPE_ROW(sum_answer, verdict, STRING,
              "holds; broken: what is counted is not what there is; moving: it differs by no more than what "
              "went on while it was "
              "summed."),
    SHAPE_ROW(sum_answer, objects, COUNT,
              "How many of it there are: of each worker, listener, pool, server or configuration one."),
    SHAPE_ROW(sum_answer, counted, NUMBER, "What is counted as things come and go, of all of them."),
    SHAPE_ROW(sum_answer, found, NUMBER, "What was found by looking at what there is."),
    SHAPE_ROW(sum_answer, counted_as, STRING, "What the first number is of."),
    SHAPE_ROW(sum_answer, found_as, STRING, "What the second is of."),
    SHAPE_ROW(sum_answer, broken, COUNT, "For how many of the objects it does not hold."),
    SHAPE_ROW(sum_answer, unclear, COUNT, "And how many moved too much for it to be told."),
    SHAPE_ROW(sum_answer, says, STRING, "A sentence on the first that is broken.", .may_be_null = true),
    { 0 },
};
static const struct shape sum_shape = { "Invariant", sizeof(struct sum_answer), sum_fields };

struct site_answer {
    uint64_t generation, references, workers, stragglers;
    bool is_in_force;
};

static const struct shape_field site_fields[] = {
    SHAPE_ROW(site_answer, generation, COUNT, "Counted from 1."),
    SHAPE_ROW(site_answer, is_in_force, BOOL, "New exchanges go by it."),
    SHAPE_ROW(site_answer, references, COUNT,
              "What pins it: weir's own reference, and one of each worker that has it."),
    SHAPE_ROW(site_answer, workers, COUNT, "Workers that have it, for new exchanges or for what goes on."),
    SHAPE_ROW(site_answer, stragglers, COUNT,
              "Exchanges that go on and ask it nothing more, but are counted in it."),
    { 0 },
};
static const struct shape site_shape = { "Snapshot", sizeof(struct site_answer), site_fields };

struct invariants_answer {
    bool holds, is_at_rest;
    struct shape_list broken; /* const char * */
    struct shape_list sums, snapshots;
    uint64_t snapshots_left_out, retiring;
};

static const struct shape_field invariants_fields[] = {
    SHAPE_ROW(invariants_answer, holds, BOOL, "No sum is broken."),
    SHAPE_ROW(invariants_answer, is_at_rest, BOOL,
              "Nothing moved while it was summed: every verdict is exact."),
    SHAPE_ROW(invariants_answer, broken, LIST, "A sentence for each sum that is."),
    SHAPE_ROW(invariants_answer, sums, LIST, "Each sum, with its two sides.", .of = &sum_shape),
    SHAPE_ROW(invariants_answer, snapshots, LIST,
              "Configurations that are not freed: the one in force, then the latest.", .of = &site_shape),
    SHAPE_ROW(invariants_answer, snapshots_left_out, COUNT, "How many of those are not shown."),
    SHAPE_ROW(
        invariants_answer, retiring, COUNT,
        "Listeners, pools, servers and configurations that nobody has any more, and that are not freed yet."),
    { 0 },
};
const struct shape invariants_shape = { "Invariants", sizeof(struct invariants_answer), invariants_fields };

static struct sum_answer sum_of(enum invariant which, const struct invariant_sum *s, char says[SAYS_MAX])
{
    const struct invariant_info *info = &invariant_infos[which];
    struct text t = text_over(says, SAYS_MAX);
    if (s->broken) invariant_say(which, s, &t);
    text_cstr(&t);
    return (struct sum_answer){ .name = info->name,
                                .counted_as = info->counted,
                                .found_as = info->found,
                                .verdict = s->broken    ? "broken"
                                           : s->unclear ? "moving"
                                                        : "holds",
                                .says = s->broken ? says : NULL,
                                .objects = s->objects,
                                .counted = (double)s->counted,
                                .found = (double)s->found,
                                .broken = s->broken,
                                .unclear = s->unclear };
}

static void answer_report(struct answer *out, const struct invariant_report *r)
{
    struct sum_answer sums[INVARIANT_COUNT];
    struct site_answer sites[INVARIANT_SITES_MAX];
    char says[INVARIANT_COUNT][SAYS_MAX];
    const char *broken[INVARIANT_COUNT];
    struct invariants_answer a = { .is_at_rest = r->is_at_rest,
                                   .broken = { broken, 0 },
                                   .sums = { sums, INVARIANT_COUNT },
                                   .snapshots = { sites, r->site_count },
                                   .snapshots_left_out = r->sites_left_out,
                                   .retiring = r->retiring };
    for (unsigned i = 0; i < INVARIANT_COUNT; i++) {
        sums[i] = sum_of((enum invariant)i, &r->sums[i], says[i]);
        if (r->sums[i].broken) broken[a.broken.count++] = says[i];
    }
    a.holds = !a.broken.count;
    for (uint32_t i = 0; i < r->site_count; i++) {
        const struct invariant_site *s = &r->sites[i];
        sites[i] = (struct site_answer){ s->generation, s->references, s->workers, s->stragglers,
                                         s->is_in_force };
    }
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&invariants_shape, &a, &j);
    answer_json(out, 200, &j);
}

static void tell(const struct invariant_asker *to, const struct invariant_report *r)
{
    struct answer a = { 0 };
    answer_report(&a, r);
    call_answer((struct call_ticket){ to->context, to->id }, &a);
}

void invariants_show(const struct admin_request *rq, struct answer *out)
{
    if (!rq->invariants) {
        answer_problem(out, 503, "This weir does not sum up what it has.");
        return;
    }
    struct call_ticket t = call_wait(rq, ANSWER_MS, NULL, NULL);
    const struct invariant_asker who = { .tell = tell, .context = t.env, .id = t.id };
    if (invariants_ask(rq->invariants, &who)) return;
    call_wait(rq, 0, NULL, NULL);
    answer_problem(out, 503, "Too many ask at once, or weir is stopping; try again.");
}
