/* metric/native_histogram.h: weir's histograms as native ones of Prometheus, whose buckets grow by a constant factor and of which
 * only those are told that have something in them. Pure.
 *
 * A cell of ours is not a bucket of theirs: 64 cells share an octave evenly, 256 buckets in equal ratios. All of a cell is counted in
 * the bucket that its middle lies in. So whatever lies in a cell, and wherever in the bucket a reader puts it, he is at most 1.1 % off:
 * half a cell, 1/128, and one bucket, 2^(1/256) - 1. Wider buckets would be further off than the cells are. */
#pragma once

#include <stdint.h>

#include "metric/histogram.h"

/* Bucket i holds what is above base^(i-1) and up to base^i seconds, base = 2^(2^-schema). The finest that Prometheus has. */
#define NATIVE_SCHEMA 8
/* What took less than a microsecond, cell 0, is in the bucket of zero, up to here. */
#define NATIVE_ZERO_THRESHOLD 0x1p-20

/* Of a cell from 1 on. Of one that comes later it is larger. */
int32_t native_bucket_of(uint32_t cell);
