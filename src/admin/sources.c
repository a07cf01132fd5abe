#include "admin/finder.h"
#include "admin/routes.h"

static const struct shape_field row_fields[] = {
    SHAPE_ROW(source_row, source, STRING, "As the configuration has it: app.internal:8080, file:/path."),
    SHAPE_ROW(source_row, kind, STRING,
              "dns: name servers are asked for a name; srv: for a service; file: a file is read; docker: "
              "Docker is asked for containers."),
    SHAPE_ROW(source_row, pools, LIST, "Those that have their servers from it."),
    SHAPE_ROW(source_row, addresses, LIST, "What is known now: where it leads to."),
    SHAPE_ROW(source_row, answered_ms, COUNT, "How long ago the last good answer came; null: none has.",
              .may_be_null = true),
    SHAPE_ROW(source_row, stale_ms, COUNT,
              "Since when answers fail, or say that there is nobody, so that what is known is what was known "
              "before; null: the latest answer is what is known.",
              .may_be_null = true),
    SHAPE_ROW(source_row, reason, STRING, "Why; null: the latest answer was a good one.",
              .may_be_null = true),
    SHAPE_ROW(
        source_row, next_ms, COUNT,
        "In what time it is asked again; null: it is being asked, or says itself when something changes.",
        .may_be_null = true),
    SHAPE_ROW(source_row, cut, BOOL, "It leads to more than are used."),
    { 0 },
};
const struct shape source_row_shape = { "Source", sizeof(struct source_row), row_fields };

void sources_list(const struct admin_request *rq, struct answer *out)
{
    if (rq->finder)
        rq->finder->list(rq->finder, out);
    else
        answer_problem(out, 503, "This weir finds no servers.");
}
