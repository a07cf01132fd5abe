/* base/quantity.h: durations and sizes as people write them: 5s, 200ms, 1h30m, 16KiB, 1MB. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* "250ms", "5s", "2m", "1h30m", "1.5s", "1d", "0"; a bare number other than 0 is an error that names the
 * remedy. */
MUST_CHECK int quantity_parse_ms(struct slice text, uint64_t *ms, struct err *err);
/* "512", "16KiB", "64KB" (1000), "1MiB", "2GiB"; bytes. */
MUST_CHECK int quantity_parse_bytes(struct slice text, uint64_t *bytes, struct err *err);
/* Short and exact, reads back as the same number: "1m30s", "24h", "64KiB", "64MB"; 0 is "0". */
void quantity_print_ms(uint64_t ms, char out[32]);
void quantity_print_bytes(uint64_t bytes, char out[32]);
