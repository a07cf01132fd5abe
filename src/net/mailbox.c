#include "net/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bug.h"

/* The bounded queue of D. Vyukov: each slot's sequence says whose turn it is. */
struct slot {
    _Atomic uint64_t sequence;
    struct mail mail;
};

/* Mail that found no room. */
struct kept {
    struct kept *next;
    struct mail mail;
};

struct mailbox {
    struct loop_fd io;
    struct loop *loop;
    void *reader;
    uint32_t mask;
    uint64_t head;        /* the reader's */
    pthread_mutex_t lock; /* of what is kept: the oldest first, and where the next goes */
    struct kept *kept, **kept_end;
    _Atomic uint32_t kept_count;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic bool is_woken;
    struct slot slots[];
};

static void take_all(struct mailbox *box)
{
    for (;;) {
        struct slot *slot = &box->slots[box->head & box->mask];
        if (atomic_load_explicit(&slot->sequence, memory_order_acquire) != box->head + 1) return;
        struct mail m = slot->mail;
        atomic_store_explicit(&slot->sequence, box->head + box->mask + 1, memory_order_release);
        box->head++;
        if (!bug_if(MAILBOX, !m.deliver)) m.deliver(box->reader, &m);
    }
}

/* Whoever keeps mail posts none while some is kept, so that all in the slots is older. */
static void take_kept(struct mailbox *box)
{
    if (!atomic_load(&box->kept_count)) return;
    pthread_mutex_lock(&box->lock);
    struct kept *all = box->kept;
    box->kept = NULL;
    box->kept_end = &box->kept;
    atomic_store(&box->kept_count, 0);
    pthread_mutex_unlock(&box->lock);
    while (all) {
        struct kept *k = all;
        all = k->next;
        k->mail.deliver(box->reader, &k->mail);
        free(k);
    }
}

static void on_wake(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct mailbox *box = container_of(f, struct mailbox, io);
    uint64_t count;
    while (read(f->fd, &count, sizeof(count)) > 0) {}
    /* Cleared before looking: a post from now on wakes again. */
    atomic_store(&box->is_woken, false);
    take_all(box);
    take_kept(box);
}

int mailbox_new(struct mailbox **out, struct loop *l, void *reader, uint32_t slots, struct err *err)
{
    assert(slots && (slots & (slots - 1)) == 0);
    struct mailbox *box = aligned_alloc(64, (sizeof(*box) + slots * sizeof(struct slot) + 63) & ~(size_t)63);
    if (!box) return err_set(err, "out of memory for a mailbox of %u slots", slots);
    memset(box, 0, sizeof(*box));
    box->loop = l;
    box->reader = reader;
    box->mask = slots - 1;
    box->kept_end = &box->kept;
    pthread_mutex_init(&box->lock, NULL);
    for (uint32_t i = 0; i < slots; i++) atomic_init(&box->slots[i].sequence, i);
    box->io = (struct loop_fd){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .on_ready = on_wake };
    if (box->io.fd < 0 || loop_fd_register(l, &box->io, EPOLLIN) < 0) {
        int cause = errno;
        if (box->io.fd >= 0) close(box->io.fd);
        free(box);
        return err_set(err, "cannot make a mailbox: %s", strerror(cause));
    }
    *out = box;
    return 0;
}

void mailbox_free(struct mailbox *box)
{
    if (!box) return;
    loop_fd_close(box->loop, &box->io);
    for (struct kept *k = box->kept, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    pthread_mutex_destroy(&box->lock);
    free(box);
}

static void wake(struct mailbox *box)
{
    if (atomic_exchange(&box->is_woken, true)) return;
    uint64_t one = 1;
    ssize_t written = write(box->io.fd, &one, sizeof(one));
    (void)written; /* EAGAIN: the counter is far from 0, so the reader wakes anyway */
}

bool mailbox_post(struct mailbox *box, const struct mail *m)
{
    if (bug_if(MAILBOX, !m->deliver)) return false;
    uint64_t at = atomic_load_explicit(&box->tail, memory_order_relaxed);
    for (;;) {
        struct slot *slot = &box->slots[at & box->mask];
        uint64_t sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
        if (sequence == at) {
            if (atomic_compare_exchange_weak_explicit(&box->tail, &at, at + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                slot->mail = *m;
                atomic_store_explicit(&slot->sequence, at + 1, memory_order_release);
                break;
            }
        } else if (sequence < at) {
            return false;
        } else {
            at = atomic_load_explicit(&box->tail, memory_order_relaxed);
        }
    }
    wake(box);
    return true;
}

bool mailbox_keep(struct mailbox *box, const struct mail *m)
{
    if (!atomic_load(&box->kept_count) && mailbox_post(box, m)) return true;
    if (bug_if(MAILBOX, !m->deliver) || atomic_load(&box->kept_count) >= MAILBOX_KEPT_MAX) return false;
    struct kept *k = malloc(sizeof(*k));
    if (!k) return false;
    *k = (struct kept){ .mail = *m };
    pthread_mutex_lock(&box->lock);
    *box->kept_end = k;
    box->kept_end = &k->next;
    atomic_fetch_add(&box->kept_count, 1);
    pthread_mutex_unlock(&box->lock);
    wake(box);
    return true;
}
