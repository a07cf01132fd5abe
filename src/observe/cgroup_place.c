#include "observe/cgroup_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "observe/proc_file.h"
#include "observe/proc_lines.h"
#include "observe/proc_text.h"

/* "\040" and the like, as mountinfo has blanks, tabs, newlines and backslashes. */
static size_t unescape(struct slice s, char *out, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < s.len && len + 1 < cap; i++) {
        char c = s.data[i];
        if (c == '\\' && s.len - i > 3 && s.data[i + 1] >= '0' && s.data[i + 1] <= '3') {
            c = (char)((s.data[i + 1] - '0') * 64 + (s.data[i + 2] - '0') * 8 + (s.data[i + 3] - '0'));
            i += 3;
        }
        out[len++] = c;
    }
    out[len] = 0;
    return len;
}

/* "38 31 0:35 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw" (proc(5)). */
bool cgroup_mount_parse(struct slice line, char out[CGROUP_PATH_MAX])
{
    struct slice rest = line, word, point = SLICE_NONE;
    for (int i = 0; i < 5; i++)
        if (!proc_take_word(&rest, &point)) return false;
    do
        if (!proc_take_word(&rest, &word)) return false;
    while (!slice_equal(word, SLICE("-")));
    if (!proc_take_word(&rest, &word) || !slice_equal(word, SLICE("cgroup2"))) return false;
    if (point.len >= CGROUP_PATH_MAX) return false;
    unescape(point, out, CGROUP_PATH_MAX);
    return true;
}

int cgroup_find_mount(const char *proc_root, char out[CGROUP_PATH_MAX], struct err *err)
{
    char path[CGROUP_PATH_MAX], memory[8192];
    struct proc_lines lines;
    struct slice line;
    bool is_found = false;
    snprintf(path, sizeof(path), "%s/self/mountinfo", proc_root ? proc_root : "/proc");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(err, "%s: %s", path, strerror(errno));
    proc_lines_init(&lines, fd, memory, sizeof(memory));
    while (!is_found && proc_lines_next(&lines, &line)) is_found = cgroup_mount_parse(line, out);
    close(fd);
    if (is_found) return 0;
    return err_set(err,
                   "cgroup v2 is not mounted; mount it with: mount -t cgroup2 none /sys/fs/cgroup/unified");
}
