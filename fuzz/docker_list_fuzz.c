/* Docker's list of containers: what is read of it is within bounds, and what is refused has a sentence. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "balance/balance.h"
#include "discovery/docker_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct docker_list list;
    struct err err = { "" };
    char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (size && !copy) return 0;
    if (size) memcpy(copy, data, size);
    if (docker_list_read((struct slice){ copy, size }, &list, &err) < 0) {
        if (!err.text[0]) abort();
        list.count = 0;
    }
    if (list.count > DOCKER_LIST_MAX) abort();
    for (uint32_t i = 0; i < list.count; i++) {
        const struct found *f = &list.found[i];
        if (!address_port(&f->address) || f->weight > BALANCE_WEIGHT_MAX) abort();
        if (strnlen(f->name, sizeof(f->name)) > FOUND_NAME_MAX || strchr(f->name, '/')) abort();
    }
    free(copy);
    return 0;
}
