#include "control/reload_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "conf/decode.h"
#include "control/config_difference.h"

#define ANSWER_TEXT_MAX ((size_t)16 << 20)

static void say_nothing_is_kept(struct answer *out)
{
    answer_problem(out, 404, "No configurations are kept; give weir a folder with `state:` and restart it.");
}

void reload_history_list(const struct generations *generations, uint32_t in_force, struct answer *out)
{
    if (!generations) {
        say_nothing_is_kept(out);
        return;
    }
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "generations");
    json_array(&j);
    for (uint32_t i = generations->count; i-- > 0;) {
        const struct generation *g = &generations->items[i];
        char at[32];
        struct tm tm;
        time_t seconds = (time_t)g->at_s;
        gmtime_r(&seconds, &tm);
        strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
        const struct reload_generation shown = { .generation = g->number,
                                                 .at = at,
                                                 .by = generation_origin_name(g->origin),
                                                 .format = g->is_json ? "json" : "yaml",
                                                 .is_in_force = g->number == in_force };
        shape_print(&reload_generation_shape, &shown, &j);
    }
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

int reload_history_read(int folder, const struct generation *g, struct config **out, char **text, size_t *len,
                        char **faults, struct err *err)
{
    char name[32];
    snprintf(name, sizeof(name), "generation-%u.%s", g->number, g->is_json ? "json" : "yaml");
    if (generation_read(folder, g, text, len, err) < 0) return -1;
    int result = config_parse(out, name, (struct slice){ *text, *len }, faults);
    return result < 0 && !*faults ? err_set(err, "%s", CONFIG_NO_MEMORY) : result;
}

/* showing one configuration that was kept, or what one changes of another */

struct look {
    struct job job; /* first */
    struct reload_look asked;
    int folder;
    struct generation found[2]; /* the one, and the one that it is held against */
    uint32_t count;
    struct answer answer;
};

static void show_one(const struct config *config, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_raw(&j, config->shown);
    answer_json(out, 200, &j);
}

static void show_difference(const struct look *l, const struct config *after, const struct config *before,
                            struct answer *out)
{
    struct config_difference d;
    struct json j;
    struct err err;
    if (config_difference_find(&d, before, after, before, &err) < 0) {
        answer_error(out, 503, &err);
        return;
    }
    d.outcome.is_dry = true;
    d.outcome.generation = l->found[1].number;
    json_init(&j, ANSWER_TEXT_MAX, true);
    shape_print(&reload_outcome_shape, &d.outcome, &j);
    answer_json(out, 200, &j);
    config_difference_fini(&d);
}

static void run_look(struct job *job)
{
    struct look *l = (struct look *)job;
    struct config *configs[2] = { NULL, NULL };
    bool is_good = l->count > 0;
    for (uint32_t i = 0; i < l->count && is_good; i++) {
        struct err err = { "" };
        char *text = NULL, *faults = NULL;
        size_t len = 0;
        is_good = reload_history_read(l->folder, &l->found[i], &configs[i], &text, &len, &faults, &err) == 0;
        if (!is_good) answer_problem(&l->answer, 500, "%s", faults ? faults : err.text);
        config_text_free(text, len);
        free(faults);
    }
    if (is_good && l->count == 2)
        show_difference(l, configs[0], configs[1], &l->answer);
    else if (is_good)
        show_one(configs[0], &l->answer);
    config_free(configs[0]);
    config_free(configs[1]);
}

static void run_nothing(struct job *job)
{
    (void)job;
}

static void done_look(struct job *job)
{
    struct look *l = (struct look *)job;
    if (!job_has_run(job)) answer_problem(&l->answer, 503, "weir is stopping.");
    l->asked.done(l->asked.context, &l->answer);
    free(l);
}

static void find_generation(struct look *l, const struct generations *generations, uint32_t number)
{
    const struct generation *g = generations_find(generations, number);
    if (g)
        l->found[l->count++] = *g;
    else
        answer_problem(&l->answer, 404,
                       "Generation %u is not kept; GET /api/v1/config/generations lists those that are.",
                       number);
}

bool reload_history_look(struct jobs *jobs, const struct generations *generations,
                         const struct reload_look *look)
{
    struct look *l = calloc(1, sizeof(*l));
    if (!l) return false;
    l->asked = *look;
    l->job.done = done_look;
    if (!generations) {
        say_nothing_is_kept(&l->answer);
    } else {
        l->folder = generations->folder;
        find_generation(l, generations, look->generation);
        if (look->against) find_generation(l, generations, look->against);
    }
    l->job.run = l->answer.status ? run_nothing : run_look;
    if (jobs_post(jobs, &l->job)) return true;
    answer_fini(&l->answer);
    free(l);
    return false;
}
