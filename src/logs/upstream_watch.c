#include "logs/upstream_watch.h"

#include <string.h>

#include "logs/entry_value.h"

/* The next element of "10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80": attempts are parted by commas, internal redirects by a
 * colon between blanks. False at the end. */
static bool next_attempt(struct slice *rest, struct slice *element)
{
    if (!rest->data) return false;
    size_t i = 0, gap = 0;
    for (; i < rest->len; i++) {
        if (rest->data[i] == ',') gap = 1;
        if (rest->data[i] == ' ' && rest->len - i > 2 && memcmp(rest->data + i, " : ", 3) == 0) gap = 3;
        if (gap) break;
    }
    *element = slice_trim((struct slice){ rest->data, i });
    *rest = gap ? (struct slice){ rest->data + i + gap, rest->len - i - gap } : SLICE_NONE;
    return true;
}

static struct upstream_seen *seat_of(struct upstream_watch *w, struct slice address)
{
    if (!address.len || address.len >= UPSTREAM_TEXT_MAX || slice_equal(address, SLICE("-"))) return NULL;
    for (uint32_t i = 0; i < w->count; i++)
        if (slice_equal((struct slice){ w->seen[i].address, w->seen[i].len }, address)) return &w->seen[i];
    if (w->count == UPSTREAM_WATCH_MAX) return NULL;
    struct upstream_seen *s = &w->seen[w->count++];
    *s = (struct upstream_seen){ .len = (uint16_t)address.len };
    memcpy(s->address, address.data, address.len);
    return s;
}

void upstream_watch_count(struct upstream_watch *w, const struct log_entry *e)
{
    struct slice addresses = e->values[LOG_UPSTREAM], statuses = e->values[LOG_UPSTREAM_STATUS];
    struct slice times = e->values[LOG_UPSTREAM_TIME], address, status, time;
    bool has_statuses = statuses.data != NULL;
    while (next_attempt(&addresses, &address)) {
        struct upstream_seen *s = seat_of(w, address);
        uint64_t code = 0, us = UINT64_MAX;
        if (next_attempt(&statuses, &status) && !entry_u64(status, &code)) code = 0;
        if (next_attempt(&times, &time)) us = entry_seconds_us(time);
        if (!s) continue;
        s->attempts++;
        if (has_statuses ? code == 0 || code >= 500 : e->status >= 500) s->errors++;
        if (us == UINT64_MAX) continue;
        s->timed++;
        s->time_us += us;
    }
}

static void judge(const struct upstream_seen *s, const struct upstream_limits *limits,
                  struct upstream_verdict *out)
{
    memcpy(out->address, s->address, s->len);
    out->address[s->len] = 0;
    out->attempts = s->attempts;
    out->errors = s->errors;
    out->mean_us = s->timed ? s->time_us / s->timed : 0;
    out->is_bad = (limits->errors_percent && s->errors * 100 >= s->attempts * limits->errors_percent) ||
                  (limits->latency_ms && out->mean_us >= limits->latency_ms * 1000);
}

uint32_t upstream_watch_judge(struct upstream_watch *w, const struct upstream_limits *limits,
                              struct upstream_verdict out[UPSTREAM_WATCH_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->count; i++)
        if (w->seen[i].attempts >= limits->attempts_min) judge(&w->seen[i], limits, &out[count++]);
    w->count = 0;
    return count;
}
