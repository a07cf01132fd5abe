#include "proxy/grpc.h"

#include <string.h>

#include "base/clock.h"

bool grpc_is_asked(const struct http_head *request)
{
    struct slice type = http_field_value(http_head_find(request, HTTP_FIELD_CONTENT_TYPE));
    struct slice grpc = SLICE("application/grpc");
    if (request->version != HTTP_VERSION_2 || type.len < grpc.len) return false;
    if (request->upgrade.len) return false; /* RFC 8441: any 200 would say that its tunnel is open */
    if (!slice_equal_fold((struct slice){ type.data, grpc.len }, grpc)) return false;
    return type.len == grpc.len || strchr("+; ", type.data[grpc.len]) != NULL;
}

/* TimeoutValue TimeoutUnit: at most eight digits and a letter. Zero is what clients say whose time is over already. */
static bool read_timeout(struct slice value, uint64_t *ms)
{
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = { { 'H', 3600 * NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'S', NS_PER_S },
                  { 'm', NS_PER_MS },       { 'u', 1000 },          { 'n', 1 } };
    uint64_t number = 0;
    if (value.len < 2 || value.len > 9) return false;
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') return false;
        number = number * 10 + (uint64_t)(value.data[i] - '0');
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (units[i].unit != value.data[value.len - 1]) continue;
        uint64_t whole = units[i].ns / NS_PER_MS;
        *ms = whole ? number * whole : (number * units[i].ns + NS_PER_MS - 1) / NS_PER_MS;
        return true;
    }
    return false;
}

bool grpc_timeout_in(const struct http_field *fields, uint32_t count, uint64_t *ms)
{
    const struct http_field *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (f->id != HTTP_FIELD_OTHER || f->name_len != 12) continue;
        if (!slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("grpc-timeout"))) continue;
        if (found) return false;
        found = f;
    }
    return found && read_timeout(http_field_value(found), ms);
}

uint8_t grpc_status_in(const struct http_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (f->id != HTTP_FIELD_OTHER || f->name_len != 11) continue;
        if (!slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("grpc-status"))) continue;
        unsigned status = 0;
        if (!f->value_len || f->value_len > 2) return GRPC_UNKNOWN;
        for (uint32_t k = 0; k < f->value_len; k++) {
            if (f->value[k] < '0' || f->value[k] > '9') return GRPC_UNKNOWN;
            status = status * 10 + (unsigned)(f->value[k] - '0');
        }
        return status < GRPC_STATUSES ? (uint8_t)status : GRPC_UNKNOWN;
    }
    return GRPC_NONE;
}

enum grpc_status grpc_status_of(uint16_t status, bool is_timeout)
{
    if (is_timeout) return GRPC_DEADLINE_EXCEEDED;
    switch (status) {
    case 401: return GRPC_UNAUTHENTICATED;
    case 403: return GRPC_PERMISSION_DENIED;
    case 404:
    case 405:
    case 501: return GRPC_UNIMPLEMENTED;
    case 413:
    case 429:
    case 431: return GRPC_RESOURCE_EXHAUSTED;
    case 502:
    case 503:
    case 504: return GRPC_UNAVAILABLE;
    default: return GRPC_INTERNAL;
    }
}

const char *grpc_status_text(enum grpc_status status)
{
    static const char *const texts[GRPC_STATUSES] = { "0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                      "9", "10", "11", "12", "13", "14", "15", "16" };
    return (unsigned)status < GRPC_STATUSES ? texts[status] : texts[GRPC_UNKNOWN];
}

void grpc_put_message(struct text *t, struct slice message)
{
    for (size_t i = 0; i < message.len; i++) {
        char c = message.data[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            text_add_char(t, c);
        } else {
            text_add_char(t, '%');
            text_add_hex(t, (uint8_t)c, 2);
        }
    }
}
