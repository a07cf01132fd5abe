/* A file of servers: what is read of it is within bounds and can be printed, and what is refused has a sentence. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "balance/balance.h"
#include "discovery/server_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct found found[SERVER_LIST_MAX];
    struct err err = { "" };
    uint32_t count = 0;
    char text[ADDRESS_TEXT_MAX];
    char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (size && !copy) return 0;
    if (size) memcpy(copy, data, size);
    if (server_list_read((struct slice){ copy, size }, found, &count, &err) < 0) {
        if (!err.text[0]) abort();
        count = 0;
    }
    if (count > SERVER_LIST_MAX) abort();
    for (uint32_t i = 0; i < count; i++) {
        const struct found *f = &found[i];
        if (!address_print(&f->address, text)[0] || f->weight > BALANCE_WEIGHT_MAX) abort();
        if (f->weight && !f->has_weight) abort();
        if (strnlen(f->name, sizeof(f->name)) > FOUND_NAME_MAX || strchr(f->name, '/')) abort();
    }
    free(copy);
    return 0;
}
