#include "record/flight_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "base/memory_view.h"
#include "base/rng.h"

#define WORKER_BITS 10u
#define WORDS (sizeof(struct flight_record) / sizeof(uint64_t))
static_assert(1u << WORKER_BITS == FLIGHT_WORKERS_MAX, "an id has room for every worker");
static_assert(offsetof(struct flight_record, id) == 0, "lane_find() looks at the first word only");
#define SEQUENCE_MASK (UINT64_MAX >> WORKER_BITS)

/* The bound over which a record is slow goes up by a part of it with each that is over it, and down by a 99th of that with each
 * that is not: it stands still where one of a hundred is over it. In 1024ths of a microsecond. */
#define SLOW_UNIT 1024u
#define SLOW_UP 16u
#define SLOW_DOWN (SLOW_UP * 99u)

/* A slot's sequence is 2 * position + 1 while the record of that position is being written, one more when it
 * is whole, and 0 at first. */
struct lane {
    _Atomic uint64_t written; /* positions 0 .. written - 1 were written */
    uint64_t mask;
    _Atomic uint64_t (*slots)[WORDS];
    _Atomic uint64_t *sequences;
};

struct flight_ring {
    struct lane lanes[FLIGHT_LANES];
    uint8_t *fates; /* the writer's own: of each slot of the latest, the lane that its record goes on to */
    _Atomic uint64_t next_id; /* its worker bits apart; its worker writes, others may look */
    uint64_t first_id;
    uint64_t slow_bound;
    uint32_t worker;
    size_t mapped_size;
};

static const uint32_t lane_records[FLIGHT_LANES] = { [FLIGHT_FAILED] = FLIGHT_FAILED_RECORDS,
                                                     [FLIGHT_SLOW] = FLIGHT_SLOW_RECORDS,
                                                     [FLIGHT_SAMPLED] = FLIGHT_SAMPLED_RECORDS };

/* Lanes */

static size_t lane_size(uint32_t records)
{
    return records * (sizeof(struct flight_record) + sizeof(uint64_t));
}

static char *lane_init(struct lane *lane, uint32_t records, char *memory)
{
    lane->mask = records - 1;
    lane->slots = (void *)memory;
    lane->sequences = (void *)(memory + records * sizeof(struct flight_record));
    return memory + lane_size(records);
}

/* Each word is released after the odd sequence, so a reader that sees any of them sees the sequence change as
 * well. On x86 these are plain stores. */
static void lane_write(struct lane *lane, const void *record)
{
    uint64_t position = atomic_load_explicit(&lane->written, memory_order_relaxed);
    _Atomic uint64_t *words = lane->slots[position & lane->mask];
    _Atomic uint64_t *sequence = &lane->sequences[position & lane->mask];
    atomic_store_explicit(sequence, 2 * position + 1, memory_order_relaxed);
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word;
        memcpy(&word, (const char *)record + i * sizeof(word), sizeof(word));
        atomic_store_explicit(&words[i], word, memory_order_release);
    }
    atomic_store_explicit(sequence, 2 * position + 2, memory_order_release);
    atomic_store_explicit(&lane->written, position + 1, memory_order_release);
}

static bool lane_read(const struct lane *lane, uint64_t position, struct flight_record *out)
{
    const _Atomic uint64_t *words = lane->slots[position & lane->mask];
    const _Atomic uint64_t *sequence = &lane->sequences[position & lane->mask];
    if (atomic_load_explicit(sequence, memory_order_acquire) != 2 * position + 2) return false;
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_acquire);
        memcpy((char *)out + i * sizeof(word), &word, sizeof(word));
    }
    return atomic_load_explicit(sequence, memory_order_relaxed) == 2 * position + 2;
}

static uint64_t lane_written(const struct lane *lane)
{
    return atomic_load_explicit(&lane->written, memory_order_acquire);
}

