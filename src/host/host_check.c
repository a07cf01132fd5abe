#include "host/host_check.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_rule.h"

static const struct host_rule_group *const groups[] = {
    &host_rule_files,     &host_rule_accept, &host_rule_connect,      &host_rule_tcp,
    &host_rule_conntrack, &host_rule_cpu,    &host_rule_memory,       &host_rule_devices,
    &host_rule_tracing,   &host_rule_disks,  &host_rule_certificates, &host_rule_sources,
    &host_rule_hardening,
};
#define GROUPS (sizeof(groups) / sizeof(*groups))

static void clean(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~') *text = '?';
}

void exam_say(struct host_exam *e, enum host_verdict verdict, const char *format, ...)
{
    e->last = NULL;
    if (e->report->count == HOST_FINDINGS_MAX) return;
    struct host_finding *f = e->last = &e->report->items[e->report->count++];
    *f = (struct host_finding){
        .id = e->rule->id, .group = e->group, .why = e->rule->why, .verdict = verdict
    };
    if (e->subject) snprintf(f->subject, sizeof(f->subject), "%s", e->subject);
    va_list args;
    va_start(args, format);
    vsnprintf(f->sentence, sizeof(f->sentence), format, args);
    va_end(args);
    clean(f->subject);
    clean(f->sentence);
}

void exam_mend(struct host_exam *e, const char *format, ...)
{
    struct host_finding *f = e->last;
    va_list args;
    if (!f) return;
    va_start(args, format);
    int len = vsnprintf(f->remedy, sizeof(f->remedy), format, args);
    va_end(args);
    if (len < 0 || (uint32_t)len >= sizeof(f->remedy))
        *f->remedy = 0; /* half a command does something else */
    clean(f->remedy);
}

bool exam_is_plain(const char *name)
{
    if (!*name || *name == '-') return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("/._-:@", *name)) return false;
    return true;
}

static bool say_unreadable(struct host_exam *e, const char *path)
{
    const char *reason = errno == ENOENT   ? "there is no such file"
                         : errno == EINVAL ? "it does not hold what belongs there"
                                           : strerror(errno);
    exam_say(e, HOST_NOTE, "not known: %s: %s", path, reason);
    return false;
}

bool exam_text(struct host_exam *e, const char *path, char *out, uint32_t size)
{
    return host_read(e->facts->root, path, out, size) >= 0 || say_unreadable(e, path);
}

bool exam_numbers(struct host_exam *e, const char *path, uint64_t *out, uint32_t count)
{
    int found = host_read_numbers(e->facts->root, path, out, count);
    if (found == (int)count) return true;
    if (found >= 0) errno = EINVAL;
    return say_unreadable(e, path);
}

bool exam_number(struct host_exam *e, const char *path, uint64_t *out)
{
    return exam_numbers(e, path, out, 1);
}

uint32_t exam_count_list(const char *list)
{
    uint64_t count = 0;
    while (isdigit((unsigned char)*list)) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (*end == '-') last = strtoul(end + 1, &end, 10);
        if (last >= first && last - first < 65536) count += last - first + 1;
        if (*end != ',') break;
        list = end + 1;
    }
    return count > 65536 ? 65536 : (uint32_t)count;
}

uint32_t exam_cores(const struct host_exam *e)
{
    char text[16384];
    const char *allowed = NULL;
    if (host_read(e->facts->root, "/proc/self/status", text, sizeof(text)) >= 0)
        allowed = host_value(text, "Cpus_allowed_list");
    if (!allowed && host_read(e->facts->root, "/sys/devices/system/cpu/online", text, sizeof(text)) >= 0)
        allowed = text;
    uint32_t count = allowed ? exam_count_list(allowed) : 0;
    return count ? count : 1;
}

static uint64_t limit_at(const char **at)
{
    *at += strspn(*at, " ");
    if (strncmp(*at, "unlimited", 9) == 0) {
        *at += 9;
        return UINT64_MAX;
    }
    char *end;
    uint64_t value = strtoull(*at, &end, 10);
    *at = end;
    return value;
}

