/* PROXY headers: what was read of a part is what is read of the whole, never more than was there, and what is written of a client
 * is read as that client. */
#include <stdlib.h>
#include <string.h>

#include "net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct address *client)
{
    char out[PROXY_HEADER_WRITTEN_MAX];
    const char *detail = NULL;
    struct proxy_header h;
    for (int version = PROXY_PROTOCOL_V1; version <= PROXY_PROTOCOL_V2; version++) {
        size_t len = proxy_header_write(out, (enum proxy_protocol)version, client, client);
        if (len > sizeof(out)) abort();
        if (proxy_header_parse((struct slice){ out, len }, &h, &detail) != PROXY_HEADER_OK) abort();
        if (h.len != len || !h.has_client || !address_equal(&h.client, client)) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    const char *detail = NULL;
    if (size > 2 * PROXY_HEADER_MAX) return 0;
    char *copy = malloc(size ? size : 1); /* so that a byte too many is seen */
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    enum proxy_header_result result = proxy_header_parse((struct slice){ copy, size }, &whole, &detail);
    if (result == PROXY_HEADER_BAD && !detail) abort();
    if (result == PROXY_HEADER_MORE && size >= PROXY_HEADER_MAX) abort();
    if (result == PROXY_HEADER_OK) {
        if (whole.len > size || whole.len > PROXY_HEADER_MAX) abort();
        for (uint32_t len = 0; len < whole.len; len++)
            if (proxy_header_parse((struct slice){ copy, len }, &part, &detail) != PROXY_HEADER_MORE) abort();
        if (whole.has_client) write_again(&whole.client);
    }
    free(copy);
    return 0;
}