static uint64_t oldest_position(const struct lane *lane, uint64_t written)
{
    return written > lane->mask ? written - lane->mask - 1 : 0;
}

/* Rings */

int flight_ring_new(struct flight_ring **out, uint32_t records, uint32_t worker, struct err *err)
{
    if (records == 0 || (records & (records - 1)) != 0 || worker >= FLIGHT_WORKERS_MAX)
        return err_set(err,
                       "a flight ring has a power of two of records, not %u, and a worker below %u, not %u",
                       records, FLIGHT_WORKERS_MAX, worker);
    struct flight_ring *ring = aligned_alloc(64, (sizeof(*ring) + 63) & ~(size_t)63);
    if (!ring) return err_set(err, "no memory for flight records");
    memset(ring, 0, sizeof(*ring));
    ring->mapped_size = lane_size(records) + records;
    for (int i = FLIGHT_RECENT + 1; i < FLIGHT_LANES; i++) ring->mapped_size += lane_size(lane_records[i]);
    char *memory = mmap(NULL, ring->mapped_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(ring);
        return err_set(err, "no memory for %u flight records: %s", records, strerror(errno));
    }
    madvise(memory, ring->mapped_size, MADV_NOHUGEPAGE); /* one record must not cost 2 MiB */
    for (int i = 0; i < FLIGHT_LANES; i++)
        memory = lane_init(&ring->lanes[i], i == FLIGHT_RECENT ? records : lane_records[i], memory);
    ring->fates = (void *)memory;
    ring->worker = worker;
    struct rng rng;
    rng_seed_random(&rng);
    ring->first_id = rng_next(&rng) & SEQUENCE_MASK;
    atomic_init(&ring->next_id, ring->first_id);
    *out = ring;
    return 0;
}

void flight_ring_free(struct flight_ring *ring)
{
    if (!ring) return;
    munmap((void *)ring->lanes[FLIGHT_RECENT].slots, ring->mapped_size);
    free(ring);
}

uint64_t flight_next_id(struct flight_ring *ring)
{
    uint64_t id = atomic_load_explicit(&ring->next_id, memory_order_relaxed);
    atomic_store_explicit(&ring->next_id, id + 1, memory_order_relaxed);
    return id << WORKER_BITS | ring->worker;
}

static bool is_slow(struct flight_ring *ring, const struct flight_record *r)
{
    if (r->flags & FLIGHT_TUNNEL) return false;
    if (r->total_us * SLOW_UNIT <= ring->slow_bound) {
        ring->slow_bound -= ring->slow_bound / SLOW_DOWN;
        return false;
    }
    ring->slow_bound += ring->slow_bound / SLOW_UP + SLOW_UNIT;
    return true;
}

