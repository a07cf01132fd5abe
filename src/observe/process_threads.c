#include "observe/process_threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/proc_file.h"
#include "observe/proc_text.h"

#define THREAD_FIGURES ((uint32_t)PROCESS_KNOWS_WAIT | (uint32_t)PROCESS_KNOWS_SWITCHES)

static const struct proc_field switch_fields[] = {
    { "voluntary_ctxt_switches", offsetof(struct process_thread, switches_voluntary), 1 },
    { "nonvoluntary_ctxt_switches", offsetof(struct process_thread, switches_forced), 1 },
};

static bool read_stat(struct process_reader *r, struct process_thread *t)
{
    char path[64], memory[1024];
    struct process_stat stat;
    struct slice text;
    snprintf(path, sizeof(path), "task/%d/stat", t->tid);
    if (proc_file_load(r->directory, path, memory, sizeof(memory), &text)) return false; /* it has ended */
    if (!process_stat_parse(text, &stat)) return false;
    memcpy(t->name, stat.name, sizeof(t->name));
    t->state = stat.state;
    t->cpu = stat.cpu;
    t->start_ticks = stat.start_ticks;
    t->user_ns = stat.user_ticks * r->ns_per_tick;
    t->system_ns = stat.system_ticks * r->ns_per_tick;
    t->run_ns = t->user_ns + t->system_ns;
    t->minor_faults = stat.minor_faults;
    t->major_faults = stat.major_faults;
    return true;
}

static void read_schedule(struct process_reader *r, struct process_thread *t)
{
    char path[64], memory[256];
    struct process_schedule schedule;
    struct slice text;
    snprintf(path, sizeof(path), "task/%d/schedstat", t->tid);
    int error = proc_file_load(r->directory, path, memory, sizeof(memory), &text);
    if (error) {
        process_reader_note(r, "time spent waiting for a CPU", error);
        return;
    }
    if (!process_schedule_parse(text, &schedule)) return;
    t->run_ns = schedule.run_ns;
    t->wait_ns = schedule.wait_ns;
    t->turns = schedule.turns;
    t->known |= PROCESS_KNOWS_WAIT;
}

static int by_tid(const void *a, const void *b)
{
    const struct process_thread *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

/* The kernel takes longer over status than over all the rest, so a thread that got no CPU since the sample before is not
 * asked again. True: its figures are those of then. */
static bool has_slept_since(const struct process_reader *r, struct process_thread *t)
{
    if (!r->earlier_count) return false;
    const struct process_thread *then = bsearch(t, r->earlier, r->earlier_count, sizeof(*r->earlier), by_tid);
    if (!then || then->start_ticks != t->start_ticks || then->turns != t->turns || then->run_ns != t->run_ns)
        return false;
    if (!(t->known & then->known & PROCESS_KNOWS_WAIT) || !(then->known & PROCESS_KNOWS_SWITCHES))
        return false;
    t->switches_voluntary = then->switches_voluntary;
    t->switches_forced = then->switches_forced;
    t->known |= PROCESS_KNOWS_SWITCHES;
    return true;
}

static void read_switches(struct process_reader *r, struct process_thread *t)
{
    if (has_slept_since(r, t)) return;
    char path[64], memory[4096];
    struct slice text;
    snprintf(path, sizeof(path), "task/%d/status", t->tid);
    int error = proc_file_load(r->directory, path, memory, sizeof(memory), &text);
    if (error) {
        process_reader_note(r, "context switches", error);
        return;
    }
    if (proc_fields_read(text, switch_fields, 2, t) == 3) t->known |= PROCESS_KNOWS_SWITCHES;
}

static bool has_room(struct process_sample *s)
{
    if (s->thread_count < s->thread_cap) return true;
    uint32_t cap = s->thread_cap ? s->thread_cap * 2 : 16;
    struct process_thread *threads = realloc(s->threads, cap * sizeof(*threads));
    if (!threads) return false;
    s->threads = threads;
    s->thread_cap = cap;
    return true;
}

static void add_up(struct process_sample *s, const struct process_thread *t)
{
    s->wait_ns += t->wait_ns;
    s->turns += t->turns;
    s->switches_voluntary += t->switches_voluntary;
    s->switches_forced += t->switches_forced;
    s->known &= ~THREAD_FIGURES | t->known; /* of all, or not at all */
}

static int read_thread(struct process_reader *r, struct process_sample *s, int32_t tid, struct err *err)
{
    if (!has_room(s)) return err_set(err, "out of memory");
    struct process_thread *t = &s->threads[s->thread_count];
    *t = (struct process_thread){ .tid = tid };
    if (!read_stat(r, t)) return 0;
    read_schedule(r, t);
    read_switches(r, t);
    add_up(s, t);
    s->thread_count++;
    return 0;
}

static int read_directory(struct process_reader *r, DIR *directory, struct process_sample *s, struct err *err)
{
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        uint64_t tid;
        if (!proc_u64(slice_of(entry->d_name), &tid) || tid > INT32_MAX) continue;
        if (s->thread_count == PROCESS_THREADS_MAX) {
            notes_add(&r->notes, "threads: only the first %u are looked at", PROCESS_THREADS_MAX);
            break;
        }
        if (read_thread(r, s, (int32_t)tid, err) < 0) return -1;
    }
    return 0;
}

static void remember(struct process_reader *r, const struct process_sample *s)
{
    r->earlier_count = 0;
    struct process_thread *threads = realloc(r->earlier, s->thread_count * sizeof(*threads));
    if (!threads) return;
    memcpy(threads, s->threads, s->thread_count * sizeof(*threads));
    r->earlier = threads;
    r->earlier_count = s->thread_count;
}

int process_threads_read(struct process_reader *r, struct process_sample *out, struct err *err)
{
    out->thread_count = 0;
    int fd = openat(r->directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        process_reader_note(r, "threads", errno);
        if (fd >= 0) close(fd);
        return 0;
    }
    out->known |= THREAD_FIGURES;
    int result = read_directory(r, directory, out, err);
    closedir(directory);
    if (!out->thread_count) {
        out->known &= ~THREAD_FIGURES;
        return result;
    }
    qsort(out->threads, out->thread_count, sizeof(*out->threads), by_tid);
    remember(r, out);
    return result;
}
