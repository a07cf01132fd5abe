#include "control/reload_question.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/arena.h"
#include "control/hardening.h"
#include "control/log_watch.h"
#include "control/reload_history.h"

/* Which generation is meant; there may be none. */
static void find_source(struct question *q)
{
    const struct generations *g = q->reload->o.generations;
    const struct generation *found = g ? generations_find(g, q->ask.generation) : NULL;
    if (found) q->source = *found;
}

int question_take(struct question *q, const struct reload_ask *what, struct err *err)
{
    const struct reload *r = q->reload;
    q->ask = *what;
    if (what->if_match.data) {
        memcpy(q->if_match, what->if_match.data, what->if_match.len);
        q->ask.if_match.data = q->if_match;
    }
    if (what->generation) find_source(q);
    if (what->change_count)
        return reload_change_new(
            &q->change, what, r->made,
            &(struct reload_source){ r->o.generations, r->o.proxy->generation, r->o.path }, err);
    if (!what->text.data) return 0;
    if (!(q->text = malloc(what->text.len + 1)))
        return err_set(err, "There is no memory for a text of %zu bytes; try again.", what->text.len);
    memcpy(q->text, what->text.data, what->text.len);
    q->text_len = what->text.len;
    q->ask.text.data = q->text;
    return 0;
}

void question_free(struct question *q)
{
    if (*q->staged) generation_unstage(q->reload->o.generations->folder, q->staged);
    discovery_wait_end(&q->names);
    watch_change_free(q->logs); /* it borrows from the configuration */
    config_free(q->config);
    config_difference_fini(&q->difference);
    conf_arena_free(q->base_arena);
    config_text_free(q->text, q->text_len);
    reload_change_free(q->change);
    free(q->faults);
    free(q);
}

/* on the jobs' thread */

static int read_text(struct question *q)
{
    const struct reload *r = q->reload;
    if (q->ask.generation && !q->source.number)
        return err_set(&q->err, "generation %u is not kept%s", q->ask.generation,
                       r->o.generations ? "; GET /api/v1/config/generations lists those that are"
                                        : ": give weir a folder with `state:`");
    if (q->ask.generation)
        return reload_history_read(r->o.generations->folder, &q->source, &q->config, &q->text, &q->text_len,
                                   &q->faults, &q->err);
    if (q->change)
        return reload_change_read(q->change, q->base, &q->config, &q->text, &q->text_len, &q->faults,
                                  &q->err);
    if (!q->text && !r->o.path)
        return err_set(&q->err, "weir was started without a configuration file: there is none to read again");
    if (!q->text && config_gather(r->o.path, &q->text, &q->text_len, &q->faults, &q->err) < 0) return -1;
    const char *name = !q->ask.text.data ? r->o.path : q->ask.is_json ? "request.json" : "request";
    return config_parse(&q->config, name, (struct slice){ q->text, q->text_len }, &q->faults);
}

static uint64_t hash_of_file(const char *path)
{
    char *text = NULL, *faults = NULL;
    size_t len = 0;
    struct err err;
    uint64_t hash = path && config_gather(path, &text, &len, &faults, &err) == 0
                        ? generation_hash((struct slice){ text, len })
                        : 0;
    free(faults);
    config_text_free(text, len);
    return hash;
}

/* On disk before it is in force: what cannot be kept is refused while nothing has happened. */
static int stage(struct question *q)
{
    const struct reload *r = q->reload;
    bool is_file = !q->ask.generation && !q->ask.text.data && !q->change;
    q->next = (struct generation){ .origin = q->ask.generation ? GENERATION_ROLLBACK
                                             : is_file         ? GENERATION_RELOAD
                                                               : GENERATION_API,
                                   .at_s = (int64_t)time(NULL),
                                   .text_hash = generation_hash((struct slice){ q->text, q->text_len }),
                                   .is_json = q->ask.generation ? q->source.is_json
                                              : is_file         ? config_is_json(r->o.path)
                                                                : q->change || q->ask.is_json };
    /* A change leaves the rest as it was: an edit of the file that came meanwhile is not in it. */
    q->next.file_hash = is_file     ? q->next.text_hash
                        : q->change ? q->change->source.file_hash
                                    : hash_of_file(r->o.path);
    return generation_stage(r->o.generations->folder, (struct slice){ q->text, q->text_len }, q->staged,
                            &q->err);
}

/* What it is compared with: that is what becomes of it. */
static void compare(struct question *q)
{
    watch_change_free(q->logs);
    q->logs = NULL;
    q->result = log_watch_prepare(q->reload->o.logs, q->base->logs, q->config->logs, &q->logs, &q->err);
    if (q->result < 0) {
        q->status = 409;
        return;
    }
    q->result = config_difference_find(&q->difference, q->base, q->config, q->reload->started, &q->err);
    if (q->result < 0) q->status = 503;
}

void question_run(struct job *job)
{
    struct question *q = (struct question *)job;
    const struct reload *r = q->reload;
    q->status = q->ask.generation && !q->source.number ? 404 : 400;
    q->result = read_text(q);
    if (q->change) q->status = reload_change_status(q->change);
    if (q->result < 0 && !q->faults && !*q->err.text) {
        err_set(&q->err, "%s", CONFIG_NO_MEMORY);
        q->status = 503;
    }
    if (q->result == 0 && (q->result = hardening_check(q->config, &q->err)) < 0) q->status = 409;
    if (q->result == 0 && r->o.generations && !q->ask.is_dry) {
        q->status = 500;
        q->result = stage(q);
    }
    if (q->result == 0) compare(q);
}

void question_compare_again(struct job *job)
{
    compare((struct question *)job);
}

void question_publish(struct job *job)
{
    struct question *q = (struct question *)job;
    q->result = generation_publish(q->reload->o.generations->folder, q->staged, &q->next,
                                   q->has_gone ? &q->gone : NULL, &q->err);
    *q->staged = 0;
}
