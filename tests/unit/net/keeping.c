#include "keeping.h"

#include <errno.h>
#include <string.h>

static enum io keeping_flush(struct transport *t)
{
    struct keeping *k = t->own;
    size_t waiting = k->end - k->begin;
    size_t may = waiting < k->lets_pass ? waiting : k->lets_pass;
    struct iovec iov = { k->rest + k->begin, may };
    size_t sent = 0;
    enum io io = may ? transport_plain_ops.send(t, &iov, 1, &sent) : IO_AGAIN;
    if (io == IO_FAIL) return io;
    k->begin += sent;
    k->lets_pass -= sent;
    t->holds_rest = k->begin < k->end;
    t->is_writable = !t->holds_rest;
    return t->holds_rest ? IO_AGAIN : IO_OK;
}

static enum io keeping_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    struct keeping *k = t->own;
    *sent = 0;
    if (k->begin == k->end) k->begin = k->end = 0;
    for (int i = 0; i < count; i++) {
        size_t room = sizeof(k->rest) - k->end;
        size_t len = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(k->rest + k->end, iov[i].iov_base, len);
        k->end += len;
        *sent += len;
    }
    t->has_sent = true;
    return keeping_flush(t) == IO_FAIL ? IO_FAIL : IO_OK;
}

static enum io keeping_open(struct transport *t)
{
    struct keeping *k = t->own;
    if (k->opens_left) {
        k->opens_left--;
        t->is_readable = false;
        return IO_AGAIN;
    }
    if (k->fails_to_open) {
        t->saved_errno = ECONNABORTED;
        t->fault = k->fault;
        return IO_FAIL;
    }
    t->is_open = true;
    return IO_OK;
}

static bool keeping_is_dead(struct transport *t)
{
    const struct keeping *k = t->own;
    return !k->says_it_is_alive && transport_plain_ops.is_dead(t);
}

static void keeping_close(struct transport *t, bool is_reset)
{
    struct keeping *k = t->own;
    k->closed++;
    k->at = NULL;
    transport_close_descriptor(t, is_reset);
}

static void keeping_moved(struct transport *t, struct transport *to)
{
    struct keeping *k = t->own;
    k->moved++;
    k->at = to;
}

void keeping_over(struct keeping *k, struct transport *t)
{
    static struct transport_ops ops;
    ops = transport_plain_ops;
    ops.name = "keeping";
    ops.open = keeping_open;
    ops.send = keeping_send;
    ops.flush = keeping_flush;
    ops.peek = NULL;
    ops.drop = NULL;
    ops.is_dead = keeping_is_dead;
    ops.close = keeping_close;
    ops.moved = keeping_moved;
    t->ops = &ops;
    t->own = k;
    t->is_open = false;
    k->at = t;
}

void keeping_let_pass(struct keeping *k, size_t len)
{
    k->lets_pass += len;
    if (!k->at) return;
    k->at->is_writable = true; /* the kernel would say so by an event */
    (void)keeping_flush(k->at);
}
