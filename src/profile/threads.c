#include "profile/threads.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profile/off_cpu.h"
#include "profile/profile_names.h"

/* "1234 (weir/0) S …": the name may hold anything, so the last bracket ends it. */
static bool read_stat(pid_t pid, struct thread_stack *t)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/task/%u/stat", (int)pid, t->thread);
    FILE *f = fopen(path, "re");
    bool is_read = f && fgets(line, sizeof(line), f);
    if (f) fclose(f);
    const char *from = is_read ? strchr(line, '(') : NULL, *to = is_read ? strrchr(line, ')') : NULL;
    if (!from || !to || to < from || !to[1] || !to[2]) return false;
    int len = (int)(to - from) - 1;
    snprintf(t->name, sizeof(t->name), "%.*s", len < 31 ? len : 31, from + 1);
    t->state = to[2];
    return true;
}

static int look_at_thread(struct threads *t, pid_t pid, struct unwind_space *space, struct err *err)
{
    char path[64];
    const struct dirent *d;
    uint32_t cap = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks) return err_set(err, "cannot read %s: %s", path, strerror(errno));
    while (t->count < THREADS_MAX && (d = readdir(tasks))) {
        if (d->d_name[0] == '.') continue;
        if (t->count == cap) {
            cap = cap ? 2 * cap : 16;
            struct thread_stack *items = realloc(t->items, cap * sizeof(*items));
            if (!items) {
                closedir(tasks);
                return err_set(err, "out of memory for stacks");
            }
            t->items = items;
        }
        struct thread_stack *s = &t->items[t->count];
        memset(s, 0, sizeof(*s));
        s->thread = (uint32_t)strtoul(d->d_name, NULL, 10);
        if (!read_stat(pid, s)) continue;
        s->depth = off_cpu_look(pid, s->thread, space, s->pcs, UNWIND_DEPTH_MAX);
        t->count++;
    }
    closedir(tasks);
    return 0;
}

int threads_read(struct threads **out, pid_t pid, struct err *err)
{
    struct unwind_space *space = NULL;
    struct threads *t = calloc(1, sizeof(*t));
    if (!t) return err_set(err, "out of memory for stacks");
    int result = modules_read(&t->modules, pid, err);
    if (result == 0) result = unwind_space_new(&space, t->modules, err);
    if (result == 0) result = symbolizer_new(&t->symbolizer, t->modules, err);
    if (result == 0) result = look_at_thread(t, pid ? pid : getpid(), space, err);
    unwind_space_free(space);
    if (result == 0)
        *out = t;
    else
        threads_free(t);
    return result;
}

void threads_free(struct threads *t)
{
    if (!t) return;
    symbolizer_free(t->symbolizer);
    modules_free(t->modules);
    free(t->items);
    free(t);
}

void threads_add(struct threads *t, struct profile *p)
{
    uint32_t stack[UNWIND_DEPTH_MAX];
    for (uint32_t i = 0; i < t->count; i++) {
        const struct thread_stack *s = &t->items[i];
        int64_t values[PROFILE_TYPES_MAX] = { 1 };
        struct profile_label label = { .key = profile_add_string(p, SLICE("thread")),
                                       .text = profile_add_string(p, slice_of(s->name)) };
        uint32_t depth = 0;
        for (; depth < s->depth; depth++)
            stack[depth] = profile_locate(p, t->symbolizer, s->pcs[depth], depth > 0);
        if (!depth) stack[depth++] = profile_add_name(p, SLICE("[running]"));
        profile_add(p, stack, depth, &label, 1, values);
    }
}
