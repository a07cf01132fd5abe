/* What was kept of a log over a restart: a file that anything may have happened to. */
#include <assert.h>
#include <stdint.h>

#include "logs/tally.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state_in in = { data, data + size, false };
    struct tally *t = NULL;
    struct err err = { "" };
    if (tally_new(&t, false, &err) < 0) return 0;
    if (tally_load(t, &in, &err) < 0) assert(*err.text);
    struct log_entry e = {
        .client.bytes = { 1 }, .status = 200, .path = SLICE("/a"), .request_us = UINT64_MAX
    };
    tally_add(t, &e, 1000);
    struct top_entry entries[10];
    const struct period *p = tally_period(t, TALLY_ALL, 0);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) top_list(p->tops[d], entries, 10);
    tally_free(t);
    return 0;
}
