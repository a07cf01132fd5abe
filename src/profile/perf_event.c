#include "profile/perf_event.h"

#include <asm/perf_regs.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_PAGES 128u     /* a power of two: room for fifteen samples on the CPU, thirty off it */
#define CPU_RING_PAGES 512u /* likewise: of all threads on a CPU, where that much may be locked */
#define RECORD_MAX 65536u
#define REGISTERS ((1u << PERF_REG_X86_BP) | (1u << PERF_REG_X86_SP) | (1u << PERF_REG_X86_IP))
#define SAMPLED                                                                           \
    (PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER | \
     PERF_SAMPLE_STACK_USER)

static void fill_attributes(struct perf_event_attr *a, const struct perf_options *o)
{
    memset(a, 0, sizeof(*a));
    a->size = sizeof(*a);
    a->type = PERF_TYPE_SOFTWARE;
    a->config = o->kind == PERF_ON_CPU ? PERF_COUNT_SW_TASK_CLOCK : PERF_COUNT_SW_CONTEXT_SWITCHES;
    a->sample_period = o->kind == PERF_ON_CPU ? o->period_ns : 1;
    a->sample_type = SAMPLED;
    a->sample_regs_user = REGISTERS;
    a->sample_stack_user = o->kind == PERF_ON_CPU ? PERF_STACK_BYTES : PERF_SLEEP_STACK_BYTES;
    a->exclude_callchain_user = 1;
    a->exclude_kernel = !o->has_kernel;
    a->exclude_hv = 1;
    a->disabled = 1;
    a->sample_id_all = 1;
    a->use_clockid = 1;
    a->clockid = CLOCK_MONOTONIC;
    a->context_switch = o->kind == PERF_OFF_CPU;
    a->comm_exec = a->comm = a->mmap = 1;
    a->inherit = a->inherit_thread = a->task = o->is_inherited;
    a->watermark = 1;
    a->wakeup_watermark = RING_PAGES * 4096 / 2;
}

static int open_event(const struct perf_event_attr *a, pid_t thread, int cpu)
{
    return (int)syscall(SYS_perf_event_open, a, thread, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool try_ring(struct perf_event *e, size_t pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *map = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_SHARED, e->fd, 0);
    if (map == MAP_FAILED) return false;
    e->page = map;
    e->ring_bytes = pages * page;
    return true;
}

/* Maps the ring of an event that was opened; stops it if that fails. */
static int map_ring(struct perf_event *e, size_t pages, struct err *err)
{
    if (try_ring(e, pages) || (pages > RING_PAGES && try_ring(e, RING_PAGES))) return 0;
    int cause = errno;
    perf_event_stop(e);
    errno = cause;
    return err_set(err, "cannot map the ring of samples: %s; see kernel.perf_event_mlock_kb",
                   strerror(cause));
}

int perf_event_ring(struct perf_event *e, uint32_t cpu, struct err *err)
{
    struct perf_event_attr a;
    const struct perf_options none = { .kind = PERF_ON_CPU };
    fill_attributes(&a, &none);
    a.config = PERF_COUNT_SW_DUMMY;
    a.comm_exec = a.comm = a.mmap = 0;
    *e = (struct perf_event){ .fd = -1 };
    e->scratch = malloc(RECORD_MAX);
    if (!e->scratch) return err_set(err, "out of memory for samples");
    e->fd = open_event(&a, 0, (int)cpu);
    if (e->fd >= 0) return map_ring(e, CPU_RING_PAGES, err);
    int cause = errno;
    perf_event_stop(e);
    errno = cause;
    return err_set(err, "the kernel gives no ring for samples on CPU %u: %s", cpu, strerror(cause));
}

int perf_event_into(const struct perf_event *ring, uint32_t cpu, pid_t thread, const struct perf_options *o)
{
    struct perf_event_attr a;
    fill_attributes(&a, o);
    int fd = open_event(&a, thread, (int)cpu);
    if (fd < 0) return -1;
    if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring->fd) == 0 && ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) == 0)
        return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

int perf_event_start(struct perf_event *e, pid_t thread, const struct perf_options *o, struct err *err)
{
    struct perf_event_attr a;
    fill_attributes(&a, o);
    *e = (struct perf_event){ .fd = -1, .thread = (uint32_t)thread };
    e->scratch = malloc(RECORD_MAX);
    if (!e->scratch) return err_set(err, "out of memory for samples");
    e->fd = open_event(&a, thread, -1);
    if (e->fd < 0) {
        int cause = errno;
        perf_event_stop(e);
        errno = cause;
        return err_set(err, "the kernel does not let us sample thread %d: %s", (int)thread, strerror(cause));
    }
    if (map_ring(e, RING_PAGES, err) < 0) return -1;
    ioctl(e->fd, PERF_EVENT_IOC_ENABLE, 0);
    return 0;
}

void perf_event_stop(struct perf_event *e)
{
    if (e->page) munmap(e->page, e->ring_bytes + (size_t)sysconf(_SC_PAGESIZE));
    if (e->fd >= 0) close(e->fd);
    free(e->scratch);
    *e = (struct perf_event){ .fd = -1 };
}

/* reading */

struct cursor {
    const uint8_t *at, *end;
};

