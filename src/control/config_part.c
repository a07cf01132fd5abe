#include "control/config_part.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "conf/arena.h"
#include "conf/decode.h"

#define ANSWER_TEXT_MAX ((size_t)16 << 20)

struct part {
    struct job job; /* first */
    const struct config *config;
    struct conf_arena *arena; /* of the config: one reference */
    struct reload_part asked; /* its path is `path` */
    struct slice path[RELOAD_PATH_MAX];
    char texts[RELOAD_PATH_TEXT_MAX];
    char etag[48];
    struct answer answer;
};

static void say_absent(struct part *p)
{
    char memory[RELOAD_PATH_TEXT_MAX];
    struct text t = text_over(memory, sizeof(memory));
    for (uint32_t i = 0; i < p->asked.count; i++)
        text_printf(&t, "%s%.*s", i ? " / " : "", SLICE_ARGS(p->path[i]));
    answer_problem(&p->answer, 404, "The configuration says nothing of %s.", text_cstr(&t));
}

static void run(struct job *job)
{
    struct part *p = (struct part *)job;
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    if (conf_encode_part(&config_type, p->config, p->path, p->asked.count, &j)) {
        answer_json(&p->answer, 200, &j);
        if (p->answer.status == 200) snprintf(p->answer.etag, sizeof(p->answer.etag), "%s", p->etag);
    } else {
        say_absent(p);
    }
    json_fini(&j);
}

static void done(struct job *job)
{
    struct part *p = (struct part *)job;
    if (!job_has_run(job)) answer_problem(&p->answer, 503, "weir is stopping.");
    p->asked.done(p->asked.context, &p->answer);
    conf_arena_free(p->arena);
    free(p);
}

/* Each step with a terminator behind it. False: it is longer than any that there could be. */
static bool copy_path(struct part *p)
{
    char *at = p->texts;
    if (p->asked.count > RELOAD_PATH_MAX) return false;
    for (uint32_t i = 0; i < p->asked.count; i++) {
        struct slice step = p->asked.path[i];
        if (step.len >= sizeof(p->texts) - (size_t)(at - p->texts)) return false;
        memcpy(at, step.data, step.len);
        p->path[i] = (struct slice){ at, step.len };
        at += step.len + 1;
    }
    return true;
}

static void run_nothing(struct job *job)
{
    (void)job;
}

bool config_part_look(struct jobs *jobs, const struct config *config, const char *etag,
                      const struct reload_part *part)
{
    struct part *p = calloc(1, sizeof(*p));
    if (!p) return false;
    p->asked = *part;
    p->config = config;
    p->arena = conf_arena_get(config->arena);
    p->job.run = run;
    p->job.done = done;
    snprintf(p->etag, sizeof(p->etag), "%s", etag);
    if (!copy_path(p)) {
        answer_problem(&p->answer, 404, "The configuration has nothing of so long a name.");
        p->job.run = run_nothing;
    }
    if (jobs_post(jobs, &p->job)) return true;
    answer_fini(&p->answer);
    conf_arena_free(p->arena);
    free(p);
    return false;
}