/* Positions are spread first, so that nothing which comes at even distances is always or never taken. */
static bool is_sampled(uint64_t position)
{
    return (position + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 32 < UINT32_MAX / FLIGHT_SAMPLED_OF;
}

static enum flight_lane fate_of(struct flight_ring *ring, uint64_t position, const struct flight_record *r)
{
    if (flight_is_failure(r)) return FLIGHT_FAILED;
    if (is_slow(ring, r)) return FLIGHT_SLOW;
    return is_sampled(position) ? FLIGHT_SAMPLED : FLIGHT_RECENT;
}

void flight_write(struct flight_ring *ring, const struct flight_record *r)
{
    if (bug_if(FLIGHT, r->target_len > FLIGHT_TARGET_MAX || r->request_id_len > FLIGHT_REQUEST_ID_MAX))
        return;
    struct lane *recent = &ring->lanes[FLIGHT_RECENT];
    uint64_t position = atomic_load_explicit(&recent->written, memory_order_relaxed);
    uint64_t slot = position & recent->mask;
    /* Whoever looks through the latest first and then through the others finds it in one of them at any time. Only its own
     * thread writes a slot, so what is read there is whole. */
    if (ring->fates[slot] != FLIGHT_RECENT)
        lane_write(&ring->lanes[ring->fates[slot]], (const void *)recent->slots[slot]);
    ring->fates[slot] = (uint8_t)fate_of(ring, position, r);
    lane_write(recent, r);
}

uint64_t flight_written(const struct flight_ring *ring)
{
    return lane_written(&ring->lanes[FLIGHT_RECENT]);
}

bool flight_read(const struct flight_ring *ring, uint64_t position, struct flight_record *out)
{
    return lane_read(&ring->lanes[FLIGHT_RECENT], position, out);
}

bool flight_salvage(const struct memory_view *m, uint64_t ring, uint64_t ago, struct flight_record *out)
{
    struct flight_ring r;
    uint64_t sequence;
    if (!memory_read(m, ring, &r, sizeof(r))) return false;
    const struct lane *lane = &r.lanes[FLIGHT_RECENT];
    uint64_t written = atomic_load_explicit(&lane->written, memory_order_relaxed);
    if (ago >= written || ago > lane->mask) return false;
    uint64_t position = written - 1 - ago, slot = position & lane->mask;
    if (!memory_read(m, (uintptr_t)lane->sequences + slot * sizeof(sequence), &sequence, sizeof(sequence)) ||
        sequence != 2 * position + 2 ||
        !memory_read(m, (uintptr_t)lane->slots + slot * sizeof(*out), out, sizeof(*out)))
        return false;
    flight_sanitize(out);
    return true;
}

/* Searching */

static bool lane_find(const struct lane *lane, uint64_t id, struct flight_record *out)
{
    uint64_t written = lane_written(lane), oldest = oldest_position(lane, written);
    for (uint64_t position = written; position-- > oldest;) {
        if (atomic_load_explicit(&lane->slots[position & lane->mask][0], memory_order_relaxed) != id)
            continue;
        if (lane_read(lane, position, out) && out->id == id) return true;
    }
    return false;
}

bool flight_find(struct flight_ring *const *rings, uint32_t count, uint64_t id, struct flight_record *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (rings[i]->worker != (id & (FLIGHT_WORKERS_MAX - 1))) continue;
        for (int k = 0; k < FLIGHT_LANES; k++)
            if (lane_find(&rings[i]->lanes[k], id, out)) return true;
    }
    return false;
}

bool flight_has_given(struct flight_ring *const *rings, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (rings[i]->worker != (id & (FLIGHT_WORKERS_MAX - 1))) continue;
        uint64_t given = atomic_load_explicit(&rings[i]->next_id, memory_order_relaxed) - rings[i]->first_id;
        if ((((id >> WORKER_BITS) - rings[i]->first_id) & SEQUENCE_MASK) < given) return true;
    }
    return false;
}

/* What goes on to a lane and has not been pushed out of the latest yet is younger than all in it. */
uint64_t flight_complete_since_ns(struct flight_ring *const *rings, uint32_t count, enum flight_lane lane)
{
    uint64_t since_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct lane *l = &rings[i]->lanes[lane];
        uint64_t written = lane_written(l), oldest = oldest_position(l, written);
        struct flight_record r;
        while (oldest && oldest < written && !lane_read(l, oldest, &r)) oldest++;
        if (oldest && oldest < written && flight_end_wall_ns(&r) > since_ns)
            since_ns = flight_end_wall_ns(&r);
    }
    return since_ns;
}

/* Selecting */

/* Where a selection stands in one lane: `record` is the latest match before `position`. */
struct cursor {
    const struct lane *lane;
    uint64_t position, oldest;
    bool has_record;
    struct flight_record record;
};

static void cursor_advance(struct cursor *c, const struct flight_filter *filter)
{
    c->has_record = false;
    while (c->position > c->oldest) {
        /* What cannot be read any more was overwritten, and so was everything older. */
        if (!lane_read(c->lane, --c->position, &c->record)) return;
        if (!flight_matches(filter, &c->record)) continue;
        c->has_record = true;
        return;
    }
}

