#include "observe/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "observe/proc_file.h"
#include "observe/proc_text.h"
#include "observe/process_threads.h"

#define KIB 1024u
#define MEMORY_FIELD(name, member)                                \
    {                                                             \
        name, offsetof(struct process_status_memory, member), KIB \
    }
#define IO_FIELD(name, member)                       \
    {                                                \
        name, offsetof(struct process_io, member), 1 \
    }
#define COUNT(table) (uint32_t)(sizeof(table) / sizeof(*(table)))

static const struct proc_field memory_fields[] = {
    MEMORY_FIELD("VmSize", virtual_bytes), MEMORY_FIELD("VmRSS", resident_bytes),
    MEMORY_FIELD("VmHWM", peak_bytes),     MEMORY_FIELD("RssAnon", anonymous_bytes),
    MEMORY_FIELD("RssFile", file_bytes),   MEMORY_FIELD("RssShmem", shared_bytes),
    MEMORY_FIELD("VmSwap", swap_bytes),    MEMORY_FIELD("VmPTE", page_table_bytes),
};

static const struct proc_field io_fields[] = {
    IO_FIELD("read_bytes", read_bytes),
    IO_FIELD("write_bytes", write_bytes),
    IO_FIELD("cancelled_write_bytes", cancelled_write_bytes),
    IO_FIELD("rchar", read_call_bytes),
    IO_FIELD("wchar", write_call_bytes),
    IO_FIELD("syscr", read_calls),
    IO_FIELD("syscw", write_calls),
};

void process_sample_init(struct process_sample *s)
{
    memset(s, 0, sizeof(*s));
}

void process_sample_fini(struct process_sample *s)
{
    free(s->threads);
    memset(s, 0, sizeof(*s));
}

static void forget_figures(struct process_sample *s)
{
    struct process_thread *threads = s->threads;
    uint32_t cap = s->thread_cap;
    memset(s, 0, sizeof(*s));
    s->threads = threads;
    s->thread_cap = cap;
}

/* The kernel's own sum of nanoseconds; `preset` where only ticks are to be had. */
static uint64_t exact_cpu_ns(const struct process_reader *r, uint64_t preset)
{
    clockid_t clock;
    struct timespec t;
    if (!r->is_live || clock_getcpuclockid(r->identity.pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        return preset;
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int read_stat(struct process_reader *r, struct process_sample *s, struct err *err)
{
    struct process_stat stat;
    struct slice text;
    uint64_t cpu_ns = exact_cpu_ns(r, UINT64_MAX); /* before the text, which proves whose clock it was */
    if (proc_file_load(r->directory, "stat", r->scratch, PROCESS_SCRATCH, &text))
        return process_reader_check(r, err) < 0 ? -1 : err_set(err, "process %d ends", r->identity.pid);
    if (!process_stat_parse(text, &stat))
        return err_set(err, "%s/%d/stat is not what proc(5) says it is", r->root, r->identity.pid);
    if ((stat.state == 'Z' || stat.state == 'X') && stat.thread_count <= 1)
        return err_set(err, "process %d has ended; its parent %d has not asked for its status yet",
                       r->identity.pid, stat.parent);
    memcpy(s->name, stat.name, sizeof(s->name));
    s->state = stat.state;
    s->parent = stat.parent;
    s->user_ns = stat.user_ticks * r->ns_per_tick;
    s->system_ns = stat.system_ticks * r->ns_per_tick;
    s->cpu_ns = cpu_ns == UINT64_MAX ? s->user_ns + s->system_ns : cpu_ns;
    s->minor_faults = stat.minor_faults;
    s->major_faults = stat.major_faults;
    return 0;
}

static void read_memory(struct process_reader *r, struct process_sample *s)
{
    struct slice text;
    if (!process_reader_text(r, "status", "memory figures", &text)) return;
    if (proc_fields_read(text, memory_fields, COUNT(memory_fields), &s->memory) & 2)
        s->known |= PROCESS_KNOWS_MEMORY;
}

static void read_io(struct process_reader *r, struct process_sample *s)
{
    struct slice text;
    if (!process_reader_text(r, "io", "bytes read and written", &text)) return;
    if (proc_fields_read(text, io_fields, COUNT(io_fields), &s->io) == (1u << COUNT(io_fields)) - 1)
        s->known |= PROCESS_KNOWS_IO;
}

static void read_limits(struct process_reader *r, struct process_sample *s)
{
    struct slice text;
    if (!process_reader_text(r, "limits", "limits", &text)) return;
    if (process_limits_parse(text, &s->limits)) s->known |= PROCESS_KNOWS_LIMITS;
}

/* Since Linux 6.2 the directory's size is the number of descriptors; before, it is 0. */
static void read_file_count(struct process_reader *r, struct process_sample *s)
{
    struct stat status;
    if (fstatat(r->directory, "fd", &status, 0) < 0 || status.st_size <= 0) return;
    s->file_count = (uint64_t)status.st_size;
    s->known |= PROCESS_KNOWS_FILES;
}

int process_sample_read(struct process_reader *r, struct process_sample *out, struct err *err)
{
    forget_figures(out);
    out->identity = r->identity;
    out->time_ns = clock_now_ns();
    if (read_stat(r, out, err) < 0) return -1;
    read_memory(r, out);
    read_io(r, out);
    read_limits(r, out);
    read_file_count(r, out);
    if (process_threads_read(r, out, err) < 0) return -1;
    if (!process_reader_is_there(r)) return process_reader_check(r, err); /* half a sample is none */
    return 0;
}
