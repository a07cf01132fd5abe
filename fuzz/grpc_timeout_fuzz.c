/* The value of grpc-timeout: one that is read is what another reading of it says, rounded up to a millisecond, and one that is not read is
 * none by that either. */
#include <stdlib.h>
#include <string.h>

#include "proxy/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In hours, minutes, …, as the letters stand. */
static const char units[] = "HMSmun";
static const double unit_ns[] = { 3.6e12, 6e10, 1e9, 1e6, 1e3, 1 };

static bool read_otherwise(const char *text, size_t len, double *ns)
{
    char digits[9] = "";
    if (len < 2 || len > 9 || strspn(text, "0123456789") != len - 1) return false;
    const char *unit = memchr(units, text[len - 1], sizeof(units) - 1);
    if (!unit) return false;
    memcpy(digits, text, len - 1);
    *ns = strtod(digits, NULL) * unit_ns[unit - units];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t ms = 0;
    double ns = 0;
    char *copy = malloc(size + 1);
    if (!copy) return 0;
    memcpy(copy, data, size);
    copy[size] = 0;
    struct http_field f = {
        .name = "grpc-timeout", .name_len = 12, .value = copy, .value_len = (uint32_t)size
    };
    bool is_read = grpc_timeout_in(&f, 1, &ms);
    if (is_read != read_otherwise(copy, size, &ns)) abort();
    double above = (double)ms * 1e6 - ns;
    if (is_read && (above < 0 || above >= 1e6)) abort();
    free(copy);
    return 0;
}
