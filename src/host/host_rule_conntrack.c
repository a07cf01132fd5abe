#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_rule.h"

#define COUNT "/proc/sys/net/netfilter/nf_conntrack_count"
#define MAX "/proc/sys/net/netfilter/nf_conntrack_max"
#define STAT "/proc/net/stat/nf_conntrack"

/* True if it said so. A host without it is told from one that cannot be read by what is beside it. */
static bool say_not_loaded(struct host_exam *e)
{
    if (host_exists(e->facts->root, COUNT) || !host_exists(e->facts->root, "/proc/sys/net/core"))
        return false;
    exam_say(e, HOST_OK, "connection tracking is not loaded");
    return true;
}

static void mend_max(struct host_exam *e)
{
    uint64_t max;
    if (host_read_numbers(e->facts->root, MAX, &max, 1) < 0 || max > INT32_MAX / 2) max = 0;
    exam_mend(e, "sysctl -w net.netfilter.nf_conntrack_max=%" PRIu64, max < 131072 ? 262144 : 2 * max);
}

static void check_room(struct host_exam *e)
{
    uint64_t count, max;
    if (say_not_loaded(e) || !exam_number(e, COUNT, &count) || !exam_number(e, MAX, &max)) return;
    double share = max ? 100.0 * (double)count / (double)max : 100;
    enum host_verdict verdict = share > 95    ? HOST_FAIL
                                : share > 70  ? HOST_WARN
                                : max < 65536 ? HOST_NOTE
                                              : HOST_OK;
    exam_say(e, verdict, "%" PRIu64 " of %" PRIu64 " entries are used (%.0f %%)", count, max, share);
    if (verdict != HOST_OK) mend_max(e);
}

/* Which column of the first line has this name; UINT32_MAX: none. */
static uint32_t find_column(char *names, const char *name)
{
    uint32_t column = 0;
    for (char *word; (word = strsep(&names, " \t"));) {
        if (!*word) continue;
        if (strcmp(word, name) == 0) return column;
        column++;
    }
    return UINT32_MAX;
}

/* Numbers are hexadecimal, a line for each core. */
static uint64_t sum_column(char *rows, uint32_t wanted)
{
    uint64_t sum = 0;
    for (char *line; (line = strsep(&rows, "\n"));) {
        uint32_t column = 0;
        for (char *word; (word = strsep(&line, " \t"));) {
            if (!*word) continue;
            if (column++ == wanted) sum += strtoull(word, NULL, 16);
        }
    }
    return sum;
}

static bool count_column(struct host_exam *e, const char *name, uint64_t *out)
{
    char text[64u << 10];
    if (!exam_text(e, STAT, text, sizeof(text))) return false;
    char *rows = text, *names = strsep(&rows, "\n");
    uint32_t column = find_column(names, name);
    if (column == UINT32_MAX || !rows) {
        exam_say(e, HOST_NOTE, "not known: " STAT " counts no %s", name);
        return false;
    }
    *out = sum_column(rows, column);
    return true;
}

static void check_drops(struct host_exam *e)
{
    uint64_t drops, early;
    if (say_not_loaded(e) || !count_column(e, "drop", &drops) || !count_column(e, "early_drop", &early))
        return;
    exam_say(e,
             drops   ? HOST_WARN
             : early ? HOST_NOTE
                     : HOST_OK,
             "%" PRIu64 " packets were dropped for want of an entry since the host started, %" PRIu64
             " entries were given up early",
             drops, early);
    if (drops || early) mend_max(e);
}

static const struct host_rule rules[] = {
    { "conntrack",
      "Each connection takes an entry, to clients and to servers; when the table is full, new ones are "
      "dropped.",
      check_room },
    { "conntrack_drops", "Packets that were dropped here look like a network that loses them.", check_drops },
    { 0 },
};

const struct host_rule_group host_rule_conntrack = { "connection tracking", rules };
