/* Maps of code that was made at run time: whatever their lines say, names lie within the text, ranges do not lie over each
 * other. The file is the input; the last 8 bytes are an address. */
#include <stdlib.h>
#include <string.h>

#include "stack/code_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct code_map *c;
    uint64_t address;
    if (size < sizeof(address)) return 0;
    size -= sizeof(address);
    memcpy(&address, data + size, sizeof(address));
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    if (code_map_parse(&c, text, size, NULL) < 0) return 0;
    for (unsigned i = 0; i < 64; i++) {
        uint64_t at = i < 32 ? i : address >> (i - 32);
        struct slice name = code_map_find(c, at);
        for (size_t k = 0; k < name.len; k++)
            if ((unsigned char)name.data[k] < ' ') abort();
    }
    code_map_free(c);
    return 0;
}
