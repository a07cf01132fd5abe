#include "observe/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "observe/proc_file.h"
#include "observe/proc_lines.h"
#include "observe/proc_text.h"

#define NS_PER_US 1000u
#define COUNT(table) (uint32_t)(sizeof(table) / sizeof(*(table)))
#define CPU(name, member, scale)                         \
    {                                                    \
        name, offsetof(struct cgroup_cpu, member), scale \
    }
#define MEMORY(name, member)                            \
    {                                                   \
        name, offsetof(struct cgroup_memory, member), 1 \
    }

static const struct proc_field cpu_fields[] = {
    CPU("usage_usec", usage_ns, NS_PER_US),    CPU("user_usec", user_ns, NS_PER_US),
    CPU("system_usec", system_ns, NS_PER_US),  CPU("nr_periods", periods, 1),
    CPU("nr_throttled", throttled_periods, 1), CPU("throttled_usec", throttled_ns, NS_PER_US),
};

static const struct proc_field memory_fields[] = {
    MEMORY("anon", anonymous_bytes),
    MEMORY("file", file_bytes),
    MEMORY("shmem", shared_bytes),
    MEMORY("kernel", kernel_bytes),
    MEMORY("sock", socket_bytes),
    MEMORY("slab", slab_bytes),
    MEMORY("pgfault", minor_and_major_faults),
    MEMORY("pgmajfault", major_faults),
};

static const struct proc_field event_fields[] = {
    MEMORY("high", high_events),
    MEMORY("max", limit_events),
    MEMORY("oom", oom_events),
    MEMORY("oom_kill", oom_kills),
};

static void note(struct notes *notes, const char *what, const char *controller, int error)
{
    if (error == ENOENT)
        notes_add(notes, "%s of the cgroup: controller %s is not on for it in cgroup v2", what, controller);
    else
        notes_add(notes, "%s of the cgroup: %s", what, strerror(error));
}

static void read_cpu(int directory, struct cgroup_sample *out, struct notes *notes)
{
    char memory[4096];
    struct slice text;
    int error = proc_file_load(directory, "cpu.stat", memory, sizeof(memory), &text);
    if (error)
        note(notes, "CPU time", "cpu", error);
    else if (proc_fields_read(text, cpu_fields, COUNT(cpu_fields), &out->cpu) & 1)
        out->known |= CGROUP_KNOWS_CPU;
}

/* "max" is CGROUP_UNLIMITED. */
static bool read_figure(int directory, const char *name, uint64_t *out, int *error)
{
    char memory[64];
    struct slice text;
    *error = proc_file_load(directory, name, memory, sizeof(memory), &text);
    if (*error) return false;
    *out = CGROUP_UNLIMITED;
    return slice_starts_with(text, SLICE("max")) || proc_take_u64(&text, out);
}

static void read_memory(int directory, struct cgroup_sample *out, struct notes *notes)
{
    char memory[8192];
    struct slice text;
    int error;
    struct cgroup_memory *m = &out->memory;
    if (!read_figure(directory, "memory.current", &m->current_bytes, &error)) {
        note(notes, "memory", "memory", error);
        return;
    }
    out->known |= CGROUP_KNOWS_MEMORY;
    if (!read_figure(directory, "memory.max", &m->limit_bytes, &error)) m->limit_bytes = CGROUP_UNLIMITED;
    if (!read_figure(directory, "memory.peak", &m->peak_bytes, &error)) m->peak_bytes = 0;
    if (!proc_file_load(directory, "memory.stat", memory, sizeof(memory), &text))
        proc_fields_read(text, memory_fields, COUNT(memory_fields), m);
    if (!proc_file_load(directory, "memory.events", memory, sizeof(memory), &text))
        proc_fields_read(text, event_fields, COUNT(event_fields), m);
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0": one device. */
bool cgroup_io_parse(struct slice line, struct cgroup_io *sum)
{
    struct slice rest = line, word;
    if (!proc_take_word(&rest, &word) || !memchr(word.data, ':', word.len)) return false;
    while (proc_take_word(&rest, &word)) {
        const char *equals = memchr(word.data, '=', word.len);
        uint64_t value;
        if (!equals) return false;
        struct slice key = { word.data, (size_t)(equals - word.data) };
        if (!proc_u64((struct slice){ equals + 1, word.len - key.len - 1 }, &value)) return false;
        if (slice_equal(key, SLICE("rbytes"))) sum->read_bytes += value;
        if (slice_equal(key, SLICE("wbytes"))) sum->write_bytes += value;
        if (slice_equal(key, SLICE("rios"))) sum->reads += value;
        if (slice_equal(key, SLICE("wios"))) sum->writes += value;
    }
    return true;
}

static void read_io(int directory, struct cgroup_sample *out, struct notes *notes)
{
    char memory[8192];
    struct proc_lines lines;
    struct slice line;
    int fd = openat(directory, "io.stat", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        note(notes, "disk I/O", "io", errno);
        return;
    }
    proc_lines_init(&lines, fd, memory, sizeof(memory));
    while (proc_lines_next(&lines, &line)) cgroup_io_parse(line, &out->io);
    close(fd);
    if (lines.error)
        note(notes, "disk I/O", "io", lines.error);
    else
        out->known |= CGROUP_KNOWS_IO;
}

static void read_tasks(int directory, struct cgroup_sample *out, struct notes *notes)
{
    int error;
    if (!read_figure(directory, "pids.current", &out->task_count, &error)) {
        note(notes, "number of tasks", "pids", error);
        return;
    }
    out->known |= CGROUP_KNOWS_TASKS;
    if (!read_figure(directory, "pids.max", &out->task_limit, &error)) out->task_limit = CGROUP_UNLIMITED;
}

int cgroup_read(const char *path, struct cgroup_sample *out, struct notes *notes, struct err *err)
{
    memset(out, 0, sizeof(*out));
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return err_set(err, "%s: %s", path, strerror(errno));
    out->time_ns = clock_now_ns();
    read_cpu(directory, out, notes);
    read_memory(directory, out, notes);
    read_io(directory, out, notes);
    read_tasks(directory, out, notes);
    pressure_read(directory, ".pressure", "the cgroup's", &out->pressure, notes);
    close(directory);
    return 0;
}
