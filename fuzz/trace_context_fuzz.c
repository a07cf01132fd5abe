/* The traceparent of a request: whatever comes, what is taken for one is printed as one that says the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "record/trace_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace_context c, again;
    char text[TRACE_PARENT_LEN + 1];
    memset(&c, 0, sizeof(c));
    memset(&again, 0, sizeof(again));
    if (!trace_context_parse((struct slice){ (const char *)data, size }, &c)) return 0;
    trace_context_print(&c, text);
    if (strlen(text) != TRACE_PARENT_LEN || !trace_context_parse(slice_of(text), &again)) abort();
    if (memcmp(&c, &again, sizeof(c)) != 0) abort();
    /* All but the version and the flags that nobody knows is as it came. */
    if (memcmp(text + 2, data + 2, TRACE_PARENT_LEN - 4) != 0) abort();
    return 0;
}
