#define XXH_INLINE_ALL
#include <xxhash.h>

#include "profile/heap.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "profile/profile_names.h"

#define SITES_MAX HEAP_SITES_MAX
#define SITE_SLOTS (2 * SITES_MAX)
#define LIVE_MAX 32768u /* a power of two */
#define DEPTH_MAX 48u
#define OWN_FRAMES 2u        /* heap_on_sample() and malloc() */
#define FRAME_MAX (1u << 20) /* between two frames of one stack */

/* One stack that took memory. */
struct heap_site {
    uint64_t hash;
    uint64_t allocs, alloc_bytes, frees, free_bytes;
    uint32_t depth;
    uint64_t pcs[DEPTH_MAX];
};

/* What was sampled and not freed. */
struct live {
    const void *p; /* NULL: free; GONE: was */
    uint32_t site;
    uint64_t size;
};

#define GONE ((const void *)1)

__thread int64_t heap_left_bytes;
static __thread uint64_t seed;
static __thread bool is_inside;

uint8_t heap_marks[HEAP_MARKS];
static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER;            /* of all that follows; and marks change under it alone */
static uint16_t site_slots[SITE_SLOTS];   /* open hash: place + 1 */
static struct heap_site sites[SITES_MAX]; /* one behind the other: pages that are not reached cost nothing */
static uint32_t site_count;
static struct live lives[LIVE_MAX];
static uint32_t live_count;
static uint64_t lost;

/* sampling */

/* splitmix64 (Steele, Lea, Flood, 2014): which allocation is sampled needs no better. */
static uint64_t draw(void)
{
    if (!seed) seed = (uint64_t)(uintptr_t)&seed ^ clock_now_ns();
    uint64_t x = seed += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Bytes to the next sample: exponentially distributed, so that every byte is as likely as any other. */
static int64_t next_distance(void)
{
    double u = ((double)(draw() >> 11) + 1) / 9007199254740993.0;
    return (int64_t)(-log(u) * HEAP_PERIOD_BYTES) + 1;
}

/* By frame pointers, which weir's own code keeps: a signal-safe way that allocates nothing. Those of libraries may end it
 * early. */
__attribute__((noinline)) static uint32_t walk(uint64_t *pcs)
{
    const uintptr_t *frame = __builtin_frame_address(0);
    uint32_t depth = 0;
    while (depth < DEPTH_MAX) {
        uintptr_t next = frame[0], pc = frame[1];
        if (pc < 4096) break;
        pcs[depth++] = pc;
        if (next <= (uintptr_t)frame || next - (uintptr_t)frame > FRAME_MAX || (next & 7)) break;
        frame = (const uintptr_t *)next; // NOLINT(performance-no-int-to-ptr)
    }
    return depth;
}

/* SITES_MAX: no room. Under the lock. */
static uint32_t site_of(const uint64_t *pcs, uint32_t depth)
{
    uint64_t hash = XXH3_64bits(pcs, depth * sizeof(*pcs)) | 1;
    uint32_t at = (uint32_t)(hash >> 32) % SITE_SLOTS;
    for (; site_slots[at]; at = (at + 1) % SITE_SLOTS) {
        const struct heap_site *s = &sites[site_slots[at] - 1];
        if (s->hash == hash && s->depth == depth && memcmp(s->pcs, pcs, depth * sizeof(*pcs)) == 0)
            return site_slots[at] - 1u;
    }
    if (site_count == SITES_MAX) return SITES_MAX;
    struct heap_site *s = &sites[site_count];
    s->hash = hash;
    s->depth = depth;
    memcpy(s->pcs, pcs, depth * sizeof(*pcs));
    site_slots[at] = (uint16_t)++site_count;
    return site_count - 1;
}

static uint32_t slot_of(const void *p)
{
    return (uint32_t)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) % LIVE_MAX;
}

static void keep_allocation(const void *p, uint32_t site, size_t size)
{
    if (live_count > LIVE_MAX / 4 * 3) {
        lost++;
        return;
    }
    uint32_t at = slot_of(p);
    while (lives[at].p && lives[at].p != GONE) at = (at + 1) % LIVE_MAX;
    lives[at] = (struct live){ .p = p, .site = site, .size = size };
    live_count++;
    uint8_t *mark = &heap_marks[heap_mark_of(p)];
    if (*mark < UINT8_MAX) __atomic_store_n(mark, *mark + 1, __ATOMIC_RELAXED); /* at its highest it stays */
    sites[site].allocs++;
    sites[site].alloc_bytes += size;
}

void heap_on_sample(void *allocated, size_t size)
{
    uint64_t pcs[DEPTH_MAX];
    bool is_first = !seed;
    heap_left_bytes = next_distance();
    if (is_inside || is_first) return; /* a thread's first distance has yet to be drawn */
    is_inside = true;
    uint32_t depth = walk(pcs);
    pthread_mutex_lock(&lock);
    uint32_t site = depth ? site_of(pcs, depth) : SITES_MAX;
    if (site < SITES_MAX)
        keep_allocation(allocated, site, size);
    else
        lost++;
    pthread_mutex_unlock(&lock);
    is_inside = false;
}

void heap_on_free(const void *freed)
{
    if (is_inside) return;
    is_inside = true;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0, at = slot_of(freed); i < LIVE_MAX && lives[at].p; i++, at = (at + 1) % LIVE_MAX) {
        if (lives[at].p != freed) continue;
        uint8_t *mark = &heap_marks[heap_mark_of(freed)];
        sites[lives[at].site].frees++;
        sites[lives[at].site].free_bytes += lives[at].size;
        lives[at].p = lives[(at + 1) % LIVE_MAX].p ? GONE : NULL;
        live_count--;
        if (*mark < UINT8_MAX) __atomic_store_n(mark, *mark - 1, __ATOMIC_RELAXED);
        break;
    }
    pthread_mutex_unlock(&lock);
    is_inside = false;
}

