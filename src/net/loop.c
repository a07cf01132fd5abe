#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/vector.h"
#include "net/loop_trace.h"

#define EVENTS_MAX 256
/* A period of block_pool_settle(). */
#define SETTLE_MS 1000
/* What is due runs in turns of so many: thousands may have been armed in the same moment. */
#define TIMERS_A_TURN 128
/* So many turns in a row may be full before timers get their turn all the same. */
#define FULL_TURNS_MAX 32

static void read_clock(struct loop *l)
{
    if (l->is_virtual) return;
    l->now_ns = clock_now_ns();
    /* The wall clock may be set: look again now and then, not every turn. */
    if (l->turns % 64 == 0) l->wall_offset_ns = clock_wall_ns() - l->now_ns;
}

int loop_init(struct loop *l, struct budget *budget, struct err *err)
{
    *l = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
    if (l->epoll_fd < 0) return err_set(err, "cannot make an epoll instance: %s", strerror(errno));
    /* Mapped, so that pages cost nothing until they are written. */
    l->scratch = mmap(NULL, LOOP_SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l->scratch == MAP_FAILED) {
        close(l->epoll_fd);
        return err_set(err, "cannot map a scratch buffer of %u bytes: %s", LOOP_SCRATCH_BYTES,
                       strerror(errno));
    }
    if (!budget->is_dumped) madvise(l->scratch, LOOP_SCRATCH_BYTES, MADV_DONTDUMP);
    read_clock(l);
    timer_wheel_init(&l->timers, l->now_ns / NS_PER_MS);
    list_init(&l->tasks);
    list_init(&l->last_tasks);
    block_pool_init(&l->blocks, budget);
    rng_seed_random(&l->rng);
    return 0;
}

static void empty_graveyard(struct loop *l)
{
    while (l->graves) {
        struct loop_grave *g = l->graves;
        l->graves = g->next;
        g->bury(g);
    }
}

void loop_fini(struct loop *l)
{
    empty_graveyard(l);
    (void)bug_if(LOOP, l->timers.count); /* whoever armed it is gone, or leaks */
    block_pool_fini(&l->blocks);
    munmap(l->scratch, LOOP_SCRATCH_BYTES);
    close(l->epoll_fd);
}

int loop_fd_register(struct loop *l, struct loop_fd *f, uint32_t events)
{
    if (f->is_registered) return 0;
    if (bug_if(LOOP, f->fd < 0 || !f->on_ready)) { /* its events would be for nobody, for ever */
        errno = EBADF;
        return -1;
    }
    struct epoll_event event = { .events = events | EPOLLET, .data.ptr = f };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &event) < 0) return -1;
    f->is_registered = true;
    l->fd_count++;
    return 0;
}

/* Events of this turn that were not handled yet are dropped. */
static void leave_seat(struct loop *l, struct loop_fd *f)
{
    if (f->is_registered && !bug_if(LOOP, !l->fd_count)) l->fd_count--;
    f->fd = -1;
    f->is_registered = false;
    f->pending = 0;
    f->on_ready = NULL;
}

void loop_fd_close(struct loop *l, struct loop_fd *f)
{
    if (f->fd < 0) return;
    if (f->is_registered && l->is_copied) epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
    close(f->fd); /* also takes it out of the epoll set, where nobody else holds the description */
    leave_seat(l, f);
}

void loop_fd_forget(struct loop *l, struct loop_fd *f)
{
    if (f->is_registered) epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
    leave_seat(l, f);
}

void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *))
{
    list_init(&t->link);
    t->run = run;
}

void loop_defer(struct loop *l, struct loop_task *t)
{
    if (bug_if(LOOP, !t->run)) return; /* loop_task_init() was never called */
    if (list_is_empty(&t->link)) list_push_back(&l->tasks, &t->link);
}

void loop_at_end(struct loop *l, struct loop_task *t)
{
    if (bug_if(LOOP, !t->run)) return;
    if (list_is_empty(&t->link)) list_push_back(&l->last_tasks, &t->link);
}

