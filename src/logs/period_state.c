#include "logs/period_state.h"

#include <stdlib.h>

#define KEY_BYTES_MAX 4096u

static void save_top(const struct top *t, struct state_out *out)
{
    uint32_t count = top_count(t);
    struct top_entry *entries = calloc(count ? count : 1, sizeof(*entries));
    if (!entries) {
        out->is_failed = true;
        return;
    }
    count = top_list(t, entries, count);
    state_put_u64(out, count);
    for (uint32_t i = 0; i < count; i++) {
        state_put_u64(out, entries[i].hash);
        state_put_u64(out, entries[i].count);
        state_put_u64(out, entries[i].error);
        state_put_slice(out, entries[i].key);
    }
    free(entries);
}

/* Of what was saved of a larger one the rest came no more often than its floor: the most frequent is first. */
static void load_top(struct top *t, struct state_in *in)
{
    uint64_t count = state_get_u64(in);
    for (uint64_t i = 0; i < count && !in->is_failed; i++) {
        uint64_t hash = state_get_u64(in), n = state_get_u64(in), error = state_get_u64(in);
        struct slice key = state_get_slice(in, KEY_BYTES_MAX);
        if (!in->is_failed && hash && n && !top_floor(t)) top_put(t, hash, key, n, error);
    }
}

void period_save(const struct period *p, struct state_out *out)
{
    state_put_u64(out, p->records);
    state_put_u64(out, p->bytes);
    state_put_u64(out, p->binary);
    state_put_cells(out, p->statuses, PERIOD_STATUSES);
    state_put_cells(out, p->methods, PERIOD_METHODS);
    state_put_cells(out, p->latency, HISTOGRAM_CELLS);
    state_put_cells(out, p->upstream, HISTOGRAM_CELLS);
    state_put_cells(out, p->sizes, HISTOGRAM_CELLS);
    state_put_u64(out, p->clients->bits);
    state_put_bytes(out, p->clients->registers, 1u << p->clients->bits);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) save_top(p->tops[d], out);
    state_put_u64(out, p->missing[PERIOD_ERROR_PATH]); /* of the others none is missing: sums are not saved */
}

void period_load(struct period *p, bool has_error_paths, struct state_in *in)
{
    p->records = state_get_u64(in);
    p->bytes = state_get_u64(in);
    p->binary = state_get_u64(in);
    state_get_cells(in, p->statuses, PERIOD_STATUSES);
    state_get_cells(in, p->methods, PERIOD_METHODS);
    state_get_cells(in, p->latency, HISTOGRAM_CELLS);
    state_get_cells(in, p->upstream, HISTOGRAM_CELLS);
    state_get_cells(in, p->sizes, HISTOGRAM_CELLS);
    if (state_get_u64(in) != p->clients->bits) in->is_failed = true;
    state_get_bytes(in, p->clients->registers, 1u << p->clients->bits);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++)
        if (has_error_paths || d != PERIOD_ERROR_PATH) load_top(p->tops[d], in);
    if (has_error_paths)
        p->missing[PERIOD_ERROR_PATH] = state_get_u64(in);
    else
        for (unsigned s = 500; s < PERIOD_STATUSES; s++) p->missing[PERIOD_ERROR_PATH] += p->statuses[s];
}
