/* observe/unit.h: a systemd unit: its cgroup, and what systemd says about it, where systemd runs. Without systemd a unit is
 * the cgroup of its name. Blocks while systemctl answers: never on an event loop. */
#pragma once

#include "base/err.h"
#include "observe/cgroup_place.h"
#include "observe/notes.h"
#include "observe/unit_state.h"

#define UNIT_NAME_MAX 256u

/* Where to look; NULL and 0 for the machine's own. */
struct unit_places {
    const char *proc_root;    /* "/proc" */
    const char *cgroup_mount; /* what mountinfo says */
    const char *systemd_mark; /* "/run/systemd/system": there where systemd runs (sd_booted(3)) */
    const char *systemctl;    /* "systemctl", out of PATH */
    uint32_t limit_ms;        /* for its answer; UNIT_LIMIT_MS */
};

struct unit {
    char name[UNIT_NAME_MAX];
    char cgroup[CGROUP_PATH_MAX]; /* its directory */
    struct unit_state state;
};

/* "nginx" is "nginx.service". An error: the name is none, there is no such unit, or nothing of it runs. */
MUST_CHECK int unit_find(struct unit *out, const char *name, const struct unit_places *places,
                         struct notes *notes, struct err *err);
/* What systemd says now; restarts are counted there. Notes why not. */
void unit_refresh(struct unit *u, const struct unit_places *places, struct notes *notes);

/* Pure. The whole name of a unit (systemd.unit(5)); false: no name. */
bool unit_name_complete(const char *name, char out[UNIT_NAME_MAX]);
