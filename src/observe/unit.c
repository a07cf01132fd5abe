#include "observe/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "observe/cgroup_tree.h"

static const char *const suffixes[] = { ".service", ".scope", ".slice", ".socket", ".mount", ".swap" };

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(":-_.\\@", c));
}

static bool has_suffix(const char *name)
{
    const char *point = strrchr(name, '.');
    for (size_t i = 0; point && i < sizeof(suffixes) / sizeof(*suffixes); i++)
        if (strcmp(point, suffixes[i]) == 0) return true;
    return false;
}

bool unit_name_complete(const char *name, char out[UNIT_NAME_MAX])
{
    size_t len = strlen(name);
    if (!len || name[0] == '.') return false;
    for (size_t i = 0; i < len; i++)
        if (!is_name_char(name[i])) return false;
    const char *suffix = has_suffix(name) ? "" : suffixes[0];
    if (len + strlen(suffix) >= UNIT_NAME_MAX) return false;
    snprintf(out, UNIT_NAME_MAX, "%s%s", name, suffix);
    return true;
}

struct search {
    struct unit *unit;
    uint32_t found;
};

static bool look_for_name(void *context, const char *path, const char *name)
{
    struct search *s = context;
    if (strcmp(name, s->unit->name) != 0) return true;
    if (!s->found++) snprintf(s->unit->cgroup, sizeof(s->unit->cgroup), "%s", path);
    return s->found < 2;
}

static int search_tree(struct unit *u, const char *mount, struct notes *notes, struct err *err)
{
    struct search s = { .unit = u };
    enum cgroup_walk result = cgroup_walk(mount, &(struct cgroup_visitor){ look_for_name, &s });
    if (result == CGROUP_WALK_FAILED) return err_set(err, "%s cannot be read", mount);
    if (result == CGROUP_WALK_CUT)
        notes_add(notes, "unit: not all cgroups below %.96s were looked at", mount);
    if (s.found > 1) notes_add(notes, "unit: several cgroups have this name; the first is %.120s", u->cgroup);
    if (s.found) return 0;
    return err_set(err, "no cgroup below %s is named %s: there is no such unit, or nothing of it runs", mount,
                   u->name);
}

static bool is_systemd_there(const struct unit_places *p)
{
    return access(p->systemd_mark ? p->systemd_mark : "/run/systemd/system", F_OK) == 0;
}

void unit_refresh(struct unit *u, const struct unit_places *places, struct notes *notes)
{
    static const struct unit_places presets;
    const struct unit_places *p = places ? places : &presets;
    struct err why = { "" };
    const char *systemctl = p->systemctl ? p->systemctl : "systemctl";
    u->state.is_known = false;
    if (!is_systemd_there(p))
        notes_add(notes, "state of the unit: systemd does not run here");
    else if (unit_state_ask(systemctl, u->name, p->limit_ms ? p->limit_ms : UNIT_LIMIT_MS, &u->state, &why) <
             0)
        notes_add(notes, "state of the unit: %.140s", why.text);
}

/* Systemd knows best where a unit is; it says "not-found" of units that it never heard of. */
static int follow_state(struct unit *u, const char *mount, struct err *err)
{
    const struct unit_state *s = &u->state;
    if (strcmp(s->load, "not-found") == 0)
        return err_set(err, "systemd has no unit %s; `systemctl list-units --all` shows what it has",
                       u->name);
    if (!s->group[0])
        return err_set(err, "unit %s is %s (%s, result %s): nothing of it runs", u->name, s->active, s->sub,
                       s->result[0] ? s->result : "none");
    struct text path = text_over(u->cgroup, sizeof(u->cgroup));
    text_add_slice(&path, slice_of(mount));
    text_add_slice(&path, slice_of(s->group));
    text_cstr(&path);
    if (path.is_cut) return err_set(err, "the path of the cgroup of %s is too long", u->name);
    return 0;
}

int unit_find(struct unit *out, const char *name, const struct unit_places *places, struct notes *notes,
              struct err *err)
{
    static const struct unit_places presets;
    const struct unit_places *p = places ? places : &presets;
    char mount[CGROUP_PATH_MAX];
    memset(out, 0, sizeof(*out));
    if (!unit_name_complete(name, out->name))
        return err_set(err, "\"%.64s\" is no name of a unit; write one like nginx.service", name);
    if (!p->cgroup_mount && cgroup_find_mount(p->proc_root, mount, err) < 0) return -1;
    if (p->cgroup_mount) snprintf(mount, sizeof(mount), "%s", p->cgroup_mount);
    unit_refresh(out, p, notes);
    if (!out->state.is_known) return search_tree(out, mount, notes, err);
    if (follow_state(out, mount, err) < 0) return -1;
    if (access(out->cgroup, F_OK) == 0) return 0;
    return search_tree(out, mount, notes, err); /* it speaks of another root, as in a container */
}