/* One for each lane of each ring, those of the latest first; to be freed. NULL: no memory. */
static struct cursor *cursors_new(struct flight_ring *const *rings, uint32_t count,
                                  const struct flight_filter *filter)
{
    struct cursor *cursors = calloc(count ? (size_t)count * FLIGHT_LANES : 1, sizeof(*cursors));
    for (uint32_t i = 0; cursors && i < count * FLIGHT_LANES; i++) {
        struct cursor *c = &cursors[i];
        c->lane = &rings[i % count]->lanes[i / count];
        c->position = lane_written(c->lane);
        c->oldest = oldest_position(c->lane, c->position);
        cursor_advance(c, filter);
    }
    return cursors;
}

/* A record that went on to another lane meanwhile is met twice, at the same time of its end. */
static bool is_double(const struct flight_record *r, const struct flight_record *before, uint32_t count)
{
    while (count-- > 0 && flight_end_wall_ns(&before[count]) == flight_end_wall_ns(r))
        if (before[count].id == r->id) return true;
    return false;
}

uint32_t flight_select(struct flight_ring *const *rings, uint32_t count, const struct flight_filter *filter,
                       struct flight_record *out, uint32_t max)
{
    struct cursor *cursors = cursors_new(rings, count, filter);
    uint32_t found = 0;
    while (cursors && found < max) {
        struct cursor *latest = NULL;
        for (uint32_t i = 0; i < count * FLIGHT_LANES; i++) {
            struct cursor *c = &cursors[i];
            if (c->has_record &&
                (!latest || flight_end_wall_ns(&c->record) > flight_end_wall_ns(&latest->record)))
                latest = c;
        }
        if (!latest) break;
        if (!is_double(&latest->record, out, found)) out[found++] = latest->record;
        cursor_advance(latest, filter);
    }
    free(cursors);
    return found;
}

/* Puts a record into a heap whose root is the quickest, at `at` or below it. */
static void heap_sink(struct flight_record *heap, uint32_t count, uint32_t at, const struct flight_record *r)
{
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1].total_us < heap[child].total_us) child++;
        if (heap[child].total_us >= r->total_us) break;
        heap[at] = heap[child];
    }
    heap[at] = *r;
}

static int compare_slowest(const void *left, const void *right)
{
    const struct flight_record *a = left, *b = right;
    if (a->total_us != b->total_us) return a->total_us < b->total_us ? 1 : -1;
    return (a->id < b->id) - (a->id > b->id);
}

/* Each that is slower than the quickest of those found so far takes its place. */
static uint32_t add_slowest(struct cursor *c, const struct flight_filter *filter, struct flight_record *out,
                            uint32_t found, uint32_t max)
{
    for (; c->has_record; cursor_advance(c, filter)) {
        if (c->record.flags & FLIGHT_TUNNEL) continue;
        if (found == max && c->record.total_us <= out[0].total_us) continue;
        if (found < max) {
            out[found++] = c->record;
            for (uint32_t i = found / 2; found == max && i-- > 0;) {
                struct flight_record sinking = out[i];
                heap_sink(out, found, i, &sinking);
            }
            continue;
        }
        heap_sink(out, found, 0, &c->record);
    }
    return found;
}

uint32_t flight_select_slowest(struct flight_ring *const *rings, uint32_t count,
                               const struct flight_filter *filter, struct flight_record *out, uint32_t max)
{
    struct cursor *cursors = max ? cursors_new(rings, count, filter) : NULL;
    uint32_t found = 0;
    for (uint32_t i = 0; cursors && i < count * FLIGHT_LANES; i++)
        found = add_slowest(&cursors[i], filter, out, found, max);
    free(cursors);
    qsort(out, found, sizeof(*out), compare_slowest);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < found; i++)
        if (!kept || out[kept - 1].id != out[i].id) out[kept++] = out[i];
    return kept;
}
