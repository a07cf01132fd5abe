#include "tls/memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "base/list.h"
#include "base/mapping.h"
#include "base/poison.h"

/* Of a run of places of one size; its head is found from a place's address. */
#define RUN_BYTES ((size_t)256 << 10)
#define ALIGNMENT 16u
/* Up to here there are four sizes for each power of two; what is larger has a mapping of its own. */
#define SMALL_MAX ((size_t)32 << 10)
#define CLASSES 40u
#define OWN_MAPPING UINT32_MAX
/* So many free places of a size, and not more than so many bytes of them, stay with the thread. */
#define KEPT_MAX 32u
#define KEPT_BYTES_MAX ((size_t)16 << 10)

struct place {
    struct place *next;
};

struct run {
    struct list link; /* of its class: those with room */
    struct list all;
    uint32_t size_class;  /* or OWN_MAPPING */
    uint32_t used, begun; /* places in use; those that were ever handed out */
    struct place *free;
    size_t bytes; /* of the mapping */
};

/* Whole, so that what follows is aligned. */
#define HEAD_BYTES ((sizeof(struct run) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

struct size_class {
    pthread_mutex_t lock;
    struct list with_room;
};

static struct size_class classes[CLASSES];
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list mappings;
static bool is_shown;
static _Atomic size_t mapped_bytes;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;

/* Of one thread. */
struct kept {
    struct place *places[CLASSES];
    uint16_t count[CLASSES];
    bool is_known, is_over; /* its end will be heard of; it has ended */
};

static _Thread_local struct kept kept;
static _Thread_local uint64_t failures;

/* sizes: 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, … */

static uint32_t class_of(size_t bytes)
{
    if (bytes <= 128) return bytes ? (uint32_t)((bytes - 1) / 16) : 0;
    unsigned power = 63u - (unsigned)__builtin_clzl(bytes - 1); /* 128..: 7 */
    return 8 + (power - 7) * 4 + (uint32_t)(((bytes - 1) >> (power - 2)) & 3);
}

static size_t size_of(uint32_t size_class)
{
    if (size_class < 8) return (size_class + 1) * 16;
    unsigned power = 7 + (size_class - 8) / 4;
    return ((size_t)1 << power) + (((size_class - 8) % 4 + 1) << (power - 2));
}

static void on_thread_end(void *unused)
{
    (void)unused;
    tls_memory_trim();
    kept.is_over = true;
}

static void prepare(void)
{
    list_init(&mappings);
    for (uint32_t i = 0; i < CLASSES; i++) {
        pthread_mutex_init(&classes[i].lock, NULL);
        list_init(&classes[i].with_room);
    }
    pthread_key_create(&at_exit, on_thread_end);
}

/* mappings */

static struct run *map_run(size_t bytes, uint32_t size_class)
{
    struct run *r = mapping_new(bytes);
    if (!r) return NULL;
    list_init(&r->link);
    list_init(&r->all);
    r->size_class = size_class;
    r->bytes = bytes;
    pthread_mutex_lock(&mappings_lock);
    if (!is_shown) madvise(r, bytes, MADV_DONTDUMP);
    madvise(r, bytes, MADV_NOHUGEPAGE); /* a place must not cost 2 MiB */
    list_push_back(&mappings, &r->all);
    pthread_mutex_unlock(&mappings_lock);
    atomic_fetch_add_explicit(&mapped_bytes, bytes, memory_order_relaxed);
    return r;
}

static void unmap_run(struct run *r)
{
    size_t bytes = r->bytes;
    pthread_mutex_lock(&mappings_lock);
    list_remove(&r->all);
    pthread_mutex_unlock(&mappings_lock);
    /* Where the kernel refuses it stays, for nobody: a hole would be one mapping too many. */
    if (mapping_free(r, bytes)) atomic_fetch_sub_explicit(&mapped_bytes, bytes, memory_order_relaxed);
}

static struct run *run_of(const void *place)
{
    return (struct run *)((uintptr_t)place & ~(uintptr_t)(RUN_BYTES - 1));
}

static void *get_own(size_t bytes)
{
    size_t whole = RUN_BYTES;
    while (whole && whole - HEAD_BYTES < bytes) whole *= 2;
    struct run *r = whole ? map_run(whole, OWN_MAPPING) : NULL;
    return r ? (char *)r + HEAD_BYTES : NULL;
}

/* places of all threads; under the class's lock */

static uint32_t places_in(size_t size)
{
    return (uint32_t)((RUN_BYTES - HEAD_BYTES) / size);
}

static struct place *take(uint32_t size_class)
{
    struct size_class *c = &classes[size_class];
    size_t size = size_of(size_class);
    struct run *r;
    if (list_is_empty(&c->with_room)) {
        r = map_run(RUN_BYTES, size_class);
        if (!r) return NULL;
        list_push_back(&c->with_room, &r->link);
    } else {
        r = container_of(c->with_room.next, struct run, link);
    }
    if (bug_if(TLS, r->used >= places_in(size))) return NULL;
    struct place *p = r->free;
    if (p)
        r->free = p->next;
    else
        p = (struct place *)(void *)((char *)r + HEAD_BYTES + r->begun++ * size);
    if (++r->used == places_in(size)) list_remove(&r->link);
    return p;
}