/* profiles */

/* A sampled allocation of `size` bytes stands for 1 / (1 - e^(-size / period)) of them. */
static double weight(double bytes, double count)
{
    return count > 0 ? 1 / (1 - exp(-bytes / count / HEAP_PERIOD_BYTES)) : 0;
}

static uint64_t in_use(const struct heap_site *s)
{
    double count = (double)(s->allocs - s->frees), bytes = (double)(s->alloc_bytes - s->free_bytes);
    return (uint64_t)(bytes * weight(bytes, count));
}

static uint32_t find_stack(struct profile *p, struct symbolizer *names, const struct heap_site *s,
                           uint32_t stack[DEPTH_MAX])
{
    uint32_t depth = 0;
    for (uint32_t i = OWN_FRAMES; i < s->depth; i++)
        stack[depth++] = profile_locate(p, names, s->pcs[i], true);
    return depth;
}

static void add_site(struct profile *p, struct symbolizer *names, const struct heap_site *s)
{
    uint32_t stack[DEPTH_MAX];
    uint32_t depth = find_stack(p, names, s, stack);
    double scale = weight((double)s->alloc_bytes, (double)s->allocs);
    double live = (double)(s->allocs - s->frees), live_bytes = (double)(s->alloc_bytes - s->free_bytes);
    int64_t values[4] = { (int64_t)((double)s->allocs * scale), (int64_t)((double)s->alloc_bytes * scale),
                          (int64_t)(live * weight(live_bytes, live)), (int64_t)in_use(s) };
    profile_add(p, stack, depth, NULL, 0, values);
}

static struct heap_site *copy_sites(uint32_t *count, uint64_t *lost_out)
{
    is_inside = true; /* it is not to find itself */
    struct heap_site *copy = malloc(sizeof(sites));
    if (!copy) {
        is_inside = false;
        return NULL;
    }
    pthread_mutex_lock(&lock);
    memcpy(copy, sites, site_count * sizeof(*sites));
    *count = site_count;
    *lost_out = lost;
    pthread_mutex_unlock(&lock);
    is_inside = false;
    return copy;
}

/* A profile of these types with the names of all that is mapped, and what was sampled until now. */
struct naming {
    struct modules *modules;
    struct symbolizer *names;
    struct profile *profile;
    struct heap_site *sites;
    uint32_t count;
};

static void naming_end(struct naming *n)
{
    symbolizer_free(n->names);
    modules_free(n->modules);
    free(n->sites);
}

static int naming_begin(struct naming *n, const struct profile_type *types, uint32_t type_count,
                        struct err *err)
{
    uint64_t lost_samples = 0;
    *n = (struct naming){ 0 };
    if (!heap_is_sampled())
        return err_set(err, "this build has a sanitizer's allocator, of which no profile is kept");
    n->sites = copy_sites(&n->count, &lost_samples);
    if (modules_read(&n->modules, 0, err) < 0 || symbolizer_new(&n->names, n->modules, err) < 0) {
        naming_end(n);
        return -1;
    }
    n->profile = profile_new(types, type_count);
    if (!n->profile || !n->sites) {
        profile_free(n->profile);
        naming_end(n);
        return err_set(err, "out of memory for a profile");
    }
    profile_add_program(n->profile, n->names);
    n->profile->preset_type = type_count - 1;
    n->profile->period_type = (struct profile_type){ "space", "bytes" };
    n->profile->period = HEAP_PERIOD_BYTES;
    n->profile->time_ns = clock_wall_ns();
    n->profile->lost += lost_samples;
    return 0;
}

int heap_profile(struct profile **out, bool shows_allocs, struct err *err)
{
    static const struct profile_type types[] = { { "alloc_objects", "count" },
                                                 { "alloc_space", "bytes" },
                                                 { "inuse_objects", "count" },
                                                 { "inuse_space", "bytes" } };
    struct naming n;
    if (naming_begin(&n, types, 4, err) < 0) return -1;
    for (uint32_t i = 0; i < n.count; i++) add_site(n.profile, n.names, &n.sites[i]);
    if (shows_allocs) n.profile->preset_type = 1;
    *out = n.profile;
    naming_end(&n);
    return 0;
}

uint32_t heap_in_use(uint64_t bytes[HEAP_SITES_MAX])
{
    is_inside = true;
    pthread_mutex_lock(&lock);
    uint32_t count = site_count;
    for (uint32_t i = 0; i < count; i++) bytes[i] = in_use(&sites[i]);
    pthread_mutex_unlock(&lock);
    is_inside = false;
    return count;
}

int heap_grown(const uint64_t *since, uint32_t count, struct profile **out, struct err *err)
{
    static const struct profile_type types[] = { { "inuse_space", "bytes" } };
    struct naming n;
    uint32_t stack[DEPTH_MAX];
    if (naming_begin(&n, types, 1, err) < 0) return -1;
    for (uint32_t i = 0; i < n.count; i++) {
        uint64_t now = in_use(&n.sites[i]), before = i < count ? since[i] : 0;
        int64_t grown = (int64_t)(now - before);
        if (now > before)
            profile_add(n.profile, stack, find_stack(n.profile, n.names, &n.sites[i], stack), NULL, 0,
                        &grown);
    }
    *out = n.profile;
    naming_end(&n);
    return 0;
}
