#include "auth/key_schedule.h"

static uint64_t within(uint64_t seconds)
{
    uint64_t ms = seconds < KEY_FRESH_MAX_MS / 1000 ? seconds * 1000 : KEY_FRESH_MAX_MS;
    return ms < KEY_FRESH_MIN_MS ? KEY_FRESH_MIN_MS : ms;
}

/* max-age=60, max-age="60" (RFC 9111 5.2: whoever reads takes both). What is no number counts as stale: RFC 9111 4.2.1. */
static uint64_t age_of(struct slice value)
{
    uint64_t seconds = 0;
    if (value.len > 1 && value.data[0] == '"' && value.data[value.len - 1] == '"')
        value = (struct slice){ value.data + 1, value.len - 2 };
    if (!value.len) return KEY_FRESH_MIN_MS;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') return KEY_FRESH_MIN_MS;
        if (seconds < KEY_FRESH_MAX_MS) seconds = seconds * 10 + (uint64_t)(value.data[i] - '0');
    }
    return within(seconds);
}

uint64_t key_fresh_ms(struct slice cache_control)
{
    uint64_t ms = KEY_FRESH_PRESET_MS;
    bool is_said = false;
    struct slice part;
    while (slice_next_element(&cache_control, &part)) {
        if (slice_equal_fold(part, SLICE("no-store")) || slice_equal_fold(part, SLICE("no-cache")))
            return KEY_FRESH_MIN_MS;
        bool is_age = part.len > 7 && slice_is_same_fold(part.data, "max-age=", 8);
        if (!is_age) continue;
        uint64_t age = age_of((struct slice){ part.data + 8, part.len - 8 });
        ms = !is_said || age < ms ? age : ms; /* said twice: the shorter */
        is_said = true;
    }
    return ms;
}

uint64_t key_retry_ms(uint32_t failures)
{
    uint32_t doublings = failures < 1 ? 0 : failures - 1 < 10 ? failures - 1 : 10;
    uint64_t ms = (uint64_t)KEY_RETRY_MIN_MS << doublings;
    return ms < KEY_RETRY_MAX_MS ? ms : KEY_RETRY_MAX_MS;
}
