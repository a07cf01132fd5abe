#include "admin/estimate.h"

static const struct shape_field estimate_fields[] = {
    SHAPE_ROW(estimate_answer, value, NUMBER, "As counted.", .may_be_null = true),
    SHAPE_ROW(estimate_answer, low, NUMBER, "The lower end of its 95 % interval.", .may_be_null = true),
    SHAPE_ROW(estimate_answer, high, NUMBER, "The upper end; null if there are too few for one.",
              .may_be_null = true),
    { 0 },
};
const struct shape estimate_shape = { "Estimate", sizeof(struct estimate_answer), estimate_fields };
