#include <stdlib.h>

#include "admin/call.h"
#include "admin/config_ask.h"
#include "admin/reloader.h"
#include "admin/routes.h"
#include "conf/decode.h"

#define WAIT_MS 60000u

const struct admin_query reload_query[] = {
    { "dry_run", "boolean", "true: only says what would change." },
    { 0 },
};

const struct admin_query generation_query[] = {
    { "against", "integer", "The number of another: says what this one changes of it." },
    { 0 },
};

struct rollback_conf {
    uint32_t generation;
};

static const struct conf_field rollback_fields[] = {
    { "generation", CONF_U32(struct rollback_conf, generation), .min = 1, .flags = CONF_REQUIRED | CONF_LIVE,
      .help = "The number of one that is kept." },
    { 0 },
};

const struct conf_type rollback_type = { .name = "rollback",
                                         .size = sizeof(struct rollback_conf),
                                         .fields = rollback_fields };

static void done(void *context, struct answer *a)
{
    struct call_ticket *ticket = context;
    call_answer(*ticket, a);
    free(ticket);
}

struct asked {
    struct call_ticket ticket;
    char *location;
};

static void asked_free(struct asked *asked)
{
    if (asked) free(asked->location);
    free(asked);
}

static void on_decided(void *context, struct answer *a)
{
    struct asked *asked = context;
    if (a->status == 201) {
        a->location = asked->location;
        asked->location = NULL;
    }
    call_answer(asked->ticket, a);
    asked_free(asked);
}

bool config_read_flag(struct slice value, bool *out)
{
    *out = slice_equal(value, SLICE("true")) || slice_equal(value, SLICE("1"));
    return *out || !value.data || slice_equal(value, SLICE("false")) || slice_equal(value, SLICE("0"));
}

void config_ask(const struct admin_request *rq, struct reload_ask *what, char *location, struct answer *out)
{
    struct asked *asked = calloc(1, sizeof(*asked));
    struct err err = { "There is no memory to read a configuration; try again." };
    if (asked)
        asked->location = location;
    else
        free(location);
    what->done = on_decided;
    what->context = asked;
    what->if_match = rq->if_match;
    if (!rq->reloader) {
        answer_problem(out, 503, "This weir cannot take another configuration.");
    } else if (!config_read_flag(rq->query[0], &what->is_dry)) {
        answer_problem(out, 400, "dry_run is true or false.");
    } else if (what->if_match.len > RELOAD_IF_MATCH_MAX) {
        answer_problem(out, 400, "If-Match is over %u bytes; send the ETag of GET /api/v1/config.",
                       RELOAD_IF_MATCH_MAX);
    } else if (asked && rq->reloader->ask(rq->reloader, what, &err) == 0) {
        asked->ticket = call_wait(rq, WAIT_MS, NULL, NULL);
        return;
    } else {
        answer_problem(out, 503, "%s", err.text);
    }
    asked_free(asked);
}

void config_reload(const struct admin_request *rq, struct answer *out)
{
    struct reload_ask what = { .text = SLICE_NONE };
    config_ask(rq, &what, NULL, out);
}

/* A file's first byte tells: JSON's is the brace of its one object, which YAML reads as well, but for what JSON alone can
 * say. */
static bool looks_like_json(struct slice text)
{
    while (text.len && (*text.data == ' ' || *text.data == '\t' || *text.data == '\r' || *text.data == '\n'))
        text = (struct slice){ text.data + 1, text.len - 1 };
    return text.len && *text.data == '{';
}

void config_put(const struct admin_request *rq, struct answer *out)
{
    struct reload_ask what = { .text = rq->body, .is_json = looks_like_json(rq->body) };
    if (rq->body.len)
        config_ask(rq, &what, NULL, out);
    else
        answer_problem(out, 400, "The body is empty; send the whole configuration, as YAML or JSON.");
}

void config_show(const struct admin_request *rq, struct answer *out)
{
    if (rq->reloader)
        rq->reloader->show(rq->reloader, out);
    else
        answer_problem(out, 503, "This weir has no configuration to show.");
}

/* 0: `out` says what is wrong. */
static uint32_t read_rollback(const struct admin_request *rq, struct answer *out)
{
    struct conf_tree tree;
    struct rollback_conf conf = { 0 };
    struct conf_arena *arena = conf_arena_new();
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    int result = faults ? conf_read_json(&tree, "request body", rq->body, faults) : -1;
    if (!faults) answer_problem(out, 503, "There is no memory to read the body; try again.");
    if (result == 0) result = conf_decode(&tree, &rollback_type, &conf, arena, faults);
    if (faults && result < 0) answer_faults(out, faults, &tree);
    if (faults) conf_tree_free(&tree);
    free(faults);
    conf_arena_free(arena);
    return result < 0 ? 0 : conf.generation;
}

void config_rollback(const struct admin_request *rq, struct answer *out)
{
    struct reload_ask what = { .generation = read_rollback(rq, out) };
    if (what.generation) config_ask(rq, &what, NULL, out);
}

void generations_list(const struct admin_request *rq, struct answer *out)
{
    if (rq->reloader)
        rq->reloader->list(rq->reloader, out);
    else
        answer_problem(out, 503, "This weir has no configuration to show.");
}

/* 0: it is no number of one. */
static uint32_t read_generation(struct slice text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len && number <= UINT32_MAX; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return 0;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return number > UINT32_MAX ? 0 : (uint32_t)number;
}

void generations_show(const struct admin_request *rq, struct answer *out)
{
    struct call_ticket *ticket = calloc(1, sizeof(*ticket));
    struct reload_look look = { .generation = read_generation(rq->params[0]),
                                .done = done,
                                .context = ticket };
    if (rq->query[0].data) look.against = read_generation(rq->query[0]);
    if (!look.generation || (rq->query[0].data && !look.against)) {
        answer_problem(out, 400,
                       "A generation is a number from 1; GET /api/v1/config/generations lists them.");
    } else if (ticket && rq->reloader && rq->reloader->look(rq->reloader, &look)) {
        *ticket = call_wait(rq, WAIT_MS, NULL, NULL);
        return;
    } else {
        answer_problem(out, 503, "Too much is being worked on, or there is no memory for more; try again.");
    }
    free(ticket);
}
