#include "metric/histogram.h"

#define SUB_CELLS (1u << HISTOGRAM_SUB_BITS)

/* The first two octaves' worth of cells hold one value each. */
static uint32_t cell_shift(uint32_t cell)
{
    return cell < 2 * SUB_CELLS ? 0 : (cell >> HISTOGRAM_SUB_BITS) - 1;
}

uint64_t histogram_cell_low(uint32_t cell)
{
    uint32_t shift = cell_shift(cell);
    return (uint64_t)(cell - (shift << HISTOGRAM_SUB_BITS)) << shift;
}

uint64_t histogram_cell_width(uint32_t cell)
{
    return UINT64_C(1) << cell_shift(cell);
}

uint64_t histogram_cell_middle(uint32_t cell)
{
    return histogram_cell_low(cell) + histogram_cell_width(cell) / 2;
}

uint64_t histogram_count(const uint64_t *cells)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) count += cells[i];
    return count;
}

uint64_t histogram_quantile(const uint64_t *cells, double q)
{
    uint64_t count = histogram_count(cells);
    if (count == 0) return 0;
    /* The nearest rank: the smallest value of which at least a share q is at or below. */
    double share = q > 0 ? (q < 1 ? q : 1) * (double)count : 0;
    uint64_t rank = (uint64_t)share;
    if (rank > 0 && (double)rank >= share) rank--;
    if (rank >= count) rank = count - 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) {
        seen += cells[i];
        if (seen > rank) return histogram_cell_middle(i);
    }
    return 0;
}

void histogram_merge(uint64_t *into, const uint64_t *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) into[i] += from[i];
}
