#include "observe/cgroup_pids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/cgroup_tree.h"
#include "observe/proc_lines.h"
#include "observe/proc_text.h"

struct gathering {
    struct cgroup_pids *pids;
    struct notes *notes;
    bool is_failed;
};

static bool add_pid(struct gathering *g, int32_t pid)
{
    struct cgroup_pids *p = g->pids;
    if (p->count == CGROUP_PIDS_MAX) {
        notes_add(g->notes, "processes of the cgroup: only the first %u are looked at", CGROUP_PIDS_MAX);
        return false;
    }
    if (p->count == p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 64;
        int32_t *pids = realloc(p->pids, cap * sizeof(*pids));
        if (!pids) {
            g->is_failed = true;
            return false;
        }
        p->pids = pids;
        p->cap = cap;
    }
    p->pids[p->count++] = pid;
    return true;
}

static bool gather(void *context, const char *path, const char *name)
{
    struct gathering *g = context;
    char file[CGROUP_PATH_MAX + 16], memory[8192];
    struct proc_lines lines;
    struct slice line;
    uint64_t pid;
    bool goes_on = true;
    (void)name;
    snprintf(file, sizeof(file), "%s/cgroup.procs", path);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT) notes_add(g->notes, "processes of %.96s: %s", path, strerror(errno));
        return true;
    }
    proc_lines_init(&lines, fd, memory, sizeof(memory));
    while (goes_on && proc_lines_next(&lines, &line)) /* 0: of another PID namespace */
        if (proc_u64(line, &pid) && pid && pid <= INT32_MAX) goes_on = add_pid(g, (int32_t)pid);
    close(fd);
    return goes_on; /* a threaded group refuses: its processes stand in the group above */
}

static int by_pid(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* A process that is moved from one group to another while this reads may be met twice. */
static void sort_pids(struct cgroup_pids *p)
{
    if (!p->count) return;
    qsort(p->pids, p->count, sizeof(*p->pids), by_pid);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < p->count; i++)
        if (p->pids[i] != p->pids[kept - 1]) p->pids[kept++] = p->pids[i];
    p->count = kept;
}

int cgroup_pids_read(const char *path, struct cgroup_pids *out, struct notes *notes, struct err *err)
{
    struct gathering g = { .pids = out, .notes = notes };
    const struct cgroup_visitor visitor = { gather, &g };
    out->count = 0;
    enum cgroup_walk result = cgroup_walk(path, &visitor);
    if (result == CGROUP_WALK_FAILED) return err_set(err, "%s: %s", path, strerror(errno));
    if (g.is_failed) return err_set(err, "out of memory");
    if (result == CGROUP_WALK_CUT)
        notes_add(notes, "processes of the cgroup: not all groups below it were looked at");
    sort_pids(out);
    return 0;
}

void cgroup_pids_fini(struct cgroup_pids *p)
{
    free(p->pids);
    *p = (struct cgroup_pids){ 0 };
}
