#include "main/anchor.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "conf/decode.h"
#include "main/version.h"

#define CONFIG_TEXT_MAX (8u << 20)
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
    struct json j;
    size_t len = 0;
    anchor_clear();
    anchor.self = (uintptr_t)&anchor;
    anchor.pid = getpid();
    anchor.build_id_len = crash_build_id(anchor.build_id);
    for (uint32_t i = 0; i < REMAINS_SIZES; i++) anchor.sizes[i] = remains_sizes[i];
    json_init(&j, CONFIG_TEXT_MAX, true);
    conf_encode(&config_type, config, &j);
    anchor.config = (uintptr_t)json_take(&j, &len);
    anchor.config_len = anchor.config ? len : 0;
    anchor.proxy = (uintptr_t)p;
}

void anchor_clear(void)
{
    anchor.proxy = 0;
    anchor.config_len = 0;
    free((void *)(uintptr_t)anchor.config);
    anchor.config = 0;
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