static void give(uint32_t size_class, struct place *p)
{
    struct size_class *c = &classes[size_class];
    struct run *r = run_of(p);
    if (bug_if(TLS, !r->used || r->size_class != size_class))
        return; /* given back twice, or by another size */
    p->next = r->free;
    r->free = p;
    if (r->used-- == places_in(size_of(size_class))) list_push_front(&c->with_room, &r->link);
    /* One that is empty is kept where it is the last with room. */
    if (r->used || c->with_room.next->next == &c->with_room) return;
    list_remove(&r->link);
    unmap_run(r);
}

/* the thread's */

static uint32_t kept_max(uint32_t size_class)
{
    size_t max = KEPT_BYTES_MAX / size_of(size_class);
    return max < KEPT_MAX ? (uint32_t)max : KEPT_MAX;
}

/* All but `left` of what is kept of a class. */
static void give_back(uint32_t size_class, uint32_t left)
{
    pthread_mutex_lock(&classes[size_class].lock);
    while (kept.count[size_class] > left) {
        struct place *p = kept.places[size_class];
        kept.places[size_class] = p->next;
        kept.count[size_class]--;
        give(size_class, p);
    }
    pthread_mutex_unlock(&classes[size_class].lock);
}

void tls_memory_trim(void)
{
    pthread_once(&once, prepare);
    for (uint32_t i = 0; i < CLASSES; i++)
        if (kept.count[i]) give_back(i, 0);
}

/* The end of a thread is heard of only by who asked for it. */
static void get_to_know(void)
{
    if (kept.is_known || kept.is_over) return;
    kept.is_known = true;
    pthread_setspecific(at_exit, &kept);
}

void *tls_memory_get(size_t bytes)
{
    pthread_once(&once, prepare);
    if (bytes > SMALL_MAX) return get_own(bytes);
    uint32_t size_class = class_of(bytes);
    struct place *p = kept.places[size_class];
    if (p) {
        kept.places[size_class] = p->next;
        if (!bug_if(TLS, !kept.count[size_class])) kept.count[size_class]--;
        return p;
    }
    pthread_mutex_lock(&classes[size_class].lock);
    p = take(size_class);
    pthread_mutex_unlock(&classes[size_class].lock);
    return p;
}

void tls_memory_put(void *place)
{
    if (!place) return;
    struct run *r = run_of(place);
    struct place *p = place;
    if (r->size_class == OWN_MAPPING) {
        unmap_run(r);
        return;
    }
    uint32_t size_class = r->size_class, max = kept.is_over ? 0 : kept_max(size_class);
    if (kept.count[size_class] >= max) give_back(size_class, max / 2);
    if (!max) {
        pthread_mutex_lock(&classes[size_class].lock);
        give(size_class, p);
        pthread_mutex_unlock(&classes[size_class].lock);
        return;
    }
    get_to_know();
    p->next = kept.places[size_class];
    kept.places[size_class] = p;
    kept.count[size_class]++;
}

void *tls_memory_resize(void *place, size_t bytes)
{
    if (!place) return tls_memory_get(bytes);
    const struct run *r = run_of(place);
    size_t before = r->size_class == OWN_MAPPING ? r->bytes - HEAD_BYTES : size_of(r->size_class);
    if (bytes <= before && bytes > before / 2) return place;
    void *p = tls_memory_get(bytes);
    if (!p) return NULL;
    memcpy(p, place, before < bytes ? before : bytes);
    tls_memory_put(place);
    return p;
}

size_t tls_memory_mapped(void)
{
    return atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}

void tls_memory_show(void)
{
    pthread_once(&once, prepare);
    pthread_mutex_lock(&mappings_lock);
    is_shown = true;
    for (struct list *at = mappings.next; at != &mappings; at = at->next) {
        struct run *r = container_of(at, struct run, all);
        madvise(r, r->bytes, MADV_DODUMP);
    }
    pthread_mutex_unlock(&mappings_lock);
}

static void *on_get(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    void *place = IS_ADDRESS_SANITIZED ? malloc(bytes) : tls_memory_get(bytes);
    failures += !place;
    return place;
}

static void on_put(void *place, const char *file, int line)
{
    (void)file, (void)line;
    if (IS_ADDRESS_SANITIZED)
        free(place);
    else
        tls_memory_put(place);
}

static void *on_resize(void *place, size_t bytes, const char *file, int line)
{
    if (!bytes) {
        on_put(place, file, line);
        return NULL;
    }
    void *other = IS_ADDRESS_SANITIZED ? realloc(place, bytes) : tls_memory_resize(place, bytes);
    failures += !other;
    return other;
}

uint64_t tls_memory_failures(void)
{
    return failures;
}

void tls_memory_install(void)
{
    CRYPTO_set_mem_functions(on_get, on_resize, on_put);
}
