#include "admin/split_guard.h"

#include <math.h>
#include <stdlib.h>

#include "admin/routes.h"
#include "conf/decode.h"
#include "net/loop.h"
#include "proxy/proxy.h"
#include "proxy/site.h"
#include "proxy/split_steering.h"

static const struct shape_field guard_fields[] = {
    SHAPE_ROW(split_guard_answer, state, STRING,
              "ramping, holding (no further for now), watching (the last step), rolled_back or paused; null: "
              "it has "
              "no guard.",
              .may_be_null = true),
    SHAPE_ROW(split_guard_answer, variant, STRING, "The variant that is guarded.", .may_be_null = true),
    SHAPE_ROW(split_guard_answer, weight, NUMBER, "The share of the units that it has, in percent.",
              .may_be_null = true),
    SHAPE_ROW(split_guard_answer, by, STRING,
              "The figure that it was held or rolled back by: errors, p50, p95, p99 or shares; null: none, "
              "or it was "
              "before a restart.",
              .may_be_null = true),
    SHAPE_ROW(split_guard_answer, reason, STRING, "What was seen, in a sentence.", .may_be_null = true),
    { 0 },
};
const struct shape split_guard_shape = { "SplitGuard", sizeof(struct split_guard_answer), guard_fields };

struct split_guard_answer split_guard_describe(const struct split *s)
{
    const struct split_guard *g = split_guard_of(s);
    if (!g) return (struct split_guard_answer){ .weight = NAN };
    return (struct split_guard_answer){ .state = split_guard_state_name(g->state),
                                        .variant = s->variants[g->variant].conf->name,
                                        .weight = g->weight / 100.0,
                                        .by = g->cause.requests ? split_figure_name(g->cause.figure) : NULL,
                                        .reason = *g->why ? g->why : NULL };
}

/* PATCH */

enum { WORD_NONE, WORD_PAUSE, WORD_RESUME, WORD_BACK };

static const char *const words[] = { "as it is", "pause", "resume", "back", NULL };
static const struct conf_type word_type = { .name = "word to a guard", .names = words };

struct split_patch {
    uint32_t word, weight;
};

static const struct conf_field patch_fields[] = {
    { "guard", CONF_ENUM(struct split_patch, word, &word_type), .preset = "as it is", .flags = CONF_LIVE,
      .help =
          "pause: the weight stays; resume: it goes on from the weight there is, after a roll back from the "
          "file's; back: the guarded variant gets nothing until it is resumed." },
    { "weight", CONF_CUSTOM(struct split_patch, weight, &conf_percent_type), .preset = "0",
      .flags = CONF_LIVE,
      .help =
          "The share of the units that the guarded variant has from now on, in percent; pauses the guard." },
    { 0 },
};
const struct conf_type split_patch_type = { .name = "split change",
                                            .size = sizeof(struct split_patch),
                                            .fields = patch_fields };
enum { SET_WEIGHT = 2 };

/* -1: `out` says what is wrong. */
static int read_patch(const struct admin_request *rq, struct split_patch *patch, uint64_t *set,
                      struct answer *out)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    struct conf_arena *arena = conf_arena_new();
    if (!faults || !arena) {
        free(faults);
        conf_arena_free(arena);
        answer_problem(out, 503, "There is no memory to read the body; try again.");
        return -1;
    }
    struct conf_tree tree;
    int result = conf_read_json(&tree, "request body", rq->body, faults);
    if (result == 0) result = conf_decode_patch(&tree, &split_patch_type, patch, arena, set, faults);
    if (result < 0)
        answer_faults(out, faults, &tree);
    else if (!*set)
        answer_problem(out, 400,
                       "The body changes nothing; send {\"guard\": \"pause\"}, \"resume\" or \"back\", or "
                       "{\"weight\": 5}.");
    conf_tree_free(&tree);
    conf_arena_free(arena);
    free(faults);
    return result == 0 && *set ? 0 : -1;
}

/* The split, if it can be told anything; NULL: `out` says why not. */
static struct split *find_guarded(const struct admin_request *rq, struct answer *out)
{
    struct split *s = site_split_by_name(rq->proxy->site, rq->params[0].data);
    if (!s)
        answer_problem(out, 404, "There is no split \"%.64s\"; GET /api/v1/splits lists them.",
                       rq->params[0].data);
    else if (!split_guard_of(s))
        answer_problem(out, 409,
                       "Split \"%.64s\" has no guard: its weights are the configuration's, which PATCH "
                       "/api/v1/config/splits/%.64s changes.",
                       s->name, s->name);
    else
        return s;
    return NULL;
}

/* False: `out` says why not. */
static bool may_have(const struct split *s, const struct split_patch *patch, bool has_weight,
                     struct answer *out)
{
    uint32_t room = split_steer_room(s);
    if (has_weight && patch->word >= WORD_RESUME)
        answer_problem(out, 409, "A weight pauses the guard; send it without \"guard\", or with \"pause\".");
    else if (has_weight && patch->weight > room)
        answer_problem(out, 409, "The other variants leave it %u.%02u %%, which is less.", room / 100,
                       room % 100);
    else
        return true;
    return false;
}

void splits_patch(const struct admin_request *rq, struct answer *out)
{
    struct split_patch patch = { 0 };
    uint64_t set = 0, now_ms = loop_now_ms(rq->loop);
    struct split *s = find_guarded(rq, out);
    if (!s || read_patch(rq, &patch, &set, out) < 0) return;
    bool has_weight = set & SET_WEIGHT;
    if (!may_have(s, &patch, has_weight, out)) return;
    if (patch.word == WORD_RESUME)
        split_steer_resume(s, now_ms);
    else if (patch.word == WORD_BACK)
        split_steer_take_back(s, now_ms);
    else if (has_weight || patch.word == WORD_PAUSE)
        split_steer_pause(s, has_weight ? patch.weight : split_guard_of(s)->weight, now_ms);
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    split_print(s, rq->proxy->metrics, &j);
    answer_json(out, 200, &j);
}
