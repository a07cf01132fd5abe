/* SRV records of an answer: whatever is read lies within bounds, and what is cut short anywhere is no answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/srv_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct srv_answer a;
    unsigned char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (size && !copy) return 0;
    if (size) memcpy(copy, data, size);
    if (srv_answer_read(copy, size, &a)) {
        if (a.count > SRV_TARGETS_MAX || a.ttl_s > INT32_MAX) abort();
        for (uint32_t i = 0; i < a.count; i++) {
            const struct srv_target *t = &a.targets[i];
            size_t len = strnlen(t->name, sizeof(t->name));
            if (!len || len > SRV_NAME_MAX || !t->port) abort();
        }
    }
    free(copy);
    return 0;
}
