#include "metric/native_histogram.h"

#include <math.h>

#define US_PER_S 1e6

int32_t native_bucket_of(uint32_t cell)
{
    /* A whole second, the only middle that is a bucket's bound itself, has a logarithm that is exact. */
    double seconds = (double)histogram_cell_middle(cell) / US_PER_S;
    return (int32_t)ceil(log2(seconds) * (1 << NATIVE_SCHEMA));
}
