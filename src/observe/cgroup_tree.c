#include "observe/cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct walk {
    const struct cgroup_visitor *visitor;
    char path[CGROUP_PATH_MAX];
    uint32_t visits;
    bool is_cut;
};

static bool visit(struct walk *w)
{
    const char *slash = strrchr(w->path, '/');
    w->visits++;
    return w->visitor->visit(w->visitor->context, w->path, slash ? slash + 1 : w->path);
}

/* Appends "/name"; the length to go back to, or 0 if there is no room. */
static size_t descend(struct walk *w, const char *name)
{
    size_t len = strlen(w->path), name_len = strlen(name);
    if (len + 1 + name_len >= sizeof(w->path)) return 0;
    w->path[len] = '/';
    memcpy(w->path + len + 1, name, name_len + 1);
    return len;
}

static bool is_group(const struct dirent *entry)
{
    return entry->d_type == DT_DIR && entry->d_name[0] != '.';
}

static DIR *open_group(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory && fd >= 0) close(fd);
    return directory;
}

/* Depth first, with one open directory for each level. */
enum cgroup_walk cgroup_walk(const char *path, const struct cgroup_visitor *visitor)
{
    struct walk w = { .visitor = visitor };
    DIR *levels[CGROUP_DEPTH_MAX];
    size_t lengths[CGROUP_DEPTH_MAX];
    uint32_t depth = 0;
    bool goes_on = true;
    snprintf(w.path, sizeof(w.path), "%s", path);
    levels[0] = open_group(w.path);
    if (!levels[0]) return CGROUP_WALK_FAILED;
    lengths[0] = strlen(w.path);
    depth = 1;
    goes_on = visit(&w);
    while (depth && goes_on) {
        w.path[lengths[depth - 1]] = 0;
        const struct dirent *entry = readdir(levels[depth - 1]);
        if (!entry) {
            closedir(levels[--depth]);
            continue;
        }
        if (!is_group(entry)) continue;
        if (depth == CGROUP_DEPTH_MAX || w.visits == CGROUP_VISITS_MAX || !descend(&w, entry->d_name)) {
            w.is_cut = true;
            continue;
        }
        DIR *below = open_group(w.path);
        if (!below) continue; /* removed meanwhile */
        levels[depth] = below;
        lengths[depth++] = strlen(w.path);
        goes_on = visit(&w);
    }
    while (depth) closedir(levels[--depth]);
    if (!goes_on) return CGROUP_WALK_STOPPED;
    return w.is_cut ? CGROUP_WALK_CUT : CGROUP_WALK_DONE;
}
