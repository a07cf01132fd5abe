#include "http/h2_hpack.h"

#include "base/bug.h"

#define TABLE_BYTES 4096u
#define SMALLEST 64u

/* In front of what a coder is given. */
struct piece {
    struct block *block; /* it is in; NULL: in a slab */
    uint32_t size_class, size;
};
_Static_assert(sizeof(struct piece) == 16, "what follows is aligned as malloc's");

void h2_memory_init(struct h2_memory *m, struct loop *l)
{
    m->loop = l;
    for (unsigned i = 0; i < H2_MEMORY_CLASSES; i++)
        slab_init(&m->sizes[i], &l->blocks, (size_t)SMALLEST << i);
}

void h2_memory_fini(struct h2_memory *m)
{
    if (!m->loop) return;
    for (unsigned i = 0; i < H2_MEMORY_CLASSES; i++) slab_fini(&m->sizes[i]);
}

static void *get(size_t size, void *user)
{
    struct h2_hpack *h = user;
    size_t whole = size + sizeof(struct piece);
    unsigned size_class = 0;
    if (whole < size || whole > BLOCK_MAX) return NULL;
    while (size_class < H2_MEMORY_CLASSES && ((size_t)SMALLEST << size_class) < whole) size_class++;
    struct piece *p;
    struct block *b = NULL;
    if (size_class < H2_MEMORY_CLASSES) {
        p = slab_get(&h->memory->sizes[size_class]);
    } else {
        b = block_get(&h->memory->loop->blocks, whole);
        p = b ? (struct piece *)(void *)b->data : NULL;
    }
    if (!p) return NULL;
    *p = (struct piece){ b, size_class, b ? b->cap : SMALLEST << size_class };
    h->bytes += p->size;
    h->blocks += b != NULL;
    return p + 1;
}

static void give(void *memory, void *user)
{
    struct h2_hpack *h = user;
    if (!memory) return;
    struct piece *p = (struct piece *)memory - 1;
    if (bug_if(H2_SESSION, p->size > h->bytes || (p->block && !h->blocks))) return; /* not one of these */
    h->bytes -= p->size;
    if (p->block) {
        h->blocks--;
        block_put(&h->memory->loop->blocks, p->block);
    } else {
        slab_put(&h->memory->sizes[p->size_class], p);
    }
}

static void *get_zeroed(size_t count, size_t size, void *user)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) return NULL;
    void *memory = get(whole, user);
    if (memory) memset(memory, 0, whole);
    return memory;
}

static void *get_again(void *memory, size_t size, void *user)
{
    if (!memory) return get(size, user);
    const struct piece *p = (const struct piece *)memory - 1;
    size_t before = p->size - sizeof(*p);
    if (size <= before) return memory;
    void *grown = get(size, user);
    if (!grown) return NULL;
    memcpy(grown, memory, before);
    give(memory, user);
    return grown;
}

int h2_hpack_open(struct h2_hpack *h, struct h2_memory *m)
{
    *h = (struct h2_hpack){ .mem = { h, get, give, get_zeroed, get_again }, .memory = m };
    if (nghttp2_hd_inflate_new2(&h->decoder, &h->mem) == 0 &&
        nghttp2_hd_deflate_new2(&h->encoder, TABLE_BYTES, &h->mem) == 0)
        return 0;
    h2_hpack_close(h);
    return -1;
}

void h2_hpack_close(struct h2_hpack *h)
{
    if (h->decoder) nghttp2_hd_inflate_del(h->decoder);
    if (h->encoder) nghttp2_hd_deflate_del(h->encoder);
    h->decoder = NULL;
    h->encoder = NULL;
    (void)bug_if(H2_SESSION, h->bytes || h->blocks);
}

static struct slice slice_over(const uint8_t *data, size_t len)
{
    return (struct slice){ (const char *)data, len };
}

enum h2_decoded h2_hpack_decode(struct h2_hpack *h, struct slice block,
                                bool (*on_field)(void *context, struct slice name, struct slice value),
                                void *context)
{
    const uint8_t *at = (const uint8_t *)block.data;
    size_t left = block.len;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(h->decoder, &nv, &flags, at, left, 1);
        if (n == NGHTTP2_ERR_NOMEM) return H2_DECODED_NO_MEMORY;
        if (n < 0 || (size_t)n > left) return H2_DECODED_BAD;
        at += n;
        left -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) &&
            !on_field(context, slice_over(nv.name, nv.namelen), slice_over(nv.value, nv.valuelen)))
            return H2_DECODED_STOPPED;
        if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && (!left || !n)) return H2_DECODED_BAD;
    }
    nghttp2_hd_inflate_end_headers(h->decoder);
    return H2_DECODED;
}

size_t h2_hpack_bound(struct h2_hpack *h, const nghttp2_nv *fields, size_t count)
{
    return nghttp2_hd_deflate_bound(h->encoder, fields, count);
}

int64_t h2_hpack_encode(struct h2_hpack *h, char *to, size_t room, const nghttp2_nv *fields, size_t count)
{
    ssize_t n = nghttp2_hd_deflate_hd(h->encoder, (uint8_t *)to, room, fields, count);
    return n < 0 ? -1 : n;
}

int h2_hpack_resize(struct h2_hpack *h, uint32_t table_bytes)
{
    return nghttp2_hd_deflate_change_table_size(h->encoder, table_bytes) == 0 ? 0 : -1;
}
