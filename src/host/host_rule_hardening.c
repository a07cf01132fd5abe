#include <string.h>

#include "host/host_rule.h"

/* landlock(7): of version 1 (Linux 5.13) weir makes no use, since its rules forbid to rename files. */
#define LANDLOCK_VERSION_MIN 2

static void check_landlock(struct host_exam *e)
{
    const struct host_facts *f = e->facts;
    if (f->plan && f->plan->keeps_files)
        exam_say(e, HOST_NOTE, "the configuration leaves it out (hardening)");
    else if (!f->knows_landlock)
        exam_say(e, HOST_NOTE, "not known: only the kernel that runs here can be asked");
    else if (f->landlock_version < 0)
        exam_say(e, HOST_NOTE,
                 "the kernel has no landlock: weir may write wherever its user may; Linux 5.19 and later "
                 "have it");
    else if (f->landlock_version == 0)
        exam_say(e, HOST_NOTE, "the kernel was started without landlock: its name is missing in lsm=");
    else if (f->landlock_version < LANDLOCK_VERSION_MIN)
        exam_say(e, HOST_NOTE,
                 "the kernel's landlock is of version 1, of no use to weir; Linux 5.19 and later have "
                 "another");
    else
        exam_say(e, HOST_OK, "files of the system are out of weir's reach (landlock, version %ld)",
                 f->landlock_version);
}

static void check_seccomp(struct host_exam *e)
{
    char actions[256];
    if (e->facts->plan && e->facts->plan->keeps_calls) {
        exam_say(e, HOST_NOTE, "the configuration leaves it out (hardening)");
        return;
    }
    if (!exam_text(e, "/proc/sys/kernel/seccomp/actions_avail", actions, sizeof(actions))) return;
    if (strstr(actions, "trap"))
        exam_say(e, HOST_OK, "system calls that weir never makes are refused it (seccomp)");
    else
        exam_say(e, HOST_NOTE, "the kernel cannot refuse system calls as weir asks for: it has \"%s\"",
                 actions);
}

static const struct host_rule rules[] = {
    { "landlock",
      "Whoever makes weir run his code shall find no file of the system that he can change. What the weir "
      "that runs "
      "has given up: privileges of GET /api/v1/stats.",
      check_landlock },
    { "seccomp", "Whoever makes weir run his code shall find fewer system calls to do harm with.",
      check_seccomp },
    { 0 },
};

const struct host_rule_group host_rule_hardening = { "hardening", rules };
