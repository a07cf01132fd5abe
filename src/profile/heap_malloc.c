/* The allocator's names, on the way to glibc's: what is sampled is noted. In the program itself, so that libraries come
 * this way too. */
#include "profile/heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEAP_IS_SAMPLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEAP_IS_SAMPLED 0
#endif
#endif
#ifndef HEAP_IS_SAMPLED
#define HEAP_IS_SAMPLED 1
#endif

bool heap_is_sampled(void)
{
    return HEAP_IS_SAMPLED;
}

#if HEAP_IS_SAMPLED

/* glibc's own (malloc/malloc.c). */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *old);

static inline void *note(void *p, size_t size)
{
    if (__builtin_expect((heap_left_bytes -= (int64_t)size) < 0, 0) && p) heap_on_sample(p, size);
    return p;
}

static inline void forget(const void *p)
{
    if (__builtin_expect(__atomic_load_n(&heap_marks[heap_mark_of(p)], __ATOMIC_RELAXED) != 0, 0))
        heap_on_free(p);
}

void *malloc(size_t size)
{
    return note(__libc_malloc(size), size);
}

void *calloc(size_t count, size_t size)
{
    return note(__libc_calloc(count, size), count * size);
}

/* Its old bytes are gone when it moves, and before another thread may get them. */
void *realloc(void *old, size_t size)
{
    if (old) forget(old);
    return note(__libc_realloc(old, size), size);
}

void free(void *p)
{
    if (!p) return;
    forget(p);
    __libc_free(p);
}

void *memalign(size_t alignment, size_t size)
{
    return note(__libc_memalign(alignment, size), size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return note(__libc_memalign(alignment, size), size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment < sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
    void *p = note(__libc_memalign(alignment, size), size);
    if (!p) return ENOMEM;
    *out = p;
    return 0;
}

#endif
