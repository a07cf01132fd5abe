#include "record/access_outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

int access_outbox_init(struct access_outbox *o, uint32_t size, struct err *err)
{
    *o = (struct access_outbox){ .data = malloc(size), .size = size };
    return o->data ? 0 : err_set(err, "no memory for messages");
}

void access_outbox_fini(struct access_outbox *o)
{
    free(o->data);
    o->data = NULL;
}

struct text access_outbox_room(struct access_outbox *o, uint32_t len)
{
    const struct text none = { 0 };
    if (o->count == ACCESS_OUTBOX_MESSAGES || o->size - (o->end - o->begin) < len) return none;
    if (o->size - o->end < len) {
        memmove(o->data, o->data + o->begin, o->end - o->begin);
        o->end -= o->begin;
        o->begin = 0;
    }
    return text_over(o->data + o->end, o->size - o->end);
}

void access_outbox_add(struct access_outbox *o, uint32_t len)
{
    if (bug_if(ACCESS_LOG, len == 0 || len > o->size - o->end || o->count == ACCESS_OUTBOX_MESSAGES)) return;
    o->lens[(o->first + o->count++) % ACCESS_OUTBOX_MESSAGES] = len;
    o->end += len;
}

uint32_t access_outbox_len(const struct access_outbox *o, uint32_t n)
{
    return n < o->count ? o->lens[(o->first + n) % ACCESS_OUTBOX_MESSAGES] : 0;
}

struct slice access_outbox_all(const struct access_outbox *o)
{
    return (struct slice){ o->data + o->begin, o->end - o->begin };
}

void access_outbox_remove(struct access_outbox *o, uint32_t n)
{
    if (bug_if(ACCESS_LOG, n > o->count)) n = o->count;
    for (; n; n--) {
        o->begin += o->lens[o->first];
        o->first = (o->first + 1) % ACCESS_OUTBOX_MESSAGES;
        o->count--;
    }
    if (!o->count) o->begin = o->end = 0;
}