void loop_bury(struct loop *l, struct loop_grave *g, void (*bury)(struct loop_grave *))
{
    if (bug_if(LOOP, g->bury)) return; /* twice: freed twice, and the graveyard would never be empty */
    g->bury = bury;
    g->next = l->graves;
    l->graves = g;
}

/* Only the tasks that are there now: one that defers itself has its turn in the next. */
static void run_tasks(struct list *tasks)
{
    struct list now;
    if (list_is_empty(tasks)) return;
    list_move(&now, tasks);
    while (!list_is_empty(&now)) {
        struct loop_task *t = container_of(list_pop_front(&now), struct loop_task, link);
        t->run(t);
    }
}

static void note_turn(struct loop *l, int events)
{
    struct loop_trace *t = l->trace;
    if (t->count == t->room)
        t->lost++;
    else
        t->turns[t->count++] = (struct loop_trace_turn){ l->now_ns, clock_now_ns(),
                                                         events > 0 ? (uint32_t)events : 0 };
}

/* While nothing is kept beyond what always may be, nobody wakes for it: the next period begins with the first that is. */
static void settle_blocks(struct loop *l)
{
    if (!l->blocks.has_excess) {
        l->settle_ns = 0;
    } else if (!l->settle_ns) {
        l->settle_ns = l->now_ns + SETTLE_MS * NS_PER_MS;
    } else if (l->now_ns >= l->settle_ns) {
        l->settle_ns = l->now_ns + SETTLE_MS * NS_PER_MS;
        block_pool_settle(&l->blocks);
    }
}

/* What has come is served before anybody is told that it did not come in time: once the process was stopped for a while, or its
 * machine, there is more of it than one turn takes. */
static bool is_timers_turn(struct loop *l, int count)
{
    if (count == EVENTS_MAX && l->full_turns++ < FULL_TURNS_MAX) return false;
    l->full_turns = 0;
    return true;
}

void loop_turn(struct loop *l, int max_wait_ms)
{
    int wait_ms = timer_wheel_wait_ms(&l->timers);
    if (wait_ms < 0 || (max_wait_ms >= 0 && max_wait_ms < wait_ms)) wait_ms = max_wait_ms;
    if (l->settle_ns && (wait_ms < 0 || wait_ms > SETTLE_MS)) wait_ms = SETTLE_MS;
    if (!list_is_empty(&l->tasks)) wait_ms = 0;
    struct epoll_event events[EVENTS_MAX];
    vector_wipe();
    if (l->activity) activity_set(l->activity, 0, 0, 0);
    int count = epoll_wait(l->epoll_fd, events, EVENTS_MAX, wait_ms);
    if (bug_if(LOOP, count < 0 && errno != EINTR)) count = 0;
    /* With all that was done in the last one: who sees the count may free what that could see (proxy/retire.h). */
    __atomic_store_n(&l->turns, l->turns + 1, __ATOMIC_RELEASE);
    read_clock(l);
    /* First what each descriptor has to say is noted, then they are served: so that whoever looks for an idle
     * server connection already sees that it was closed. */
    for (int i = 0; i < count; i++) {
        struct loop_fd *f = events[i].data.ptr;
        f->pending |= events[i].events;
    }
    for (int i = 0; i < count; i++) {
        struct loop_fd *f = events[i].data.ptr;
        uint32_t pending = f->pending;
        f->pending = 0;
        if (pending && f->on_ready) f->on_ready(f, pending);
    }
    if (is_timers_turn(l, count)) timer_wheel_advance(&l->timers, l->now_ns / NS_PER_MS, TIMERS_A_TURN);
    run_tasks(&l->tasks);
    empty_graveyard(l);
    settle_blocks(l);
    run_tasks(&l->last_tasks); /* of which some look at what there is: nothing changes behind them */
    if (l->trace) note_turn(l, count);
}

void loop_run(struct loop *l)
{
    while (!l->is_stopped) loop_turn(l, -1);
}

void loop_stop(struct loop *l)
{
    l->is_stopped = true;
}
