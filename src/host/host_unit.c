#include "host/host_unit.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "host/host_file.h"

/* systemd.unit(5), the last takes precedence. */
static const char *const directories[] = {
    "/lib/systemd/system", "/usr/lib/systemd/system", "/usr/local/lib/systemd/system",
    "/run/systemd/system", "/etc/systemd/system",
};
#define DIRECTORIES (sizeof(directories) / sizeof(*directories))
#define DROP_INS_MAX 32u
#define FILE_MAX (16u << 10)

/* Looks through one file; true if it sets the key. */
static bool scan_file(const char *root, const char *path, const char *key, char *out, size_t size)
{
    char text[FILE_MAX];
    bool is_set = false;
    size_t len = strlen(key);
    if (host_read(root, path, text, sizeof(text)) < 0) return false;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t");
        if (strncmp(line, key, len) != 0) continue;
        line += len + strspn(line + len, " \t");
        if (*line != '=') continue;
        line += 1 + strspn(line + 1, " \t");
        line[strcspn(line, " \t\r")] = 0;
        snprintf(out, size, "%s", line);
        is_set = true;
    }
    return is_set;
}

static bool is_drop_in(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static bool scan_drop_ins(const char *root, const char *directory, const char *key, char *out, size_t size)
{
    struct host_entry files[DROP_INS_MAX];
    char path[HOST_PATH_MAX];
    bool is_set = false;
    int count = host_names(root, directory, is_drop_in, files, DROP_INS_MAX);
    for (int i = 0; i < count; i++) {
        host_path(path, directory, files[i].name, NULL);
        is_set |= scan_file(root, path, key, out, size);
    }
    return is_set;
}

/* The directory whose file of the unit counts; the unit's file in the others is not read. */
static int find_directory(const char *root, const char *unit)
{
    char path[HOST_PATH_MAX];
    for (int i = (int)DIRECTORIES - 1; i >= 0; i--) {
        host_path(path, directories[i], unit, NULL);
        if (host_exists(root, path)) return i;
    }
    return -1;
}

bool host_unit_exists(const char *root, const char *unit)
{
    return find_directory(root, unit) >= 0;
}

bool host_unit_setting(const char *root, const char *unit, const char *key, char *out, size_t size)
{
    char path[HOST_PATH_MAX];
    int own = find_directory(root, unit);
    bool is_set = false;
    out[0] = 0;
    if (own >= 0) {
        host_path(path, directories[own], unit, NULL);
        is_set = scan_file(root, path, key, out, size);
    }
    for (uint32_t i = 0; i < DIRECTORIES; i++) {
        snprintf(path, sizeof(path), "%s/%s.d", directories[i], unit);
        is_set |= scan_drop_ins(root, path, key, out, size);
    }
    return is_set && *out;
}
