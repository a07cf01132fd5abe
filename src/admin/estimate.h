/* admin/estimate.h: a figure with its interval. */
#pragma once

#include "admin/shape.h"

struct estimate_answer {
    double value, low, high; /* not finite: null */
};
extern const struct shape estimate_shape;
