#include "admin/audit.h"
#include "admin/routes.h"
#include "base/number.h"

#define LIMIT_PRESET 100u

/* The audit trail as a list. */

enum { AFTER, LIMIT };

const struct admin_query trail_query[] = {
    [AFTER] = { "after", "integer", "Only what came after the entry of this id." },
    [LIMIT] = { "limit", "integer", "At most this many, the latest, 1 to 512; 100 if not given." },
    { 0 },
};

void trail_list(const struct admin_request *rq, struct answer *out)
{
    const struct slice *q = rq->query;
    uint64_t after = 0, limit = LIMIT_PRESET;
    if (q[AFTER].data && !number_u64(q[AFTER], &after)) {
        answer_problem(out, 400, "after is \"%.32s\"; write the id of an entry.", q[AFTER].data);
        return;
    }
    if (q[LIMIT].data && (!number_u64(q[LIMIT], &limit) || limit < 1 || limit > AUDIT_KEPT_MAX)) {
        answer_problem(out, 400, "limit is \"%.32s\"; write a number from 1 to %u.", q[LIMIT].data,
                       AUDIT_KEPT_MAX);
        return;
    }
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "entries");
    json_array(&j);
    for (uint64_t id = audit_latest(rq->audit); id > after && limit; id--, limit--) {
        const struct audit_entry *e = audit_get(rq->audit, id);
        if (!e) break;
        audit_print(e, &j);
    }
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}