bool exam_limit(struct host_exam *e, const char *name, uint64_t *soft, uint64_t *hard)
{
    static const char path[] = "/proc/self/limits";
    char text[4096];
    if (!exam_text(e, path, text, sizeof(text))) return false;
    const char *at = host_value(text, name);
    if (!at) {
        errno = EINVAL;
        return say_unreadable(e, path);
    }
    *soft = limit_at(&at);
    *hard = limit_at(&at);
    return true;
}

/* "some avg10=4.30 avg60=26.29 avg300=47.87 total=2778921194": the share of the last minute. */
static double share_at(const char *line)
{
    const char *at = line ? strstr(line, "avg60=") : NULL;
    return at ? strtod(at + 6, NULL) : 0;
}

bool exam_pressure(struct host_exam *e, const char *path, struct exam_pressure *out)
{
    char text[512];
    if (!exam_text(e, path, text, sizeof(text))) {
        exam_mend(e, "grep -o 'psi=[01]' /proc/cmdline");
        return false;
    }
    *out = (struct exam_pressure){ share_at(host_value(text, "some")), share_at(host_value(text, "full")) };
    return true;
}

const char *exam_bytes(uint64_t bytes, char out[32])
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    double value = (double)bytes;
    uint32_t unit = 0;
    while (value >= 1024 && unit < 4) value /= 1024, unit++;
    snprintf(out, 32, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

/* the report */

static void run_group(const struct host_rule_group *group, const struct host_facts *facts,
                      struct host_report *out)
{
    for (const struct host_rule *rule = group->rules; rule->id; rule++) {
        struct host_exam e = { .facts = facts, .report = out, .rule = rule, .group = group->name };
        uint32_t before = out->count;
        rule->run(&e);
        assert(out->count > before || out->count == HOST_FINDINGS_MAX);
        (void)before;
    }
}

/* Stable, and short enough for insertion. */
static void sort_findings(struct host_finding *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct host_finding f = items[i];
        uint32_t at = i;
        for (; at && items[at - 1].verdict < f.verdict; at--) items[at] = items[at - 1];
        items[at] = f;
    }
}

/* Groups in the order of their worst: the first finding of each, as they are sorted within. */
static void run_in_order(const struct host_facts *facts, struct host_report *scratch, struct host_report *out)
{
    uint32_t starts[GROUPS + 1];
    for (uint32_t g = 0; g < GROUPS; g++) {
        starts[g] = scratch->count;
        run_group(groups[g], facts, scratch);
        sort_findings(&scratch->items[starts[g]], scratch->count - starts[g]);
    }
    starts[GROUPS] = scratch->count;
    for (int verdict = HOST_FAIL; verdict >= HOST_OK; verdict--)
        for (uint32_t g = 0; g < GROUPS; g++) {
            const struct host_finding *first = &scratch->items[starts[g]];
            uint32_t count = starts[g + 1] - starts[g];
            if (!count || first->verdict != (enum host_verdict)verdict) continue;
            memcpy(&out->items[out->count], first, count * sizeof(*first));
            out->count += count;
        }
}

int host_check(const struct host_facts *facts, struct host_report *out)
{
    struct host_report *scratch = calloc(1, sizeof(*scratch));
    out->count = 0;
    if (!scratch) return -1;
    run_in_order(facts, scratch, out);
    free(scratch);
    return 0;
}

enum host_verdict host_worst(const struct host_report *report)
{
    enum host_verdict worst = HOST_OK;
    for (uint32_t i = 0; i < report->count; i++)
        if (report->items[i].verdict > worst) worst = report->items[i].verdict;
    return worst;
}

const char *host_verdict_name(enum host_verdict verdict)
{
    static const char *const names[HOST_VERDICTS] = { "ok", "note", "warn", "fail" };
    return names[verdict];
}
