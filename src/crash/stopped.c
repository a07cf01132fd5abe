#include "crash/stopped.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/clock.h"

/* A thread that is deep in the kernel (a disk that hangs) does not stop: nobody else is held for it. */
#define STOP_PATIENCE_NS (2 * NS_PER_S)
/* Threads may start threads while they are being stopped. */
#define ROUNDS_MAX 32

static bool has_thread(const struct image *i, int32_t tid)
{
    for (uint32_t k = 0; k < i->thread_count; k++)
        if (i->threads[k].tid == tid) return true;
    return false;
}

/* A stop may be that of a signal which was about to be delivered: it is kept, and delivered when the thread goes on. */
static int wait_stopped(int32_t tid, int32_t *on_its_way, struct err *err)
{
    const struct timespec slice = { .tv_nsec = 50000 };
    uint64_t deadline_ns = clock_now_ns() + STOP_PATIENCE_NS;
    for (;;) {
        int status = 0;
        pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
        if (got == tid && WIFSTOPPED(status)) {
            *on_its_way = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
            return 0;
        }
        if (got == tid || (got < 0 && errno != EINTR)) return 1; /* it has ended meanwhile */
        if (clock_now_ns() > deadline_ns)
            return err_set(err, "thread %d does not stop: it hangs in the kernel", tid);
        nanosleep(&slice, NULL);
    }
}

/* 1: it has ended meanwhile. */
static int hold_thread(struct stopped *s, int32_t tid, struct err *err)
{
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
        if (errno == ESRCH && s->image.thread_count) return 1;
        return err_set(err, "cannot stop process %d: %s%s", s->image.pid, strerror(errno),
                       errno == EPERM ? "; be its user or root, see also kernel.yama.ptrace_scope" : "");
    }
    if (!s->stopped_ns) s->stopped_ns = clock_now_ns();
    struct image_thread *t = image_add_thread(&s->image, err);
    if (!t) return -1;
    t->tid = tid;
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    int result = wait_stopped(tid, &t->on_its_way, err);
    if (result == 1) s->image.thread_count--;
    return result;
}

/* How many were new, or -1. */
static int hold_new_threads(struct stopped *s, struct err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", s->image.pid);
    DIR *d = opendir(path);
    if (!d) return err_set(err, "there is no process %d", s->image.pid);
    int found = 0;
    for (struct dirent *e; found >= 0 && (e = readdir(d));) {
        int32_t tid = atoi(e->d_name);
        if (tid <= 0 || has_thread(&s->image, tid)) continue;
        int result = hold_thread(s, tid, err);
        found = result < 0 ? -1 : found + (result == 0);
    }
    closedir(d);
    return found;
}

static int hold_all(struct stopped *s, struct err *err)
{
    int found = 1;
    for (int round = 0; found > 0 && round < ROUNDS_MAX; round++) found = hold_new_threads(s, err);
    if (found < 0) return -1;
    for (uint32_t i = 0; i < s->image.thread_count; i++) {
        struct image_thread *t = &s->image.threads[i];
        struct iovec v = { &t->registers, sizeof(t->registers) };
        ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &v);
    }
    return 0;
}

/* Text as prctl(PR_SET_NAME) and execve() left it. */
static void read_line(int32_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    FILE *f = fopen(path, "re");
    size_t len = f ? fread(out, 1, size - 1, f) : 0;
    if (f) fclose(f);
    while (len && (!out[len - 1] || out[len - 1] == '\n')) len--;
    out[len] = 0;
    for (size_t i = 0; i < len; i++)
        if (out[i] < ' ' || out[i] > '~') out[i] = ' ';
}

static int take_areas(struct stopped *s, struct err *err)
{
    for (uint32_t i = 0; i < s->areas.count; i++) {
        const struct vm_area *m = &s->areas.items[i];
        struct image_segment *segment = image_add_segment(&s->image, err);
        if (!segment) return -1;
        segment->start = m->start;
        segment->end = m->end;
        segment->flags = (m->can_read ? PF_R : 0u) | (m->can_write ? PF_W : 0u) |
                         (m->can_execute ? PF_X : 0u);
        struct image_file f = { .start = m->start, .end = m->end, .offset = m->offset };
        if (m->is_file && image_add_file(&s->image, &f, slice_of(m->path), err) < 0) return -1;
    }
    return 0;
}

/* smaps takes the kernel long where there is much memory, so it is read before anything stops, and once more only if the
 * process has mapped something since. */
int stopped_hold(struct stopped *s, int32_t pid, struct err *err)
{
    *s = (struct stopped){ 0 };
    image_init(&s->image);
    s->image.pid = pid;
    s->image.memory = memory_of_process(&s->image.pid);
    if (vm_areas_read(&s->areas, pid, err) < 0) return -1;
    read_line(pid, "comm", s->image.program, sizeof(s->image.program));
    read_line(pid, "cmdline", s->image.arguments, sizeof(s->image.arguments));
    int result = hold_all(s, err);
    if (result == 0 && !vm_areas_are_current(&s->areas, pid)) {
        vm_areas_fini(&s->areas);
        result = vm_areas_read(&s->areas, pid, err);
    }
    if (result == 0) result = take_areas(s, err);
    if (result < 0) stopped_fini(s);
    return result;
}

void stopped_resume(struct stopped *s)
{
    if (!s->stopped_ns) return;
    for (uint32_t i = 0; i < s->image.thread_count; i++) {
        const struct image_thread *t = &s->image.threads[i];
        ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)t->on_its_way);
    }
    s->held_ns = clock_now_ns() - s->stopped_ns;
    s->stopped_ns = 0;
}

void stopped_fini(struct stopped *s)
{
    stopped_resume(s);
    image_fini(&s->image);
    vm_areas_fini(&s->areas);
}
