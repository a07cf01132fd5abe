#include <stdlib.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "admin/upgrader.h"

/* Longer than what `timeouts: {upgrade}` may say. */
#define WAIT_MS 700000u

static const struct shape_field outcome_fields[] = {
    SHAPE_ROW(upgrade_outcome, pid, COUNT, "The process that carries new traffic now."),
    SHAPE_ROW(upgrade_outcome, predecessor, COUNT,
              "The one before it, which ends when what it had begun has."),
    { 0 },
};
const struct shape upgrade_outcome_shape = { "UpgradeOutcome", sizeof(struct upgrade_outcome),
                                             outcome_fields };

static const struct shape_field predecessor_fields[] = {
    SHAPE_ROW(predecessor, pid, COUNT, "Its process."),
    SHAPE_ROW(predecessor, exchanges, COUNT, "Exchanges that it still has."),
    SHAPE_ROW(predecessor, tunnels, COUNT, "Tunnels that it still has."),
    SHAPE_ROW(predecessor, client_connections, COUNT, "Client connections that it still has."),
    SHAPE_ROW(predecessor, since_seconds, NUMBER, "For how long it has been draining.", .may_be_null = true),
    SHAPE_ROW(predecessor, left_seconds, NUMBER, "How much longer it may take at most.", .may_be_null = true),
    { 0 },
};
const struct shape predecessor_shape = { "Predecessor", sizeof(struct predecessor), predecessor_fields };

static void done(void *context, struct answer *a)
{
    struct call_ticket *ticket = context;
    call_answer(*ticket, a);
    free(ticket);
}

void upgrade_post(const struct admin_request *rq, struct answer *out)
{
    struct err err = { "" };
    struct call_ticket *ticket = calloc(1, sizeof(*ticket));
    const struct upgrade_ask ask = { done, ticket };
    if (!rq->upgrader) {
        answer_problem(out, 409, "This weir cannot be put in another's place while it runs.");
    } else if (!ticket) {
        answer_problem(out, 503, "There is no memory for that; try again.");
    } else if (rq->upgrader->ask(rq->upgrader, &ask, &err) < 0) {
        answer_error(out, 409, &err);
    } else {
        *ticket = call_wait(rq, WAIT_MS, NULL, NULL);
        return;
    }
    free(ticket);
}
