/* The first line is a target as X-Egress-Host has it, each other an entry of `allow`: whatever is read can be asked. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "route/egress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[2048];
    const char *allow[16];
    uint32_t count = 0;
    struct egress_target t;
    struct egress_rules *r = NULL;
    struct err err = { "" };
    char *rest = NULL;
    if (size >= sizeof(text)) return 0;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    char *target = strtok_r(text, "\n", &rest);
    for (char *line; count < 16 && (line = strtok_r(NULL, "\n", &rest));) {
        if (egress_check_entry(slice_of(line), &err) == 0)
            allow[count++] = line;
        else if (!err.text[0])
            abort();
    }
    if (egress_rules_new(&r, allow, count, &err) < 0) abort();
    if (!egress_target_parse(slice_of(target), SLICE_NONE, &t)) {
        if (!t.host[0] || !t.port || memchr(t.host, '/', strlen(t.host)) ||
            memchr(t.host, '@', strlen(t.host)))
            abort();
        struct ip inner;
        if (!ip_parse(SLICE("127.0.0.1"), &inner)) abort();
        if (!count && egress_allows_target(r, &t)) abort();
        if (egress_allows_address(r, &t, &inner) && !egress_allows_target(r, &t)) abort();
        if (t.is_address) egress_is_special(&t.address);
    }
    egress_rules_free(r);
    return 0;
}
