#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_rule.h"
#include "host/host_unit.h"

#define UNIT "weir.service"
/* A connection may need one to a server; the rest is listeners, logs and the admin API's. */
#define PER_CONNECTION 2u
#define RESERVE 512u
#define WANTED 65536u
#define UNIT_WANTED 1048576u

static uint64_t needed(const struct host_exam *e)
{
    uint32_t connections = e->facts->plan ? e->facts->plan->connections : 0;
    return connections ? (uint64_t)connections * PER_CONNECTION + RESERVE : 0;
}

static void check_limit(struct host_exam *e)
{
    uint64_t soft, hard, need = needed(e);
    if (!exam_limit(e, "Max open files", &soft, &hard)) return;
    if (hard == UINT64_MAX) {
        exam_say(e, HOST_OK, "no limit here");
        return;
    }
    if (need > hard)
        exam_say(e, HOST_FAIL, "%" PRIu64 " at most here, but `limits: {connections: %u}` may need %" PRIu64,
                 hard, e->facts->plan->connections, need);
    else if (hard < WANTED)
        exam_say(e, hard < 4096 ? HOST_FAIL : HOST_WARN,
                 "%" PRIu64 " at most here (soft limit %" PRIu64 "), enough for some %" PRIu64 " connections",
                 hard, soft, hard / PER_CONNECTION);
    else
        exam_say(e, HOST_OK, "%" PRIu64 " (soft limit %" PRIu64 ", which weir raises itself)", hard, soft);
    if (need > hard || hard < WANTED)
        exam_mend(e, "prlimit --pid $$ --nofile=%" PRIu64, need > UNIT_WANTED ? need : UNIT_WANTED);
}

/* "65536", "1024:524288", "infinity". */
static uint64_t parse_limit(const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon) text = colon + 1;
    return strcmp(text, "infinity") == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

static void mend_unit(struct host_exam *e, uint64_t limit)
{
    exam_mend(e,
              "mkdir -p /etc/systemd/system/" UNIT ".d && printf '[Service]\\nLimitNOFILE=%" PRIu64
              "\\n' > /etc/systemd/system/" UNIT
              ".d/nofile.conf && systemctl daemon-reload && systemctl restart " UNIT,
              limit);
}

static void check_unit(struct host_exam *e)
{
    char text[64];
    uint64_t ceiling, need = needed(e);
    if (!host_unit_exists(e->facts->root, UNIT)) {
        exam_say(e, HOST_NOTE, "not known: " UNIT " is not installed");
        return;
    }
    if (!host_unit_setting(e->facts->root, UNIT, "LimitNOFILE", text, sizeof(text))) {
        exam_say(e, HOST_WARN, UNIT " sets no LimitNOFILE=, so systemd's own limit holds");
        mend_unit(e, UNIT_WANTED);
        return;
    }
    if (!exam_number(e, "/proc/sys/fs/nr_open", &ceiling)) return;
    uint64_t limit = parse_limit(text);
    bool is_lowered = limit > ceiling && limit != UINT64_MAX;
    if (limit > ceiling) limit = ceiling;
    if (need > limit || limit < WANTED) {
        exam_say(e, need > limit ? HOST_FAIL : HOST_WARN, UNIT " would get %" PRIu64 " (LimitNOFILE=%s), %s",
                 limit, text, need > limit ? "less than the configuration may need" : "which is few");
        mend_unit(e, need > UNIT_WANTED ? need : UNIT_WANTED);
    } else {
        exam_say(e, is_lowered ? HOST_NOTE : HOST_OK, UNIT " would get %" PRIu64 " (LimitNOFILE=%s)%s", limit,
                 text, is_lowered ? ", as fs.nr_open allows no more" : "");
    }
}

static void check_ceiling(struct host_exam *e)
{
    uint64_t ceiling, need = needed(e);
    if (!exam_number(e, "/proc/sys/fs/nr_open", &ceiling)) return;
    bool is_low = ceiling < WANTED || ceiling < need;
    exam_say(e,
             is_low                  ? HOST_WARN
             : ceiling < UNIT_WANTED ? HOST_NOTE
                                     : HOST_OK,
             "no process may have more than %" PRIu64, ceiling);
    if (ceiling < UNIT_WANTED || is_low)
        exam_mend(e, "sysctl -w fs.nr_open=%" PRIu64, need > UNIT_WANTED ? need : UNIT_WANTED);
}

static void check_system(struct host_exam *e)
{
    uint64_t file[3]; /* proc(5): allocated, free, the limit */
    if (!exam_numbers(e, "/proc/sys/fs/file-nr", file, 3)) return;
    uint64_t used = file[0], max = file[2];
    double share = max ? (double)used / (double)max : 1;
    enum host_verdict verdict = share > 0.95 ? HOST_FAIL : share > 0.7 || max < WANTED ? HOST_WARN : HOST_OK;
    if (max > INT64_MAX / 2)
        exam_say(e, verdict, "%" PRIu64 " open on the whole host, without a limit", used);
    else
        exam_say(e, verdict, "%" PRIu64 " open on the whole host, of %" PRIu64, used, max);
    if (verdict != HOST_OK) exam_mend(e, "sysctl -w fs.file-max=%" PRIu64, max < 2097152 ? 4194304 : 2 * max);
}

static const struct host_rule rules[] = {
    { "open_files",
      "Each connection takes one descriptor, and a second one to its server; without any left, new ones "
      "wait.",
      check_limit },
    { "open_files_service", "Under systemd the unit's limit counts, not the one of the shell that asks.",
      check_unit },
    { "nr_open", "A process's limit of open files cannot be set above fs.nr_open.", check_ceiling },
    { "file_max", "When the host runs out of open files, accept() and connect() fail for everybody.",
      check_system },
    { 0 },
};

const struct host_rule_group host_rule_files = { "open files", rules };
