/* A filter's text: it is taken, or refused with a sentence and a column; what is taken can be asked. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logs/entry_value.h"
#include "logs/filter.h"

static enum log_field field_of(const void *context, struct slice name)
{
    (void)context;
    return name.len % 2 ? LOG_FURTHER : LOG_FIELD_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct filter *f = NULL;
    struct err err = { "" };
    struct log_entry e = { 0 };
    uint64_t from_s, to_s;
    if (filter_compile(&f, (struct slice){ (const char *)data, size }, &err) < 0) {
        if (!err.text[0]) abort();
        return 0;
    }
    e.values[LOG_REQUEST] = SLICE("GET /login?a=b HTTP/1.1");
    e.values[LOG_CLIENT] = SLICE("10.1.2.3");
    e.values[LOG_STATUS] = SLICE("502");
    e.values[LOG_FURTHER] = SLICE("further");
    entry_derive(&e);
    filter_bind(f, field_of, NULL);
    filter_takes(f, &e);
    filter_time_bounds(f, &from_s, &to_s);
    filter_free(f);
    return 0;
}