static uint64_t take_word(struct cursor *c)
{
    uint64_t value = 0;
    if (c->end - c->at < 8) {
        c->at = c->end;
        return 0;
    }
    memcpy(&value, c->at, 8);
    c->at += 8;
    return value;
}

/* Addresses of the kernel's part; markers between parts (PERF_CONTEXT_*) are left out. */
static void take_chain(struct cursor *c, struct perf_sample *s)
{
    for (uint64_t count = take_word(c); count && c->at < c->end; count--) {
        uint64_t ip = take_word(c);
        if (ip >= (uint64_t)PERF_CONTEXT_MAX) continue;
        if (s->kernel_depth < PERF_KERNEL_DEPTH_MAX) s->kernel[s->kernel_depth++] = ip;
    }
}

static void take_sample(struct cursor c, const struct perf_events *events, void *context)
{
    struct perf_sample s = { .weight = 1 };
    s.thread = (uint32_t)(take_word(&c) >> 32);
    s.time_ns = take_word(&c);
    take_chain(&c, &s);
    if (take_word(&c) != PERF_SAMPLE_REGS_ABI_NONE) {
        s.has_regs = true; /* in the order of their numbers */
        s.regs.bp = take_word(&c);
        s.regs.sp = take_word(&c);
        s.regs.ip = take_word(&c);
    }
    uint64_t size = take_word(&c);
    if (size && size <= (uint64_t)(c.end - c.at)) {
        s.stack = c.at;
        c.at += size;
        uint64_t used = take_word(&c);
        s.stack_len = (uint32_t)(used < size ? used : size);
    }
    events->on_sample(context, &s);
}

static void take_record(const struct perf_event_header *h, const uint8_t *record,
                        const struct perf_events *events, void *context)
{
    struct cursor c = { record + sizeof(*h), record + h->size };
    switch (h->type) {
    case PERF_RECORD_SAMPLE: take_sample(c, events, context); break;
    case PERF_RECORD_LOST:
        take_word(&c);
        events->on_lost(context, take_word(&c));
        break;
    case PERF_RECORD_SWITCH: {
        if (h->misc & PERF_RECORD_MISC_SWITCH_OUT) break;
        uint32_t thread = (uint32_t)(take_word(&c) >> 32);
        if (events->on_run) events->on_run(context, thread, take_word(&c));
        break;
    }
    case PERF_RECORD_FORK: /* pid, parent's pid, tid, parent's tid */
    case PERF_RECORD_EXIT: {
        uint32_t pid = (uint32_t)take_word(&c), thread = (uint32_t)take_word(&c);
        if (events->on_thread) events->on_thread(context, pid, thread, h->type == PERF_RECORD_EXIT);
        break;
    }
    default: break;
    }
}

static void copy_out(const struct perf_event *e, uint64_t at, void *out, size_t len)
{
    const uint8_t *ring = (const uint8_t *)e->page + sysconf(_SC_PAGESIZE);
    uint64_t from = at & (e->ring_bytes - 1), first = e->ring_bytes - from;
    if (first > len) first = len;
    memcpy(out, ring + from, first);
    memcpy((uint8_t *)out + first, ring, len - first);
}

bool perf_event_is_empty(const struct perf_event *e)
{
    return __atomic_load_n(&e->page->data_head, __ATOMIC_ACQUIRE) == e->page->data_tail;
}

void perf_event_read(struct perf_event *e, const struct perf_events *events, void *context)
{
    uint64_t head = __atomic_load_n(&e->page->data_head, __ATOMIC_ACQUIRE), tail = e->page->data_tail;
    while (head - tail >= sizeof(struct perf_event_header)) {
        struct perf_event_header h;
        copy_out(e, tail, &h, sizeof(h));
        if (h.size < sizeof(h) || h.size > head - tail) break; /* cannot be */
        copy_out(e, tail, e->scratch, h.size);
        take_record(&h, e->scratch, events, context);
        tail += h.size;
    }
    __atomic_store_n(&e->page->data_tail, tail, __ATOMIC_RELEASE);
}

void perf_event_look_ahead(struct perf_event *e,
                           void (*on_code)(void *context, uint64_t time_ns, bool is_exec), void *context)
{
    uint64_t head = __atomic_load_n(&e->page->data_head, __ATOMIC_ACQUIRE), tail = e->page->data_tail,
             time_ns;
    if (e->ahead < tail) e->ahead = tail;
    while (head - e->ahead >= sizeof(struct perf_event_header)) {
        struct perf_event_header h;
        copy_out(e, e->ahead, &h, sizeof(h));
        if (h.size < sizeof(h) || h.size > head - e->ahead) break; /* cannot be */
        bool is_exec = h.type == PERF_RECORD_COMM && h.misc & PERF_RECORD_MISC_COMM_EXEC;
        if ((is_exec || h.type == PERF_RECORD_MMAP) && h.size >= sizeof(h) + sizeof(time_ns)) {
            copy_out(e, e->ahead + h.size - sizeof(time_ns), &time_ns,
                     sizeof(time_ns)); /* what sample_id_all adds */
            on_code(context, time_ns, is_exec);
        }
        e->ahead += h.size;
    }
}
