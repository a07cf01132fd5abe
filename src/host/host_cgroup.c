#include "host/host_cgroup.h"

#include <stdio.h>
#include <string.h>

#define CGROUPS_MAX (16u << 10)
#define MOUNTS_MAX (64u << 10)
/* Of a path in these files, which is_mount() reads as well. */
#define NAME_MAX_BYTES 512u

/* Of a list with commas. */
static bool has_element(const char *list, const char *element)
{
    size_t len = strlen(element);
    while (*list) {
        size_t next = strcspn(list, ",");
        if (next == len && memcmp(list, element, len) == 0) return true;
        list += next + (list[next] == ',');
    }
    return false;
}

/* "4:memory:/path" of v1, which counts where both have the controller, or "0::/path" of v2. */
static bool find_path(const char *root, const char *controller, bool *is_v2, char *out, size_t size)
{
    char text[CGROUPS_MAX];
    bool is_found = false;
    if (host_read(root, "/proc/self/cgroup", text, sizeof(text)) < 0) return false;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path || path[1] != '/') continue;
        *path++ = 0;
        bool is_v1 = has_element(list + 1, controller);
        if (!is_v1 && (list[1] || is_found)) continue;
        *is_v2 = !is_v1;
        is_found = true;
        snprintf(out, size, "%s", path);
        if (is_v1) break;
    }
    return is_found;
}

/* One line of proc_pid_mountinfo(5): "31 23 0:28 /in/fs /mount/point options - type source options". */
static bool is_mount(const char *line, const char *controller, bool is_v2, char *inside, char *point)
{
    char type[16], options[512];
    const char *rest = strstr(line, " - ");
    if (!rest || sscanf(rest, " - %15s %*s %511s", type, options) != 2) return false;
    if (is_v2 ? strcmp(type, "cgroup2") != 0
              : strcmp(type, "cgroup") != 0 || !has_element(options, controller))
        return false;
    return sscanf(line, "%*s %*s %*s %511s %511s", inside, point) == 2;
}

static bool find_mount(const char *root, const char *controller, bool is_v2, char *inside, char *point)
{
    char text[MOUNTS_MAX];
    if (host_read(root, "/proc/self/mountinfo", text, sizeof(text)) < 0) return false;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
        if (is_mount(line, controller, is_v2, inside, point)) return true;
    return false;
}

bool host_cgroup_find(const char *root, const char *controller, struct host_cgroup *out)
{
    char own[NAME_MAX_BYTES], inside[NAME_MAX_BYTES], point[NAME_MAX_BYTES];
    if (!find_path(root, controller, &out->is_v2, own, sizeof(own))) return false;
    if (!find_mount(root, controller, out->is_v2, inside, point)) return false;
    const char *below = own;
    size_t len = strlen(inside);
    if (strcmp(inside, "/") != 0 && strncmp(own, inside, len) == 0 && (own[len] == '/' || !own[len]))
        below += len;
    if (strstr(below, "/..") || strcmp(below, "/") == 0) below = ""; /* outside of what is mounted here */
    out->mount_len = strlen(point);
    snprintf(out->path, sizeof(out->path), "%s%s", point, below);
    return true;
}

bool host_cgroup_up(struct host_cgroup *g)
{
    char *slash = strrchr(g->path, '/');
    if (!slash || (size_t)(slash - g->path) < g->mount_len) return false;
    *slash = 0;
    return true;
}

bool host_cgroup_read(const char *root, const struct host_cgroup *g, const char *file, char *out, size_t size)
{
    char path[HOST_PATH_MAX];
    host_path(path, g->path, file, NULL);
    return host_read(root, path, out, size) >= 0;
}
