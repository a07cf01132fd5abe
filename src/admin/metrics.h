/* admin/metrics.h: the metrics as text. Scrapes that come together, in one turn of the loop, are told from one text: making
 * it takes as long as there are servers, and health checks wait meanwhile. Control thread. */
#pragma once

#include "admin/answer.h"
#include "metric/exposition.h"
#include "net/loop.h"

struct metrics_texts {
    struct loop_task forget;                         /* at the end of the turn */
    struct answer_shared *texts[EXPOSITION_FORMATS]; /* of this turn, by format; NULL: nobody asked */
    uint64_t made;                                   /* in all */
};

void metrics_texts_init(struct metrics_texts *m);
void metrics_texts_fini(struct metrics_texts *m); /* twice is fine */
/* The text is borrowed; whoever keeps it takes a reference. NULL: no memory. */
struct answer_shared *metrics_text(struct metrics_texts *m, struct loop *l,
                                   const struct metric_registry *registry, enum exposition_format format);
