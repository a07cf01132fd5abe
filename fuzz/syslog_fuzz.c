/* A message of syslog: the record in it is a part of the datagram, and ends with no line break. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logs/syslog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice message;
    char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (size && !copy) return 0;
    if (size) memcpy(copy, data, size);
    if (syslog_message((struct slice){ copy, size }, &message)) {
        if (message.data < copy || message.data + message.len > copy + size) abort();
        char last = message.len ? message.data[message.len - 1] : 0;
        if (last == '\r' || last == '\n') abort();
    }
    free(copy);
    return 0;
}
