#include <stdlib.h>

#include "admin/call.h"
#include "admin/reloader.h"
#include "admin/routes.h"

#define WAIT_MS 60000u

const struct admin_query reload_query[] = {
    { "dry_run", "boolean", "true: only says what would change." },
    { 0 },
};

static void done(void *context, struct answer *a)
{
    struct call_ticket *ticket = context;
    call_answer(*ticket, a);
    free(ticket);
}

static bool read_flag(struct slice value, bool *out)
{
    *out = slice_equal(value, SLICE("true")) || slice_equal(value, SLICE("1"));
    return *out || !value.data || slice_equal(value, SLICE("false")) || slice_equal(value, SLICE("0"));
}

static void ask(const struct admin_request *rq, struct reload_ask *what, struct answer *out)
{
    struct call_ticket *ticket = calloc(1, sizeof(*ticket));
    what->done = done;
    what->context = ticket;
    if (!rq->reloader) {
        answer_problem(out, 503, "This weir cannot take another configuration.");
    } else if (!read_flag(rq->query[0], &what->is_dry)) {
        answer_problem(out, 400, "dry_run is true or false.");
    } else if (ticket && rq->reloader->ask(rq->reloader, what)) {
        *ticket = call_wait(rq, WAIT_MS, NULL, NULL);
        return;
    } else {
        answer_problem(out, 503, "Too much is being worked on; try again.");
    }
    free(ticket);
}

void config_reload(const struct admin_request *rq, struct answer *out)
{
    struct reload_ask what = { .text = SLICE_NONE };
    ask(rq, &what, out);
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
        ask(rq, &what, out);
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
