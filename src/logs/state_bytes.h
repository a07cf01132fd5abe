/* logs/state_bytes.h: what is kept over a restart, as bytes: numbers as LEB128, texts with their length, arrays of which
 * most cells are 0 as the others with their distance. Reading never goes past the end: what is missing is 0 and is
 * remembered. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct state_out {
    uint8_t *data; /* owned; state_out_fini() */
    size_t len, cap;
    bool is_failed; /* out of memory: what follows is ignored */
};

void state_out_fini(struct state_out *o);
void state_put_u64(struct state_out *o, uint64_t value);
void state_put_slice(struct state_out *o, struct slice s);
void state_put_cells(struct state_out *o, const uint64_t *cells, uint32_t count);
void state_put_bytes(struct state_out *o, const uint8_t *bytes, uint32_t count);

struct state_in {
    const uint8_t *at, *end; /* borrowed */
    bool is_failed;          /* it ended too early, or says what cannot be */
};

uint64_t state_get_u64(struct state_in *in);
/* A number of at most `max`; more is a failure. */
uint64_t state_get_bounded(struct state_in *in, uint64_t max);
/* Borrowed from the bytes; more than `max` bytes are a failure. */
struct slice state_get_slice(struct state_in *in, size_t max);
/* Into zeroed cells. */
void state_get_cells(struct state_in *in, uint64_t *cells, uint32_t count);
void state_get_bytes(struct state_in *in, uint8_t *bytes, uint32_t count);
