#include "http/h2_bytes.h"

#include <string.h>

#include "base/bug.h"

/* Where much waits already, more is to come. */
#define LARGE (16u << 10)

struct piece {
    uint32_t end; /* of its bytes, from the block's data */
    char bytes[];
};

static struct piece *piece_of(struct block *b)
{
    return (struct piece *)(void *)b->data;
}

static uint32_t room_of(const struct h2_bytes *b)
{
    if (!b->last || bug_if(H2_SESSION, piece_of(b->last)->end > b->last->cap)) return 0;
    return b->last->cap - piece_of(b->last)->end;
}

static char *add_block(struct h2_bytes *b, struct loop *l, size_t len)
{
    size_t size = b->len > LARGE && len < LARGE ? LARGE : len;
    struct block *more = block_get(&l->blocks, sizeof(struct piece) + size);
    if (!more) return NULL;
    piece_of(more)->end = sizeof(struct piece);
    if (b->last) {
        b->last->next = more;
    } else {
        b->first = more;
        b->begin = sizeof(struct piece);
    }
    b->last = more;
    b->blocks++;
    return more->data + sizeof(struct piece);
}

char *h2_bytes_room(struct h2_bytes *b, struct loop *l, size_t len)
{
    if (room_of(b) >= len) return b->last ? b->last->data + piece_of(b->last)->end : NULL;
    return add_block(b, l, len);
}

void h2_bytes_add(struct h2_bytes *b, size_t len)
{
    if (bug_if(H2_SESSION, len > room_of(b))) return;
    piece_of(b->last)->end += (uint32_t)len;
    b->len += len;
}

bool h2_bytes_put(struct h2_bytes *b, struct loop *l, struct slice bytes)
{
    if (!bytes.len) return true;
    struct block *before = b->last;
    size_t room = room_of(b);
    size_t now = bytes.len < room ? bytes.len : room;
    struct slice rest = { bytes.data + now, bytes.len - now };
    char *next = rest.len ? add_block(b, l, rest.len) : NULL; /* first what could fail */
    if (rest.len && !next) return false;
    if (now) {
        memcpy(before->data + piece_of(before)->end, bytes.data, now);
        piece_of(before)->end += (uint32_t)now;
        b->len += now;
    }
    if (next) {
        memcpy(next, rest.data, rest.len);
        h2_bytes_add(b, rest.len);
    }
    return true;
}

struct slice h2_bytes_front(const struct h2_bytes *b)
{
    if (!b->first || bug_if(H2_SESSION, b->begin > piece_of(b->first)->end)) return SLICE_NONE;
    return (struct slice){ b->first->data + b->begin, piece_of(b->first)->end - b->begin };
}

int h2_bytes_pieces(const struct h2_bytes *b, struct iovec *iov, int max)
{
    int count = 0;
    for (struct block *at = b->first; at && count < max; at = at->next) {
        uint32_t begin = at == b->first ? b->begin : (uint32_t)sizeof(struct piece);
        uint32_t len = piece_of(at)->end - begin;
        if (len) iov[count++] = (struct iovec){ at->data + begin, len };
    }
    return count;
}

static void drop_first(struct h2_bytes *b, struct loop *l)
{
    struct block *gone = b->first;
    (void)bug_if(H2_SESSION, !b->blocks);
    b->first = gone->next;
    b->begin = sizeof(struct piece);
    b->blocks--;
    if (!b->first) b->last = NULL;
    block_put(&l->blocks, gone);
}

void h2_bytes_drop(struct h2_bytes *b, struct loop *l, size_t len)
{
    if (bug_if(H2_SESSION, len > b->len)) len = (size_t)b->len;
    b->len -= len;
    while (b->first) {
        size_t here = piece_of(b->first)->end - b->begin;
        if (len < here) {
            b->begin += (uint32_t)len;
            return;
        }
        len -= here;
        drop_first(b, l);
    }
    (void)bug_if(H2_SESSION, len || b->len); /* more was said to be here than there was */
}

void h2_bytes_clear(struct h2_bytes *b, struct loop *l)
{
    while (b->first) drop_first(b, l);
    *b = (struct h2_bytes){ 0 };
}
