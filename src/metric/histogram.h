/* metric/histogram.h: a log-linear histogram of durations in microseconds as a plain array of cells: 64 cells
 * an octave, exact below 128 us, saturating at 2^32 us (71 minutes). The midpoint of a cell is at most 0.8 %
 * off. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6u
#define HISTOGRAM_VALUE_BITS 32u
#define HISTOGRAM_CELLS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

static inline uint32_t histogram_index(uint64_t value)
{
    if (value >> HISTOGRAM_VALUE_BITS) return HISTOGRAM_CELLS - 1;
    uint32_t top = 63u - (uint32_t)__builtin_clzll(value | (1u << HISTOGRAM_SUB_BITS));
    uint32_t shift = top - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The values of a cell: lowest, number of values, and the one that stands for all of them. */
uint64_t histogram_cell_low(uint32_t cell);
uint64_t histogram_cell_width(uint32_t cell);
uint64_t histogram_cell_middle(uint32_t cell);

/* `cells` is HISTOGRAM_CELLS long in all of these. */
uint64_t histogram_count(const uint64_t *cells);
/* The value that a share q (0..1) of all values does not exceed; 0 if there are none. */
uint64_t histogram_quantile(const uint64_t *cells, double q);
void histogram_merge(uint64_t *into, const uint64_t *from);
