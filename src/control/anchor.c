#include "control/anchor.h"

#include <elf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "conf/decode.h"
#include "control/version.h"
#include "record/flight_ring.h"
#include "stack/image.h"

/* A summary is for reading: the core file has them all. */
#define TOLD_EXCHANGES 50u
#define TOLD_RECORDS 10u

/* Used by nothing that the compiler sees. */
__attribute__((used)) static struct anchor anchor = {
    .magic = ANCHOR_MAGIC, .size = sizeof(struct anchor), .layout = ANCHOR_LAYOUT, .version = WEIR_VERSION
};
static_assert(sizeof(ANCHOR_MAGIC) - 1 == sizeof(anchor.magic), "the magic number fills its place");

void anchor_set(const struct proxy *p, const struct config *config)
{
    anchor_clear();
    anchor.self = (uintptr_t)&anchor;
    anchor.pid = getpid();
    anchor.build_id_len = crash_build_id(anchor.build_id);
    remains_sizes(anchor.sizes);
    anchor.config = (uintptr_t)config->shown.data;
    anchor.config_len = config->shown.len;
    anchor.proxy = (uintptr_t)p;
}

void anchor_clear(void)
{
    anchor.proxy = 0;
    anchor.config_len = 0;
    anchor.config = 0;
}

/* finding it */

#define WINDOW_BYTES ((size_t)64 << 10)
/* A core file may say of any number of places that they are the same bytes of it. */
#define SEARCH_BYTES_MAX ((uint64_t)16 << 30)

static bool is_anchor(const struct image *i, uint64_t address, struct anchor *out)
{
    struct anchor found;
    if (!memory_read(&i->memory, address, &found, sizeof(found)) || found.self != address) return false;
    *out = found;
    out->version[sizeof(out->version) - 1] = 0;
    if (out->build_id_len > BUILD_ID_MAX) out->build_id_len = 0;
    return true;
}

/* The anchor is aligned to 8, as windows are. */
static bool find_in(const struct image *i, const struct image_segment *s, char *window, uint64_t *left,
                    struct anchor *out)
{
    for (uint64_t done = 0; done < s->size && *left >= WINDOW_BYTES; done += WINDOW_BYTES) {
        *left -= WINDOW_BYTES;
        uint64_t at = s->start + done;
        size_t len = s->size - done < WINDOW_BYTES ? s->size - done : WINDOW_BYTES;
        if (!memory_read(&i->memory, at, window, len)) continue;
        for (size_t k = 0; k + sizeof(out->magic) <= len; k += 8)
            if (memcmp(window + k, ANCHOR_MAGIC, sizeof(out->magic)) == 0 && is_anchor(i, at + k, out))
                return true;
    }
    return false;
}

static bool is_of_file(const struct image *i, const struct image_segment *s)
{
    const struct image_file *f = image_file_of(i, s->start);
    return f && f->start == s->start;
}

/* It lies in the program's own data, a mapping of a file: the rest, which may be much, is looked through only where the
 * files are unknown. */
bool anchor_find(const struct image *i, struct anchor *out)
{
    bool is_found = false;
    uint64_t left = SEARCH_BYTES_MAX;
    char *window = malloc(WINDOW_BYTES);
    for (uint32_t k = 0; window && !is_found && k < i->segment_count; k++) {
        const struct image_segment *s = &i->segments[k];
        if (s->flags & PF_W && (!i->file_count || is_of_file(i, s)))
            is_found = find_in(i, s, window, &left, out);
    }
    free(window);
    return is_found;
}

const char *anchor_print_build(const struct anchor *a, char out[ANCHOR_BUILD_TEXT_MAX])
{
    struct text t = text_over(out, ANCHOR_BUILD_TEXT_MAX);
    for (uint32_t i = 0; i < a->build_id_len; i++) text_add_hex(&t, a->build_id[i], 2);
    if (!a->build_id_len) TEXT_LITERAL(&t, "unknown");
    return text_cstr(&t);
}

int anchor_check(const struct anchor *a, struct err *err)
{
    char build[ANCHOR_BUILD_TEXT_MAX], version[32];
    uint32_t sizes[REMAINS_SIZES];
    remains_sizes(sizes);
    if (a->size == sizeof(*a) && a->layout == ANCHOR_LAYOUT && memcmp(a->sizes, sizes, sizeof(sizes)) == 0)
        return 0;
    memcpy(version, a->version, sizeof(version));
    for (char *c = version; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    return err_set(
        err,
        "it is of weir %s, build %s, which lays its memory out in another way than this weir %s: for "
        "exchanges, records and configuration use that build",
        version, anchor_print_build(a, build), WEIR_VERSION);
}

/* the story of a crash */

struct telling {
    const struct memory_view *memory;
    const struct remains_proxy *proxy;
    struct crash_out *out;
    uint32_t left;
};

static bool tell_exchange(void *context, const struct remains_exchange *x)
{
    struct telling *t = context;
    struct text *line = crash_line(t->out);
    if (!t->left) {
        TEXT_LITERAL(line, "  and more: see `weir postmortem` on the core file");
        crash_line_end(t->out);
        return false;
    }
    t->left--;
    TEXT_LITERAL(line, "  ");
    remains_print_exchange(t->memory, t->proxy, x, line);
    crash_line_end(t->out);
    return true;
}

static void tell_worker(struct telling *t, const struct remains_worker *w)
{
    static struct flight_record record;
    struct text *line = crash_line(t->out);
    TEXT_LITERAL(line, "worker ");
    text_add_u64(line, w->index);
    TEXT_LITERAL(line, ": ");
    text_add_u64(line, w->live.exchanges);
    TEXT_LITERAL(line, " exchanges, ");
    text_add_u64(line, w->live.tunnels);
    TEXT_LITERAL(line, " tunnels, ");
    text_add_u64(line, w->live.client_connections);
    TEXT_LITERAL(line, " client connections");
    crash_line_end(t->out);
    remains_exchanges(t->memory, w, tell_exchange, t);
    TEXT_LITERAL(line, "last to end on worker ");
    text_add_u64(line, w->index);
    TEXT_LITERAL(line, ":");
    crash_line_end(t->out);
    for (uint32_t ago = 0; ago < TOLD_RECORDS; ago++) {
        if (!flight_salvage(t->memory, w->flights, ago, &record)) continue;
        TEXT_LITERAL(line, "  ");
        remains_print_record(t->memory, t->proxy, &record, line);
        crash_line_end(t->out);
    }
}

void anchor_tell(const void *unused, const struct memory_view *m, struct crash_out *out)
{
    struct remains_proxy p;
    struct remains_worker w;
    (void)unused;
    if (!anchor.proxy || !remains_find_proxy(m, anchor.proxy, &p)) return;
    struct telling t = { m, &p, out, TOLD_EXCHANGES };
    uint64_t self = (uint64_t)pthread_self();
    for (uint32_t i = 0; i < p.worker_count; i++) {
        if (!remains_find_worker(m, &p, i, &w) || w.thread != self) continue;
        tell_worker(&t, &w);
        return;
    }
    for (uint32_t i = 0; i < p.worker_count; i++)
        if (remains_find_worker(m, &p, i, &w)) tell_worker(&t, &w);
}
